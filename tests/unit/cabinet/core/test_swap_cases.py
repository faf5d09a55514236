"""Every case of a transaction that goes its way, or another one."""

from __future__ import annotations

import pytest

from cabinet.core.swap_model import (
    Accepted,
    AwaitClose,
    AwaitReturn,
    BatteryIn,
    BatteryOut,
    Cancelled,
    Completed,
    Faulted,
    FlagSlot,
    Idle,
    LeftOpen,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    PickupHeld,
    Pulse,
    Rejected,
    Report,
    Resume,
    ReturnShut,
    Start,
    Trust,
    Verifying,
)
from protocols.messages import Door, Kind
from tests.support.swapping import RIDER, SWAP, Row, ranks, refusal


def test_a_whole_swap() -> None:
    row = Row().to_await_close()
    assert isinstance(row.state, AwaitClose)
    row.shut(1)
    row.look()
    assert isinstance(row.state, Completed)
    assert row.steps() == [
        "reserved", "opening-return", "await-return", "verifying",
        "opening-pickup", "await-pickup", "await-close", "completed",
    ]  # fmt: skip
    assert [(b.slot, b.serial) for b in row.of(BatteryIn)] == [(3, "OLD-1")]
    assert [(b.slot, b.serial) for b in row.of(BatteryOut)] == [(1, "FULL-1")]
    assert [p.slot for p in row.of(Pulse)] == [3, 1]


def test_the_pack_is_judged_at_the_first_reading_after_the_door_shut() -> None:
    row = Row().to_verifying()
    turn = row.look(1)
    assert isinstance(turn.state, OpeningPickup)
    assert isinstance(turn.actions[0], BatteryIn)


def test_a_reading_from_before_the_door_shut_names_nobody() -> None:
    row = Row().to_verifying()
    row.boxes[3].silent = True  # the view keeps no older reading
    row.look()
    assert isinstance(row.state, Verifying)


@pytest.mark.parametrize(
    ("kind", "more", "steps"),
    [
        (Kind.PICKUP, {}, ["reserved", "opening-pickup", "await-pickup", "completed"]),
        (Kind.UNLOAD, {"slot": 2}, ["reserved", "opening-pickup", "await-pickup", "completed"]),
    ],
)
def test_only_out(kind: Kind, more: dict[str, int], steps: list[str]) -> None:
    row = Row()
    row.start(kind, **more)
    row.fire()
    row.look()
    slot = more.get("slot", 1)
    row.take(slot)
    row.shut(slot)
    row.wait(2_500)
    assert isinstance(row.state, Completed)
    assert row.steps() == steps
    assert len(row.of(BatteryOut)) == 1
    assert not row.of(BatteryIn)


@pytest.mark.parametrize("kind", [Kind.RETURN, Kind.LOAD])
def test_only_in(kind: Kind) -> None:
    row = Row().to_await_return(kind)
    row.put(3, "OLD-1")
    row.shut(3)
    row.look()
    row.look()
    assert isinstance(row.state, Completed)
    assert row.steps() == ["reserved", "opening-return", "await-return", "verifying", "completed"]
    assert len(row.of(BatteryIn)) == 1
    assert not row.of(BatteryOut)


def empty_of_full(row: Row) -> None:
    row.boxes[1].soc_pct = row.boxes[2].soc_pct = 30


def full_everywhere(row: Row) -> None:
    row.put(3, "X-3")
    row.put(4, "X-4")


def locked(row: Row) -> None:
    row.doors_locked = True


@pytest.mark.parametrize(
    ("before", "kind", "slot", "reason"),
    [
        (empty_of_full, Kind.SWAP, None, "no-full-battery"),
        (empty_of_full, Kind.PICKUP, None, "no-full-battery"),
        (full_everywhere, Kind.SWAP, None, "no-empty-slot"),
        (full_everywhere, Kind.RETURN, None, "no-empty-slot"),
        (full_everywhere, Kind.LOAD, None, "no-empty-slot"),
        (locked, Kind.SWAP, None, "doors-locked"),
        (None, Kind.LOAD, 1, "slot-not-empty"),
        (None, Kind.LOAD, 9, "slot-not-empty"),
        (None, Kind.UNLOAD, None, "slot-required"),
        (None, Kind.UNLOAD, 3, "slot-not-loaded"),
        (None, Kind.UNLOAD, 9, "slot-not-loaded"),
    ],
)
def test_refused_before_any_door_moves(before, kind: Kind, slot: int | None, reason: str) -> None:
    row = Row()
    if before:
        before(row)
    turn = row.start(kind, slot=slot)
    assert refusal(turn) == reason
    assert isinstance(row.state, Idle)
    assert not row.of(Pulse)


@pytest.mark.parametrize(("kind", "slot"), [(Kind.LOAD, 3), (Kind.UNLOAD, 1)])
def test_a_locked_slot_is_not_loaded_or_unloaded(kind: Kind, slot: int) -> None:
    row = Row()
    row.boxes[slot].locked = True
    assert refusal(row.start(kind, slot=slot)) == "slot-locked"


def test_a_second_rider_waits_and_a_double_tap_changes_nothing() -> None:
    row = Row()
    row.start()
    before = row.state
    assert refusal(row.feed(Start("OTHER", Kind.SWAP, "R2"))) == "busy"
    turn = row.feed(Start(SWAP, Kind.SWAP, RIDER))
    assert turn.actions == (Accepted(),)
    assert row.state == before
    assert len(row.of(Pulse)) == 1


def test_the_same_order_after_its_end_does_nothing() -> None:
    row = Row().to_await_close()
    row.shut(1)
    row.look()
    pulses = len(row.of(Pulse))
    assert row.start().actions == (Accepted(),)
    assert len(row.of(Pulse)) == pulses


# --- doors that do not obey ---------------------------------------------------------------------


def test_a_shut_door_is_pulsed_again_as_a_new_attempt_then_another_slot_is_used() -> None:
    row = Row()
    row.boxes[3].jammed = True
    row.start()
    for _ in range(3):
        row.fire()
        row.wait(3_000)
    pulses = row.of(Pulse)
    assert [p.slot for p in pulses] == [3, 3, 3, 4]
    assert len({p.attempt for p in pulses}) == 4
    assert row.of(FlagSlot) == [FlagSlot(3, "out-of-service", "door-stuck")]
    assert row.of(Report)[-1].reason == "door-stuck"
    assert isinstance(row.state, OpeningReturn)


def test_no_other_empty_slot_ends_it() -> None:
    row = Row()
    row.put(4, "X-4")
    row.boxes[3].jammed = True
    row.start()
    for _ in range(3):
        row.fire()
        row.wait(3_000)
    assert isinstance(row.state, Faulted)
    assert row.state.reason == "door-stuck"
    assert not row.of(BatteryIn)


def test_no_second_pulse_while_the_first_one_is_under_way_or_the_door_is_unknown() -> None:
    row = Row()
    row.start()
    row.wait(4_000)
    assert len(row.of(Pulse)) == 1
    row.fire(opens=False)
    row.boxes[3].door = Door.UNKNOWN
    row.boxes[3].view(row.now_ms)
    row.look()
    assert len(row.of(Pulse)) == 1


def test_a_pulse_that_surely_did_not_fire_is_repeated_soon() -> None:
    row = Row()
    row.start()
    row.fire(fired=False)
    row.wait(600, 100)
    assert len(row.of(Pulse)) == 2


def test_a_slot_found_occupied_before_it_opened_is_left_for_another() -> None:
    row = Row()
    row.start()
    row.put(3, "SURPRISE")
    row.fire(fired=False)
    row.look()
    assert row.of(Pulse)[-1].slot == 4
    assert row.of(Report)[-1].reason == "occupied"
    assert not row.of(FlagSlot)


def test_an_opening_that_nobody_saw_is_believed_by_the_pack() -> None:
    row = Row()
    row.start()
    row.fire(opens=False)
    row.put(3, "OLD-1")
    row.look()
    assert isinstance(row.state, Verifying)
    row.look()
    assert isinstance(row.state, OpeningPickup)


def test_a_stuck_pickup_door_gives_the_next_full_pack() -> None:
    row = Row()
    row.boxes[1].jammed = True
    row.to_opening_pickup()
    for _ in range(3):
        row.fire()
        row.wait(3_000)
    assert [p.slot for p in row.of(Pulse)] == [3, 1, 1, 1, 2]
    row.fire()
    row.look()
    row.take(2)
    row.shut(2)
    row.wait(3_000)
    assert isinstance(row.state, Completed)
    assert [(b.slot, b.serial) for b in row.of(BatteryOut)] == [(2, "FULL-2")]


def test_no_pickup_door_opens_leaves_the_rider_owed() -> None:
    row = Row()
    row.boxes[1].jammed = row.boxes[2].jammed = True
    row.to_opening_pickup()
    for _ in range(6):
        if isinstance(row.state, OpeningPickup):
            row.fire()
        row.wait(3_000)
    assert isinstance(row.state, Faulted)
    assert row.state.reason == "no-full-battery"
    assert len(row.of(BatteryIn)) == 1
    assert not row.of(BatteryOut)


def test_the_pickup_door_waits_while_the_return_door_is_not_shut() -> None:
    row = Row().to_opening_pickup()
    row.fire(opens=False)
    row.boxes[3].door = Door.OPEN
    pulses = len(row.of(Pulse))
    row.wait(30_000)
    assert len(row.of(Pulse)) == pulses
    row.wait(40_000)
    assert isinstance(row.state, Faulted)
    assert row.of(LeftOpen) == [LeftOpen(3)]


def test_an_unknown_door_is_no_shut_door() -> None:
    row = Row().to_await_return()
    row.put(3, "OLD-1")
    row.boxes[3].door = Door.UNKNOWN
    row.wait(5_000)
    assert isinstance(row.state, AwaitReturn)


# --- what the rider does not do -----------------------------------------------------------------


def test_nothing_put_in_is_cancelled_free() -> None:
    row = Row().to_await_return()
    row.shut(3)
    row.look()
    assert isinstance(row.state, ReturnShut)
    row.wait(16_000)
    assert isinstance(row.state, Cancelled)
    assert row.state.reason == "nothing-inserted"
    assert not row.of(BatteryIn)


def test_a_resume_opens_the_return_door_again() -> None:
    row = Row().to_await_return()
    row.shut(3)
    row.look()
    turn = row.feed(Resume(SWAP))
    assert Accepted() in turn.actions
    assert isinstance(row.state, OpeningReturn)
    assert row.of(Pulse)[-1].slot == 3
    assert ranks(row) == sorted(ranks(row))


def test_a_return_door_left_open_ends_in_an_alarm() -> None:
    row = Row().to_await_return()
    row.wait(121_000)
    assert isinstance(row.state, Cancelled)
    assert row.of(LeftOpen) == [LeftOpen(3)]


def test_a_pack_left_behind_an_open_door_is_not_booked() -> None:
    row = Row().to_await_return()
    row.put(3, "OLD-1")
    row.wait(121_000)
    assert isinstance(row.state, Faulted)
    assert row.state.reason == "door-left-open"
    assert not row.of(BatteryIn)


def test_half_inserted_reseats_once_then_gives_back() -> None:
    row = Row().to_verifying(silent=True)
    row.wait(8_500)
    assert isinstance(row.state, OpeningReturn)
    assert row.of(Report)[-1].reason == "reseat"
    row.fire()
    row.look()
    row.shut(3)
    row.look()
    row.wait(8_500)
    assert isinstance(row.state, OpeningBack)
    row.fire()
    row.look()
    row.take(3)
    row.shut(3)
    row.wait(2_500)
    assert isinstance(row.state, Rejected)
    assert row.state.reason == "no-bms"
    assert ranks(row) == sorted(ranks(row))
    assert not row.of(BatteryIn)


def test_reseated_well_the_swap_goes_on() -> None:
    row = Row().to_verifying(silent=True)
    row.wait(8_500)
    row.fire()
    row.look()
    row.boxes[3].silent = False
    row.shut(3)
    row.look()
    row.look()
    assert isinstance(row.state, OpeningPickup)


@pytest.mark.parametrize(
    ("trust", "reason"),
    [
        (Trust.FOREIGN, "foreign-pack"),
        (Trust.DENIED, "denied-pack"),
        (Trust.DUPLICATE, "duplicate-serial"),
    ],
)
def test_a_pack_that_is_not_ours_is_given_back(trust: Trust, reason: str) -> None:
    row = Row().to_verifying(trust=trust)
    row.look()
    assert isinstance(row.state, OpeningBack)
    row.fire()
    row.look()
    row.take(3)
    row.shut(3)
    row.wait(2_500)
    assert isinstance(row.state, Rejected)
    assert row.state.reason == reason
    assert not row.of(BatteryIn)
    assert not row.of(BatteryOut)
    assert [p.slot for p in row.of(Pulse)] == [3, 3]


def test_a_refused_pack_that_is_not_taken_back() -> None:
    row = Row().to_verifying(trust=Trust.FOREIGN)
    row.look()
    row.fire()
    row.look()
    row.shut(3)
    row.wait(60_000)
    turn = row.feed(Resume(SWAP))
    assert isinstance(turn.state, OpeningBack)
    row.fire()
    row.look()
    row.wait(121_000)
    assert isinstance(row.state, Faulted)
    assert row.state.reason == "not-taken-back"


def test_a_technician_may_load_an_unlisted_pack() -> None:
    row = Row().to_await_return(Kind.LOAD)
    row.put(3, "NEW-1", trust=Trust.FOREIGN)
    row.shut(3)
    row.look()
    row.look()
    assert isinstance(row.state, Completed)
    assert "unlisted-pack" in row.of(Report)[-1].detail


def test_another_riders_pack_is_taken_and_noted() -> None:
    row = Row()
    row.start(expected_serial="MINE-1")
    row.fire()
    row.look()
    row.put(3, "YOURS-1")
    row.shut(3)
    row.look()
    row.look()
    assert isinstance(row.state, OpeningPickup)
    assert "other-pack YOURS-1" in row.of(Report)[-1].detail


def test_a_hot_pack_goes_to_quarantine_and_the_swap_goes_on() -> None:
    row = Row().to_verifying(unwell="cell-hot")
    row.look()
    assert isinstance(row.state, OpeningPickup)
    assert row.of(FlagSlot) == [FlagSlot(3, "quarantine", "cell-hot")]


def test_a_pack_put_into_another_slot_is_found_by_its_serial() -> None:
    row = Row().to_await_return()
    row.put(4, "OLD-1")
    row.shut(3)
    row.look()
    row.look()
    assert isinstance(row.state, Verifying)
    row.look()
    assert isinstance(row.state, OpeningPickup)
    assert [(b.slot, b.serial) for b in row.of(BatteryIn)] == [(4, "OLD-1")]
    assert row.of(Report)[-1].job.slot_in == 4


def test_two_strangers_are_not_guessed_at() -> None:
    row = Row()
    row.boxes[5], row.boxes[6] = type(row.boxes[1])(5), type(row.boxes[1])(6)
    row.to_await_return()
    row.put(4, "A")
    row.put(5, "B")
    row.shut(3)
    row.wait(16_000)
    assert isinstance(row.state, Cancelled)


def test_a_full_pack_not_taken_stays_reserved_and_a_resume_opens_again() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.look()
    assert isinstance(row.state, PickupHeld)
    assert row.state.job.slot_out == 1
    row.wait(60_000)
    turn = row.feed(Resume(SWAP))
    assert isinstance(turn.state, OpeningPickup)
    row.fire()
    row.look()
    row.take(1)
    row.shut(1)
    row.wait(3_000)
    assert isinstance(row.state, Completed)
    assert ranks(row) == sorted(ranks(row))


def test_a_full_pack_never_taken_ends_without_booking() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.wait(181_000)
    assert isinstance(row.state, Faulted)
    assert row.state.reason == "not-taken"
    assert not row.of(BatteryOut)


def test_a_pickup_door_left_open_on_the_pack_ends_in_an_alarm() -> None:
    row = Row().to_await_pickup()
    row.wait(121_000)
    assert isinstance(row.state, Faulted)
    assert row.of(LeftOpen) == [LeftOpen(1)]
