"""MQTT messages as msgspec Structs with range, length and enum constraints.

Unknown fields are refused on what a cabinet obeys (commands, challenges, desired documents) and
ignored on reports, so that a newer cabinet can talk to an older fleet. Wall-clock stamps are
milliseconds of Unix time; ``mono_ms`` is the cabinet's monotonic clock since its boot, named by
``boot_id``. The identity of an event is (cabinet, epoch, seq); seq is contiguous from 1.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, Struct

from protocols import fields
from protocols.errors import MessageError
from protocols.sockets import SOCKETS_MAX, SocketBody, SocketTelemetry

PAYLOAD_BYTES_MAX: Final = 64 * 1024
SLOTS_MAX: Final = 64
NONCES_MAX: Final = 8
NONCE_LIFE_MS: Final = 15_000
EVENT_WINDOW: Final = 200
#: More than a pack that a person lifts can hold.
CAPACITY_MAX_AH: Final = 1_000.0

Id: TypeAlias = fields.Id
#: What a BMS reports as its barcode. Kept strict: it becomes part of a custody holder's name.
Serial = Annotated[str, Meta(min_length=1, max_length=50, pattern=r"^[A-Za-z0-9._-]+$")]
SlotNumber = Annotated[int, Meta(ge=1, le=SLOTS_MAX)]
Percent = Annotated[int, Meta(ge=0, le=100)]
Millis: TypeAlias = fields.Millis
Count: TypeAlias = fields.Count
Text: TypeAlias = fields.Text
#: A setting as text; longer than any that may be set.
Line = Annotated[str, Meta(max_length=120)]
TempC: TypeAlias = fields.TempC


class Door(StrEnum):
    """A door as last read; a reading older than one second is unknown, never closed."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class Presence(StrEnum):
    """The presence switch of a slot."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class SlotState(StrEnum):
    """What a slot is good for now."""

    EMPTY = "empty"
    CHARGING = "charging"
    WAITING = "waiting"  # holds a pack that is neither ready nor charging
    READY = "ready"  # at or above the target, may be offered
    RESERVED = "reserved"
    QUARANTINE = "quarantine"
    FAULTED = "faulted"
    OUT_OF_SERVICE = "out-of-service"
    UNKNOWN = "unknown"


#: Who let a transaction begin: the fleet's command, or off the network a number and code or a ticket.
Authority = Literal["fleet", "code", "ticket"]


class Kind(StrEnum):
    """What a transaction at the cabinet is."""

    SWAP = "swap"
    PICKUP = "pickup"  # first pick-up by a new rider
    RETURN = "return"  # return without pick-up
    LOAD = "load"  # a technician puts a pack in
    UNLOAD = "unload"  # a technician takes a pack out


class Step(StrEnum):
    """Steps of a transaction, in the order of STEP_RANK; a report may never go back."""

    RESERVED = "reserved"
    OPENING_RETURN = "opening-return"
    AWAIT_RETURN = "await-return"
    VERIFYING = "verifying"
    GIVING_BACK = "giving-back"  # a refused pack goes back to its rider
    OPENING_PICKUP = "opening-pickup"
    AWAIT_PICKUP = "await-pickup"
    AWAIT_CLOSE = "await-close"
    COMPLETED = "completed"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FAULTED = "faulted"


STEP_RANK: Final[dict[Step, int]] = {
    Step.RESERVED: 10,
    Step.OPENING_RETURN: 20,
    Step.AWAIT_RETURN: 30,
    Step.VERIFYING: 40,
    Step.GIVING_BACK: 45,
    Step.OPENING_PICKUP: 50,
    Step.AWAIT_PICKUP: 60,
    Step.AWAIT_CLOSE: 70,
    Step.COMPLETED: 80,
    Step.REJECTED: 90,
    Step.CANCELLED: 91,
    Step.FAULTED: 92,
}
TERMINAL_STEPS: Final = frozenset({Step.COMPLETED, Step.REJECTED, Step.CANCELLED, Step.FAULTED})


# --- reports: cabinet to fleet ------------------------------------------------------------------


class Status(Struct, frozen=True, kw_only=True):
    """Retained, and the last will (online false). An older session never overrides a newer one."""

    online: bool
    session: Millis  # wall clock of this connection; rises with every connection
    boot_id: Id
    epoch: Count
    software: Text
    config_version: Count = 0  # that it runs
    config_refused: Count = 0  # the version that it did not take, and why
    config_fault: Text = ""
    plan_version: Count = 0
    lists_version: Count = 0
    slots: Annotated[int, Meta(ge=0, le=SLOTS_MAX)] = 0
    acked_seq: Count = 0  # of this epoch, when this was sent, by the ledger of that incarnation
    acked_incarnation: Id | None = None
    settings: Annotated[dict[Id, int | Line], Meta(max_length=64)] = {}  # as they are in force
    schema: Literal[1] = 1


class SlotTelemetry(Struct, frozen=True, kw_only=True):
    """One slot as it stands. None means not known, never zero."""

    slot: SlotNumber
    state: SlotState
    door: Door
    presence: Presence
    serial: Serial | None = None
    soc_pct: Percent | None = None
    pack_voltage_v: float | None = None
    pack_current_a: float | None = None
    cell_temp_c: TempC | None = None
    air_temp_c: TempC | None = None
    charge_power_w: float | None = None
    flags: tuple[Id, ...] = ()


class Telemetry(Struct, frozen=True, kw_only=True):
    """The whole cabinet, latest only, QoS 0; never a source of custody."""

    wall_ms: Millis
    boot_id: Id
    mono_ms: Millis
    slots: Annotated[tuple[SlotTelemetry, ...], Meta(max_length=SLOTS_MAX)]
    power_w: float | None = None
    energy_wh: float | None = None
    temp_c: TempC | None = None
    humidity_pct: float | None = None
    power_limit_w: Count | None = None
    plan_version: Count = 0
    alarms: tuple[Id, ...] = ()
    active_swap: Id | None = None
    epoch: Count = 0
    seq: Count = 0  # the newest event it has written in this epoch; 0 is none, or not told
    sockets: Annotated[tuple[SocketTelemetry, ...], Meta(max_length=SOCKETS_MAX)] = ()
    schema: Literal[1] = 1


class StepBody(Struct, frozen=True, kw_only=True):
    """Event ``swap.step``: a transaction reached a step."""

    swap_id: Id
    kind: Kind
    step: Step
    rider_id: Id
    slot_in: SlotNumber | None = None
    slot_out: SlotNumber | None = None
    reason: Id | None = None  # for rejected, cancelled, faulted and giving-back
    detail: Text = ""
    authority: Authority = "fleet"  # with "code" the rider is ``no.`` and his number


class BatteryBody(Struct, frozen=True, kw_only=True):
    """Events ``battery.in`` and ``battery.out``: a pack entered or left a slot, by the sensors.

    ``swap_id`` and ``rider_id`` are None when nobody was authorised: the pack appeared or vanished
    (for example while the power was off), and the fleet flags the custody. Charge, capacity and
    cycles are what the pack itself told last in that slot; None is not known.
    """

    serial: Serial
    slot: SlotNumber
    swap_id: Id | None = None
    rider_id: Id | None = None
    soc_pct: Percent | None = None
    cause: Literal["swap", "technician", "found", "vanished"] = "swap"
    capacity_ah: Annotated[float, Meta(gt=0, le=CAPACITY_MAX_AH)] | None = None  # when full
    cycles: Count | None = None


class AlarmBody(Struct, frozen=True, kw_only=True):
    """Event ``alarm``: raised or cleared. Codes are kebab-case, for example ``smoke``."""

    code: Id
    active: bool
    severity: Literal["info", "warning", "critical"] = "warning"
    slot: SlotNumber | None = None
    detail: Text = ""


class InventorySlot(Struct, frozen=True, kw_only=True):
    """One slot of an inventory."""

    slot: SlotNumber
    door: Door
    presence: Presence
    serial: Serial | None = None
    soc_pct: Percent | None = None


class InventoryBody(Struct, frozen=True, kw_only=True):
    """Event ``inventory``: what stands where, read at boot and at the start of an epoch."""

    slots: Annotated[tuple[InventorySlot, ...], Meta(max_length=SLOTS_MAX)]


class SlotFlagBody(Struct, frozen=True, kw_only=True):
    """Event ``slot.flag``: a slot went out of service, into quarantine, or back."""

    slot: SlotNumber
    flag: Id
    active: bool
    detail: Text = ""


class BootBody(Struct, frozen=True, kw_only=True):
    """Event ``boot``: the daemon started; ``resumed`` names the transaction it took up again."""

    software: Text
    resumed: Id | None = None


EVENT_BODIES: Final[dict[str, type[Struct]]] = {
    "swap.step": StepBody,
    "battery.in": BatteryBody,
    "battery.out": BatteryBody,
    "alarm": AlarmBody,
    "inventory": InventoryBody,
    "slot.flag": SlotFlagBody,
    "boot": BootBody,
    "socket.step": SocketBody,
}
EventBody = (
    StepBody | BatteryBody | AlarmBody | InventoryBody | SlotFlagBody | BootBody | SocketBody
)


class Event(Struct, frozen=True, kw_only=True):
    """One row of the cabinet's outbox."""

    epoch: Count
    seq: Annotated[int, Meta(ge=1)]
    boot_id: Id
    mono_ms: Millis
    wall_ms: Millis
    wall_synced: bool
    type: Id
    body: msgspec.Raw
    schema: Literal[1] = 1


class Result(Struct, frozen=True, kw_only=True):
    """The answer to a command or a challenge; every answer brings fresh nonces.

    ``id`` is the command's or the challenge's id. Outcomes of a command: accepted (under way),
    done, refused (nothing moved), failed (something may have moved).
    """

    id: Id
    outcome: Literal["accepted", "done", "refused", "failed", "nonces"]
    boot_id: Id
    reason: Id | None = None
    evidence: Text = ""
    nonces: Annotated[tuple[Id, ...], Meta(max_length=NONCES_MAX)] = ()
    schema: Literal[1] = 1


# --- orders: fleet to cabinet -------------------------------------------------------------------


class Ack(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything of this epoch up to seq is committed in the ledger of this incarnation."""

    epoch: Count
    seq: Count
    incarnation: Id
    schema: Literal[1] = 1


class Challenge(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for fresh nonces; answered in ``result`` with outcome ``nonces``."""

    id: Id
    count: Annotated[int, Meta(ge=1, le=NONCES_MAX)] = 1
    schema: Literal[1] = 1


class Precondition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must hold on a slot when the command arrives; None is not checked."""

    slot: SlotNumber
    presence: Presence | None = None
    serial: Serial | None = None


class Command(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed order, never retained, never executed twice.

    ``ttl_ms`` counts on the cabinet's monotonic clock from the issue of ``nonce``, so a broker that
    holds the command back cannot open a door later. ``sig`` is Ed25519, base64, over
    ``signing_bytes``.
    """

    id: Id
    cabinet: Id
    seq: Annotated[int, Meta(ge=1)]
    type: Id
    args: dict[str, Any]
    expires_at_ms: Millis
    ttl_ms: Annotated[int, Meta(ge=1, le=30_000)]
    nonce: Id
    boot_id: Id
    actor: Id
    reason: Text = ""
    swap_id: Id | None = None
    precondition: Precondition | None = None
    sig: Annotated[str, Meta(max_length=128)] = ""
    schema: Literal[1] = 1


#: Of its power limit a cabinet keeps so much for itself, and charges with the rest.
OWN_POWER_W: Final = 40


class DesiredPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Power limits of one whole cabinet, step by step, and the target SoC.

    Outside its validity it is worth nothing: the cabinet falls back to its safe local default.
    """

    cabinet: Id
    version: Annotated[int, Meta(ge=1)]
    valid_from_ms: Millis
    valid_until_ms: Millis
    step_s: Annotated[int, Meta(ge=60, le=3600)]
    power_w: Annotated[tuple[Count, ...], Meta(min_length=1, max_length=1440)]
    target_soc_pct: Annotated[tuple[Percent, ...], Meta(max_length=1440)] = ()
    sig: Annotated[str, Meta(max_length=128)] = ""
    schema: Literal[1] = 1


class DesiredConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values of the cabinet's configuration that the fleet may set."""

    cabinet: Id
    version: Annotated[int, Meta(ge=1)]
    values: dict[str, int | float | str | bool]
    sig: Annotated[str, Meta(max_length=128)] = ""
    schema: Literal[1] = 1


class DesiredList(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One chunk of what the cabinet must know off the network.

    Known packs, denied packs, denied riders. A version takes effect when all its chunks are here.
    """

    cabinet: Id
    version: Annotated[int, Meta(ge=1)]
    chunk: Count
    chunks: Annotated[int, Meta(ge=1, le=4096)]
    packs: tuple[Serial, ...] = ()
    denied_packs: tuple[Serial, ...] = ()
    denied_riders: tuple[Id, ...] = ()
    sig: Annotated[str, Meta(max_length=128)] = ""
    schema: Literal[1] = 1


# --- codec --------------------------------------------------------------------------------------

Message = (
    Status | Telemetry | Event | Result | Ack | Challenge
    | Command | DesiredPlan | DesiredConfig | DesiredList
)  # fmt: skip
Signed = Command | DesiredPlan | DesiredConfig | DesiredList
T = TypeVar("T", bound=Struct)

_ENCODER: Final = msgspec.json.Encoder()
_CANONICAL: Final = msgspec.json.Encoder(order="deterministic")
_DECODERS: Final[dict[type[Struct], msgspec.json.Decoder[Any]]] = {}


def encode(message: Struct) -> bytes:
    """JSON bytes of a message; raise MessageError when it is over the size limit."""
    payload = _ENCODER.encode(message)
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise MessageError(
            f"{type(message).__name__}: {len(payload)} bytes, at most {PAYLOAD_BYTES_MAX} allowed"
        )
    return payload


def decode(payload: bytes, kind: type[T]) -> T:
    """Decode and validate one message; raise MessageError naming the field that is wrong."""
    if len(payload) > PAYLOAD_BYTES_MAX:
        raise MessageError(
            f"{kind.__name__}: {len(payload)} bytes, at most {PAYLOAD_BYTES_MAX} allowed"
        )
    decoder = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    try:
        message: T = decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"{kind.__name__}: {error}") from error
    return message


def event_body(event: Event) -> EventBody:
    """The typed body of an event; raise MessageError for an unknown type or a bad body."""
    kind = EVENT_BODIES.get(event.type)
    if kind is None:
        raise MessageError(f"Event: unknown type {event.type!r}")
    body: EventBody = decode(bytes(event.body), kind)  # type: ignore[assignment]  # by the table
    return body


def raw(body: Struct) -> msgspec.Raw:
    """An event body, encoded once, to stand in an Event or in the outbox."""
    return msgspec.Raw(encode(body))


def signing_bytes(message: Struct) -> bytes:
    """The canonical bytes that a signature covers, of a message with a field ``sig``.

    Type name, then JSON with sorted keys and an empty ``sig``, so that no field can change and no
    document can pass for one of another type.
    """
    body = _CANONICAL.encode(msgspec.structs.replace(message, sig=""))
    return type(message).__name__.encode() + b"\n" + body
