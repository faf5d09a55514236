"""The engine's state, inputs and outcome.

``Durable`` is what must outlive the process: it is written as a snapshot in the same transaction as
the events that changed it. ``State`` adds what only this boot knows. A field added to a Struct here
needs a default, so that the snapshot of an earlier version still decodes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from cabinet.core.charge import Order, PackLimits
from cabinet.core.model import Effect, Image, Output, UnlockResult
from cabinet.core.offline import Memory, OfflineLimits, Waits
from cabinet.core.records import Lists, Write
from cabinet.core.safety_limits import Limits
from cabinet.core.safety_state import SafetyState, Verdict
from cabinet.core.sockets import SocketLimits, Track
from cabinet.core.sockets import State as SocketState
from cabinet.core.sockets_power import Share
from cabinet.core.swap_model import Claim, Idle, SwapLimits
from cabinet.core.swap_model import State as SwapState
from protocols.messages import (
    Ack,
    Challenge,
    Command,
    DesiredConfig,
    DesiredList,
    DesiredPlan,
    Kind,
    Result,
)
from protocols.settings import POWER_MAX_W

#: Answers to commands kept at hand; older commands are refused by their sequence number.
RESULTS_MAX: Final = 256
#: Transactions remembered by id, so that the same order never runs twice.
RECENT_SWAPS_MAX: Final = 32

Verify: TypeAlias = Callable[[bytes, str], bool]
Token: TypeAlias = Callable[[], str]


@dataclass(frozen=True, slots=True)
class Now:
    """The time of one decision: monotonic for deadlines, wall for records."""

    mono_ms: int
    wall_ms: int
    wall_synced: bool
    day_ms: int | None = None  # what plans go by, where that is not the wall clock (demonstrations)

    @property
    def plan_ms(self) -> int:
        """What the validity and the steps of plans are held against."""
        return self.wall_ms if self.day_ms is None else self.day_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """What one cabinet is."""

    cabinet: str
    slots: int
    software: str
    pack: PackLimits
    breaker_w: int
    power_default_w: int
    power_max_w: int = POWER_MAX_W  # whatever the plan says: what its feeder allows
    target_soc_pct: int = 90  # charged up to here
    offer_soc_pct: int = 90  # offered from here, or from the target where that is lower
    epoch: int = 1  # for a new journal; minted by the fleet
    safety: Limits = field(default_factory=Limits)
    swap: SwapLimits = field(default_factory=SwapLimits)
    offline: OfflineLimits = field(default_factory=OfflineLimits)
    recovery_wait_ms: int = 6_000  # for every device to be read once after start
    settle_ms: int = 3_000  # a pack appeared or vanished only when it stays so
    left_open_ms: int = 120_000  # a door open this long is an alarm, swap or not
    unnamed_ms: int = 10_000  # a pack that has not told its serial by then is flagged
    second_scan_ms: int = 300_000  # for so long a faulted transaction can be gone on with
    plan_lead_ms: int = 3_000  # a lower step is obeyed from then: what chargers need to follow
    hold_leave_full: int = 1  # so many full packs are never kept for riders on the way
    utc_offset_min: int = 0  # of the hours below
    quiet_from_h: int = 0  # from then nothing is said aloud …
    quiet_until_h: int = 0  # … until then; the same hour twice is never
    quiet_power_w: int = POWER_MAX_W  # and so long it takes no more than this
    kiosk_language: str = ""  # the first one; "" is the screen's own
    kiosk_note_zh: str = ""  # a line of the operator's
    kiosk_note_en: str = ""
    telemetry_s: float = 5.0
    sockets: tuple[SocketLimits, ...] = ()  # of the charging area beside it
    probed_sockets: frozenset[int] = frozenset()  # those whose temperature is watched


# --- durable ------------------------------------------------------------------------------------


class Standing(Struct, frozen=True):
    """An alarm that stands."""

    code: str
    slot: int | None = None
    severity: str = "warning"


class Owner(Struct, frozen=True):
    """Whose unfinished transaction a slot belongs to."""

    swap_id: str
    rider_id: str


class Hold(Struct, frozen=True):
    """A full pack kept for a rider. ``id`` is the command's; the time runs anew after a restart."""

    id: str
    rider_id: str
    ttl_ms: int
    serial: str = ""


class ManualOpening(Struct, frozen=True, omit_defaults=True):
    """A door ordered open by hand, until it is seen open. ``pulse``: what the board said of it."""

    command_id: str
    attempt: str
    pulse: str = ""


class OpeningAll(Struct, frozen=True, omit_defaults=True):
    """Every door ordered open, one after another; ``shut`` says why one was not opened."""

    command_id: str
    left: tuple[int, ...]
    opened: tuple[int, ...] = ()
    shut: dict[int, str] = {}


class Restart(Struct, frozen=True):
    """A restart that was ordered, until another boot than this one is up."""

    command_id: str
    boot_id: str


class Refusal(Struct, frozen=True):
    """The version of a document that does not fit this cabinet, and why."""

    version: int
    why: str


class Durable(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What outlives the process."""

    epoch: int = 1
    seq: int = 0  # of the last event
    command_seq: int = 0  # of the last command that was authentic
    swap: SwapState = Idle()
    recent_swaps: tuple[str, ...] = ()
    safety: SafetyState = SafetyState()  # latched trips only
    out_of_service: dict[int, str] = {}  # slot to reason
    quarantine: dict[int, str] = {}
    adopted: bool = False  # the inventory has been read once
    inventory: dict[int, str] = {}  # slot to serial: what the events have told so far
    undetermined: tuple[int, ...] = ()  # slots whose first pack has not told its serial yet
    owners: dict[int, Owner] = {}
    alarms: tuple[Standing, ...] = ()  # told and not cleared
    latched: tuple[Standing, ...] = ()  # raised by us, until a technician clears them
    left_open: tuple[int, ...] = ()  # doors that a rider left open
    openings: dict[int, ManualOpening] = {}  # slot to what is waited for there
    holds: dict[int, Hold] = {}  # slot to hold
    claims: tuple[Claim, ...] = ()  # of faulted transactions, for their riders' next scan
    plan: DesiredPlan | None = None
    config: DesiredConfig | None = None
    config_next: DesiredConfig | None = None  # fits, and waits until nobody is served
    config_refused: Refusal | None = None
    opening_all: OpeningAll | None = None
    restart: Restart | None = None
    offline: Memory = Memory()
    sockets: dict[int, SocketState] = {}  # those that are not idle


_DURABLE: Final = msgspec.json.Decoder(Durable)


def encode_durable(durable: Durable) -> bytes:
    """The bytes of a snapshot."""
    return msgspec.json.encode(durable)


def decode_durable(data: bytes) -> Durable:
    """The state in a snapshot of this or an earlier version; raises msgspec.MsgspecError."""
    return _DURABLE.decode(data)


# --- state --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Nonce:
    """A nonce that may authenticate one command."""

    value: str
    issued_ms: int


class Issued(Struct, frozen=True):
    """What the actuator was last told."""

    chargers: Mapping[int, Order] = msgspec.field(default_factory=dict)
    chargers_at_ms: Mapping[int, int] = msgspec.field(default_factory=dict)
    slot_ac: Mapping[int, bool] = msgspec.field(default_factory=dict)
    outputs: Mapping[Output, bool] = msgspec.field(default_factory=dict)
    sockets: Mapping[int, bool] = msgspec.field(default_factory=dict)
    decided_at_ms: int | None = None  # when orders were last computed
    basis: object = None  # what they were computed from


class State(Struct, frozen=True):
    """Everything the engine knows."""

    durable: Durable
    boot_id: str
    lists: Lists = msgspec.field(default_factory=Lists)
    results: Mapping[str, Result] = msgspec.field(default_factory=dict)
    safety: SafetyState = msgspec.field(default_factory=SafetyState)
    image: Image | None = None
    verdict: Verdict = msgspec.field(default_factory=Verdict)
    ready: bool = False  # every slot has been read once since start
    first_image_ms: int | None = None
    nonces: tuple[Nonce, ...] = ()
    plan_received_ms: int | None = None  # in this boot
    chunks: Mapping[int, DesiredList] = msgspec.field(default_factory=dict)
    issued: Issued = Issued()
    since_ms: Mapping[tuple[str, int], int] = msgspec.field(default_factory=dict)
    opened_by_hand: frozenset[int] = frozenset()  # by slot.open, until things are settled
    refusals: Mapping[str, int] = msgspec.field(
        default_factory=dict
    )  # reason to count, for metrics
    waits: Waits = msgspec.field(default_factory=Waits)  # of the keypad
    sockets: Mapping[int, Track] = msgspec.field(default_factory=dict)
    sockets_share: Share = Share()
    leaving: bool = False  # the shell is to end this process


# --- inputs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Observed:
    """The buses have read something."""

    image: Image


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class UnlockOutcome:
    """What became of an ``Unlock``."""

    slot: int
    attempt: str
    result: UnlockResult


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A command as it came; nothing about it has been checked but its form."""

    command: Command


@dataclass(frozen=True, slots=True)
class ChallengeReceived:
    """The fleet asks for nonces."""

    challenge: Challenge


@dataclass(frozen=True, slots=True)
class DocumentReceived:
    """A desired document; its signature has not been checked."""

    document: DesiredPlan | DesiredConfig | DesiredList


@dataclass(frozen=True, slots=True)
class OrderUnfit:
    """Something came as an order that is not obeyed whatever it says; ``reason`` is counted."""

    reason: str


@dataclass(frozen=True, slots=True)
class JournalOutrun:
    """The fleet has acknowledged more than this journal ever sent: it was replaced.

    ``acked`` is the sender's own watermark: events up to it need not be sent again.
    """

    ack: Ack
    acked: int


#: What a rider who has shown who he is wants: begin or go on, end what is under way, or have his own
#: battery back.
Wish: TypeAlias = Literal["go", "cancel", "give-back"]


@dataclass(frozen=True, slots=True)
class OfflineCode:
    """A rider typed his number and a code.

    ``ref`` names the question; the answer carries it. Past ``until_ms`` nobody waits for it any more,
    and nothing may open.
    """

    ref: str
    number: str
    code: str = field(repr=False)
    kind: Kind = Kind.SWAP
    wish: Wish = "go"
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class OfflineTicket:
    """A rider showed a ticket: the text as it was scanned."""

    ref: str
    text: str = field(repr=False)
    wish: Wish = "go"
    until_ms: int | None = None


Input: TypeAlias = (
    Observed
    | Tick
    | UnlockOutcome
    | CommandReceived
    | ChallengeReceived
    | DocumentReceived
    | OrderUnfit
    | JournalOutrun
    | OfflineCode
    | OfflineTicket
)


@dataclass(frozen=True, slots=True)
class OfflineAnswer:
    """What the rider at the cabinet is told: ``reason`` None is yes.

    ``wait_ms`` is how long the keypad, or this number, stays locked.
    """

    ref: str
    reason: str | None
    swap_id: str | None = None
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One decision: commit ``writes``, adopt ``state``, then run ``effects`` and send ``replies``.

    ``answers`` are for the page and the scanner of the cabinet itself.
    """

    state: State
    writes: tuple[Write, ...] = ()
    effects: tuple[Effect, ...] = ()
    replies: tuple[Result, ...] = ()
    answers: tuple[OfflineAnswer, ...] = ()
