"""The table: rows as data, and totality over state and event."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from cabinet.core.swap import TABLE, step
from cabinet.core.swap_model import (
    ACTIVE,
    EVENTS,
    TERMINAL,
    Accepted,
    AwaitBack,
    AwaitClose,
    AwaitPickup,
    AwaitReturn,
    Cancel,
    Cancelled,
    Cancelling,
    Completed,
    Faulted,
    GiveBack,
    Idle,
    Job,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    PickupHeld,
    Pulse,
    Pulsed,
    Recovered,
    Refused,
    Rejected,
    Resume,
    ReturnShut,
    Sensed,
    Start,
    State,
    Trip,
    Trust,
    Try,
    Verifying,
    reserved_slots,
)
from protocols.messages import Door, Kind, Presence, Step
from tests.support.swapping import RIDER, SWAP, Box, Row

NOW = 1_000_000


def job(kind: Kind, **more: object) -> Job:
    full = {
        "slot_in": 3 if kind in {Kind.SWAP, Kind.RETURN, Kind.LOAD} else None,
        "slot_out": 1 if kind in {Kind.SWAP, Kind.PICKUP, Kind.UNLOAD} else None,
        "serial_out": "FULL-1",
        **more,
    }
    return Job(swap_id=SWAP, kind=kind, rider_id=RIDER, **full)


def opening(slot: int, pulse: str = "maybe", tries: int = 1, due_ms: int = NOW) -> Try:
    return Try(
        slot=slot, attempt="a1", tries=tries, since_ms=NOW - 9_000, due_ms=due_ms, pulse=pulse
    )


def states(kind: Kind) -> list[State]:
    plain = job(kind)
    late = job(kind, step=Step.AWAIT_PICKUP, serial_in="OLD-1")
    since = NOW - 1_000
    return [
        Idle(),
        *(OpeningReturn(job=plain, door=opening(3, p)) for p in ("pending", "maybe", "refused")),
        AwaitReturn(job=plain, since_ms=since),
        ReturnShut(job=plain, since_ms=since),
        Verifying(job=plain, since_ms=since, closed_ms=since),
        Verifying(job=plain, since_ms=0, closed_ms=0),
        OpeningBack(job=plain, door=opening(3), reason="foreign-pack"),
        AwaitBack(job=plain, since_ms=0, reason="foreign-pack"),
        *(OpeningPickup(job=late, door=opening(1, p)) for p in ("pending", "maybe", "refused")),
        AwaitPickup(job=late, since_ms=since),
        AwaitPickup(job=late, since_ms=0),
        PickupHeld(job=late, since_ms=since),
        AwaitClose(job=late, since_ms=since),
        Cancelling(job=plain, slot=3, since_ms=since, settle_ms=NOW),
        Cancelling(job=plain, slot=1, since_ms=0, settle_ms=0),
        Completed(job=late),
        Rejected(job=plain, reason="foreign-pack"),
        Cancelled(job=plain, reason="rider"),
        Faulted(job=plain, reason="smoke"),
    ]


EVENT_VALUES = [
    Start("NEW", Kind.SWAP, "R2"),
    Start(SWAP, Kind.SWAP, RIDER),
    Sensed(),
    Recovered(),
    Pulsed("a1", fired=True),
    Pulsed("a1", fired=False),
    Pulsed("old", fired=True),
    Cancel(SWAP),
    Cancel("OTHER"),
    Resume(SWAP),
    GiveBack(SWAP),
    GiveBack("OTHER"),
    Trip("smoke"),
]


def rows() -> list[Row]:
    """What the slots may look like: every door and switch, with, without and with odd packs."""
    found = []
    contents = [None, ("OLD-1", Trust.KNOWN), ("X", Trust.FOREIGN), ("FULL-1", Trust.KNOWN)]
    for door, presence, content, (locked, trip) in itertools.product(
        Door, [None, *Presence], contents, [(False, False), (True, False), (False, True)]
    ):
        row = Row(doors_locked=trip)
        for slot in (1, 3):
            serial, trust = content or (None, Trust.KNOWN)
            row.boxes[slot] = Box(
                slot, door=door, presence=presence, serial=serial, trust=trust, locked=locked
            )
        found.append(row)
    return found


def test_the_table_names_every_state_and_event() -> None:
    visited_states = {type(s) for s in states(Kind.SWAP)}
    assert visited_states == {Idle, *ACTIVE, *TERMINAL}
    assert {type(e) for e in EVENT_VALUES} == set(EVENTS)
    assert {key[1] for key in TABLE} <= set(EVENTS)
    for kind in ACTIVE:
        assert {(kind, Start), (kind, Sensed), (kind, Trip)} <= TABLE.keys()


@pytest.mark.parametrize("kind", list(Kind))
def test_every_state_answers_every_event(kind: Kind) -> None:
    count = 0
    for row in rows():
        view = row.view()
        for state, event in itertools.product(states(kind), EVENT_VALUES):
            turn = step(state, event, view, NOW)
            count += 1
            assert msgspec.json.decode(msgspec.json.encode(turn.state), type=State) == turn.state
            if any(isinstance(action, Refused) for action in turn.actions):
                assert turn.state == state
                assert len(turn.actions) == 1
            for pulse in turn.actions:
                if isinstance(pulse, Pulse):
                    seen = view.slot(pulse.slot)
                    assert seen.door is Door.CLOSED, (state, event, seen)
                    assert not seen.locked
                    assert not view.doors_locked
            if not isinstance(turn.state, ACTIVE):
                assert reserved_slots(turn.state) == frozenset()
    assert count == len(rows()) * len(states(kind)) * len(EVENT_VALUES)


REFUSED = {
    (Idle, Pulsed): "out-of-place",
    (Idle, Cancel): "no-swap",
    (Idle, Resume): "no-swap",
    (Idle, Trip): "out-of-place",
    (AwaitReturn, Pulsed): "out-of-place",
    (Verifying, Pulsed): "out-of-place",
    (OpeningBack, Cancel): "out-of-place",
    (AwaitBack, Cancel): "out-of-place",
    (AwaitClose, Cancel): "out-of-place",
    (Cancelling, Resume): "out-of-place",
    (OpeningPickup, Cancel): "too-late",
    (AwaitPickup, Cancel): "too-late",
    (PickupHeld, Cancel): "too-late",
    (Idle, GiveBack): "no-swap",
    (OpeningReturn, GiveBack): "nothing-returned",
    (AwaitReturn, GiveBack): "nothing-returned",
    (ReturnShut, GiveBack): "nothing-returned",
    (AwaitClose, GiveBack): "too-late",
    (Completed, Cancel): "no-swap",
    (Faulted, Resume): "no-swap",
    (Rejected, Trip): "out-of-place",
    (Cancelled, Pulsed): "out-of-place",
    (AwaitPickup, Start): "busy",
    (OpeningReturn, Start): "busy",
}


@pytest.mark.parametrize(("pair", "reason"), REFUSED.items())
def test_refusals(pair: tuple[type, type], reason: str) -> None:
    state = next(s for s in states(Kind.SWAP) if type(s) is pair[0])
    event = next(e for e in EVENT_VALUES if type(e) is pair[1])
    assert step(state, event, Row().view(), NOW).actions == (Refused(reason),)


#: state, what is changed about its slot, event, next state, attempts ordered
ROWS = [
    (OpeningReturn(job=job(Kind.SWAP), door=opening(3)), {"door": Door.OPEN}, Sensed(), AwaitReturn, 0),
    (OpeningReturn(job=job(Kind.SWAP), door=opening(3)), {}, Sensed(), OpeningReturn, 1),
    (OpeningReturn(job=job(Kind.SWAP), door=opening(3, tries=3)), {}, Sensed(), OpeningReturn, 1),
    (OpeningReturn(job=job(Kind.SWAP), door=opening(3, due_ms=NOW + 1)), {}, Sensed(), OpeningReturn, 0),
    (OpeningReturn(job=job(Kind.SWAP), door=opening(3)), {"door": Door.UNKNOWN}, Sensed(), OpeningReturn, 0),
    (OpeningReturn(job=job(Kind.SWAP), door=opening(3)), {"serial": "OLD-1"}, Sensed(), Verifying, 0),
    (OpeningReturn(job=job(Kind.SWAP), door=opening(3, "pending", due_ms=NOW + 1)), {"serial": "OLD-1"}, Sensed(), OpeningReturn, 0),
    (OpeningReturn(job=job(Kind.SWAP), door=opening(3, "refused")), {"serial": "OLD-1"}, Sensed(), OpeningReturn, 1),
    (AwaitReturn(job=job(Kind.SWAP), since_ms=NOW), {"serial": "OLD-1"}, Sensed(), Verifying, 0),
    (AwaitReturn(job=job(Kind.SWAP), since_ms=NOW), {}, Sensed(), ReturnShut, 0),
    (AwaitReturn(job=job(Kind.SWAP), since_ms=NOW), {"door": Door.UNKNOWN, "serial": "OLD-1"}, Sensed(), AwaitReturn, 0),
    (ReturnShut(job=job(Kind.SWAP), since_ms=NOW), {"door": Door.OPEN}, Sensed(), AwaitReturn, 0),
    (ReturnShut(job=job(Kind.SWAP), since_ms=NOW), {"serial": "OLD-1"}, Sensed(), Verifying, 0),
    (ReturnShut(job=job(Kind.SWAP), since_ms=NOW), {}, Resume(SWAP), OpeningReturn, 1),
    (Verifying(job=job(Kind.SWAP), since_ms=NOW, closed_ms=NOW), {"serial": "OLD-1"}, Sensed(), OpeningPickup, 1),
    (Verifying(job=job(Kind.SWAP), since_ms=NOW, closed_ms=NOW + 1), {"serial": "OLD-1"}, Sensed(), Verifying, 0),
    (Verifying(job=job(Kind.SWAP), since_ms=NOW, closed_ms=NOW), {"serial": "OLD-1", "door": Door.UNKNOWN}, Sensed(), Verifying, 0),
    (Verifying(job=job(Kind.SWAP), since_ms=NOW, closed_ms=NOW), {"serial": "OLD-1", "door": Door.OPEN}, Sensed(), AwaitReturn, 0),
    (Verifying(job=job(Kind.SWAP), since_ms=NOW, closed_ms=NOW), {"serial": "X", "trust": Trust.FOREIGN}, Sensed(), OpeningBack, 1),
    (Verifying(job=job(Kind.SWAP), since_ms=NOW, closed_ms=NOW), {"serial": "X", "trust": Trust.FOREIGN, "locked": True}, Sensed(), Faulted, 0),
    (Verifying(job=job(Kind.RETURN), since_ms=NOW, closed_ms=NOW), {"serial": "OLD-1"}, Sensed(), Completed, 0),
    (Verifying(job=job(Kind.SWAP), since_ms=0, closed_ms=0), {"serial": "OLD-1", "silent": True}, Sensed(), OpeningReturn, 1),
    (Verifying(job=job(Kind.SWAP, reseats=1), since_ms=0, closed_ms=0), {"serial": "OLD-1", "silent": True}, Sensed(), OpeningBack, 1),
    (Verifying(job=job(Kind.SWAP), since_ms=NOW, closed_ms=NOW), {}, Sensed(), ReturnShut, 0),
    (OpeningBack(job=job(Kind.SWAP), door=opening(3), reason="x"), {"serial": "X", "door": Door.OPEN}, Sensed(), AwaitBack, 0),
    (OpeningBack(job=job(Kind.SWAP), door=opening(3), reason="x"), {}, Sensed(), Rejected, 0),
    (OpeningBack(job=job(Kind.SWAP), door=opening(3, tries=3), reason="x"), {"serial": "X"}, Sensed(), Faulted, 0),
    (AwaitBack(job=job(Kind.SWAP), since_ms=NOW, reason="x"), {}, Sensed(), Rejected, 0),
    (AwaitBack(job=job(Kind.SWAP), since_ms=NOW, reason="cancelled"), {}, Sensed(), Cancelled, 0),
    (AwaitBack(job=job(Kind.SWAP), since_ms=NOW, reason="x"), {"serial": "X"}, Sensed(), AwaitBack, 0),
    (AwaitBack(job=job(Kind.SWAP), since_ms=NOW, reason="x"), {"serial": "X"}, Resume(SWAP), OpeningBack, 1),
]  # fmt: skip


@pytest.mark.parametrize(("state", "change", "event", "after", "pulses"), ROWS)
def test_rows(state: State, change: dict[str, object], event, after: type, pulses: int) -> None:
    row = Row(now_ms=NOW)
    for name, value in change.items():
        setattr(row.boxes[3], name, value)
    turn = step(state, event, row.view(), NOW)
    assert type(turn.state) is after
    assert sum(isinstance(action, Pulse) for action in turn.actions) == pulses


LATE = job(Kind.SWAP, serial_in="OLD-1", step=Step.AWAIT_PICKUP)
PICKUP_ROWS = [
    (OpeningPickup(job=LATE, door=opening(1)), {"door": Door.OPEN}, Sensed(), AwaitPickup, 0),
    (OpeningPickup(job=LATE, door=opening(1)), {}, Sensed(), OpeningPickup, 1),
    (OpeningPickup(job=LATE, door=opening(1, tries=3)), {}, Sensed(), OpeningPickup, 1),
    (OpeningPickup(job=LATE, door=opening(1)), {"serial": None}, Sensed(), Completed, 0),
    (OpeningPickup(job=LATE, door=opening(1, "pending", due_ms=NOW + 1)), {"serial": None}, Sensed(), OpeningPickup, 0),
    (AwaitPickup(job=LATE, since_ms=NOW), {"door": Door.OPEN}, Sensed(), AwaitPickup, 0),
    (AwaitPickup(job=LATE, since_ms=NOW), {}, Sensed(), PickupHeld, 0),
    (AwaitPickup(job=LATE, since_ms=NOW), {"door": Door.OPEN, "serial": None}, Sensed(), AwaitClose, 0),
    (AwaitPickup(job=LATE, since_ms=NOW), {"door": Door.UNKNOWN, "serial": None}, Sensed(), AwaitClose, 0),
    (AwaitPickup(job=LATE, since_ms=NOW), {"serial": None}, Sensed(), Completed, 0),
    (AwaitPickup(job=LATE, since_ms=NOW), {"door": Door.UNKNOWN}, Sensed(), AwaitPickup, 0),
    (AwaitPickup(job=LATE, since_ms=NOW), {"serial": None, "presence": Presence.UNKNOWN}, Sensed(), AwaitPickup, 0),
    (PickupHeld(job=LATE, since_ms=NOW), {"door": Door.OPEN}, Sensed(), AwaitPickup, 0),
    (PickupHeld(job=LATE, since_ms=NOW), {}, Resume(SWAP), OpeningPickup, 1),
    (PickupHeld(job=LATE, since_ms=NOW), {"serial": None}, Sensed(), Completed, 0),
    (PickupHeld(job=LATE, since_ms=0), {}, Sensed(), Faulted, 0),
    (AwaitClose(job=LATE, since_ms=NOW), {"door": Door.OPEN, "serial": None}, Sensed(), AwaitClose, 0),
    (AwaitClose(job=LATE, since_ms=NOW), {"serial": None}, Sensed(), Completed, 0),
    (AwaitClose(job=LATE, since_ms=NOW), {"door": Door.UNKNOWN, "serial": None}, Sensed(), AwaitClose, 0),
    (AwaitClose(job=LATE, since_ms=0), {"door": Door.OPEN, "serial": None}, Sensed(), Completed, 0),
]  # fmt: skip


@pytest.mark.parametrize(("state", "change", "event", "after", "pulses"), PICKUP_ROWS)
def test_pickup_rows(
    state: State, change: dict[str, object], event, after: type, pulses: int
) -> None:
    row = Row(now_ms=NOW)
    for name, value in change.items():
        setattr(row.boxes[1], name, value)
    row.put(3, "OLD-1")
    turn = step(state, event, row.view(), NOW)
    assert type(turn.state) is after
    assert sum(isinstance(action, Pulse) for action in turn.actions) == pulses


def test_a_resume_gives_an_opening_all_its_tries_again() -> None:
    state = OpeningReturn(job=job(Kind.SWAP), door=opening(3, tries=3, due_ms=NOW + 9_000))
    turn = step(state, Resume(SWAP), Row().view(), NOW)
    assert turn.actions == (Accepted(),)
    again = step(turn.state, Sensed(), Row().view(), NOW)
    assert [type(a) for a in again.actions] == [Pulse]
