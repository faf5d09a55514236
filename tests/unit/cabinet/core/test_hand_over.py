"""What a pack told of itself goes with it: charge, capacity and cycles at the hand-over."""

from __future__ import annotations

import pytest

from protocols.messages import BatteryBody
from tests.support.cabinet_rig import Rig


def handed_over(rig: Rig, **start: str) -> BatteryBody:
    """The booking of the full pack of a whole swap; the pack of slot 3 came back."""
    rig.whole_swap(**start)
    body = rig.bodies("battery.out")[-1]
    assert isinstance(body, BatteryBody)
    return body


def aged(rig: Rig, slot: int, soc_pct: int, capacity_ah: float, cycles: int) -> None:
    hole = rig.holes[slot]
    hole.soc_pct, hole.capacity_ah, hole.cycles = soc_pct, capacity_ah, cycles
    rig.run(500)


def test_the_full_pack_goes_with_its_charge_and_its_age() -> None:
    rig = Rig().ready()
    aged(rig, 1, 97, 23.456, 312)
    out = handed_over(rig)
    assert (out.soc_pct, out.capacity_ah, out.cycles) == (97, 23.46, 312)


def test_the_returned_pack_comes_with_its_age() -> None:
    rig = Rig().ready()
    assert rig.start().outcome == "accepted"
    rig.run(300)
    rig.put(3, "OLD-1", soc_pct=14, capacity_ah=20.0, cycles=7)
    rig.run(200)
    rig.shut(3)
    rig.run(500)
    (back,) = rig.bodies("battery.in")
    assert (back.soc_pct, back.capacity_ah, back.cycles) == (14, 20.0, 7)


@pytest.mark.parametrize(("capacity_ah", "cycles"), [(0.0, 9), (-1.0, 9), (5_000.0, 9), (20.0, -1)])
def test_what_cannot_be_is_not_known(capacity_ah: float, cycles: int) -> None:
    rig = Rig().ready()
    aged(rig, 1, 97, capacity_ah, cycles)
    out = handed_over(rig)
    assert (out.soc_pct, out.capacity_ah, out.cycles) == (97, None, None)


def test_an_impossible_charge_is_not_known() -> None:
    rig = Rig().ready()
    aged(rig, 1, 97, 20.0, 3)
    rig.start()
    rig.run(300)
    rig.holes[1].soc_pct = 255  # promised already
    rig.put(3, "OLD-1")
    rig.run(200)
    rig.shut(3)
    rig.run(500)
    rig.take(1)
    rig.run(1_000)
    (out,) = rig.bodies("battery.out")
    assert (out.soc_pct, out.capacity_ah) == (None, 20.0)


def test_it_survives_a_restart_between_the_opening_and_the_taking() -> None:
    rig = Rig().ready()
    aged(rig, 1, 96, 22.0, 5)
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.run(200)
    rig.shut(3)
    rig.run(500)
    rig.take(1)  # while nobody looks
    rig.boot()
    rig.run(3_000)
    (out,) = rig.bodies("battery.out")
    assert (out.serial, out.soc_pct, out.cycles) == (rig_serial(rig), 96, 5)


def rig_serial(rig: Rig) -> str:
    """The pack that stood in slot 1."""
    told = rig.bodies("inventory")[0].slots
    return next(each.serial for each in told if each.slot == 1)
