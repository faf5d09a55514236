"""A tiny cabinet of which every reachable situation can be visited.

A ``World`` is the swap's state together with the truth about a few slots, the rider's hands and the
sensors. Time stands at ``NOW``; when it passes, the stamps in the state grow older instead, and ages
are rounded down to a few steps, so that the worlds are finitely many. A rounded age is one that the
same world could have had, so every world that is visited is a possible one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from msgspec.structs import replace

from cabinet.core.engine_claims import claims_of
from cabinet.core.swap import step
from cabinet.core.swap_model import (
    ACTIVE,
    BatteryIn,
    BatteryOut,
    Cancel,
    Cancelled,
    Claim,
    Completed,
    Event,
    Faulted,
    GiveBack,
    Idle,
    Pack,
    Pulse,
    Pulsed,
    Recovered,
    Rejected,
    Report,
    Resume,
    Sensed,
    SlotView,
    Start,
    State,
    Trip,
    Trust,
    Turn,
    View,
    job_of,
    reserved_slots,
)
from protocols.messages import STEP_RANK, Door, Kind, Presence
from tests.support.swapping import declared

NOW = 10_000_000
SWAP, OTHER, RIDER = "S", "OTHER", "R1"
ATTEMPT = f"{SWAP}:1"
LONG_MS = 200_000  # longer than any deadline
ENDS_WITHIN = 14  # so many long waits end any transaction


@dataclass(frozen=True)
class Scenario:
    """What is asked for, and what the rider brings."""

    kind: Kind
    packs: tuple[str | None, ...]  # in the slots
    trust: Trust = Trust.KNOWN
    unwell: str | None = None
    faults: int = 1  # how much may go wrong at the same time
    mishaps: frozenset[str] | None = None  # which; None: all
    waits_ms: tuple[int, ...] = (0, 4_000, 40_000, LONG_MS)
    authority: str = "fleet"

    @property
    def name(self) -> str:
        odd = self.unwell or ("" if self.trust is Trust.KNOWN else self.trust.value)
        return f"{self.kind.value} {len(self.packs)} slots {odd}".rstrip()


class World(NamedTuple):
    state: State
    open: tuple[bool, ...]
    packs: tuple[str | None, ...]
    booked: tuple[str | None, ...]
    hand: tuple[str, ...]
    odd: frozenset[tuple[str, int]] = frozenset()  # what is wrong, and where
    tripped: bool = False
    pulse: int | None = None  # the slot of a pulse of which nothing is known yet
    budget: int = 0
    claims: tuple[Claim, ...] = ()
    excused: frozenset[int] = frozenset()  # doors that an earlier rider left open


def first(scenario: Scenario) -> World:
    shut = (False,) * len(scenario.packs)
    hand = ("OLD",) if scenario.kind in {Kind.SWAP, Kind.RETURN, Kind.LOAD} else ()
    return World(Idle(), shut, scenario.packs, scenario.packs, hand, budget=scenario.faults)


def start_of(scenario: Scenario, swap_id: str = SWAP) -> Start:
    slot = 1 if scenario.kind is Kind.UNLOAD else None
    return Start(swap_id, scenario.kind, RIDER, slot=slot, authority=scenario.authority)  # type: ignore[arg-type]


# --- what the sensors show ----------------------------------------------------------------------


def view_of(world: World, scenario: Scenario) -> View:
    job = job_of(world.state)
    mine = job.slot_out if job is not None and isinstance(world.state, ACTIVE) else None
    return _view(
        world.open,
        world.packs,
        world.booked,
        world.odd,
        world.tripped,
        world.claims,
        reserved_slots(world.state),
        mine,
        (scenario.trust, scenario.unwell),
    )


@lru_cache(maxsize=200_000)
def _view(  # noqa: PLR0917 - the parts of a world, for the cache
    open_, packs, booked, odd, tripped, claims, reserved, mine, brought
) -> View:
    slots = tuple(_slot(n, open_, packs, odd, brought) for n in range(1, len(packs) + 1))
    good = [s for s in slots if not s.locked and s.in_service and s.door is Door.CLOSED]
    told = {n for n, serial in enumerate(booked, 1) if serial}
    full = [
        s.slot
        for s in good
        if s.pack and s.pack.soc_pct >= 90 and booked[s.slot - 1] == s.pack.serial
        and s.presence is Presence.PRESENT and not s.pack.unwell and s.slot not in reserved
    ]  # fmt: skip
    empty = [
        s.slot
        for s in good
        if s.presence is Presence.ABSENT and s.slot not in told and s.slot not in reserved
        and s.bms_at_ms is None
    ]  # fmt: skip
    newcomers = [
        s.slot
        for s in slots
        if s.pack and s.door is Door.CLOSED and s.presence is Presence.PRESENT
        and s.slot != mine and s.slot not in told
    ]  # fmt: skip
    return View(slots, tuple(full), tuple(empty), tuple(newcomers), tripped, (), claims)


def _slot(number: int, open_, packs, odd, brought) -> SlotView:
    serial = packs[number - 1]
    pack = None
    if serial and ("silent", number) not in odd:
        trust, unwell = brought if serial == "OLD" else (Trust.KNOWN, None)
        pack = Pack(serial, NOW, 99 if serial.startswith("F") else 20, trust, unwell)
    door = Door.OPEN if open_[number - 1] else Door.CLOSED
    presence = Presence.PRESENT if serial else Presence.ABSENT
    return SlotView(
        slot=number,
        door=Door.UNKNOWN if ("blind", number) in odd else door,
        door_at_ms=NOW,
        presence=Presence.UNKNOWN if ("switch", number) in odd else presence,
        pack=pack,
        bms_at_ms=NOW if pack else None,
        locked=("locked", number) in odd,
        in_service=("service", number) not in odd,
        quarantined=bool(pack and pack.unwell),
    )


# --- time ---------------------------------------------------------------------------------------


@lru_cache(maxsize=500_000)
def older(state: State, ms: int, steps: tuple[int, ...]) -> State:
    """The state ``ms`` later, its stamps rounded."""
    if ms == 0 or not isinstance(state, ACTIVE):
        return state

    def shift(stamp: int) -> int:
        age = NOW - stamp + ms
        return NOW - age if age <= 0 else NOW - max(s for s in steps if s <= age)

    changes = {
        name: shift(getattr(state, name))
        for name in ("since_ms", "closed_ms", "settle_ms", "shut_ms")
        if getattr(state, name, None) is not None
    }
    door = getattr(state, "door", None)
    if door is not None:
        changes["door"] = replace(door, since_ms=shift(door.since_ms), due_ms=shift(door.due_ms))
    return replace(state, **changes)


@lru_cache(maxsize=500_000)
def plain(state: State) -> State:
    """The state without what only makes ids unique."""
    job = job_of(state)
    if job is None:
        return state
    state = replace(state, job=replace(job, attempts=0, tried=tuple(sorted(set(job.tried)))))
    door = getattr(state, "door", None)
    return state if door is None else replace(state, door=replace(door, attempt=ATTEMPT))


# --- what may happen ----------------------------------------------------------------------------


def _with(values: tuple, number: int, value: object) -> tuple:
    return (*values[: number - 1], value, *values[number:])


def happenings(world: World, scenario: Scenario) -> Iterator[tuple[str, World, Event]]:
    """Everything that may come next: what it is, the world with it, and the event it makes."""
    active = isinstance(world.state, ACTIVE)
    look: Event = Trip("smoke") if world.tripped and active else Sensed()
    for ms in scenario.waits_ms:
        yield f"wait {ms}", later(world, ms, scenario), look
    yield from _orders(world, scenario, active=active)
    yield "old pulse", world, Pulsed("old", fired=True)
    yield "restart", world._replace(pulse=None), Recovered()
    if world.pulse is not None:
        yield from _pulses(world, world.pulse)
    for number in range(1, len(world.packs) + 1):
        if world.open[number - 1]:
            yield from _handled(world, number, look, active=active)
    if not world.tripped:
        allowed = scenario.mishaps
        for what, changed, event in _mishaps(world, look):
            if allowed is None or what in allowed:
                yield what, changed, event
    if world.odd:
        lasting = frozenset(item for item in world.odd if item[0] in {"locked", "service"})
        yield "heal", world._replace(odd=lasting), look


def _orders(
    world: World, scenario: Scenario, *, active: bool
) -> Iterator[tuple[str, World, Event]]:
    yield "order", world, start_of(scenario)
    if active:
        yield "another rider", world, Start(OTHER, Kind.SWAP, "R2")
    else:
        yield "another order", world, start_of(scenario, "NEW")
        yield "odd order", world, Start("NEW", Kind.LOAD, "T1", slot=1)
        yield "odd order", world, Start("NEW", Kind.UNLOAD, "T1")
        yield "trip", world, Trip("smoke")
    for swap_id in (SWAP, OTHER):
        yield "cancel", world, Cancel(swap_id)
        yield "resume", world, Resume(swap_id)
        yield "give back", world, GiveBack(swap_id)


def _handled(
    world: World, number: int, look: Event, *, active: bool
) -> Iterator[tuple[str, World, Event]]:
    """What a hand does at an open door: seen, missed by a restart, or together with smoke."""
    for what, changed in _hands(world, number):
        yield what, changed, look
        if active:
            yield f"{what} in the dark", changed._replace(pulse=None), Recovered()
        if active and world.budget and not world.tripped:
            spent = changed._replace(tripped=True, budget=world.budget - 1)
            yield f"{what} and smoke", spent, Trip("smoke")


def _pulses(world: World, number: int) -> Iterator[tuple[str, World, Event]]:
    known = world._replace(pulse=None)
    opened = known._replace(open=_with(known.open, number, True))
    yield "opens", opened, Pulsed(ATTEMPT, fired=True)
    yield "jams", known, Pulsed(ATTEMPT, fired=True)
    yield "refused", known, Pulsed(ATTEMPT, fired=False)
    yield "opens unheard", opened, Sensed()
    yield "restart, opened", opened, Recovered()


def _hands(world: World, number: int) -> Iterator[tuple[str, World]]:
    shut = _with(world.open, number, False)
    yield "shut", world._replace(open=shut)
    inside = world.packs[number - 1]
    if inside:
        emptied = world._replace(
            packs=_with(world.packs, number, None), hand=tuple(sorted((*world.hand, inside)))
        )
        yield "take", emptied
        yield "take and shut", emptied._replace(open=shut)
        return
    for item in world.hand:
        hand = tuple(other for other in world.hand if other != item)
        filled = world._replace(packs=_with(world.packs, number, item), hand=hand)
        yield "put", filled
        yield "put and shut", filled._replace(open=shut)


def _mishaps(world: World, look: Event) -> Iterator[tuple[str, World, Event]]:
    if world.budget < 1:
        return
    spent = world._replace(budget=world.budget - 1)
    for number in range(1, len(world.packs) + 1):
        for what in ("blind", "silent", "switch", "locked", "service"):
            yield what, spent._replace(odd=spent.odd | {(what, number)}), look
        if world.packs[number - 1] is None and not world.open[number - 1]:
            stray = "OLD" if "OLD" in world.hand else "STRAY"
            hand = tuple(other for other in world.hand if other != stray)
            yield "stray", spent._replace(packs=_with(world.packs, number, stray), hand=hand), look
        if not world.open[number - 1]:
            yield from _by_force(spent, number, look)
    active = isinstance(world.state, ACTIVE)
    yield "smoke", spent._replace(tripped=True), Trip("smoke") if active else look


def _by_force(spent: World, number: int, look: Event) -> Iterator[tuple[str, World, Event]]:
    """A door that opens without us, a pack that goes without its door."""
    opened = spent._replace(
        open=_with(spent.open, number, True),
        excused=spent.excused | {number},
    )
    yield "forced", opened, look
    if isinstance(spent.state, ACTIVE):
        yield "forced in the dark", opened._replace(pulse=None), Recovered()
    if spent.packs[number - 1] is not None:
        gone = spent._replace(packs=_with(spent.packs, number, None))
        yield "vanished", gone, look
        if isinstance(spent.state, ACTIVE):
            yield "vanished in the dark", gone._replace(pulse=None), Recovered()
            yield "vanished and smoke", gone._replace(tripped=True), Trip("smoke")


def later(world: World, ms: int, scenario: Scenario) -> World:
    return world._replace(state=older(world.state, ms, scenario.waits_ms))


# --- one turn, and what must hold -----------------------------------------------------------------


@dataclass
class Search:
    """Breadth first from one scenario; every turn is held to the table and to the invariants."""

    scenario: Scenario
    seen: set[World] = field(default_factory=set)
    pairs: Counter[tuple[type, type]] = field(default_factory=Counter)
    outcomes: dict[tuple[type, type, type], set[str]] = field(default_factory=dict)
    refused: set[tuple[type, type, str]] = field(default_factory=set)
    turns: int = 0
    faulted: set[World] = field(default_factory=set)
    _ends: dict[World, int] = field(default_factory=dict)

    def run(self, seeds: Iterable[World] = (), *, worlds_max: int = 10**9) -> Search:
        queue = deque([*seeds] or [first(self.scenario)])
        self.seen.update(queue)
        while queue and len(self.seen) < worlds_max:
            world = queue.popleft()
            for what, changed, event in happenings(world, self.scenario):
                after = self.turn(changed, event, what)
                if after is not None and after not in self.seen:
                    self.seen.add(after)
                    queue.append(after)
        for world in self.seen:
            self.must_end(world)
        return self

    def turn(self, world: World, event: Event, what: str) -> World | None:
        """The world after the event; None when it need not be followed."""
        view = view_of(world, self.scenario)
        turn = step(world.state, event, view, NOW)
        self.turns += 1
        try:
            self._check(world, event, view, turn)
        except AssertionError as error:
            error.add_note(f"{self.scenario.name}: {what}\n{world}\n{event}\n{turn}")
            raise
        again = isinstance(event, Start) and event.swap_id != SWAP
        if again and not isinstance(world.state, ACTIVE):
            return None  # a transaction of its own: searched from there
        return self._after(world, turn)

    def _after(self, world: World, turn: Turn) -> World:
        booked, pulse = world.booked, world.pulse
        for action in turn.actions:
            match action:
                case Pulse(slot=slot):
                    pulse = slot
                case BatteryIn(slot=slot, serial=serial):
                    booked = _with(booked, slot, serial)
                case BatteryOut(slot=slot):
                    booked = _with(booked, slot, None)
        if not isinstance(turn.state, ACTIVE):
            pulse = None
        claims = () if isinstance(turn.state, ACTIVE) else world.claims  # as the engine does
        state = plain(turn.state)
        after = world._replace(state=state, booked=booked, pulse=pulse, claims=claims)
        if isinstance(turn.state, Faulted) and isinstance(world.state, ACTIVE):
            self.faulted.add(after)
        return after

    def second_scans(self) -> set[World]:
        """Every faulted world as it stands for the rider's next scan, with nothing more amiss."""
        return {
            world._replace(
                state=Idle(),
                claims=claims_of(world.state.job),
                tripped=False,
                odd=frozenset(),
                budget=0,
                excused=frozenset(n for n, is_open in enumerate(world.open, 1) if is_open),
            )
            for world in self.faulted
            if isinstance(world.state, Faulted)
        }

    def must_end(self, world: World) -> None:
        """With nobody there the transaction ends by itself."""
        path: list[World] = []
        here = world
        while isinstance(here.state, ACTIVE) and here not in self._ends:
            path.append(here)
            assert len(path) <= ENDS_WITHIN, f"it never ends: {self.scenario.name} {world}"
            look: Event = Trip("smoke") if here.tripped else Sensed()
            after = self.turn(
                later(here._replace(pulse=None), LONG_MS, self.scenario), look, "alone"
            )
            assert after is not None
            here = after
        for each in path:
            self._ends[each] = 1

    def _check(self, world: World, event: Event, view: View, turn: Turn) -> None:
        self._check_declared(world.state, event, turn)
        before, after = job_of(world.state), job_of(turn.state)
        for action in turn.actions:
            match action:
                case Pulse(slot=slot):
                    # Doors that an ended transaction left open do not hold up the next one.
                    self._check_pulse(world, view, slot, alone=isinstance(world.state, ACTIVE))
                case BatteryIn(slot=slot, serial=serial):
                    assert before is not None
                    assert before.serial_in is None, "booked in twice"
                    assert world.packs[slot - 1] == serial
                    assert view.slot(slot).door is Door.CLOSED
                case BatteryOut(job=job, slot=slot, serial=serial):
                    assert before is not None
                    twice = before.out_booked if slot == job.slot_out else before.back_booked
                    assert not twice, "booked out twice"
                    assert world.packs[slot - 1] != serial, "booked out and still there"
                case Report(step=told):
                    same = before and after and before.swap_id == after.swap_id
                    risen = not same or STEP_RANK[told] >= STEP_RANK[before.step]
                    assert risen, "a step went back"
        if after is not None and after.slot_in is not None:
            assert after.slot_in != after.slot_out, "one slot for both"
        if not isinstance(world.state, ACTIVE) and not isinstance(event, Start):
            assert turn.state == world.state, "an end is an end"
        if not isinstance(turn.state, ACTIVE):
            assert reserved_slots(turn.state) == frozenset()
        self._check_end(turn.state)

    def _check_declared(self, state: State, event: Event, turn: Turn) -> None:
        key = (type(state), type(event))
        self.pairs[key] += 1
        reason, done = declared(state, event, turn)
        if reason:
            self.refused.add((*key, reason))
        elif turn.state != state or done:
            self.outcomes.setdefault((*key, type(turn.state)), set()).update(done)

    def _check_pulse(self, world: World, view: View, slot: int, *, alone: bool) -> None:
        seen = view.slot(slot)
        assert seen.door is Door.CLOSED, "pulsed a door that is not read shut"
        assert not seen.locked
        assert not view.doors_locked, "pulsed while the doors are locked"
        open_now = {n for n, is_open in enumerate(world.open, 1) if is_open}
        others = open_now - {slot} - world.excused
        assert not (alone and others), "two rider doors"
        job = job_of(world.state)
        if job is None or not alone:
            return
        other = job.slot_in if slot != job.slot_in else job.slot_out
        if other is not None and (slot != job.slot_in or job.serial_in is not None):
            assert view.slot(other).door is Door.CLOSED, "two rider doors: the other not read shut"

    def _check_end(self, state: State) -> None:
        job = job_of(state)
        match state:
            case Completed():
                assert job is not None
                takes = job.kind in {Kind.SWAP, Kind.RETURN, Kind.LOAD}
                assert (job.serial_in is not None) == takes
                gives = job.kind in {Kind.SWAP, Kind.PICKUP, Kind.UNLOAD}
                assert job.out_booked == (gives and job.serial_out is not None)
            case Cancelled():
                assert job is not None
                assert job.back_booked == (job.serial_in is not None)
                assert not job.out_booked
            case Rejected():
                assert job is not None
                assert job.serial_in is None
                assert not job.out_booked
