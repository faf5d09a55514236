"""Plan against fact, in virtual time: far from the plan, above limits and orders, meters that lie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fleet.core.balance.deviations import LOOKS, METER_MAX, UNRULY_MS
from fleet.core.balance.horizon import Standing
from fleet.runtime.planner import EARLY_GAP_MS
from tests.support.balance_rig import Rig


@pytest.fixture
def rig() -> Rig:
    """Three cabinets that are heard."""
    made = Rig()
    made.everybody()
    return made


async def test_far_from_the_plan_is_planned_anew(rig: Rig) -> None:
    await rig.planner.attempt()
    version = rig.newest("A-1").version
    rig.clock.move(EARLY_GAP_MS)
    for cabinet in ("A-1", "A-2", "B-1"):
        rig.tell(cabinet, version=version, power_w=2_400)
    for _ in range(LOOKS):
        assert not rig.planner.due()
        rig.planner.look()
    assert rig.planner.due()


async def test_what_a_new_plan_did_not_mend_is_not_planned_every_minute(rig: Rig) -> None:
    await rig.planner.attempt()
    rig.clock.move(EARLY_GAP_MS)
    looked = [far_from_the_plan(rig)]
    await rig.planner.attempt()
    rig.clock.move(EARLY_GAP_MS)
    looked.append(far_from_the_plan(rig))
    rig.clock.move(300_000)
    await rig.planner.attempt()
    rig.clock.move(EARLY_GAP_MS)
    looked.append(far_from_the_plan(rig))
    assert looked == [True, False, True], "once from one regular run to the next"


def far_from_the_plan(rig: Rig) -> bool:
    """Nobody takes anything of a plan of 1.5 kW for a minute; whether a run is due."""
    orders = rig.planner.orders
    assert orders is not None
    rig.planner.orders = replace(orders, expected_w=np.full_like(orders.expected_w, 1_500))
    for cabinet in ("A-1", "A-2", "B-1"):
        rig.tell(cabinet, version=rig.newest(cabinet).version, power_w=0.0)
    for _ in range(LOOKS):
        rig.planner.look()
    return rig.planner.due()


async def test_who_has_the_plan_and_takes_more_is_counted_with_what_it_takes(rig: Rig) -> None:
    await rig.planner.attempt()
    rig.clock.move(EARLY_GAP_MS)
    rig.everybody(rig.newest("A-1").version)
    rig.tell("A-1", version=rig.newest("A-1").version, power_w=3_460.0)
    for _ in range(LOOKS):
        assert "unruly" not in rig.planner.alarms
        rig.planner.look()
    assert rig.metric("fleet_balance_alarm", code="unruly") == 1
    assert rig.planner.due(), "others below its feeder must take less"
    await rig.planner.attempt()
    orders = rig.planner.orders
    assert orders is not None
    assert set(rig.newest("A-1").power_w) == {2_000}, "it is offered its safe default"
    assert orders.problem.reserve_w[0].tolist() == [3_400] * 96
    assert orders.problem.feeder_room_w[0] == 5_000 - 3_400 - 2 * 60
    assert rig.planner.state().sites[0].standing is Standing.STUBBORN
    rig.everybody(rig.newest("A-1").version)
    rig.clock.move(UNRULY_MS + 1)
    rig.everybody(rig.newest("A-1").version)
    rig.planner.look()
    assert rig.planner.alarms == {"stale"}, "an hour without a plan, but everybody obeys"
    await rig.planner.attempt()
    assert rig.planner.orders is not None
    assert rig.planner.orders.problem.follows.all()


async def test_a_meter_that_tells_ten_times_too_much_closes_no_feeder_and_pays_no_peak(
    rig: Rig,
) -> None:
    await rig.planner.attempt()
    rig.clock.move(EARLY_GAP_MS)
    rig.everybody(rig.newest("A-1").version)
    rig.tell("A-1", version=rig.newest("A-1").version, power_w=35_000.0)
    for _ in range(LOOKS):
        rig.planner.look()
    assert rig.planner.alarms == {"over-limit", "unruly"}
    rig.clock.move(900_000)
    await rig.planner.attempt()
    orders = rig.planner.orders
    assert orders is not None
    assert orders.problem.feeder_room_w[0] == 5_000 - 3_500 - 2 * 60
    [peak_w] = rig.planner.state().peak_w
    assert peak_w == pytest.approx(METER_MAX * 3_560 + 2 * 500, abs=1)


async def test_a_meter_that_runs_backwards_gives_nobody_room(rig: Rig) -> None:
    await rig.planner.attempt()
    rig.clock.move(EARLY_GAP_MS)
    rig.tell("A-1", power_w=5_200.0)
    rig.tell("A-2", power_w=-9_000.0)
    for _ in range(3):
        rig.planner.look()
    assert "over-limit" in rig.planner.alarms
    rig.clock.move(900_000)
    assert rig.planner.state().peak_w[0] > 0.0


async def test_more_than_a_feeder_carries_is_an_alarm(rig: Rig) -> None:
    await rig.planner.attempt()
    rig.clock.move(EARLY_GAP_MS)
    rig.tell("A-1", power_w=3_000)
    rig.tell("A-2", power_w=2_500)
    for _ in range(3):
        rig.planner.look()
    assert rig.metric("fleet_balance_alarm", code="over-limit") == 1
    assert rig.planner.due()
    rig.tell("A-2", power_w=1_000)
    rig.planner.look()
    assert rig.metric("fleet_balance_alarm", code="over-limit") == 0


async def test_more_than_a_region_may_take_now_is_an_alarm(rig: Rig) -> None:
    for cabinet in rig.planner.grid.ids:
        rig.tell(cabinet, power_w=2_000)
    for _ in range(3):
        rig.planner.look()
    assert rig.planner.alarms == set(), "6 kW of 9"
    rig.clock.move(8 * 3_600_000)  # 18:05: a window of 5 kW
    for _ in range(3):
        rig.planner.look()
    assert rig.planner.alarms == {"over-limit"}
