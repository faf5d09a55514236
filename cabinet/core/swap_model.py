"""What the swap table works on: orders, states, events, actions and the view of the slots.

States are tagged Structs: they are stored as JSON in the journal and must stay decodable by every
later version, so a new field always gets a default. Each holds only what is true in it. Times are
milliseconds of the monotonic clock of the process that wrote them; after a restart ``Recovered``
starts every deadline anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias

from msgspec import Struct

from cabinet.core.model import Health
from protocols.messages import Authority, Door, Kind, Presence, Step

# --- limits -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SwapLimits:
    """How long each wait may last; every one of them ends in a state, never in a hang."""

    open_wait_ms: int = 2_500  # after the pulse: 500 ms pulse, spring, two door polls, head-room
    outcome_wait_ms: int = 5_000  # for the bus to tell what became of a pulse
    refused_wait_ms: int = 500  # before a pulse that surely did not fire is ordered again
    open_tries: int = 3
    door_unknown_ms: int = 10_000
    return_ms: int = 120_000  # return door open
    shut_empty_ms: int = 15_000  # return door shut with nothing in it: time to think again
    verify_ms: int = 8_000  # door shut, pack seen, BMS silent
    back_ms: int = 120_000  # for taking a refused pack back
    pickup_ms: int = 120_000  # pickup door open, pack not taken
    held_ms: int = 180_000  # pickup door shut again, pack kept for its rider
    close_ms: int = 60_000  # pack taken, door still open
    cancel_ms: int = 120_000
    settle_ms: int = 3_000  # a pulse under way may still open the door
    contact_ms: int = 1_000  # after a door is read shut the switch was read again
    remind_ms: int = 30_000  # say it again
    bms_gone_ms: int = 2_000  # no answer for so long, with the switch absent: no pack
    keep_empty: int = 1  # so many empty slots are left by whatever only takes a pack in


# --- what the slots look like -------------------------------------------------------------------


class Trust(StrEnum):
    """What the cabinet thinks of a serial."""

    KNOWN = "known"
    FOREIGN = "foreign"
    DENIED = "denied"
    DUPLICATE = "duplicate"


class Pack(Struct, frozen=True):
    """A pack that told its serial; ``unwell`` names why it must be quarantined."""

    serial: str
    at_ms: int
    soc_pct: int
    trust: Trust
    unwell: str | None = None
    health: Health | None = None  # None: it does not tell


class SlotView(Struct, frozen=True):
    """One slot, readings already aged: an old door is unknown, an old pack is None."""

    slot: int
    door: Door = Door.UNKNOWN
    door_at_ms: int = 0
    presence: Presence = Presence.UNKNOWN
    pack: Pack | None = None
    bms_at_ms: int | None = None  # last answer of any pack, however old
    locked: bool = False  # by the safety verdict
    in_service: bool = True
    quarantined: bool = False  # by a reading of now or by a flag
    booked: str | None = None  # the serial that was told to stand here


class Claim(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A slot of a transaction that ended in a fault, kept in mind for its rider's next scan.

    ``serial`` is what stands or stood there: in an ``in`` slot the returned pack once it is booked,
    in an ``out`` slot the pack that was promised. ``owed``: the rider has given a pack and got none.
    """

    slot: int
    role: Literal["in", "out"]
    swap_id: str
    rider_id: str
    kind: Kind
    serial: str | None = None
    owed: bool = False


class View(Struct, frozen=True):
    """The cabinet as the swap sees it. ``full`` and ``empty`` may be used, best first.

    ``newcomers`` are slots with a shut door and a readable pack that the inventory does not know.
    ``holds`` says for whom a full pack is kept: slot and rider. ``claims`` are what faulted
    transactions have left behind, while nobody else has touched those slots.
    """

    slots: tuple[SlotView, ...]
    full: tuple[int, ...] = ()
    empty: tuple[int, ...] = ()
    newcomers: tuple[int, ...] = ()
    doors_locked: bool = False
    holds: tuple[tuple[int, str], ...] = ()
    claims: tuple[Claim, ...] = ()

    def offered(self, rider_id: str) -> tuple[int, ...]:
        """The full packs that this rider may have, best first: one kept for the rider leads."""
        riders = dict(self.holds)
        own = tuple(slot for slot in self.full if riders.get(slot) == rider_id)
        return own + tuple(slot for slot in self.full if slot not in riders)

    def slot(self, number: int) -> SlotView:
        """The slot with this number; an unknown one when the cabinet has none such."""
        if 1 <= number <= len(self.slots):
            return self.slots[number - 1]
        return SlotView(slot=number, in_service=False)


# --- states -------------------------------------------------------------------------------------


class Job(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The order and how far it has come. ``step`` is the furthest step reported: it only rises."""

    swap_id: str
    kind: Kind
    rider_id: str
    expected_serial: str | None = None
    slot_in: int | None = None
    slot_out: int | None = None
    serial_in: str | None = None  # set when the returned pack is booked
    serial_out: str | None = None  # the pack reserved for pick-up
    soc_out: int | None = None  # what that pack told last, before its door opened
    health_out: Health | None = None
    out_booked: bool = False
    owed: bool = False  # a pick-up for a pack that an earlier, faulted transaction took in
    back_booked: bool = False  # the returned pack was booked out again: the rider wanted it back
    attempts: int = 0  # unlock attempts of the whole job: makes attempt ids unique
    reseats: int = 0
    tried: tuple[int, ...] = ()  # slots given up, or with a stranger from before
    authority: Authority = "fleet"
    step: Step = Step.RESERVED


class Try(Struct, frozen=True, kw_only=True):
    """One slot being opened. ``pulse``: pending, maybe (sent or no reply), or refused (not fired)."""

    slot: int
    attempt: str
    tries: int
    since_ms: int  # of the first try at this slot
    due_ms: int  # when to look whether another try is needed
    pulse: Literal["pending", "maybe", "refused"] = "pending"


class Idle(Struct, frozen=True, tag_field="state", tag="idle"):
    """Nothing under way."""


class _Active(Struct, frozen=True, kw_only=True, tag_field="state"):
    job: Job


class OpeningReturn(_Active, frozen=True, kw_only=True, tag="opening-return"):
    """The return door has been ordered open."""

    door: Try


class AwaitReturn(_Active, frozen=True, kw_only=True, tag="await-return"):
    """The return door is open: the rider puts the pack in and shuts it."""

    since_ms: int
    reminders: int = 0


class ReturnShut(_Active, frozen=True, kw_only=True, tag="return-shut"):
    """The return door was shut with nothing in the slot."""

    since_ms: int


class Verifying(_Active, frozen=True, kw_only=True, tag="verifying"):
    """The return door is shut on a pack: its BMS must tell who it is."""

    since_ms: int
    closed_ms: int  # only a reading from then on counts


class OpeningBack(_Active, frozen=True, kw_only=True, tag="opening-back"):
    """A refused pack is given back: its door has been ordered open."""

    door: Try
    reason: str


class AwaitBack(_Active, frozen=True, kw_only=True, tag="await-back"):
    """The rider takes the refused pack back."""

    since_ms: int
    reason: str
    reminders: int = 0


class OpeningPickup(_Active, frozen=True, kw_only=True, tag="opening-pickup"):
    """The pickup door has been ordered open."""

    door: Try


class AwaitPickup(_Active, frozen=True, kw_only=True, tag="await-pickup"):
    """The pickup door is open and the pack still in it."""

    since_ms: int
    reminders: int = 0


class PickupHeld(_Active, frozen=True, kw_only=True, tag="pickup-held"):
    """The pickup door was shut on the pack: it stays reserved, a resume opens again."""

    since_ms: int


class AwaitClose(_Active, frozen=True, kw_only=True, tag="await-close"):
    """The pack is gone; the pickup door is still open."""

    since_ms: int
    reminders: int = 0


class Cancelling(_Active, frozen=True, kw_only=True, tag="cancelling"):
    """Cancelled before anything was booked; the door must be seen shut first."""

    slot: int
    since_ms: int
    settle_ms: int  # until then a pulse under way may still open the door
    reason: str = "rider"
    shut_ms: int | None = None  # since when the door is read shut; None: it is not


class Completed(_Active, frozen=True, kw_only=True, tag="completed"):
    """Done."""

    reason: str | None = None


class Rejected(_Active, frozen=True, kw_only=True, tag="rejected"):
    """The pack was refused and is back with its rider."""

    reason: str


class Cancelled(_Active, frozen=True, kw_only=True, tag="cancelled"):
    """Nothing changed hands."""

    reason: str


class Faulted(_Active, frozen=True, kw_only=True, tag="faulted"):
    """It could not be finished; what was booked stays booked, the rest is void."""

    reason: str


State: TypeAlias = (
    Idle | OpeningReturn | AwaitReturn | ReturnShut | Verifying | OpeningBack | AwaitBack
    | OpeningPickup | AwaitPickup | PickupHeld | AwaitClose | Cancelling
    | Completed | Rejected | Cancelled | Faulted
)  # fmt: skip
Opening: TypeAlias = OpeningReturn | OpeningBack | OpeningPickup
Terminal: TypeAlias = Completed | Rejected | Cancelled | Faulted

ACTIVE: tuple[type, ...] = (
    OpeningReturn, AwaitReturn, ReturnShut, Verifying, OpeningBack, AwaitBack,
    OpeningPickup, AwaitPickup, PickupHeld, AwaitClose, Cancelling,
)  # fmt: skip
TERMINAL: tuple[type, ...] = (Completed, Rejected, Cancelled, Faulted)
STATES: tuple[type, ...] = (Idle, *ACTIVE, *TERMINAL)


# --- events -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """An authorised order."""

    swap_id: str
    kind: Kind
    rider_id: str
    expected_serial: str | None = None
    slot: int | None = None
    authority: Authority = "fleet"


@dataclass(frozen=True, slots=True)
class Sensed:
    """The view or the time has changed."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The daemon has restarted and has read every slot."""


@dataclass(frozen=True, slots=True)
class Pulsed:
    """What became of an unlock; ``fired`` is False only when it surely did not."""

    attempt: str
    fired: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """The rider, or the fleet, wants it undone."""

    swap_id: str


@dataclass(frozen=True, slots=True)
class Resume:
    """Open the waited-for door once more."""

    swap_id: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """The rider wants the own pack back instead of the full one."""

    swap_id: str


@dataclass(frozen=True, slots=True)
class Trip:
    """The safety verdict locks all rider doors."""

    reason: str


Event: TypeAlias = Start | Sensed | Recovered | Pulsed | Cancel | Resume | GiveBack | Trip
EVENTS: tuple[type, ...] = (Start, Sensed, Recovered, Pulsed, Cancel, Resume, GiveBack, Trip)


# --- actions ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pulse:
    """Open this door, once."""

    slot: int
    attempt: str


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the fleet of a step."""

    job: Job
    step: Step
    reason: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BatteryIn:
    """Book the pack into the slot."""

    job: Job
    slot: int
    serial: str
    soc_pct: int | None = None
    health: Health | None = None


@dataclass(frozen=True, slots=True)
class BatteryOut:
    """Book the pack out of the slot; charge and health are None when they are not known."""

    job: Job
    slot: int
    serial: str
    soc_pct: int | None = None
    health: Health | None = None


@dataclass(frozen=True, slots=True)
class FlagSlot:
    """Take a slot out of service or into quarantine."""

    slot: int
    flag: Literal["out-of-service", "quarantine"]
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOpen:
    """A rider left this door open."""

    slot: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something about a slot is not as the books say: an alarm until a technician clears it."""

    slot: int
    code: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Show a light at a slot and say something."""

    slot: int
    light: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The command takes effect, or already has."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The event is out of place here; nothing changed."""

    reason: str


Action: TypeAlias = (
    Pulse
    | Report
    | BatteryIn
    | BatteryOut
    | FlagSlot
    | LeftOpen
    | Alarm
    | Prompt
    | Accepted
    | Refused
)


@dataclass(frozen=True, slots=True)
class Turn:
    """The next state and what to do."""

    state: State
    actions: tuple[Action, ...] = ()


def is_active(state: State) -> bool:
    """Whether a transaction is under way."""
    return isinstance(state, ACTIVE)


def job_of(state: State) -> Job | None:
    """The job of a state, None when idle."""
    return None if isinstance(state, Idle) else state.job


def reserved_slots(state: State) -> frozenset[int]:
    """The slots that belong to the transaction under way."""
    job = job_of(state)
    if job is None or not is_active(state):
        return frozenset()
    return frozenset(slot for slot in (job.slot_in, job.slot_out) if slot is not None)


def seated(slot: SlotView, since_ms: int) -> bool:
    """Whether a pack stands in the slot: by the switch, or by an answer since then."""
    if slot.presence is Presence.PRESENT:
        return True
    return slot.bms_at_ms is not None and slot.bms_at_ms >= since_ms and slot.pack is not None


def vacant(slot: SlotView, now_ms: int, bms_gone_ms: int) -> bool:
    """Whether the slot is surely empty: switch absent and no BMS answering."""
    if slot.presence is not Presence.ABSENT:
        return False
    return slot.bms_at_ms is None or now_ms - slot.bms_at_ms > bms_gone_ms
