"""What happened to the packs while the power was off: found, flagged, mended in custody."""

from __future__ import annotations

import pytest

from cabinet.core.swap_model import AwaitPickup, Completed, Faulted
from protocols.messages import Door, SlotState
from tests.support.cabinet_rig import Hole, Rig

#: Long enough for a change to count as one.
SETTLED_MS = 10_000


def off_and_on(rig: Rig, monotonic_ms: int = 7_000) -> None:
    """The computer starts anew, and its monotonic clock with it."""
    rig.now_ms = monotonic_ms
    rig.boot()
    rig.run(SETTLED_MS)


def moves(rig: Rig) -> list[tuple[str, int, str, str]]:
    """What was told of packs: direction, slot, serial, cause."""
    bodies = [(e.type, b) for e in rig.events() for b in [None] if e.type.startswith("battery")]
    told = iter(rig.bodies("battery.in"))
    gone = iter(rig.bodies("battery.out"))
    found = []
    for kind, _ in bodies:
        body = next(told) if kind == "battery.in" else next(gone)
        found.append((kind.removeprefix("battery."), body.slot, body.serial, body.cause))
    return found


def alarms(rig: Rig) -> set[tuple[str, int | None]]:
    return {(alarm.code, alarm.slot) for alarm in rig.state.durable.alarms}


def check_books(rig: Rig) -> None:
    """The inventory is the truth, and the sum of what was told."""
    here = {slot: hole.serial for slot, hole in rig.holes.items() if hole.serial}
    assert rig.state.durable.inventory == here
    seqs = [event.seq for event in rig.events()]
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_pack_vanished() -> None:
    rig = Rig().ready()
    rig.take(1)
    off_and_on(rig)
    assert moves(rig) == [("out", 1, "YZ48-000001", "vanished")]
    assert alarms(rig) == {("battery-vanished", 1)}
    check_books(rig)


def test_a_pack_appeared() -> None:
    rig = Rig().ready()
    rig.put(4, "NEW-1")
    off_and_on(rig)
    assert moves(rig) == [("in", 4, "NEW-1", "found")]
    assert alarms(rig) == {("battery-appeared", 4)}
    check_books(rig)


def test_a_pack_was_swapped_for_another() -> None:
    """The serial in a slot changed: out with the old one, in with the new one, both flagged."""
    rig = Rig().ready()
    rig.put(1, "OTHER-1", 80)
    off_and_on(rig)
    assert moves(rig) == [
        ("out", 1, "YZ48-000001", "vanished"),
        ("in", 1, "OTHER-1", "found"),
    ]
    assert alarms(rig) == {("battery-vanished", 1), ("battery-appeared", 1)}
    check_books(rig)


def test_a_pack_was_moved_to_another_slot() -> None:
    rig = Rig().ready()
    rig.take(1)
    rig.put(4, "YZ48-000001", 99)
    off_and_on(rig)
    assert moves(rig) == [
        ("out", 1, "YZ48-000001", "vanished"),
        ("in", 4, "YZ48-000001", "found"),
    ]
    check_books(rig)


def test_two_packs_changed_places() -> None:
    rig = Rig().ready()
    rig.put(1, "YZ48-000002", 96)
    rig.put(2, "YZ48-000001", 99)
    off_and_on(rig)
    check_books(rig)
    told = moves(rig)
    assert sorted(told) == [
        ("in", 1, "YZ48-000002", "found"),
        ("in", 2, "YZ48-000001", "found"),
        ("out", 1, "YZ48-000001", "vanished"),
        ("out", 2, "YZ48-000002", "vanished"),
    ]
    holders: dict[str, int] = {"YZ48-000001": 1, "YZ48-000002": 2}
    for direction, slot, serial, _ in told:  # never in two places, and never in one slot together
        if direction == "out":
            assert holders.pop(serial) == slot
        else:
            assert slot not in holders.values()
            holders[serial] = slot


def test_a_pack_that_does_not_name_itself_appeared() -> None:
    rig = Rig().ready()
    rig.put(4, "MUTE-1", silent=True)
    off_and_on(rig, 20_000)
    rig.run(12_000)
    assert moves(rig) == []
    assert alarms(rig) == {("unidentified", 4)}
    slot = rig.engine.telemetry(rig.state, rig.now).slots[3]
    assert slot.state is SlotState.FAULTED
    assert "unidentified" in slot.flags
    assert rig.start().evidence.startswith("slot_in=3 "), "it is not taken for empty"


def test_a_pack_that_is_only_silent_has_not_vanished() -> None:
    rig = Rig().ready()
    rig.holes[1].silent = True
    off_and_on(rig)
    rig.run(60_000, 500)
    assert moves(rig) == []
    assert rig.state.durable.inventory[1] == "YZ48-000001"


def test_an_open_door_hides_what_is_behind_it_until_it_is_shut() -> None:
    rig = Rig().ready()
    rig.put(4, "NEW-1")
    rig.holes[4].door = Door.OPEN
    off_and_on(rig)
    assert moves(rig) == []
    rig.shut(4)
    rig.run(SETTLED_MS)
    assert moves(rig) == [("in", 4, "NEW-1", "found")]


def test_a_flicker_at_start_is_no_movement() -> None:
    rig = Rig().ready()
    serial = rig.holes[1].serial
    rig.now_ms = 7_000
    rig.boot()
    rig.run(500)
    rig.holes[1].serial = None
    rig.run(2_000)
    rig.holes[1].serial = serial
    rig.run(SETTLED_MS)
    assert moves(rig) == []


def test_a_found_pack_is_offered_only_once_it_was_told() -> None:
    rig = Rig()
    rig.holes[1].soc_pct = rig.holes[2].soc_pct = 30
    rig.ready()
    rig.put(4, "NEW-1", 100)
    rig.now_ms = 7_000
    rig.boot()
    rig.run(1_000)
    assert rig.start().reason == "no-full-battery"
    rig.run(SETTLED_MS)
    assert rig.start(swap_id="S2").evidence == "slot_in=3 slot_out=4"


def in_mid_swap() -> Rig:
    rig = Rig(slots=5)
    rig.holes[5] = Hole("YZ48-000005", 97)
    rig.ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.shut(3)
    rig.run(500)
    assert isinstance(rig.state.durable.swap, AwaitPickup)
    return rig


def test_the_promised_pack_was_taken_in_the_dark_and_belongs_to_the_swap() -> None:
    rig = in_mid_swap()
    rig.take(1)
    rig.shut(1)
    off_and_on(rig)
    assert isinstance(rig.state.durable.swap, Completed)
    assert moves(rig)[-1] == ("out", 1, "YZ48-000001", "swap")
    check_books(rig)
    assert not alarms(rig)


def test_another_pack_was_stolen_in_the_dark_and_is_not_the_riders() -> None:
    rig = in_mid_swap()
    rig.take(5)
    off_and_on(rig)
    assert ("out", 5, "YZ48-000005", "vanished") in moves(rig)
    assert rig.bodies("battery.out")[-1].rider_id is None
    assert ("battery-vanished", 5) in alarms(rig)


def test_the_promised_pack_was_exchanged_in_the_dark() -> None:
    rig = in_mid_swap()
    rig.put(1, "STRANGER", 50)
    rig.shut(1)
    off_and_on(rig)
    assert isinstance(rig.state.durable.swap, Completed)
    assert moves(rig)[-2:] == [
        ("out", 1, "YZ48-000001", "swap"),
        ("in", 1, "STRANGER", "found"),
    ]
    check_books(rig)


def test_what_a_faulted_swap_left_is_told_as_its_riders_after_the_power_came_back() -> None:
    rig = in_mid_swap()
    rig.run(121_000, 1_000)
    assert isinstance(rig.state.durable.swap, Faulted)
    rig.take(1)
    rig.shut(1)
    off_and_on(rig)
    out = rig.bodies("battery.out")[-1]
    assert (out.slot, out.swap_id, out.rider_id) == (1, "SWAP-1", "R234567ABCDEF")


@pytest.mark.parametrize("code", ["battery-vanished", "battery-appeared"])
def test_the_flags_stand_until_a_technician_has_looked(code: str) -> None:
    rig = Rig().ready()
    rig.put(1, "OTHER-1", 80)
    off_and_on(rig)
    off_and_on(rig)
    assert (code, 1) in alarms(rig)
    assert rig.command("alarm.clear", {"code": code, "slot": 1}).outcome == "done"
    rig.run(300)
    assert (code, 1) not in alarms(rig)
