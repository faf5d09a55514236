"""The balance loop in virtual time: late and failed runs, silence, restarts, early runs, the curve."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any

import pytest

from fleet.core.balance.instance import Instance, Plan
from fleet.core.templates import Settings
from fleet.errors import NotFoundError
from fleet.runtime.balance import BalanceService
from fleet.runtime.live import LivePicture
from fleet.runtime.outlook import Outlook
from fleet.runtime.planner import EARLY_GAP_MS, LATE_SHARE
from protocols.fastclock import FastClock
from protocols.messages import OWN_POWER_W
from tests.support.balance_rig import GRID, NOW_MS, NoRows, Rig, half_power, until


@pytest.fixture
def rig() -> Rig:
    """Three cabinets that are heard."""
    made = Rig()
    made.everybody()
    return made


def service_of(rig: Rig) -> BalanceService:
    """What pages ask."""
    outlook = Outlook(rig.planner, LivePicture(NoRows(), rig.clock))
    return BalanceService(rig.planner, rig.clock, outlook)


async def test_a_run_keeps_then_publishes_and_cabinets_acknowledge(rig: Rig) -> None:
    await rig.planner.attempt()
    assert {plan.cabinet for plan in rig.published} == {"A-1", "A-2", "B-1"}
    [version] = {plan.version for plan in rig.published}
    assert {cabinet: row[0] for cabinet, row in rig.saved[-1].items()} == dict.fromkeys(
        ("A-1", "A-2", "B-1"), version
    )
    rig.planner.look()
    assert rig.metric("fleet_balance_acknowledged_cabinets") == 0
    rig.tell("A-1", version=version)
    rig.planner.look()
    assert rig.metric("fleet_balance_acknowledged_cabinets") == 1
    assert rig.metric("fleet_balance_planned_cabinets") == 3
    assert rig.metric("fleet_balance_actual_watts") == 1_500
    assert rig.metric("fleet_balance_runs_total", result="done") == 1


async def test_versions_rise_even_when_the_clock_does_not(rig: Rig) -> None:
    await rig.planner.attempt()
    first = rig.newest("A-1").version
    await rig.planner.attempt()
    assert rig.newest("A-1").version == first + 1


async def test_a_late_run_keeps_the_last_plan_and_no_second_one_runs_beside(rig: Rig) -> None:
    await rig.planner.attempt()
    kept, go = rig.planner.orders, threading.Event()
    begun: list[float] = []

    def slow(*asked: Any) -> Any:
        begun.append(asked[2]())
        assert go.wait(20)
        assert asked[2]() != float("inf"), "somebody still waits"
        return half_power(*asked)

    rig.solve = slow
    run = asyncio.create_task(rig.planner.attempt())
    await until(lambda: bool(begun))
    rig.clock.move(int(300_000 * LATE_SHARE))
    await until(lambda: "late" in rig.planner.alarms)
    assert rig.planner.orders is kept
    assert not run.done()
    go.set()
    await run
    assert rig.planner.orders is kept
    assert rig.metric("fleet_balance_alarm", code="late") == 1
    assert rig.metric("fleet_balance_runs_total", result="discarded") == 1
    rig.solve = half_power
    await rig.planner.attempt()
    assert rig.planner.orders is not kept
    assert rig.planner.alarms == set()


async def test_who_stops_waiting_ends_the_solver(rig: Rig) -> None:
    entered, ended = threading.Event(), threading.Event()

    def endless(*asked: Any) -> Any:
        entered.set()
        while asked[2]() != float("inf"):
            pass
        ended.set()
        return half_power(*asked)

    rig.solve = endless
    run = asyncio.create_task(rig.planner.attempt())
    await until(entered.is_set)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    await until(ended.is_set)


@pytest.mark.parametrize("broken", ["solver", "store"])
async def test_a_failed_run_publishes_nothing_and_the_last_plan_holds(
    rig: Rig, broken: str
) -> None:
    await rig.planner.attempt()
    kept, sent = rig.planner.orders, len(rig.published)

    def fails(*_asked: Any) -> Any:
        raise MemoryError

    rig.solve = fails if broken == "solver" else half_power
    rig.broken = {broken}
    await rig.planner.attempt()
    assert len(rig.published) == sent
    assert rig.planner.orders is kept
    assert rig.metric("fleet_balance_alarm", code="failed") == 1
    rig.solve, rig.broken = half_power, set()
    await rig.planner.attempt()
    assert len(rig.published) == 2 * sent
    assert rig.metric("fleet_balance_alarm", code="failed") == 0


async def test_a_broker_that_is_away_gets_the_stored_plan_later(rig: Rig) -> None:
    rig.broken = {"broker"}
    await rig.planner.attempt()
    assert rig.planner.alarms == {"unpublished"}
    assert set(rig.stored) == {"A-1", "A-2", "B-1"}


async def test_a_silent_cabinet_gets_nothing_and_is_counted(rig: Rig) -> None:
    await rig.planner.attempt()
    version = rig.newest("A-2").version
    rig.everybody(version)
    rig.tell("A-2", version=version, online=False)
    rig.clock.move(300_000)
    await rig.planner.attempt()
    assert rig.newest("A-2").version == version
    orders = rig.planner.orders
    assert orders is not None
    first = rig.planner.grid.power.base_w + rig.newest("A-2").power_w[0] - OWN_POWER_W
    assert orders.expected_w[1, 0] == first
    rig.clock.move(4 * 900_000)
    await rig.planner.attempt()
    assert rig.planner.orders is not None
    assert rig.planner.orders.expected_w[1, 0] == 2_060, "its plan has ended: its safe default"


async def test_with_the_whole_fleet_silent_nothing_is_ordered_and_all_are_counted(rig: Rig) -> None:
    await rig.planner.attempt()
    sent = len(rig.published)
    for cabinet in rig.planner.grid.ids:
        rig.tell(cabinet, version=rig.newest(cabinet).version, online=False)
    rig.clock.move(4 * 900_000)
    await rig.planner.attempt()
    rig.planner.look()
    assert len(rig.published) == sent
    assert rig.metric("fleet_balance_runs_total", result="done") == 2
    assert rig.metric("fleet_balance_reserved_cabinets") == 3
    assert rig.metric("fleet_balance_planned_cabinets") == 0
    assert rig.planner.expected_w(rig.clock.wall).tolist() == [2_060] * 3
    rig.everybody(rig.newest("A-1").version)
    rig.clock.move(300_000)
    await rig.planner.attempt()
    assert len(rig.published) == sent + 3, "who is back gets a plan"


async def test_who_does_not_take_its_plan_up_is_offered_its_default(rig: Rig) -> None:
    await rig.planner.attempt()
    version = rig.newest("A-1").version
    for cabinet in ("A-1", "B-1"):
        rig.tell(cabinet, version=version)
    rig.clock.move(300_000)
    await rig.planner.attempt()
    assert set(rig.newest("A-2").power_w) == {2_000}
    rig.everybody(rig.newest("A-2").version)
    rig.clock.move(300_000)
    await rig.planner.attempt()
    assert set(rig.newest("A-2").power_w) != {2_000}


async def test_settings_that_are_told_or_ordered_bound_the_plan(rig: Rig) -> None:
    rig.tell("A-1", settings={"power_max_w": 1_000})
    rig.wished = {"A-2": Settings(3, {"power_max_w": 700, "power_default_w": 2_900})}
    await rig.planner.attempt()
    orders = rig.planner.orders
    assert orders is not None
    assert orders.problem.most_w[:, 0].tolist() == [960, 660, 3_500]
    assert rig.planner.state().sites[1].own.most_w == 700, (
        "what-if questions are answered by the same"
    )
    rig.told.clear()
    rig.wished = {"A-2": Settings(4, {"power_default_w": 2_900})}
    rig.clock.move(4 * 900_000)
    await rig.planner.attempt()
    assert rig.planner.orders is not None
    reserve_w = rig.planner.orders.problem.reserve_w
    assert reserve_w[:, 0].tolist() == [2_000, 2_860, 2_000], (
        "it was never heard, and may take that"
    )


async def test_without_the_settings_no_plan_is_made(rig: Rig) -> None:
    await rig.planner.attempt()
    kept = rig.planner.orders
    rig.broken = {"settings"}
    await rig.planner.attempt()
    assert rig.planner.orders is kept
    assert rig.metric("fleet_balance_alarm", code="failed") == 1


async def test_a_restart_knows_what_is_out_there() -> None:
    before = Rig()
    before.everybody()
    await before.planner.attempt()
    version = before.newest("A-2").version
    before.clock.move(1_000)
    before.told.clear()
    after = before.make()
    task = asyncio.create_task(after.run())
    try:
        await until(lambda: after.orders is not None or bool(before.clock._sleepers))
        for _ in range(15):
            before.clock.move(1_000)
            await asyncio.sleep(0.01)
        await until(lambda: after.orders is not None)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    orders = after.orders
    assert orders is not None
    assert orders.version > version
    assert not orders.problem.follows.any()
    held = before.newest("A-2").power_w
    assert orders.problem.reserve_w[1, 0] == max(held[0], 2_000), "it may or may not have it"


async def test_regular_and_early_runs(rig: Rig) -> None:
    assert rig.planner.due()
    await rig.planner.attempt()
    assert not rig.planner.due()
    rig.planner.look()
    rig.told.pop("B-1")
    rig.planner.look()
    rig.tell("B-1")
    rig.planner.look()
    assert not rig.planner.due(), "not at once again"
    rig.clock.move(EARLY_GAP_MS)
    assert rig.planner.due(), "a cabinet is back"
    await rig.planner.attempt()
    rig.clock.move(300_000)
    assert rig.planner.due()
    await rig.planner.attempt()
    rig.clock.move(900_000 - (rig.clock.wall - NOW_MS + 300_000) % 900_000 - 20_000)
    assert not rig.planner.due(), "of this interval nothing is left"


async def test_a_changed_grid_is_taken_and_a_broken_one_is_not(rig: Rig) -> None:
    await rig.planner.attempt()
    rig.clock.move(EARLY_GAP_MS)
    rig.text, rig.dirty = GRID.replace("limit_w = 5000\n\n", "limit_w = 3000\n\n"), True
    rig.planner.look()
    assert rig.planner.grid.feeders[0].limit_w == 3_000
    assert rig.planner.due()
    rig.dirty, rig.broken = True, {"grid"}
    rig.planner.look()
    assert rig.planner.grid.feeders[0].limit_w == 3_000
    assert rig.metric("fleet_balance_alarm", code="grid") == 1


async def test_a_plan_for_a_grid_that_is_no_more_is_not_published(rig: Rig) -> None:
    go, entered = threading.Event(), threading.Event()

    def slow(*asked: Any) -> Any:
        entered.set()
        assert go.wait(20)
        return half_power(*asked)

    rig.solve = slow
    run = asyncio.create_task(rig.planner.attempt())
    await until(entered.is_set)
    rig.text, rig.dirty = GRID.replace("B-1", "A-0"), True
    rig.planner.look()
    go.set()
    await run
    assert rig.published == []
    assert rig.planner.orders is None
    rig.solve = half_power
    rig.clock.move(EARLY_GAP_MS)
    assert rig.planner.due()
    await rig.planner.attempt()
    assert {plan.cabinet for plan in rig.published} == {"A-1", "A-2"}, "A-0 was never heard"


async def test_without_new_plans_the_last_one_ends(rig: Rig) -> None:
    await rig.planner.attempt()
    rig.clock.move(4 * 900_000)
    rig.planner.look()
    assert rig.planner.alarms == {"stale"}
    assert rig.planner.expected_w(rig.clock.wall).tolist() == [2_060] * 3


async def test_it_learns_each_day_once(rig: Rig) -> None:
    day = 86_400_000
    rig.swaps = [("A-1", NOW_MS - day + hour * 3_600_000) for hour in range(10)]

    def days() -> int:
        return sum(until - since == day for since, until in rig.asked)

    await rig.planner.attempt()
    assert days() == 9, "registered ten days ago: nine whole days"
    await rig.planner.attempt()
    assert days() == 9
    rig.clock.move(day)
    await rig.planner.attempt()
    assert days() == 10


async def test_on_a_fast_clock_the_ledger_is_asked_in_real_time(rig: Rig) -> None:
    rig.fast = FastClock.showing(NOW_MS, at_ms=NOW_MS - 8 * 86_400_000, rate=60)
    rig.planner = rig.make()
    await rig.planner.attempt()
    day_ms = 86_400_000 // 60
    assert rig.asked
    today_ms = 40 * 900_000 // 60  # ten hours, and of the last quarter nothing yet
    assert {until - since for since, until in rig.asked} == {day_ms, today_ms}
    assert all(until <= NOW_MS - 8 * 86_400_000 for _, until in rig.asked)


async def test_a_run_on_a_fast_clock_has_its_share_of_real_time() -> None:
    given: list[float] = []

    def solve(instance: Instance, _warm: Any, _clock: Any, limit_s: float) -> Plan:
        given.append(limit_s)
        return half_power(instance, _warm, _clock, limit_s)

    for rate in (1, 60):
        rig = Rig(solve, rate=rate)
        await rig.planner.attempt()
        assert (await service_of(rig).curve("fleet")).clock_rate == rate
    assert given == [90.0, 1.5], "three tenths of five minutes, of that day"


async def test_the_curve(rig: Rig) -> None:
    service = service_of(rig)
    await rig.planner.attempt()
    for _ in range(2):
        rig.planner.look()
        rig.clock.move(900_000)
    rig.planner.look()
    fleet = await service.curve("fleet")
    now = next(place for place, each in enumerate(fleet.points) if each.start_ms > NOW_MS) - 1
    starts = [each.start_ms for each in fleet.points]
    assert starts == sorted(set(starts))
    assert {b - a for a, b in itertools.pairwise(starts)} == {900_000}
    assert fleet.points[now].actual_w == 1_500
    assert fleet.points[-1].actual_w is None
    assert fleet.points[now].limit_w == 9_000
    assert fleet.points[now].price == 1.1
    assert fleet.plan is not None
    assert fleet.plan.planned == 3
    feeder = await service.curve("feeder:F1")
    cabinet = await service.curve("cabinet:B-1")
    assert feeder.points[now].limit_w == 5_000
    assert feeder.points[now].actual_w == 1_000
    for place, point in enumerate((await service.curve("region:east")).points):
        parts = (feeder.points[place].plan_w, cabinet.points[place].plan_w)
        assert point.plan_w == pytest.approx(sum(part or 0 for part in parts), abs=2)
    for scope in ("", "fleet:x", "region:west", "feeder:F9", "cabinet:Z-1", "nonsense"):
        with pytest.raises(NotFoundError, match="expected fleet, region:NAME"):
            await service.curve(scope)
