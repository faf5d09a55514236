"""How a transaction ends early or is taken up again: cancel, trip, restart."""

from __future__ import annotations

import pytest

from cabinet.core.swap_model import (
    Accepted,
    AwaitBack,
    AwaitPickup,
    AwaitReturn,
    BatteryIn,
    BatteryOut,
    Cancel,
    Cancelled,
    Cancelling,
    Completed,
    Faulted,
    FlagSlot,
    LeftOpen,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    Pulse,
    Resume,
    Sensed,
    Trip,
)
from protocols.messages import Door, Kind, Presence
from tests.support.swapping import SWAP, Row, refusal

# --- cancelling ---------------------------------------------------------------------------------


def test_cancel_before_anything_is_in() -> None:
    row = Row().to_await_return()
    assert Accepted() in row.feed(Cancel(SWAP)).actions
    assert isinstance(row.state, Cancelling)
    row.wait(3_000)
    assert isinstance(row.state, Cancelling)
    row.shut(3)
    row.wait(1_500)
    assert isinstance(row.state, Cancelled)


def test_cancel_with_the_pulse_under_way_waits_for_the_door() -> None:
    row = Row()
    row.start()
    row.feed(Cancel(SWAP))
    row.look()
    assert isinstance(row.state, Cancelling)
    row.boxes[3].door = Door.OPEN
    row.wait(5_000)
    assert isinstance(row.state, Cancelling)
    row.shut(3)
    row.wait(1_500)
    assert isinstance(row.state, Cancelled)


def test_what_was_put_in_during_a_cancel_is_given_back() -> None:
    row = Row().to_await_return()
    row.feed(Cancel(SWAP))
    row.put(3, "OLD-1")
    row.shut(3)
    row.wait(1_500)
    assert isinstance(row.state, OpeningBack)
    row.fire()
    row.look()
    assert isinstance(row.state, AwaitBack)
    row.take(3)
    row.shut(3)
    row.wait(2_500)
    assert isinstance(row.state, Cancelled)
    assert not row.of(BatteryIn)


def test_a_pack_that_the_switch_tells_of_later_than_the_door_is_given_back() -> None:
    row = Row().to_await_return()
    row.feed(Cancel(SWAP))
    row.shut(3)
    row.look()
    assert isinstance(row.state, Cancelling)  # the switch may still say what was before
    row.put(3, "OLD-1")
    row.wait(1_500)
    assert isinstance(row.state, OpeningBack)


def test_a_door_that_opens_again_is_waited_for_anew() -> None:
    row = Row().to_await_return()
    row.feed(Cancel(SWAP))
    row.shut(3)
    row.wait(800, every_ms=400)
    row.boxes[3].door = Door.OPEN
    row.look()
    row.shut(3)
    row.wait(800, every_ms=400)
    assert isinstance(row.state, Cancelling)
    row.wait(800, every_ms=400)
    assert isinstance(row.state, Cancelled)


def test_a_rider_may_have_the_own_pack_back_before_it_is_booked() -> None:
    row = Row().to_verifying(silent=True)
    assert Accepted() in row.feed(Cancel(SWAP)).actions
    assert isinstance(row.state, OpeningBack)


def test_too_late_to_cancel() -> None:
    for row in (Row().to_opening_pickup(), Row().to_await_pickup()):
        before = row.state
        assert refusal(row.feed(Cancel(SWAP))) == "too-late"
        assert row.state == before


def test_a_first_pickup_may_still_be_cancelled() -> None:
    row = Row()
    row.start(Kind.PICKUP)
    row.fire()
    row.look()
    row.feed(Cancel(SWAP))
    row.shut(1)
    row.wait(1_500)
    assert isinstance(row.state, Cancelled)


def test_a_pack_taken_during_the_cancel_is_booked() -> None:
    row = Row()
    row.start(Kind.PICKUP)
    row.fire()
    row.look()
    row.feed(Cancel(SWAP))
    row.take(1)
    row.shut(1)
    row.wait(2_500)
    assert isinstance(row.state, Completed)
    assert len(row.of(BatteryOut)) == 1


@pytest.mark.parametrize("event", [Cancel("OTHER"), Resume("OTHER")])
def test_a_command_for_another_transaction(event) -> None:
    row = Row().to_await_return()
    assert refusal(row.feed(event)) == "other-swap"
    assert refusal(Row().feed(event)) == "no-swap"


# --- trips --------------------------------------------------------------------------------------

TRIPS = [
    ("to_await_return", Faulted, 0, 0),
    ("to_verifying", Faulted, 1, 0),
    ("to_opening_pickup", Faulted, 1, 0),
    ("to_await_pickup", Faulted, 1, 0),
    ("to_await_close", Completed, 1, 1),
]


@pytest.mark.parametrize(("reach", "end", "ins", "outs"), TRIPS)
def test_smoke_in_mid_swap(reach: str, end: type, ins: int, outs: int) -> None:
    row = getattr(Row(), reach)()
    pulses = len(row.of(Pulse))
    row.doors_locked = True
    row.feed(Trip("smoke"))
    assert isinstance(row.state, end)
    assert row.state.reason == "smoke"
    assert len(row.of(BatteryIn)) == ins
    assert len(row.of(BatteryOut)) == outs
    row.wait(5_000)
    assert len(row.of(Pulse)) == pulses


def test_a_slot_locked_on_the_way_is_left_for_another() -> None:
    row = Row()
    row.start()
    row.fire(opens=False)
    row.boxes[3].locked = True
    row.wait(3_000)
    assert row.of(Pulse)[-1].slot == 4
    assert not row.of(FlagSlot)


# --- restart ------------------------------------------------------------------------------------


def test_after_a_restart_a_shut_door_is_pulsed_again_as_a_new_attempt() -> None:
    row = Row()
    row.start()
    row.restart()
    first, second = row.of(Pulse)
    assert (first.slot, second.slot) == (3, 3)
    assert first.attempt != second.attempt


def test_after_a_restart_an_open_door_is_not_pulsed() -> None:
    row = Row()
    row.start()
    row.boxes[3].door = Door.OPEN
    row.restart()
    assert isinstance(row.state, AwaitReturn)
    assert len(row.of(Pulse)) == 1


def test_after_a_restart_an_unknown_door_is_waited_for() -> None:
    row = Row()
    row.start()
    row.boxes[3].door = Door.UNKNOWN
    row.restart()
    assert isinstance(row.state, OpeningReturn)
    assert len(row.of(Pulse)) == 1


def test_taken_while_the_daemon_was_dead() -> None:
    row = Row().to_await_pickup()
    row.take(1)
    row.shut(1)
    row.restart()
    row.wait(500)
    assert isinstance(row.state, Completed)
    assert len(row.of(BatteryOut)) == 1


def test_returned_while_the_daemon_was_dead() -> None:
    row = Row()
    row.start()
    row.put(3, "OLD-1")
    row.restart()
    row.wait(500)
    assert isinstance(row.state, OpeningPickup)
    assert len(row.of(BatteryIn)) == 1


def test_deadlines_start_anew_after_a_restart() -> None:
    row = Row().to_await_return()
    row.restart(gap_ms=10_000_000)
    assert isinstance(row.state, AwaitReturn)
    row.wait(119_000)
    assert isinstance(row.state, AwaitReturn)
    row.wait(2_000)
    assert isinstance(row.state, Cancelled)


def test_looking_when_idle_does_nothing() -> None:
    row = Row()
    assert row.feed(Sensed()).actions == ()


# --- left open ----------------------------------------------------------------------------------


def test_the_pack_gone_and_the_door_left_open_is_complete_with_an_alarm() -> None:
    row = Row().to_await_close()
    row.wait(61_000)
    assert isinstance(row.state, Completed)
    assert row.state.reason == "door-left-open"
    assert row.of(LeftOpen) == [LeftOpen(1)]
    assert len(row.of(BatteryOut)) == 1


def test_the_switch_alone_does_not_book_out() -> None:
    row = Row().to_await_pickup()
    row.boxes[1].presence = Presence.ABSENT  # the pack still answers
    row.wait(10_000)
    assert isinstance(row.state, AwaitPickup)
    assert not row.of(BatteryOut)


def test_another_pack_in_the_pickup_slot_means_that_the_full_one_is_gone() -> None:
    row = Row().to_await_pickup()
    row.put(1, "STRANGER")
    row.shut(1)
    row.look()
    assert isinstance(row.state, Completed)
    assert [(b.slot, b.serial) for b in row.of(BatteryOut)] == [(1, "FULL-1")]
