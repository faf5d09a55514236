"""One test for every case of a swap cabinet's transaction, named after the case."""

from __future__ import annotations

import pytest

from cabinet.core.model import Input, SetCharger, Unlock, UnlockResult
from cabinet.core.records import Lists, Restored
from cabinet.core.swap_model import (
    Alarm,
    AwaitPickup,
    AwaitReturn,
    BatteryIn,
    BatteryOut,
    Cancelled,
    Completed,
    Faulted,
    FlagSlot,
    OpeningBack,
    OpeningPickup,
    OpeningReturn,
    PickupHeld,
    Prompt,
    Pulse,
    Rejected,
    Report,
    Start,
    SwapLimits,
    Trust,
    Verifying,
)
from protocols.messages import Door, Kind, Presence
from tests.support.cabinet_rig import Hole, Rig
from tests.support.swapping import RIDER, SWAP, Box, Row, refusal


def alarms(rig: Rig) -> set[tuple[str, int | None]]:
    return {(alarm.code, alarm.slot) for alarm in rig.state.durable.alarms}


# --- before any door moves ----------------------------------------------------------------------


def test_eligibility_is_checked_before_any_door_moves() -> None:
    lists = Lists(version=1, packs=frozenset(), denied_riders=frozenset({RIDER}))
    rig = Rig(restored=Restored(lists=lists)).ready()
    assert rig.start().reason == "denied-rider"
    assert not rig.of(Unlock)


def test_no_full_battery() -> None:
    rig = Rig()
    rig.holes[1].soc_pct = rig.holes[2].soc_pct = 40
    assert rig.ready().start().reason == "no-full-battery"
    assert not rig.of(Unlock)


def test_no_empty_slot() -> None:
    rig = Rig()
    rig.holes[3], rig.holes[4] = Hole("YZ48-000003", 40), Hole("YZ48-000004", 40)
    assert rig.ready().start().reason == "no-empty-slot"
    assert not rig.of(Unlock)


@pytest.mark.parametrize("kind", [Kind.RETURN, Kind.LOAD])
def test_the_last_empty_slot_is_kept(kind: Kind) -> None:
    row = Row()
    row.put(4, "X-4")
    assert refusal(row.start(kind)) == "last-empty-slot"
    assert not row.of(Pulse)
    assert isinstance(row.start(Kind.SWAP).state, OpeningReturn), "a swap leaves another one empty"


def test_the_last_empty_slot_is_kept_from_a_named_load_too() -> None:
    row = Row()
    row.put(4, "X-4")
    assert refusal(row.start(Kind.LOAD, slot=3)) == "last-empty-slot"
    row.take(4)
    assert isinstance(row.start(Kind.LOAD, slot=3).state, OpeningReturn)


def test_how_many_empty_slots_are_kept_is_a_named_limit() -> None:
    assert SwapLimits().keep_empty == 1


def test_two_riders_at_once_one_cabinet_serves_one() -> None:
    rig = Rig().ready()
    assert rig.start(swap_id="S1").outcome == "accepted"
    assert rig.start(swap_id="S2", rider_id="R2").reason == "busy"
    assert len(rig.of(Unlock)) == 1


def test_a_double_tap_is_one_swap() -> None:
    rig = Rig().ready()
    order = rig.order("swap.start", {"kind": "swap", "rider_id": RIDER}, swap_id="S1")
    first, second = rig.send(order), rig.send(order)
    assert (first.outcome, first.evidence) == (second.outcome, second.evidence)
    assert rig.start(swap_id="S1").outcome == "accepted", "a new command for the same swap"
    assert len(rig.of(Unlock)) == 1


def test_the_assigned_empty_slot_turns_out_occupied() -> None:
    row = Row()
    row.start()
    row.put(3, "SURPRISE")
    row.fire(fired=False)
    row.look()
    assert row.of(Pulse)[-1].slot == 4
    assert row.of(Report)[-1].reason == "occupied"
    assert row.of(Alarm) == [Alarm(3, "slot-occupied")]


def test_an_occupied_slot_is_an_alarm_and_its_pack_is_found() -> None:
    rig = Rig(slots=5, answer=UnlockResult.REFUSED).ready()
    rig.start()
    rig.put(3, "SURPRISE")
    rig.run(200)
    rig.answer = UnlockResult.SENT
    rig.run(1_000)
    assert ("slot-occupied", 3) in alarms(rig)
    assert isinstance(rig.state.durable.swap, AwaitReturn)
    assert rig.state.durable.swap.job.slot_in == 4
    rig.shut(4)
    rig.run(25_000, 500)
    assert isinstance(rig.state.durable.swap, Cancelled)
    assert rig.state.durable.inventory[3] == "SURPRISE"


# --- doors --------------------------------------------------------------------------------------


def test_a_door_that_does_not_open_is_retried_then_left_for_another_slot() -> None:
    rig = Rig().ready()
    rig.holes[3].jammed = True
    rig.start()
    rig.run(12_000)
    assert [u.slot for u in rig.of(Unlock)] == [3, 3, 3, 4]
    assert rig.state.durable.out_of_service == {3: "door-stuck"}
    assert ("door-stuck", 3) in alarms(rig)


def test_a_door_left_open_is_said_then_an_alarm() -> None:
    row = Row().to_await_return()
    row.wait(31_000)
    assert row.of(Prompt)[-1].prompt == "insert-battery"
    row = Row().to_await_close()
    row.wait(31_000)
    assert row.of(Prompt)[-1].prompt == "close-door"
    rig = Rig().ready()
    rig.start()
    rig.run(122_000, 1_000)
    assert alarms(rig) == {("door-left-open", 3)}


def test_a_pack_behind_an_open_door_is_not_charged() -> None:
    rig = Rig()
    rig.holes[4] = Hole("YZ48-000004", 40)
    rig.ready().run(3_000)
    assert rig.chargers[4].on
    rig.holes[4].door = Door.OPEN
    before = len(rig.effects)
    rig.run(3_000)
    assert not rig.chargers[4].on
    assert SetCharger(4, on=False) in rig.effects[before:]


def test_the_next_swap_may_use_other_slots_than_the_one_left_open() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(122_000, 1_000)
    assert rig.holes[3].door is Door.OPEN
    assert rig.start(swap_id="SWAP-2", rider_id="R2").evidence == "slot_in=4 slot_out=1"


# --- what the rider puts in ---------------------------------------------------------------------


def test_nothing_inserted_is_cancelled_free() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.shut(3)
    rig.run(20_000, 500)
    assert isinstance(rig.state.durable.swap, Cancelled)
    assert not rig.events("battery.in")
    assert rig.state.durable.inventory == {1: "YZ48-000001", 2: "YZ48-000002"}


def test_half_inserted_is_plugged_in_once_more_then_given_back() -> None:
    row = Row().to_verifying(silent=True)
    row.wait(8_500)
    assert isinstance(row.state, OpeningReturn)
    row.fire()
    row.look()
    row.shut(3)
    row.look()
    row.wait(8_500)
    assert isinstance(row.state, OpeningBack)
    assert row.state.reason == "no-bms"


def test_a_bms_that_never_answers_is_not_charged_meanwhile() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1", silent=True)
    rig.shut(3)
    rig.run(30_000, 500)
    assert not any(e.slot == 3 and e.on for e in rig.of(SetCharger))


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"trust": Trust.FOREIGN}, "foreign-pack"),
        ({"trust": Trust.DENIED}, "denied-pack"),
        ({"trust": Trust.DUPLICATE}, "duplicate-serial"),
        ({"unwell": "wrong-pack"}, "wrong-pack"),
    ],
)
def test_a_foreign_blocked_or_wrong_pack_is_given_back_and_its_serial_logged(
    more: dict[str, object], reason: str
) -> None:
    row = Row().to_verifying(**more)
    row.look()
    assert isinstance(row.state, OpeningBack)
    told = row.of(Report)[-1]
    assert (told.reason, told.detail) == (reason, "OLD-1")
    row.fire()
    row.look()
    row.take(3)
    row.shut(3)
    row.wait(2_500)
    assert isinstance(row.state, Rejected)
    assert not row.of(BatteryIn)
    assert not row.of(FlagSlot)


def test_a_pack_of_fewer_cells_is_wrong_through_the_whole_engine() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1", cells=10)
    rig.shut(3)
    rig.run(500)
    assert rig.bodies("swap.step")[-1].reason == "wrong-pack"
    assert not any(e.slot == 3 and e.on for e in rig.of(SetCharger))


def test_a_battery_of_another_rider_is_accepted_and_flagged() -> None:
    rig = Rig().ready().whole_swap("YOURS-1", expected_serial="MINE-1")
    assert isinstance(rig.state.durable.swap, Completed)
    notes = [body.detail for body in rig.bodies("swap.step") if body.detail]
    assert notes == ["other-pack YOURS-1"]
    assert rig.bodies("battery.in")[0].serial == "YOURS-1"


@pytest.mark.parametrize("how", [{"temp_c": 55.0}, {"protection": frozenset({"short-circuit"})}])
def test_a_hot_or_damaged_pack_goes_to_quarantine_and_is_never_charged(how: dict) -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1", **how)
    rig.shut(3)
    rig.run(500)
    assert 3 in rig.state.durable.quarantine
    assert isinstance(rig.state.durable.swap, OpeningPickup | AwaitPickup), "the rider rides on"
    rig.run(5_000)
    assert not any(e.slot == 3 and e.on for e in rig.of(SetCharger))


def test_the_wrong_slot_is_found_by_its_serial_and_rebound() -> None:
    rig = Rig().ready()
    rig.holes[4].door = Door.OPEN  # left open by somebody
    rig.start()
    rig.run(300)
    rig.put(4, "OLD-1")
    rig.shut(4)
    rig.shut(3)
    rig.run(1_000)
    assert [(b.slot, b.swap_id) for b in rig.bodies("battery.in")] == [(4, "SWAP-1")]
    assert "wrong-slot 3->4" in [body.detail for body in rig.bodies("swap.step")]


def test_a_pack_that_stood_in_another_slot_before_is_not_taken_for_the_riders() -> None:
    row = Row()
    row.put(4, "STRANGER")
    row.start()
    row.fire()
    row.look()
    row.shut(3)
    row.wait(16_000)
    assert isinstance(row.state, Cancelled)
    assert row.state.reason == "nothing-inserted"
    assert not row.of(BatteryIn)


# --- what the rider takes -----------------------------------------------------------------------


def test_a_full_battery_not_taken_is_locked_in_and_kept_and_opens_again() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.shut(3)
    rig.run(500)
    rig.shut(1)
    rig.run(500)
    assert isinstance(rig.state.durable.swap, PickupHeld)
    assert rig.start(swap_id="S2", rider_id="R2").reason == "busy"
    assert rig.command("swap.resume", swap_id="SWAP-1").outcome == "accepted"
    assert rig.holes[1].door is Door.OPEN


def test_an_orphan_return_is_told_when_the_full_battery_is_never_taken() -> None:
    row = Row().to_await_pickup()
    row.shut(1)
    row.wait(181_000)
    assert isinstance(row.state, Faulted)
    assert row.of(Report)[-1].reason == "not-taken"
    assert [b.serial for b in row.of(BatteryIn)] == ["OLD-1"]
    assert not row.of(BatteryOut)


def test_a_rider_without_a_pack_takes_one_and_owes_it() -> None:
    rig = Rig().ready()
    rig.start(Kind.PICKUP)
    rig.run(300)
    rig.take(1)
    rig.shut(1)
    rig.run(3_000)
    (out,) = rig.bodies("battery.out")
    assert (out.serial, out.rider_id, out.cause) == ("YZ48-000001", RIDER, "swap")


# --- power, network, order ----------------------------------------------------------------------


@pytest.mark.parametrize("where", ["return", "pickup"])
def test_power_cut_in_mid_swap(where: str) -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    if where == "pickup":
        rig.put(3, "OLD-1")
        rig.shut(3)
        rig.run(500)
        rig.take(1)
        rig.shut(1)
    else:
        rig.put(3, "OLD-1")
        rig.shut(3)
    rig.now_ms = 5_000  # the monotonic clock starts anew with the computer
    rig.boot()
    rig.run(4_000)
    assert rig.bodies("boot")[-1].resumed == "SWAP-1"
    if where == "return":
        rig.take(1)
        rig.shut(1)
        rig.run(4_000)
    assert isinstance(rig.state.durable.swap, Completed)
    assert rig.state.durable.inventory == {2: "YZ48-000002", 3: "OLD-1"}
    assert len(rig.events("battery.in")) == len(rig.events("battery.out")) == 1


def test_a_swap_finishes_with_the_fleet_away() -> None:
    """After the order nothing is heard from the fleet, and the wall clock is not trusted."""
    rig = Rig(synced=False).ready().whole_swap()
    assert isinstance(rig.state.durable.swap, Completed)
    assert len(rig.events("battery.in")) == len(rig.events("battery.out")) == 1


def test_late_and_repeated_commands_move_nothing() -> None:
    rig = Rig().ready()
    order = rig.order("swap.start", {"kind": "swap", "rider_id": RIDER}, swap_id="SWAP-1")
    rig.send(order)
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.shut(3)
    rig.run(500)
    rig.take(1)
    rig.shut(1)
    rig.run(4_000)
    pulses = len(rig.of(Unlock))
    rig.send(order)
    late = rig.order("swap.resume", swap_id="SWAP-1")
    rig.now_ms += 20_000
    assert rig.send(late).reason == "stale-nonce"
    assert rig.command("swap.cancel", swap_id="SWAP-1").reason == "no-swap"
    assert len(rig.of(Unlock)) == pulses


def test_reports_never_go_back() -> None:
    row = Row().to_await_return()
    row.shut(3)
    row.look()
    row.feed(Start(SWAP, Kind.SWAP, RIDER))
    row.restart()
    row.wait(3_000)
    ranks = [report.step for report in row.of(Report)]
    assert ranks[-1].value == "await-return"


@pytest.mark.parametrize("danger", ["smoke", "over-temperature"])
def test_smoke_or_heat_in_mid_swap(danger: str) -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    if danger == "smoke":
        rig.contacts[Input.SMOKE] = True
    else:
        rig.holes[2].temp_c = 85.0
    rig.run(300)
    swap = rig.state.durable.swap
    assert isinstance(swap, Faulted)
    assert rig.start(swap_id="S2").reason == "doors-locked"
    assert not any(on for on in rig.ac.values())
    rig.shut(3)
    pulses = len(rig.of(Unlock))
    rig.run(10_000)
    assert len(rig.of(Unlock)) == pulses


def test_a_flickering_switch_proves_nothing() -> None:
    row = Row().to_await_pickup()
    row.boxes[1].presence = Presence.ABSENT
    row.wait(5_000)
    assert not row.of(BatteryOut)
    row = Row()
    row.boxes[5] = Box(5, serial="X-5", presence=Presence.ABSENT)
    assert isinstance(row.start().state, OpeningReturn)
    assert row.of(Pulse)[-1].slot == 3


def test_a_pack_is_verified_by_a_reading_from_after_the_door_shut() -> None:
    row = Row().to_await_return()
    row.put(3, "OLD-1")
    row.look()
    row.boxes[3].silent = True
    row.shut(3)
    row.look()
    assert isinstance(row.state, Verifying)
    row.wait(2_000)
    assert isinstance(row.state, Verifying)
