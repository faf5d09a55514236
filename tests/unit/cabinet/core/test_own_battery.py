"""A rider who wants the own battery back instead of the full one."""

from __future__ import annotations

import pytest

from cabinet.core.swap_model import (
    Accepted,
    AwaitBack,
    BatteryIn,
    BatteryOut,
    Cancelled,
    Cancelling,
    Completed,
    Faulted,
    GiveBack,
    OpeningBack,
    PickupHeld,
    Pulse,
    Report,
    Trip,
)
from protocols.messages import Door, Kind
from tests.support.cabinet_rig import Rig
from tests.support.swapping import SWAP, Row, ranks, refusal

OWN = "own-battery"


def take_it_back(row: Row) -> None:
    """The door has been ordered open: out with the pack, shut."""
    row.fire()
    row.look()
    assert isinstance(row.state, AwaitBack)
    row.take(3)
    row.shut(3)
    row.wait(2_500)


def check_whole(row: Row) -> None:
    assert isinstance(row.state, Cancelled)
    assert row.state.reason == OWN
    assert [(b.slot, b.serial) for b in row.of(BatteryIn)] == [(3, "OLD-1")]
    assert [(b.slot, b.serial) for b in row.of(BatteryOut)] == [(3, "OLD-1")]
    assert row.booked == {1, 2}
    assert ranks(row) == sorted(ranks(row))
    assert (row.of(Report)[-1].step.value, row.of(Report)[-1].reason) == ("cancelled", OWN)


def test_from_a_pickup_door_that_stands_open() -> None:
    row = Row().to_await_pickup()
    assert Accepted() in row.feed(GiveBack(SWAP)).actions
    assert isinstance(row.state, Cancelling)
    row.wait(5_000)
    assert [p.slot for p in row.of(Pulse)] == [3, 1], "the full pack's door is still open"
    row.shut(1)
    row.wait(1_500)
    assert isinstance(row.state, OpeningBack)
    assert [p.slot for p in row.of(Pulse)] == [3, 1, 3]
    take_it_back(row)
    check_whole(row)


def test_from_a_full_pack_shut_in_again() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.look()
    assert isinstance(row.state, PickupHeld)
    row.feed(GiveBack(SWAP))
    take_it_back(row)
    check_whole(row)


def test_with_the_pickup_pulse_under_way_the_door_has_time_to_open() -> None:
    row = Row().to_opening_pickup()
    row.feed(GiveBack(SWAP))
    row.look()
    assert isinstance(row.state, Cancelling)
    row.boxes[1].door = Door.OPEN
    row.wait(5_000)
    assert isinstance(row.state, Cancelling)
    row.shut(1)
    row.wait(1_500)
    take_it_back(row)
    check_whole(row)


def test_before_it_was_booked_nothing_is_booked() -> None:
    row = Row().to_verifying(silent=True)
    row.feed(GiveBack(SWAP))
    take_it_back(row)
    assert isinstance(row.state, Cancelled)
    assert row.state.reason == OWN
    assert not row.of(BatteryIn)
    assert not row.of(BatteryOut)


def test_the_full_pack_taken_all_the_same_completes_the_swap() -> None:
    row = Row().to_await_pickup()
    row.feed(GiveBack(SWAP))
    row.take(1)
    row.shut(1)
    row.wait(2_500)
    assert isinstance(row.state, Completed)
    assert [b.serial for b in row.of(BatteryOut)] == ["FULL-1"]


def test_a_full_pack_left_behind_an_open_door_leaves_the_rider_owed() -> None:
    row = Row().to_await_pickup()
    row.feed(GiveBack(SWAP))
    row.wait(121_000)
    assert isinstance(row.state, Faulted)
    assert row.state.reason == "door-left-open"
    assert not row.of(BatteryOut)


def test_not_taken_after_all_leaves_the_rider_owed() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.look()
    row.feed(GiveBack(SWAP))
    row.fire()
    row.look()
    row.shut(3)
    row.look()
    assert isinstance(row.state, AwaitBack)
    assert isinstance(row.feed(GiveBack(SWAP)).state, OpeningBack), "asked again: opened again"
    row.fire()
    row.look()
    row.wait(121_000)
    assert isinstance(row.state, Faulted)
    assert row.state.reason == "not-taken-back"
    assert not row.of(BatteryOut)


def test_the_other_door_waits_while_the_pickup_door_is_not_shut() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.look()
    row.feed(GiveBack(SWAP))
    row.fire(opens=False)
    row.boxes[1].door = Door.OPEN
    pulses = len(row.of(Pulse))
    row.wait(50_000)
    assert len(row.of(Pulse)) == pulses
    row.wait(20_000)
    assert isinstance(row.state, Faulted)


def test_smoke_with_the_own_pack_out_books_it_out() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.look()
    row.feed(GiveBack(SWAP))
    row.fire()
    row.look()
    row.take(3)
    row.now_ms += 3_000
    row.doors_locked = True
    row.feed(Trip("smoke"))
    check_whole(row)


def test_a_restart_while_it_is_taken() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.look()
    row.feed(GiveBack(SWAP))
    row.take(3)
    row.restart()
    row.wait(500)
    check_whole(row)


def test_another_pack_left_in_its_place_means_that_the_own_one_is_gone() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.look()
    row.feed(GiveBack(SWAP))
    row.fire()
    row.look()
    row.put(3, "STRANGER")
    row.shut(3)
    row.look()
    check_whole(row)


def test_a_hot_pack_is_never_given_back() -> None:
    row = Row().to_verifying(unwell="cell-hot")
    row.look()
    row.fire()
    row.look()
    assert refusal(row.feed(GiveBack(SWAP))) == "quarantined"


@pytest.mark.parametrize("what", ["locked", "door", "gone"])
def test_refused_when_its_slot_cannot_give_it(what: str) -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.look()
    if what == "locked":
        row.boxes[3].locked = True
    elif what == "door":
        row.boxes[3].door = Door.UNKNOWN
    else:
        row.take(3)
        row.now_ms += 3_000
    reason = {"locked": "slot-locked", "door": "door-not-shut", "gone": "slot-not-loaded"}[what]
    assert refusal(row.feed(GiveBack(SWAP))) == reason


def test_a_first_pickup_has_nothing_to_give_back() -> None:
    row = Row()
    row.start(Kind.PICKUP)
    row.fire()
    row.look()
    assert refusal(row.feed(GiveBack(SWAP))) == "nothing-returned"


def test_through_the_engine_the_inventory_is_as_before() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.shut(3)
    rig.run(500)
    assert rig.command("swap.give-back", swap_id="SWAP-1").outcome == "accepted"
    rig.shut(1)
    rig.run(1_500)
    assert rig.holes[3].door is Door.OPEN
    rig.take(3)
    rig.shut(3)
    rig.run(3_000)
    moves = [e.type for e in rig.events() if e.type.startswith("battery")]
    assert moves == ["battery.in", "battery.out"]
    out = rig.bodies("battery.out")[0]
    assert (out.slot, out.serial, out.swap_id, out.cause) == (3, "OLD-1", "SWAP-1", "swap")
    assert rig.steps()[-1] == "cancelled"
    assert rig.state.durable.inventory == {1: "YZ48-000001", 2: "YZ48-000002"}
    assert rig.command("swap.give-back", swap_id="SWAP-1").reason == "no-swap"
