"""What the fleet shows: immutable views, whole at every change, so that a missed one does no harm."""

from __future__ import annotations

from msgspec import Struct

from protocols.messages import Kind, SlotTelemetry, Step
from protocols.sockets import SocketTelemetry


class CabinetView(Struct, frozen=True, kw_only=True):
    """One cabinet as it stands. ``age_ms`` tells how old the telemetry is, None for never seen."""

    id: str
    name: str
    slots_total: int
    online: bool
    age_ms: int | None
    slots: tuple[SlotTelemetry, ...] = ()
    full: int = 0  # packs that may be offered
    empty: int = 0  # slots that can take a pack
    power_w: float | None = None
    power_limit_w: int | None = None
    temp_c: float | None = None
    alarms: tuple[str, ...] = ()
    active_swap: str | None = None
    software: str = ""
    lat: float | None = None
    lon: float | None = None
    sockets: tuple[SocketTelemetry, ...] = ()  # of the charging area beside it


class MovementView(Struct, frozen=True, kw_only=True):
    """One posted row of the custody ledger."""

    id: int
    serial: str
    from_holder: str
    to_holder: str
    at_ms: int
    swap_id: str | None = None
    flags: tuple[str, ...] = ()
    soc_pct: int | None = None  # as the cabinet told with it; None is not known


class ToldView(Struct, frozen=True, kw_only=True):
    """The report of a cabinet that a movement rests on."""

    cabinet: str
    epoch: int
    seq: int
    type: str | None  # None: the event is not there
    wall_synced: bool | None = None
    received_ms: int | None = None


class LifeView(Struct, frozen=True, kw_only=True):
    """One row of a battery's life. One that does not ``move`` is evidence of what was known."""

    id: int
    at_ms: int
    from_holder: str
    to_holder: str
    cause: str
    moves: bool
    cabinet_id: str | None = None
    slot: int | None = None
    person: str | None = None  # rider:… or transit:…
    swap_id: str | None = None
    swap_kind: str | None = None
    swap_step: str | None = None
    flags: tuple[str, ...] = ()
    told_by: ToldView | None = None  # None: by papers


class OrderView(Struct, frozen=True, kw_only=True):
    """One order of an operator and what has become of it.

    ``outcome``: ordered (not answered yet), accepted (under way), done, refused (nothing moved),
    failed (something may have moved), expired (no answer: the door may have opened).
    """

    id: str
    cabinet_id: str
    type: str
    actor: str
    reason: str
    outcome: str
    created_ms: int
    slot: int | None = None
    code: str | None = None
    expected_presence: str | None = None
    expected_serial: str | None = None
    result: str | None = None  # the cabinet's code
    evidence: str = ""
    answered_ms: int | None = None


class LogView(Struct, frozen=True, kw_only=True):
    """One row of the log of orders."""

    id: int
    at_ms: int
    actor: str
    action: str
    outcome: str
    cabinet_id: str = ""
    command_id: str = ""
    subject: str = ""
    slot: int | None = None
    swap_id: str | None = None
    reason: str = ""
    result: str | None = None
    evidence: str = ""
    hash: str = ""


class AskedView(Struct, frozen=True, kw_only=True):
    """What was last asked of the cabinet during a swap, since its last step."""

    type: str  # swap.resume, swap.cancel, swap.give-back
    outcome: str  # queued, accepted, refused, failed, expired
    reason: str | None = None


class SwapView(Struct, frozen=True, kw_only=True):
    """One transaction of a rider; ``rank`` only rises."""

    id: str
    cabinet_id: str
    rider_id: str
    kind: Kind
    step: Step | None  # None until the cabinet answered
    rank: int
    done: bool
    slot_in: int | None = None
    slot_out: int | None = None
    reason: str | None = None
    detail: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    movements: tuple[MovementView, ...] = ()
    asked: AskedView | None = None
    authority: str = "fleet"  # "code" or "ticket": accepted by the cabinet without a network
    flags: tuple[str, ...] = ()  # what an operator should look into


class ReservationView(Struct, frozen=True, kw_only=True):
    """A full battery kept for a rider.

    ``state``: asked (the cabinet has not answered yet), held, used, released, refused, expired.
    """

    id: str
    cabinet_id: str
    state: str
    created_ms: int
    expires_ms: int
    slot: int | None = None
    reason: str | None = None
    left_s: int = 0


class RiderView(Struct, frozen=True, kw_only=True):
    """A rider; the phone is kept as hash and tail only."""

    id: str
    phone_tail: str
    serials: tuple[str, ...] = ()  # packs the ledger says the rider holds
    number: str = ""  # eight digits; names the rider to a cabinet without a network
    denied: bool = False
    denied_reason: str = ""


class OfflineView(Struct, frozen=True, kw_only=True):
    """What a phone keeps for the time without a network. Secret: for the rider himself only.

    ``secrets`` are base64, by UTC month; codes are made of them as RFC 6238 says (30 s, 6 digits).
    ``ticket`` is the text of the QR code. ``now_ms`` tells the phone how wrong its clock is.
    """

    rider_id: str
    number: str
    now_ms: int
    secrets: dict[str, str]
    ticket: str
    ticket_kind: Kind
    ticket_expires_ms: int
