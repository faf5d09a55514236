"""From live slots to plans: nothing published ever exceeds a limit, silent cabinets included."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.balance import horizon
from fleet.core.balance.grid import Grid
from fleet.core.balance.horizon import Problem, Site, Standing
from fleet.core.balance.instance import Plan
from fleet.core.balance.own_limits import OwnLimits, Quiet
from fleet.core.balance.rush import MARGIN, MARGIN_W
from fleet.core.balance.solve import solve
from protocols.messages import OWN_POWER_W, DesiredPlan, SlotState
from tests.support.balance_rig import (
    GRID,
    NOW_MS,
    STEP_MS,
    ZONE,
    desired,
    grid,
    slot,
    slots,
    steady,
)
from tests.support.plan_check import faults

FULL = slots(20, 35, 50, 90, 99, None)


def site(cabinet: str, state: Standing = Standing.FOLLOWS, **values: object) -> Site:
    given = {"slots": FULL if state is not Standing.SILENT else ()}
    return Site(cabinet, state, **(given | values))  # type: ignore[arg-type]


def problem_of(of: Grid, sites: list[Site], now_ms: int = NOW_MS, mean: float = 0.3) -> Problem:
    return horizon.build(
        of,
        sites,
        steady(len(sites), mean=mean),
        now_ms=now_ms,
        interval_s=900,
        zone=ZONE,
        peak_w=np.zeros(len(of.regions)),
    )


def solved(problem: Problem) -> Plan:
    return solve(problem.instance, clock=time.perf_counter, gap=0.001)


def published(of: Grid, problem: Problem, plan: Plan) -> dict[str, DesiredPlan]:
    power = horizon.powers(problem, plan)
    made = horizon.documents(of, problem, power, version=7, every_s=300)
    return {each.cabinet: each for each in made}


def test_the_intervals_are_the_wall_clocks_and_the_first_is_cut() -> None:
    problem = problem_of(grid(), [site("A-1"), site("A-2"), site("B-1")])
    assert problem.starts_ms[0] == NOW_MS - 300_000
    assert set(np.diff(problem.starts_ms)) == {STEP_MS}
    assert len(problem.starts_ms) == 96
    assert problem.share == pytest.approx(2 / 3)
    assert problem.instance.feeder_max_wh[0, :2].tolist() == [813, 1220]  # 5000 W less 2 x 60 W
    window = (8 * 3600 - 300) // 900 + 1  # 18:00
    assert problem.instance.region_max_wh[0, window - 1] == (9_000 - 180) // 4
    assert problem.instance.region_max_wh[0, window] == (5_000 - 180) // 4


def test_a_whole_interval_is_not_cut() -> None:
    sites = [site("A-1"), site("A-2"), site("B-1")]
    whole = problem_of(grid(), sites, NOW_MS - 300_000)
    assert whole.share == 1.0
    plan = solved(whole)
    assert faults(whole.instance, plan) == []
    power = horizon.powers(whole, plan)
    assert np.array_equal(power[:, 1:], plan.step_wh[:, 1:] * 4)
    assert np.all(power[:, 0] >= plan.step_wh[:, 0] * 4), "urgent sites are opened, all have room"


def test_plans_end_soon_after_the_next_run() -> None:
    problem = problem_of(grid(), [site("A-1"), site("A-2"), site("B-1")])
    plan = published(grid(), problem, solved(problem))["A-1"]
    assert plan.valid_from_ms == NOW_MS - 300_000
    assert plan.valid_until_ms == plan.valid_from_ms + 4 * STEP_MS
    assert len(plan.power_w) == len(plan.target_soc_pct) == 4
    assert set(plan.target_soc_pct) == {75}, "one pack is ready"
    assert sum(plan.power_w) > 0


def test_a_cabinet_may_take_its_own_need_and_a_margin_beside_what_it_is_to_charge() -> None:
    problem = problem_of(grid(), [site("A-1"), site("A-2"), site("B-1")])
    step = np.zeros_like(problem.instance.step_max_wh)
    step[0, :2] = 100, 100
    plan = Plan(step.astype(np.int32), np.zeros_like(step, np.int32), 0.0, 0.0, 0.0)
    first_w = int(100 / 0.25 / problem.share + 1e-9)
    allowed_w = int(first_w * (1 + MARGIN) + MARGIN_W)
    made = published(grid(), problem, plan)
    assert made["A-1"].power_w == (allowed_w + OWN_POWER_W, 400 + OWN_POWER_W, 0, 0)
    assert set(made["A-2"].power_w) == {0}, "nothing to charge: nothing to take"
    assert horizon.powers(problem, plan, bare=True)[0, 0] == first_w
    tight = replace(problem, feeder_room_w=np.array([first_w + 5.0, np.inf]))
    assert horizon.powers(tight, plan)[0, 0] == first_w + 5, "never above the feeder"
    free = grid(GRID.replace("base_w = 60", "base_w = 0"))
    bare = published(free, problem, plan)["A-1"].power_w
    assert bare[1] == 400, "what the grid does not count with is not given"


def test_a_silent_cabinet_is_counted_with_its_plan_and_then_with_its_default() -> None:
    held = desired("A-2", 5, 700, 900, 1_100)
    sure = site("A-2", Standing.SILENT, held=(held,), acknowledged=True)
    problem = problem_of(grid(), [site("A-1"), sure, site("B-1")])
    assert problem.reserve_w[1, :5].tolist() == [660, 860, 1_060, 2_000, 2_000]
    assert problem.instance.feeder_max_wh[0, 1] == (5_000 - 120 - 860) // 4
    assert not problem.instance.energy_max_wh[1].any(), "its packs are nobody's energy"
    assert "A-2" not in published(grid(), problem, solved(problem))


def test_a_plan_that_may_not_have_arrived_counts_as_the_worse_of_both() -> None:
    held = (desired("A-2", 5, 2_600, 900), desired("A-2", 6, 400, 2_500))
    doubt = site("A-2", Standing.SILENT, held=held)
    problem = problem_of(grid(), [site("A-1"), doubt, site("B-1")])
    assert problem.reserve_w[1, :3].tolist() == [2_560, 2_460, 2_000]


def test_who_does_not_follow_is_offered_its_default_only() -> None:
    stubborn = site("A-2", Standing.STUBBORN, held=(desired("A-2", 5, 300, 300),))
    problem = problem_of(grid(), [site("A-1"), stubborn, site("B-1")])
    assert published(grid(), problem, solved(problem))["A-2"].power_w == (2_000,) * 4
    assert problem.reserve_w[1, :2].tolist() == [2_000, 2_000]


def test_nobody_is_given_more_than_it_would_take_by_itself() -> None:
    own = OwnLimits(most_w=1_000 + OWN_POWER_W)
    problem = problem_of(
        grid(), [site("A-1", own=own), site("A-2"), site("B-1", Standing.STUBBORN, own=own)]
    )
    assert problem.most_w[:, 0].tolist() == [1_000, 3_500, 1_000]
    assert problem.instance.step_max_wh[0].max() <= 250
    assert problem.instance.step_max_wh[1].max() > 250
    made = published(grid(), problem, solved(problem))
    assert 0 < max(made["A-1"].power_w) <= 1_000 + OWN_POWER_W
    assert problem.reserve_w[2, 0] == 2_000, "a lower limit is no reason to count with less"


def test_in_its_quiet_hours_a_cabinet_is_given_no_more_than_it_takes_then() -> None:
    own = OwnLimits(quiet=(Quiet(from_h=11, until_h=13, power_w=500 + OWN_POWER_W),))
    problem = problem_of(grid(), [site("A-1", own=own), site("A-2"), site("B-1")], mean=3.0)
    step = problem.instance.step_max_wh
    assert problem.share == pytest.approx(2 / 3)
    assert step[0, 4:12].tolist() == [125] * 8, "from 11:00 on, and it is 10:05"
    assert step[0, 3] == step[1, 3] > 125
    assert step[0, 12] == step[1, 12] > 125
    power = horizon.powers(problem, solved(problem))
    assert power[0, 4:12].max() <= 500


@pytest.mark.parametrize(
    ("default_w", "expected_w"),
    [(None, 2_000), (300, 2_000), (2_000, 2_000), (3_000, 3_000 - OWN_POWER_W)],
)
def test_who_takes_more_than_the_grid_says_without_a_plan_is_counted_so(
    default_w: int | None, expected_w: int
) -> None:
    own = OwnLimits(default_w=default_w)
    alone = site("A-2", Standing.SILENT, own=own)
    problem = problem_of(grid(), [site("A-1"), alone, site("B-1")])
    assert set(problem.reserve_w[1].tolist()) == {expected_w}
    held = site("A-2", Standing.SILENT, own=own, held=(desired("A-2", 5, 700),), acknowledged=True)
    reserve_w = problem_of(grid(), [site("A-1"), held, site("B-1")]).reserve_w
    assert reserve_w[1, :2].tolist() == [700 - OWN_POWER_W, expected_w], (
        "within its plan it goes by that"
    )


@pytest.mark.parametrize(
    ("online", "age_ms", "version", "sent_ms_ago", "expected"),
    [
        (True, 1_000, 5, 600_000, Standing.FOLLOWS),
        (True, 1_000, 4, 30_000, Standing.FOLLOWS),
        (True, 1_000, 4, 61_000, Standing.STUBBORN),
        (True, 61_000, 5, 0, Standing.SILENT),
        (True, None, 5, 0, Standing.SILENT),
        (False, 1_000, 5, 0, Standing.SILENT),
    ],
)
def test_standing(
    online: bool, age_ms: int | None, version: int, sent_ms_ago: int, expected: Standing
) -> None:
    found = horizon.standing(
        online=online,
        age_ms=age_ms,
        plan_version=version,
        held=[desired("A-1", 5, 300)],
        sent_ms_ago=sent_ms_ago,
    )
    assert found is expected


def test_what_is_not_known_is_neither_energy_nor_a_battery() -> None:
    doubtful = (
        replace_slot(slot(1, 40), soc_pct=None),
        slot(2, 40, SlotState.UNKNOWN),
        slot(3, 99, SlotState.QUARANTINE),
        slot(4, 99, SlotState.FAULTED),
        slot(5, 99, SlotState.RESERVED),
        replace_slot(slot(6, 99, SlotState.READY), flags=("held",)),
        slot(7, None),
    )
    found = horizon.slot_arrays([site("A-1", slots=doubtful)], np.array([3_500.0]))
    assert (found.soc < 0).all()
    assert not found.usable.any()
    known = horizon.slot_arrays([site("A-1", slots=FULL)], np.array([3_500.0]))
    assert known.soc[0, :5].tolist() == [0.2, 0.35, 0.5, 0.9, 0.99]


def replace_slot(each: object, **values: object) -> object:
    from msgspec.structs import replace as with_values  # noqa: PLC0415

    return with_values(each, **values)  # type: ignore[type-var]


@st.composite
def towns(draw: st.DrawFn) -> tuple[Grid, list[Site], int]:
    """Grids with tight limits, and cabinets in every standing."""
    base = grid()
    feeders = tuple(replace(feeder, limit_w=draw(st.integers(1, 9_000))) for feeder in base.feeders)
    region = replace(base.regions[0], limit_w=draw(st.one_of(st.none(), st.integers(1, 12_000))))
    of = replace(base, feeders=feeders, regions=(region,))
    now_ms = NOW_MS + draw(st.integers(0, 899_000))
    sites = []
    for cabinet in of.ids:
        state = draw(st.sampled_from(Standing))
        socs = draw(st.lists(st.one_of(st.none(), st.integers(0, 100)), max_size=12))
        powers = draw(st.lists(st.lists(st.integers(0, 4_000), min_size=1, max_size=4), max_size=3))
        held = tuple(
            desired(cabinet, number, *power, begin_ms=now_ms - draw(st.integers(0, 3)) * STEP_MS)
            for number, power in enumerate(powers, start=1)
        )
        watts = st.one_of(st.none(), st.integers(0, 6_000))
        given = {
            "held": held,
            "acknowledged": bool(held) and draw(st.booleans()),
            "own": OwnLimits(most_w=draw(watts), default_w=draw(watts)),
        }
        if state is not Standing.SILENT:
            given["slots"] = slots(*socs)
        sites.append(site(cabinet, state, **given))
    return of, sites, now_ms


def worst_w(of: Grid, each: Site, at_ms: int) -> int:
    """What a cabinet without a new plan may draw at a moment, from the words of the contract."""
    found = []
    sure = each.standing is Standing.SILENT and each.acknowledged
    for plan in each.held[-1:] if sure else each.held:
        if plan.valid_from_ms <= at_ms < plan.valid_until_ms:
            power_w = plan.power_w[(at_ms - plan.valid_from_ms) // (plan.step_s * 1_000)]
            charging_w = max(power_w - OWN_POWER_W, 0)  # all else is the grid's base_w
            found.append(min(charging_w, of.power.breaker_w))
    if not (sure and found):
        found.append(max(of.power.default_w, (each.own.default_w or 0) - OWN_POWER_W))
    return max(found)


@settings(max_examples=60, deadline=None)
@given(towns(), st.floats(0.0, 3.0))
def test_no_limit_is_ever_exceeded(town: tuple[Grid, list[Site], int], mean: float) -> None:
    of, sites, now_ms = town
    problem = problem_of(of, sites, now_ms, mean)
    plan = solved(problem)
    assert faults(problem.instance, plan) == []
    power = horizon.powers(problem, plan)
    made = published(of, problem, plan)
    for place, start in enumerate(problem.starts_ms):
        for at_ms in (max(int(start), now_ms), int(start) + STEP_MS - 1):
            by_feeder = [[0, 0] for _ in of.feeders]
            for row, each in enumerate(sites):
                feeder = by_feeder[of.cabinets[row][1]]
                fixed = of.power.base_w
                if each.standing is Standing.FOLLOWS:
                    feeder[0] += int(power[row, place])
                else:
                    fixed += worst_w(of, each, at_ms)
                feeder[0] += fixed
                feeder[1] += fixed
            for (total_w, fixed_w), feeder in zip(by_feeder, of.feeders, strict=True):
                assert total_w <= max(feeder.limit_w, fixed_w)
            minute = horizon.day_minutes(np.array([start]), ZONE)[0]
            limit = of.regions[0].limit(minute, 15)
            if limit is not None:
                fixed_w = sum(fixed for _, fixed in by_feeder)
                # Rounding down of whole Wh in a short first interval never adds.
                assert sum(total for total, _ in by_feeder) <= max(limit, fixed_w)
    for row, (cabinet, _) in enumerate(of.cabinets):
        if problem.follows[row]:
            charging = tuple(max(each - OWN_POWER_W, 0) for each in made[cabinet].power_w)
            assert charging == tuple(power[row, :4])
            assert max(charging) <= of.power.breaker_w
            own_w = sites[row].own.most_w
            assert own_w is None or max(charging) <= max(own_w - OWN_POWER_W, 0)
