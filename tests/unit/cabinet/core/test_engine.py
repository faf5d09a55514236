"""The engine over a toy cabinet: start, swaps, inventory, power, alarms."""

from __future__ import annotations

from cabinet.core.engine_model import (
    CommandReceived,
    Observed,
    decode_durable,
)
from cabinet.core.model import (
    Image,
    Input,
    Output,
    SetCharger,
    SetOutput,
    SetSlotAc,
    Unlock,
    UnlockResult,
)
from cabinet.core.records import JournalRow, Lists, Restored, SnapshotRow
from cabinet.core.swap_model import (
    AwaitPickup,
    AwaitReturn,
    Completed,
    Faulted,
    OpeningPickup,
    OpeningReturn,
)
from protocols.messages import Door, Kind, SlotState
from tests.support.cabinet_rig import Hole, Rig

SMOKE = "smoke"


# --- start --------------------------------------------------------------------------------------


def test_nothing_is_powered_before_the_cabinet_has_been_read_once() -> None:
    rig = Rig()
    rig.holes[1].blind = True
    first = rig.feed(Observed(Image(slots=())))
    assert SetOutput(Output.CONTACTOR, on=False) in first.effects
    rig.holes[1].contact_ms = 0
    rig.run(2_000)
    assert not rig.state.ready
    assert not any(e.on for e in rig.of(SetSlotAc))
    assert not any(e.on for e in rig.of(SetCharger))
    rig.holes[1].blind = False
    rig.run(200)
    assert rig.state.ready
    assert rig.outputs[Output.CONTACTOR]


def test_a_dead_board_does_not_hold_the_start_up_for_ever() -> None:
    rig = Rig()
    rig.holes[4].blind = True
    rig.run(6_500)
    assert rig.state.ready


def test_boot_and_inventory_are_told_first_and_a_new_journal_adopts_what_stands_there() -> None:
    rig = Rig().ready()
    assert [e.type for e in rig.events()][:2] == ["boot", "inventory"]
    assert [e.seq for e in rig.events()] == list(range(1, len(rig.events()) + 1))
    inventory = rig.bodies("inventory")[0]
    assert [(s.slot, s.serial) for s in inventory.slots if s.serial] == [
        (1, "YZ48-000001"),
        (2, "YZ48-000002"),
    ]
    rig.run(10_000)
    assert not rig.events("battery.in")
    assert rig.state.durable.inventory == {1: "YZ48-000001", 2: "YZ48-000002"}


def test_a_pack_that_tells_its_name_late_is_no_alarm() -> None:
    rig = Rig()
    rig.holes[2].silent = True
    rig.run(6_500)
    assert rig.state.ready
    assert rig.state.durable.inventory == {1: "YZ48-000001"}
    rig.holes[2].silent = False
    rig.run(500)
    assert [(b.slot, b.serial, b.cause) for b in rig.bodies("battery.in")] == [
        (2, "YZ48-000002", "found")
    ]
    assert not [b for b in rig.bodies("alarm") if b.code == "battery-appeared"]


# --- a swap -------------------------------------------------------------------------------------


def test_a_whole_swap_from_command_to_ledger_events() -> None:
    rig = Rig().ready().whole_swap(expected_serial="OLD-1")
    assert isinstance(rig.state.durable.swap, Completed)
    assert rig.steps() == [
        "reserved", "opening-return", "await-return", "verifying",
        "opening-pickup", "await-pickup", "await-close", "completed",
    ]  # fmt: skip
    (into,) = rig.bodies("battery.in")
    (out,) = rig.bodies("battery.out")
    assert (into.slot, into.serial, into.swap_id, into.cause) == (3, "OLD-1", "SWAP-1", "swap")
    assert (out.slot, out.serial, out.swap_id, out.cause) == (1, "YZ48-000001", "SWAP-1", "swap")
    assert rig.state.durable.inventory == {2: "YZ48-000002", 3: "OLD-1"}
    rig.run(60_000)
    assert len(rig.events("battery.in")) == len(rig.events("battery.out")) == 1
    assert not rig.bodies("alarm")


def test_the_pulse_is_on_the_disk_before_it_is_on_the_wire() -> None:
    rig = Rig().ready()
    order = rig.order("swap.start", {"kind": "swap", "rider_id": "R2"}, swap_id="S")
    outcome = rig.engine.step(rig.state, CommandReceived(order), rig.now)
    (unlock,) = rig.of(Unlock, outcome.effects)
    snapshot = next(row for row in outcome.writes if isinstance(row, SnapshotRow))
    swap = decode_durable(snapshot.data).swap
    assert isinstance(swap, OpeningReturn)
    assert swap.door.attempt == unlock.attempt
    assert any(isinstance(r, JournalRow) and r.kind == "unlock" for r in outcome.writes)


def test_reserved_slots_do_not_charge_and_the_returned_pack_does() -> None:
    rig = Rig()
    rig.holes[4] = Hole("YZ48-000004", 40)
    rig.ready().run(3_000)
    assert rig.chargers[4].on
    rig.whole_swap()
    assert rig.chargers[3].on
    assert not rig.chargers[1].on
    rig.start(Kind.UNLOAD, "SWAP-2", slot=4)
    assert not rig.chargers[4].on


def test_the_charger_is_off_before_the_door_opens() -> None:
    rig = Rig()
    rig.holes[4] = Hole("YZ48-000004", 40)
    rig.ready().run(3_000)
    before = len(rig.effects)
    rig.start(Kind.UNLOAD, "SWAP-2", slot=4)
    kinds = [type(e) for e in rig.effects[before:] if getattr(e, "slot", None) == 4]
    assert kinds.index(SetCharger) < kinds.index(Unlock)


def test_an_unlisted_pack_is_given_back_and_never_booked() -> None:
    known = frozenset({"YZ48-000001", "YZ48-000002"})
    rig = Rig(restored=Restored(lists=Lists(version=1, packs=known)))
    rig.ready().start()
    rig.run(300)
    rig.put(3, "STRANGER")
    rig.shut(3)
    rig.run(500)
    assert rig.steps()[-1] == "giving-back"
    rig.take(3)
    rig.shut(3)
    rig.run(3_000)
    assert rig.steps()[-1] == "rejected"
    assert not rig.events("battery.in")
    assert not any(e.slot == 3 and e.on for e in rig.of(SetCharger))


def test_a_hot_pack_is_quarantined_and_stays_so() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1", temp_c=55.0)
    rig.shut(3)
    rig.run(500)
    assert isinstance(rig.state.durable.swap, AwaitPickup | OpeningPickup)
    assert rig.state.durable.quarantine == {3: "cell-hot"}
    flags = [(f.slot, f.flag, f.active) for f in rig.bodies("slot.flag")]
    assert flags == [(3, "quarantine", True)]
    rig.take(1)
    rig.shut(1)
    rig.run(3_000)
    rig.holes[3].temp_c = 25.0
    rig.run(20_000)
    assert not rig.chargers[3].on
    assert rig.engine.telemetry(rig.state, rig.now).slots[2].state is SlotState.QUARANTINE
    assert rig.command("slot.service-on", {"slot": 3}).outcome == "done"
    rig.run(5_000)
    assert rig.chargers[3].on


def test_smoke_in_mid_swap_locks_all_and_cuts_the_power_at_once() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.contacts[Input.SMOKE] = True
    rig.now_ms += 100
    outcome = rig.feed(Observed(rig.image()))
    assert outcome.effects[0] == SetOutput(Output.CONTACTOR, on=False)
    assert SetOutput(Output.SIREN, on=True) in outcome.effects
    assert isinstance(rig.state.durable.swap, Faulted)
    assert rig.state.durable.swap.reason == SMOKE
    assert [b.code for b in rig.bodies("alarm")] == [SMOKE]
    unlocks = len(rig.of(Unlock))
    assert rig.start(swap_id="SWAP-2").reason == "doors-locked"
    assert rig.command("slot.open", {"slot": 4}).reason == "doors-locked"
    rig.run(5_000)
    assert len(rig.of(Unlock)) == unlocks
    assert not any(on for on in rig.ac.values())


def test_a_trip_outlives_a_restart_and_only_a_technician_clears_it() -> None:
    rig = Rig().ready()
    rig.contacts[Input.SMOKE] = True
    rig.run(300)
    rig.boot()
    rig.run(1_000)
    assert not rig.outputs[Output.CONTACTOR]
    assert rig.command("alarm.clear", {"code": SMOKE}).reason == "cause-stands"
    rig.contacts[Input.SMOKE] = False
    rig.run(1_000)
    assert not rig.outputs[Output.CONTACTOR]
    assert rig.command("alarm.clear", {"code": SMOKE}).outcome == "done"
    rig.run(500)
    assert rig.outputs[Output.CONTACTOR]
    edges = [(b.code, b.active) for b in rig.bodies("alarm") if b.code == SMOKE]
    assert edges == [(SMOKE, True), (SMOKE, False)]


# --- restart ------------------------------------------------------------------------------------


def test_a_restart_in_mid_swap_takes_it_up_and_says_so() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    assert isinstance(rig.state.durable.swap, AwaitReturn)
    rig.boot()
    rig.put(3, "OLD-1")
    rig.shut(3)
    rig.run(500)
    assert rig.bodies("boot")[-1].resumed == "SWAP-1"
    rig.run(500)
    rig.take(1)
    rig.shut(1)
    rig.run(3_000)
    assert isinstance(rig.state.durable.swap, Completed)
    assert len(rig.events("battery.in")) == len(rig.events("battery.out")) == 1
    seqs = [e.seq for e in rig.events()]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_pack_that_came_or_went_while_the_power_was_off() -> None:
    rig = Rig().ready()
    rig.take(1)
    rig.put(4, "FOUND-1")
    rig.boot()
    rig.run(10_000)
    assert [(b.slot, b.cause) for b in rig.bodies("battery.out")] == [(1, "vanished")]
    assert [(b.slot, b.cause, b.swap_id) for b in rig.bodies("battery.in")] == [(4, "found", None)]
    codes = sorted((b.code, b.slot) for b in rig.bodies("alarm"))
    assert codes == [("battery-appeared", 4), ("battery-vanished", 1)]
    assert rig.command("alarm.clear", {"code": "battery-vanished"}).outcome == "done"
    rig.run(300)
    assert [a.code for a in rig.state.durable.alarms] == ["battery-appeared"]


def test_a_silent_bms_is_no_vanished_pack() -> None:
    rig = Rig().ready()
    rig.holes[1].silent = True
    rig.run(30_000)
    assert not rig.events("battery.out")
    assert rig.engine.telemetry(rig.state, rig.now).slots[0].flags == ("unidentified",)


def test_a_pack_exchanged_for_another_is_told_out_before_in() -> None:
    rig = Rig().ready()
    rig.put(1, "OTHER-1")
    rig.run(10_000)
    kinds = [e.type for e in rig.events() if e.type.startswith("battery")]
    assert kinds == ["battery.out", "battery.in"]
    assert rig.state.durable.inventory[1] == "OTHER-1"


def test_what_is_left_of_a_faulted_swap_is_its_riders() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.run(121_000, 1_000)
    assert isinstance(rig.state.durable.swap, Faulted)
    rig.shut(3)
    rig.run(10_000)
    (found,) = rig.bodies("battery.in")
    assert (found.cause, found.swap_id, found.rider_id) == ("found", "SWAP-1", "R234567ABCDEF")


# --- duplicates, flags, alarms ------------------------------------------------------------------


def test_a_serial_seen_twice_is_neither_charged_nor_offered() -> None:
    rig = Rig()
    rig.holes[2] = Hole("YZ48-000001", 40)
    rig.ready().run(3_000)
    assert rig.start().reason == "no-full-battery"
    assert not any(order.on for order in rig.chargers.values())
    slots = rig.engine.telemetry(rig.state, rig.now).slots
    assert "duplicate" in slots[0].flags
    assert "duplicate" in slots[1].flags
    assert {(b.code, b.slot) for b in rig.bodies("alarm")} == {
        ("duplicate-serial", 1),
        ("duplicate-serial", 2),
    }


def test_a_clone_of_a_pack_that_stands_here_is_refused() -> None:
    rig = Rig().ready()
    rig.holes[2].silent = True
    rig.run(6_000)
    rig.start()
    rig.run(300)
    rig.put(3, "YZ48-000002")
    rig.shut(3)
    rig.run(500)
    assert rig.steps()[-1] == "giving-back"
    assert rig.bodies("swap.step")[-1].reason == "duplicate-serial"


def test_an_unreadable_serial_is_neither_charged_nor_offered() -> None:
    rig = Rig()
    rig.holes[1] = Hole("bad serial!", 99)
    rig.holes[2] = Hole("", 40)
    rig.run(10_000)
    assert rig.start().reason == "no-full-battery"
    assert not any(order.on for order in rig.chargers.values())


def test_slot_flags_come_and_go_once() -> None:
    rig = Rig().ready()
    for _ in range(2):
        assert rig.command("slot.service-off", {"slot": 1}).outcome == "done"
        rig.run(300)
    assert rig.engine.telemetry(rig.state, rig.now).slots[0].state is SlotState.OUT_OF_SERVICE
    rig.boot()
    rig.run(500)
    assert rig.start().evidence == "slot_in=3 slot_out=2"
    assert rig.command("slot.service-off", {"slot": 2}).reason == "busy"
    assert rig.command("slot.service-on", {"slot": 1}).outcome == "done"
    assert [(f.flag, f.active) for f in rig.bodies("slot.flag")] == [
        ("out-of-service", True),
        ("out-of-service", False),
    ]


def test_a_jammed_door_goes_out_of_service_with_an_alarm() -> None:
    rig = Rig().ready()
    rig.holes[3].jammed = True
    rig.start()
    rig.run(12_000)
    assert rig.state.durable.out_of_service == {3: "door-stuck"}
    assert ("door-stuck", 3) in {(a.code, a.slot) for a in rig.state.durable.alarms}
    assert rig.holes[4].door is Door.OPEN
    rig.holes[4].door = Door.CLOSED
    rig.run(20_000)
    assert rig.command("slot.service-on", {"slot": 3}).outcome == "done"
    rig.run(300)
    assert "door-stuck" not in {a.code for a in rig.state.durable.alarms}


def test_a_door_left_open_is_an_alarm_until_it_is_shut() -> None:
    rig = Rig().ready()
    rig.start()
    rig.run(122_000, 1_000)
    edges = [(b.code, b.slot, b.active) for b in rig.bodies("alarm")]
    assert edges == [("door-left-open", 3, True)]
    rig.shut(3)
    rig.run(1_000)
    edges = [(b.code, b.slot, b.active) for b in rig.bodies("alarm")]
    assert edges[1:] == [("door-left-open", 3, False)]


def test_an_offline_device_is_an_alarm_with_its_name() -> None:
    rig = Rig().ready()
    rig.offline = frozenset({"charger-03"})
    rig.run(500)
    rig.offline = frozenset()
    rig.run(500)
    edges = [(b.code, b.active) for b in rig.bodies("alarm")]
    assert edges == [("offline-charger-03", True), ("offline-charger-03", False)]


# --- manual opening -----------------------------------------------------------------------------


def test_a_technician_opens_a_slot_and_takes_the_pack() -> None:
    rig = Rig().ready()
    result = rig.command("slot.open", {"slot": 1})
    assert result.outcome == "accepted"
    rig.run(100)
    assert rig.replies[-1].outcome == "done"
    assert rig.replies[-1].id == result.id
    rig.take(1)
    rig.run(5_000)
    assert [(b.slot, b.cause) for b in rig.bodies("battery.out")] == [(1, "technician")]
    assert not rig.bodies("alarm")


def test_a_lock_that_refuses_fails_the_opening() -> None:
    rig = Rig(answer=UnlockResult.REFUSED).ready()
    rig.command("slot.open", {"slot": 1})
    assert (rig.replies[-1].outcome, rig.replies[-1].reason) == ("failed", "lock-refused")


def test_no_manual_opening_during_a_swap() -> None:
    rig = Rig().ready()
    rig.start()
    assert rig.command("slot.open", {"slot": 2}).reason == "busy"
