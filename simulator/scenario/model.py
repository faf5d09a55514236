"""What a scenario file may say; the published JSON Schema is made from these types."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from simulator.models.cabinet import PACE_MAX
from simulator.models.faults import FaultKind
from simulator.models.truth import Kind
from simulator.models.wiring import SLOTS_MAX, Alarm

STEPS_MAX: Final = 200
WAIT_MAX_S: Final = 900.0
#: How long an expectation may take to come true when the scenario does not say.
WITHIN_S: Final = 30.0

#: A slot by number, or by what it is in the transaction: ``in`` and ``out`` are the doors that the
#: cabinet has told the rider, ``before`` the first one that was ``in`` until another was; ``full``,
#: ``empty`` and ``charging`` are shut slots that it has not.
SlotName = Literal["in", "before", "out", "full", "empty", "charging"]
SlotRef: TypeAlias = Annotated[int, Meta(ge=1, le=SLOTS_MAX)] | SlotName
#: Or all of them that are of one sort.
SlotsName = SlotName | Literal["every-empty", "every-full"]
SlotsRef: TypeAlias = Annotated[int, Meta(ge=1, le=SLOTS_MAX)] | SlotsName
#: ``own`` is the pack in the rider's hand; ``foreign`` one of another operator; ``nameless`` one
#: whose serial cannot be read; ``other`` a good pack that is not the one the rider was lent;
#: ``taken`` the one that a hand took out last.
PackName = Literal["own", "foreign", "nameless", "other", "taken"]
Seconds = Annotated[float, Meta(gt=0, le=WAIT_MAX_S)]
Percent = Annotated[float, Meta(ge=0, le=100)]
TempC = Annotated[float, Meta(ge=-40, le=150)]
Code = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}$")]
#: What a run may have besides a simulator and a cabinetd.
Need = Literal["restart", "pack-list", "ticket-key"]


class _Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Strict: an unknown key is an error."""


class Ask(_Part, frozen=True, kw_only=True):
    """A rider types number and code at the cabinet's kiosk page, or shows a ticket of the fleet.

    ``ticket`` numbers the tickets of a scenario: the same number is the same ticket once more.
    Only a ticket can be for something else than a swap.
    """

    rider: Annotated[int, Meta(ge=1, le=9)] = 1
    wish: Literal["go", "cancel", "give-back"] = "go"
    code: Literal["right", "wrong"] = "right"
    ticket: Annotated[int, Meta(ge=1, le=9)] | None = None  # needs ``ticket-key``
    kind: Literal["swap", "pickup", "return"] = "swap"
    refused: Code | None = None  # the reason that the cabinet must give; None: it must say yes

    def __post_init__(self) -> None:
        """A code is for a swap, and a ticket is not typed."""
        if self.ticket is None and self.kind != "swap":
            raise ValueError("kind needs ticket")
        if self.ticket is not None and self.code != "right":
            raise ValueError("give either ticket or code")


class Hand(_Part, frozen=True, kw_only=True):
    """What a hand does at a slot; it waits for a door that the cabinet is about to open."""

    do: Literal["insert", "remove", "close", "open"]
    slot: SlotRef
    pack: PackName = "own"
    soc_pct: Percent | None = None
    temp_c: TempC | None = None
    bms_silent: bool | None = None


class Alter(_Part, frozen=True, kw_only=True):
    """Change the pack that stands in a slot."""

    slot: SlotsRef
    soc_pct: Percent | None = None
    temp_c: TempC | None = None
    hold_temp: bool | None = None
    bms_silent: bool | None = None


class FaultStep(_Part, frozen=True, kw_only=True):
    """Let a fault stand; see ``swapsim fault kinds``. ``slot`` or ``target``, not both."""

    kind: FaultKind
    slot: SlotsRef | None = None
    target: str | None = None
    value: float | None = None
    probability: Annotated[float, Meta(gt=0, le=1)] = 1.0
    count: Annotated[int, Meta(ge=1)] | None = None
    duration_s: Seconds | None = None

    def __post_init__(self) -> None:
        """Exactly one place."""
        if (self.slot is None) == (self.target is None):
            raise ValueError("give either slot or target")


class Contact(_Part, frozen=True, kw_only=True):
    """Trigger a contact of the cabinet, or calm it."""

    name: Alarm
    active: bool = True


#: One of several codes. A list without a pattern: with tuples of patterned texts in this union,
#: msgspec 0.22 on Python 3.11 now and then dies when the interpreter ends.
Codes: TypeAlias = list[str] | str


class Expect(_Part, frozen=True, kw_only=True):
    """What must come true within a time, all at once, and stay true for ``for_s``."""

    within_s: Seconds = WITHIN_S
    for_s: Annotated[float, Meta(ge=0, le=WAIT_MAX_S)] = 0.0
    prompt: Codes | None = None  # what the kiosk page tells the rider
    reason: Codes | None = None  # and why
    slot: SlotRef | None = None  # the slot of the five lines below
    door: Literal["open", "closed"] | None = None
    holds: PackName | Literal["nothing", "any"] | None = None
    charging: bool | None = None
    state: Codes | None = None  # what the cabinet thinks of the slot
    flag: Code | None = None
    alarm: Code | None = None  # the cabinet tells it
    quiet: bool | None = None  # no transaction is under way
    event: Kind | None = None  # it happened since the scenario began; at ``slot`` when given
    pulses_max: Annotated[int, Meta(ge=0)] | None = None  # lock pulses since then, at ``slot`` too
    opened_max: Annotated[int, Meta(ge=0)] | None = None  # doors opened since then

    def __post_init__(self) -> None:
        """What is said of a slot needs one."""
        of_slot = (self.door, self.holds, self.charging, self.state, self.flag)
        if self.slot is None and any(each is not None for each in of_slot):
            raise ValueError("door, holds, charging, state and flag need slot")


class Step(_Part, frozen=True, kw_only=True):
    """One thing, named by its only key. ``note`` may stand beside it."""

    note: str | None = None
    ask: Ask | None = None
    hand: Hand | None = None
    pack: Alter | None = None
    fault: FaultStep | None = None
    clear: Literal["faults", "contacts"] | None = None
    mend: FaultKind | None = None  # clear the faults of this kind only
    contact: Contact | None = None
    expect: Expect | None = None
    speed: Annotated[float, Meta(gt=0, le=PACE_MAX)] | None = None
    cabinet: Literal["restart"] | None = None  # as after a power cut; needs ``restart``
    wait_s: Seconds | None = None  # real time that must pass; never instead of an expectation

    def __post_init__(self) -> None:
        """Exactly one action."""
        if len(self.actions) != 1:
            raise ValueError(f"give exactly one of {', '.join(ACTIONS)}")

    @property
    def actions(self) -> list[str]:
        """The keys that are given."""
        return [name for name in ACTIONS if getattr(self, name) is not None]


ACTIONS: Final = tuple(name for name in Step.__struct_fields__ if name != "note")


class Scenario(_Part, frozen=True, kw_only=True):
    """A whole file."""

    schema: Literal[1]
    name: Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
    title: Annotated[str, Meta(min_length=1, max_length=200)]
    covers: tuple[str, ...] = ()  # cases of the design that it stands for
    needs: tuple[Need, ...] = ()
    tags: tuple[Code, ...] = ()
    seed: int = 1  # of every fault that strikes by chance
    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=STEPS_MAX)]


def json_schema() -> dict[str, Any]:
    """The published schema; ``swapsim scenario schema`` prints it."""
    found = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(Scenario)))
    step = found["$defs"]["Step"]
    step["oneOf"] = [{"required": [name]} for name in ACTIONS]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
