"""What if the limit were another: the real planner, twice, beside a loop that notices nothing."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fleet.adapters.clock import SystemClock
from fleet.balancing import solve_alone, solve_within
from fleet.core.balance import horizon
from fleet.core.balance.forecast import Forecast
from fleet.core.balance.what_if import Change, as_if, check_change, part_of
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.runtime.balance import BalanceService
from fleet.runtime.live import LivePicture
from fleet.runtime.outlook import Outlook
from fleet.runtime.what_if import WhatIf
from tests.support.balance_rig import GRID, NoRows, Rig, grid, until

#: What else of the horizon a question needs.
FUNCTIONS = {name: getattr(horizon, name) for name in ("powers", "day_minutes")}

TWO = """
[[region]]
name = "west"
tariff = [{ from = "00:00", price = 0.8 }]
[[feeder]]
name = "W1"
region = "west"
limit_w = 3000
"""


def text_of_two() -> str:
    return GRID.replace("[cabinets]", f'{TWO}\n[cabinets]\nW-1 = "W1"')


def service(rig: Rig, solve: Any = solve_alone) -> BalanceService:
    outlook = Outlook(rig.planner, LivePicture(NoRows(), rig.clock))
    what_if = WhatIf(rig.planner, solve, SystemClock())
    return BalanceService(rig.planner, rig.clock, outlook, what_if)


@pytest.fixture
async def rig() -> Rig:
    made = Rig(solve=solve_within, text=text_of_two())
    made.everybody()
    made.busy()
    made.tell("W-1")
    await made.planner.attempt()
    assert made.planner.orders is not None
    return made


async def test_a_lower_limit_costs_more_holds_and_leaves_the_loop_alone(rig: Rig) -> None:
    asking = service(rig)
    before = (rig.planner.orders, len(rig.published), dict(rig.notes), rig.planner.early)
    found = await asking.what_if("region:east", Change(limit_w=1_500))
    assert found.in_time
    assert found.then.peak_w <= 1_500 < found.now.peak_w
    assert found.then.cost > found.now.cost + found.now.cost_error
    assert found.then.shortfall_wh >= found.now.shortfall_wh
    assert {each.limit_w for each in found.points} == {1_500}
    assert len(found.points) == 96
    assert (rig.planner.orders, len(rig.published), dict(rig.notes), rig.planner.early) == before


async def test_before_the_first_plan_there_is_nothing_to_compare_with() -> None:
    asking = service(Rig(solve=solve_within, text=text_of_two()))
    with pytest.raises(RefusedError, match="no plan yet") as caught:
        await asking.what_if("fleet", Change(price_pct=150))
    assert caught.value.code == "what-if-busy"


async def test_each_part_of_the_fleet_and_a_time_of_the_day(rig: Rig) -> None:
    asking = service(rig)
    windowed = await asking.what_if("fleet", Change(limit_w=2_000, from_min=1_080, to_min=1_200))
    assert sum(each.limit_w is not None for each in windowed.points) == 8
    assert all(each.then_w <= 2_000 for each in windowed.points if each.limit_w is not None)
    feeder = await asking.what_if("feeder:F1", Change(limit_w=1_000))
    assert feeder.then.peak_w <= 1_000
    cabinet = await asking.what_if("cabinet:A-1", Change(limit_w=400))
    assert cabinet.then.peak_w <= 400
    dear = await asking.what_if("region:west", Change(price_pct=200))
    assert dear.then.cost > dear.now.cost * 1.5
    with pytest.raises(NotFoundError):
        await asking.what_if("region:north", Change(limit_w=400))


async def test_a_better_service_level_keeps_more_ready(rig: Rig) -> None:
    found = await service(rig).what_if("fleet", Change(lost_swap_price=200.0))
    assert sum(each.then_w for each in found.points) >= sum(each.now_w for each in found.points)


async def test_one_question_at_a_time_and_none_beside_a_run(rig: Rig) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(*asked: Any) -> Any:
        begun.set()
        assert go.wait(60)
        return solve_alone(*asked)

    asking = service(rig, slow)
    first = asyncio.create_task(asking.what_if("fleet", Change(price_pct=150)))
    await until(begun.is_set)
    with pytest.raises(RefusedError) as caught:
        await asking.what_if("fleet", Change(price_pct=120))
    assert caught.value.code == "what-if-busy"
    go.set()
    assert (await first).then.cost > 0
    rig.planner.planning = True
    waiting = asyncio.create_task(asking.what_if("fleet", Change(price_pct=150)))
    begun.clear()
    await asyncio.sleep(0)
    assert not begun.is_set()
    rig.planner.planning = False
    assert (await waiting).points


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (Change(), "fleet"),
        (Change(limit_w=-1), "fleet"),
        (Change(limit_w=1, from_min=5), "region"),
        (Change(price_pct=110, from_min=5, to_min=9), "region"),
        (Change(limit_w=1, from_min=5, to_min=9), "feeder"),
        (Change(price_pct=0), "fleet"),
        (Change(lost_swap_price=0.0), "fleet"),
    ],
)
def test_what_cannot_be_asked(change: Change, kind: str) -> None:
    with pytest.raises(InvalidError):
        check_change(change, kind)


def test_a_part_is_the_grid_without_the_others_and_a_fleets_limit_is_shared() -> None:
    whole = grid(text_of_two())
    part, rows = part_of(whole, [1])
    assert part.ids == ("W-1",)
    assert [each.name for each in part.feeders] == ["W1"]
    assert part.feeders[0].region == 0
    assert list(rows) == [3]
    held = as_if(whole, "fleet", Change(limit_w=6_000))
    assert [each.limit_w for each in held.regions] == [4_500, 1_500], "as 9 kW to 3 kW"


async def test_what_sockets_take_counts_in_both_plans(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the forecast that the loop uses, and of the cabinets of that part."""
    state = rig.planner.state()
    known = state.forecast()
    place = rig.planner.grid.ids.index("W-1")
    sockets_w = np.zeros(known.mean.shape)
    sockets_w[place] = 700.0
    with_sockets = replace(state, forecast=lambda: replace(known, socket_w=sockets_w))
    monkeypatch.setattr(rig.planner, "state", lambda: with_sockets)
    planned_for: list[Forecast] = []

    def build(*asked: Any, **more: Any) -> Any:
        planned_for.append(asked[2])
        return horizon.build(*asked, **more)

    monkeypatch.setattr("fleet.runtime.what_if.horizon", SimpleNamespace(build=build, **FUNCTIONS))
    await service(rig).what_if("feeder:W1", Change(limit_w=1_500))
    assert len(planned_for) == 2
    for each in planned_for:
        assert each.socket_w is not None
        assert each.socket_w.shape == each.mean.shape
        assert (each.socket_w == 700.0).all()
        assert (each.mean == known.mean[[place]]).all()
