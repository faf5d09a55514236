"""A toy row of slots for the swap table: what the sensors of each would show."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from cabinet.core.swap import step
from cabinet.core.swap_model import (
    BatteryIn,
    BatteryOut,
    Event,
    Idle,
    Pack,
    Pulse,
    Pulsed,
    Recovered,
    Refused,
    Report,
    Sensed,
    SlotView,
    Start,
    State,
    Trust,
    Turn,
    View,
)
from cabinet.core.swap_table import TABLE
from protocols.messages import STEP_RANK, Door, Kind, Presence

SWAP = "01SWAP"
RIDER = "R234567ABCDEF"


@dataclass
class Box:
    """One slot as a hand leaves it."""

    slot: int
    door: Door = Door.CLOSED
    serial: str | None = None
    soc_pct: int = 100
    presence: Presence | None = None  # None: as the pack says
    silent: bool = False  # the BMS does not answer
    trust: Trust = Trust.KNOWN
    unwell: str | None = None
    locked: bool = False
    in_service: bool = True
    jammed: bool = False
    read_at_ms: int | None = None
    door_at_ms: int = 0

    def view(self, now_ms: int) -> SlotView:
        if self.door is not Door.UNKNOWN:
            self.door_at_ms = now_ms
        if self.serial and not self.silent:
            self.read_at_ms = now_ms
        presence = self.presence or (Presence.PRESENT if self.serial else Presence.ABSENT)
        pack = None
        if self.serial and not self.silent:
            pack = Pack(self.serial, now_ms, self.soc_pct, self.trust, self.unwell)
        return SlotView(
            slot=self.slot,
            door=self.door,
            door_at_ms=self.door_at_ms,
            presence=presence,
            pack=pack,
            bms_at_ms=self.read_at_ms,
            locked=self.locked,
            in_service=self.in_service,
        )


@dataclass
class Row:
    """Four slots (full packs in 1 and 2, nothing in 3 and 4) with the table on top of them."""

    boxes: dict[int, Box] = field(default_factory=dict)
    state: State = field(default_factory=Idle)
    now_ms: int = 1_000_000
    doors_locked: bool = False
    booked: set[int] = field(default_factory=set)  # the inventory
    actions: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.boxes:
            self.boxes = {
                1: Box(1, serial="FULL-1", soc_pct=99),
                2: Box(2, serial="FULL-2", soc_pct=98),
                3: Box(3),
                4: Box(4),
            }
        self.booked = {n for n, box in self.boxes.items() if box.serial}

    def view(self) -> View:
        slots = tuple(box.view(self.now_ms) for box in self.boxes.values())
        good = [s for s in slots if s.in_service and not s.locked and s.door is Door.CLOSED]
        full = [s for s in good if s.pack and s.pack.trust is Trust.KNOWN and s.slot in self.booked]
        empty = [s.slot for s in good if s.presence is Presence.ABSENT]
        job = getattr(self.state, "job", None)
        mine = {job.slot_in, job.slot_out} if job else set()
        newcomers = tuple(
            s.slot
            for s in slots
            if s.pack and s.door is Door.CLOSED and s.slot not in self.booked | (mine - {None})
        )
        return View(
            slots,
            tuple(s.slot for s in full if s.pack and s.pack.soc_pct >= 90),
            tuple(empty),
            newcomers,
            self.doors_locked,
        )

    def feed(self, event: Event) -> Turn:
        turn = step(self.state, event, self.view(), self.now_ms)
        self.state = turn.state
        self.actions += turn.actions
        for action in turn.actions:
            if isinstance(action, BatteryIn):
                self.booked.add(action.slot)
            if isinstance(action, BatteryOut):
                self.booked.discard(action.slot)
        return turn

    def look(self, ms: int = 100) -> Turn:
        self.now_ms += ms
        return self.feed(Sensed())

    def wait(self, ms: int, every_ms: int = 500) -> None:
        for _ in range(0, ms, every_ms):
            self.look(every_ms)

    def start(self, kind: Kind = Kind.SWAP, **more: object) -> Turn:
        return self.feed(Start(SWAP, kind, RIDER, **more))  # type: ignore[arg-type]

    def fire(self, *, fired: bool = True, opens: bool = True) -> None:
        """Let the last ordered pulse happen."""
        pulse = self.of(Pulse)[-1]
        box = self.boxes[pulse.slot]
        if fired and opens and not box.jammed:
            box.door = Door.OPEN
        self.feed(Pulsed(pulse.attempt, fired))

    def put(self, slot: int, serial: str, **more: object) -> None:
        for name, value in {"serial": serial, "soc_pct": 20, **more}.items():
            setattr(self.boxes[slot], name, value)

    def take(self, slot: int) -> None:
        self.boxes[slot].serial = None
        self.boxes[slot].silent = False

    def shut(self, slot: int) -> None:
        self.boxes[slot].door = Door.CLOSED

    def of(self, kind: type) -> list:
        return [action for action in self.actions if isinstance(action, kind)]

    def steps(self) -> list[str]:
        return [report.step.value for report in self.of(Report)]

    def restart(self, gap_ms: int = 5_000) -> Turn:
        self.now_ms += gap_ms
        return self.feed(Recovered())

    def to_await_return(self, kind: Kind = Kind.SWAP, **more: object) -> Row:
        self.start(kind, **more)
        self.fire()
        self.look()
        return self

    def to_verifying(self, serial: str = "OLD-1", **more: object) -> Row:
        self.to_await_return()
        self.put(3, serial, **more)
        self.shut(3)
        self.look()
        return self

    def to_opening_pickup(self) -> Row:
        self.to_verifying()
        self.look()
        return self

    def to_await_pickup(self) -> Row:
        self.to_opening_pickup()
        self.fire()
        self.look()
        return self

    def to_await_close(self) -> Row:
        self.to_await_pickup()
        self.take(1)
        self.wait(2_500)
        return self


def declared(state: State, event: Event, turn: Turn) -> tuple[str, set[str]]:
    """What the turn did, held to its row: a refusal with its reason, or the actions by name."""
    key = (type(state), type(event))
    row = TABLE[key]
    reasons = [action.reason for action in turn.actions if isinstance(action, Refused)]
    if reasons:
        assert turn.state == state, "refused, yet something changed"
        assert len(turn.actions) == 1
        assert reasons[0] in {*row.refuses, "other-swap"}, f"{key} refuses {reasons[0]}"
        return reasons[0], set()
    after = type(turn.state)
    done = {type(action).__name__ for action in turn.actions}
    quiet = after is type(state) and not done  # a stamp or a counter moved, or nothing at all
    assert quiet or after in row.states(), f"{key} leads to {after}, undeclared"
    assert done <= row.actions(after), f"{key} to {after} does {done}"
    return "", done


def names(actions: Iterable[object]) -> list[str]:
    return [type(action).__name__ for action in actions]


def refusal(turn) -> str | None:
    return next((a.reason for a in turn.actions if isinstance(a, Refused)), None)


def ranks(row: Row) -> list[int]:
    return [STEP_RANK[report.step] for report in row.of(Report)]
