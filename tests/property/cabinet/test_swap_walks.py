"""Random riders, sensors, commands and restarts against what must always hold."""

from __future__ import annotations

import msgspec
from hypothesis import given, note
from hypothesis import strategies as st

from cabinet.core.swap_model import (
    ACTIVE,
    BatteryIn,
    BatteryOut,
    Cancel,
    Cancelled,
    Completed,
    GiveBack,
    Pulse,
    Pulsed,
    Recovered,
    Report,
    Resume,
    Sensed,
    Start,
    State,
    Trip,
    Trust,
    reserved_slots,
)
from protocols.messages import STEP_RANK, Door, Kind, Presence
from tests.support.swapping import RIDER, SWAP, Row, declared

SLOTS = st.sampled_from([1, 2, 3, 4])
MOVES = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([50, 700, 3_000, 20_000, 130_000])),
    st.tuples(st.just("fire"), st.sampled_from(["open", "jam", "refuse", "lost", "lost-open"])),
    st.tuples(st.just("put"), st.sampled_from(list(Trust))),
    st.tuples(st.just("put-elsewhere"), SLOTS),
    st.tuples(st.just("take"), SLOTS),
    st.tuples(st.just("shut"), SLOTS),
    st.tuples(st.just("silent"), SLOTS),
    st.tuples(st.just("blind"), SLOTS),
    st.tuples(st.just("switch"), SLOTS),
    st.tuples(st.just("heal"), st.just(0)),
    st.tuples(st.just("restart"), st.sampled_from([0, 5_000])),
    st.tuples(st.just("cancel"), st.just(0)),
    st.tuples(st.just("resume"), st.just(0)),
    st.tuples(st.just("give-back"), st.just(0)),
    st.tuples(st.just("lock"), SLOTS),
    st.tuples(st.just("trip"), st.just(0)),
    st.tuples(st.just("other"), st.just(0)),
)


class Walk(Row):
    """A row whose sensors may lie in one way: by not telling. Truth is kept beside them."""

    def prepare(self) -> None:
        self.truth_door = dict.fromkeys(self.boxes, Door.CLOSED)
        self.blind: set[int] = set()
        self.pending: list[Pulse] = []
        self.tripped = False
        self.bad_switch: set[int] = set()

    def sync(self) -> None:
        for n, box in self.boxes.items():
            box.door = Door.UNKNOWN if n in self.blind else self.truth_door[n]
            box.presence = Presence.UNKNOWN if n in self.bad_switch else None

    def feed(self, event):
        self.sync()
        told = isinstance(event, Trip | Pulsed | Recovered)
        if self.doors_locked and not told and isinstance(self.state, ACTIVE):
            event = Trip("smoke")
        view = self.view()
        before = self.state
        turn = super().feed(event)
        declared(before, event, turn)
        note(f"{self.now_ms} {event} -> {type(self.state).__name__} {turn.actions}")
        for action in turn.actions:
            if isinstance(action, Pulse):
                self.check_pulse(action, view)
                self.pending.append(action)
            if isinstance(action, BatteryOut):
                assert self.boxes[action.slot].serial != action.serial, "booked out, still there"
            if isinstance(action, BatteryIn):
                assert self.boxes[action.slot].serial == action.serial
                assert view.slot(action.slot).door is Door.CLOSED
        if not isinstance(self.state, ACTIVE):
            assert reserved_slots(self.state) == frozenset()
        # A restart between any two inputs must not matter to what is decided.
        self.state = msgspec.json.decode(msgspec.json.encode(self.state), type=State)
        assert self.state == turn.state
        return turn

    def check_pulse(self, pulse: Pulse, view) -> None:
        assert not self.tripped, "pulsed after a trip"
        assert not view.slot(pulse.slot).locked
        assert view.slot(pulse.slot).door is Door.CLOSED
        for other in {earlier.slot for earlier in self.of(Pulse)} - {pulse.slot}:
            assert view.slot(other).door is Door.CLOSED, "two rider doors"

    def move(self, what: str, how) -> None:
        getattr(self, "do_" + what.replace("-", "_"))(how)

    def do_wait(self, ms: int) -> None:
        self.look(ms)

    def do_fire(self, how: str) -> None:
        if not self.pending:
            return
        pulse = self.pending.pop()
        if how in {"open", "lost-open"}:
            self.truth_door[pulse.slot] = Door.OPEN
        if how in {"open", "jam", "refuse"}:
            self.feed(Pulsed(pulse.attempt, fired=how != "refuse"))
        self.look()

    def do_put(self, trust: Trust) -> None:
        job = getattr(self.state, "job", None)
        slot = job.slot_in if job else None
        if slot and self.truth_door[slot] is Door.OPEN and self.boxes[slot].serial is None:
            self.put(slot, "OLD-1", trust=trust)
        self.look()

    def do_put_elsewhere(self, slot: int) -> None:
        if self.truth_door[slot] is Door.OPEN and self.boxes[slot].serial is None:
            self.put(slot, f"STRAY-{slot}")
        self.look()

    def do_take(self, slot: int) -> None:
        if self.truth_door[slot] is Door.OPEN:
            self.take(slot)
        self.look()

    def do_shut(self, slot: int) -> None:
        self.truth_door[slot] = Door.CLOSED
        self.look()

    def do_silent(self, slot: int) -> None:
        self.boxes[slot].silent = True
        self.look()

    def do_blind(self, slot: int) -> None:
        self.blind.add(slot)
        self.look()

    def do_switch(self, slot: int) -> None:
        self.bad_switch.add(slot)
        self.look()

    def do_heal(self, _: int) -> None:
        self.blind.clear()
        self.bad_switch.clear()
        for box in self.boxes.values():
            box.silent = False
        self.look()

    def do_restart(self, gap_ms: int) -> None:
        self.pending.clear()
        self.now_ms += gap_ms
        self.feed(Recovered())

    def do_cancel(self, _: int) -> None:
        self.feed(Cancel(SWAP))

    def do_resume(self, _: int) -> None:
        self.feed(Resume(SWAP))

    def do_give_back(self, _: int) -> None:
        self.feed(GiveBack(SWAP))

    def do_lock(self, slot: int) -> None:
        self.boxes[slot].locked = True
        self.look()

    def do_trip(self, _: int) -> None:
        self.doors_locked = True
        self.feed(Trip("smoke"))
        self.tripped = True

    def do_other(self, _: int) -> None:
        if isinstance(self.state, ACTIVE):
            before = self.state
            self.feed(Start("OTHER", Kind.SWAP, "R2"))
            assert self.doors_locked or self.state == before


@given(kind=st.sampled_from(list(Kind)), moves=st.lists(MOVES, max_size=60))
def test_walks(kind: Kind, moves: list[tuple[str, object]]) -> None:
    walk = Walk()
    walk.prepare()
    walk.feed(Start(SWAP, kind, RIDER, slot=1 if kind is Kind.UNLOAD else None))
    for what, how in moves:
        walk.move(what, how)
    for _ in range(400):  # nothing more happens: it must end by itself
        walk.look(2_000)
    assert not isinstance(walk.state, ACTIVE), walk.state
    ins = [a for a in walk.actions if isinstance(a, BatteryIn) and a.job.swap_id == SWAP]
    outs = [a for a in walk.actions if isinstance(a, BatteryOut) and a.job.swap_id == SWAP]
    assert len(ins) <= 1
    assert len(outs) <= 1
    if isinstance(walk.state, Cancelled):
        assert [a.serial for a in ins] == [a.serial for a in outs], "given back, or never in"
    if isinstance(walk.state, Completed):
        assert len(ins) == (kind in {Kind.SWAP, Kind.RETURN, Kind.LOAD})
        assert len(outs) == (kind in {Kind.SWAP, Kind.PICKUP, Kind.UNLOAD})
    ranks = [STEP_RANK[a.step] for a in walk.actions if isinstance(a, Report)]
    assert ranks == sorted(ranks)
    attempts = [a.attempt for a in walk.actions if isinstance(a, Pulse)]
    assert len(attempts) == len(set(attempts))


@given(cut=st.integers(0, 40), gap_ms=st.sampled_from([0, 1, 5_000, 10**9]))
def test_a_restart_at_any_point_of_a_good_swap_still_completes(cut: int, gap_ms: int) -> None:
    """The rider goes on as told; the daemon dies before input number ``cut``."""
    row = Row()
    inputs = 0

    def tick(event=None) -> None:
        nonlocal inputs
        if inputs == cut:
            row.state = msgspec.json.decode(msgspec.json.encode(row.state), type=State)
            row.restart(gap_ms)
        inputs += 1
        row.now_ms += 100
        row.feed(event or Sensed())

    tick(Start(SWAP, Kind.SWAP, RIDER))
    fired = 0
    for _ in range(200):
        pulses = row.of(Pulse)
        if len(pulses) > fired:
            fired = len(pulses)
            row.boxes[pulses[-1].slot].door = Door.OPEN
            tick(Pulsed(pulses[-1].attempt, fired=True))
        name = type(row.state).__name__
        if name == "AwaitReturn":
            row.put(3, "OLD-1")
            tick()
            row.shut(3)
        if name in {"AwaitPickup", "AwaitClose"}:
            row.take(1)
            tick()
            row.shut(1)
        tick()
    assert isinstance(row.state, Completed), row.state
    assert len(row.of(BatteryIn)) == len(row.of(BatteryOut)) == 1
