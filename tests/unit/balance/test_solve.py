"""The planner against HiGHS, an independent checker, and itself."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.balance.cut import Builder, sort
from fleet.core.balance.generate import generate
from fleet.core.balance.instance import Instance, Plan, Shadows
from fleet.core.balance.solve import solve
from fleet.errors import InvalidError
from tests.support.plan_cases import small
from tests.support.plan_check import faults
from tests.support.plan_lp import optimum

SEEDS = st.integers(0, 10_000_000)


def plan_of(instance: Instance, gap: float = 1e-6, **options: object) -> Plan:
    return solve(instance, clock=time.perf_counter, gap=gap, **options)  # type: ignore[arg-type]


def rounding(instance: Instance) -> float:
    """A cap is whole Wh, a plan's optimum need not be: one Wh of each region's peak, and float dust."""
    hours = instance.step_s / 3600
    return float(instance.peak_price_per_kw.sum()) / 1000 / hours + 1e-6


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_it_costs_what_highs_finds_and_the_bound_is_a_bound(seed: int) -> None:
    instance = small(seed)
    plan, best = plan_of(instance), optimum(instance)
    assert faults(instance, plan) == []
    assert best.finished
    dust = rounding(instance)
    assert plan.cost <= best.cost + dust + 1e-6 * abs(best.cost)
    assert plan.lower_bound <= best.cost + 1e-7 * max(1.0, abs(best.cost))
    assert plan.lower_bound >= best.cost - dust - 1e-5 * abs(best.cost)


@pytest.mark.parametrize(("cabinets", "intervals"), [(60, 96), (25, 130)])
def test_sets_wider_than_a_word_are_as_exact(cabinets: int, intervals: int) -> None:
    for day_ahead in (False, True):
        instance = generate(cabinets, 96, 3, day_ahead=day_ahead)
        plan, best = plan_of(instance), optimum(instance)
        assert faults(instance, plan) == []
        assert best.finished
        assert plan.cost <= best.cost * (1 + 1e-5) + rounding(instance)
        assert best.cost * (1 - 1e-5) <= plan.lower_bound <= best.cost * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_many_cabinets_on_few_feeders(seed: int) -> None:
    instance = replace(small(seed, cabinets=50, intervals=24), peak_price_per_kw=np.zeros(3)[:0])
    regions = len(instance.price_per_kwh)
    instance = replace(instance, peak_price_per_kw=np.zeros(regions))
    plan, best = plan_of(instance), optimum(instance)
    assert faults(instance, plan) == []
    assert plan.cost == pytest.approx(best.cost, rel=1e-7, abs=1e-6)
    assert plan.lower_bound == pytest.approx(best.cost, rel=1e-7, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(SEEDS)
def test_cheaper_or_looser_never_bounds_above_the_old_cost(seed: int) -> None:
    instance = small(seed)
    cost = plan_of(instance).cost
    cheaper = replace(instance, price_per_kwh=instance.price_per_kwh - 0.1)
    looser = replace(
        instance,
        feeder_max_wh=np.where(instance.feeder_max_wh < 0, -1, instance.feeder_max_wh + 50),
        energy_min_wh=instance.energy_min_wh // 2,
    )
    for easier in (cheaper, looser):
        assert plan_of(easier).lower_bound <= cost + 1e-9 * max(1.0, abs(cost))


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(0, 1_000))
def test_the_order_of_cabinets_does_not_matter(seed: int, shuffle: int) -> None:
    instance = small(seed, cabinets=12)
    order = np.random.default_rng(shuffle).permutation(len(instance.energy_min_wh))
    other = replace(
        instance,
        energy_min_wh=instance.energy_min_wh[order],
        energy_max_wh=instance.energy_max_wh[order],
        step_max_wh=instance.step_max_wh[order],
        feeder_of_cabinet=instance.feeder_of_cabinet[order],
    )
    one, two = plan_of(instance), plan_of(other)
    slack = rounding(instance) + 1e-5 * abs(one.cost)
    assert abs(one.cost - two.cost) <= slack
    assert abs(one.lower_bound - two.lower_bound) <= slack


def test_the_same_input_gives_the_same_bytes_whatever_the_threads() -> None:
    instance = generate(900, 96, 5)
    plans = [plan_of(instance, threads=threads) for threads in (1, 2, 2)]
    for plan in plans[1:]:
        assert np.array_equal(plan.step_wh, plans[0].step_wh)
        assert np.array_equal(plan.shortfall_wh, plans[0].shortfall_wh)
        assert (plan.cost, plan.lower_bound) == (plans[0].cost, plans[0].lower_bound)


# --- warm, late, impossible ---------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(SEEDS, SEEDS)
def test_a_warm_start_ends_where_a_cold_one_does(seed: int, changed: int) -> None:
    before = small(seed)
    rng = np.random.default_rng(changed)
    rows = rng.random(len(before.energy_min_wh)) < 0.3
    after = replace(
        before,
        energy_min_wh=np.where(rows[:, None], before.energy_min_wh // 2, before.energy_min_wh),
        step_max_wh=np.where(rows[:, None], before.step_max_wh // 3, before.step_max_wh),
        feeder_max_wh=np.where(before.feeder_max_wh > 0, before.feeder_max_wh * 2 // 3, -1),
    )
    warm, cold = plan_of(after, warm=plan_of(before)), plan_of(after)
    assert faults(after, warm) == []
    assert abs(warm.cost - cold.cost) <= 2 * rounding(after) + 2e-6 * abs(cold.cost)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 1_000))
def test_prices_of_anybody_bound_no_plan_too_high(seed: int, other: int) -> None:
    instance = small(seed)
    plan, rng = plan_of(instance), np.random.default_rng(other)
    wrong = Shadows(
        peak=rng.random(instance.price_per_kwh.shape) * rng.choice((0.0, 1e-4, 0.1)),
        region=rng.random(instance.price_per_kwh.shape) * rng.choice((0.0, 1e-4, 0.1)),
        feeder=rng.random(instance.feeder_max_wh.shape) * rng.choice((0.0, 1e-4, 0.1)),
    )
    warm = plan_of(instance, gap=0.05, warm=replace(plan, shadows=wrong))
    assert faults(instance, warm) == []
    assert warm.lower_bound <= plan.cost + 1e-9 * max(1.0, abs(plan.cost))


def test_a_plan_that_still_fits_is_certified_by_its_own_prices() -> None:
    instance = generate(700, 96, 4)
    plan = plan_of(instance, gap=1e-4)
    again = plan_of(instance, gap=1e-3, warm=plan)
    assert again.shadows is not None
    assert plan.shadows is not None
    assert np.array_equal(again.shadows.peak, plan.shadows.peak)
    assert again.cost == pytest.approx(plan.cost, rel=1e-4)
    assert again.gap <= 1e-3
    later = plan.later(3)
    assert np.array_equal(later.step_wh[:, :-3], plan.step_wh[:, 3:])
    assert not later.step_wh[:, -3:].any()


def test_a_hundredth_changed_is_planned_to_the_gap_of_the_whole_and_to_the_same_bytes() -> None:
    before, other = generate(1_200, 96, 6, regions=5), generate(1_200, 96, 7, regions=5)
    rows = np.arange(0, 1_200, 100)
    fields = {}
    for name in ("energy_min_wh", "energy_max_wh", "step_max_wh"):
        fields[name] = getattr(before, name).copy()
        fields[name][rows] = getattr(other, name)[rows]
    after = replace(before, **fields)
    plan = plan_of(before, gap=2e-4)
    warm = [plan_of(after, gap=5e-4, warm=plan, threads=threads) for threads in (1, 2)]
    cold = plan_of(after, gap=1e-5)
    assert faults(after, warm[0]) == []
    assert warm[0].gap <= 5e-4
    assert warm[0].lower_bound <= cold.cost
    assert warm[0].cost <= cold.cost * (1 + 5e-4)
    assert np.array_equal(warm[0].step_wh, warm[1].step_wh)
    assert warm[0].lower_bound == warm[1].lower_bound
    kept, anew = (np.abs(each.step_wh - plan.step_wh).sum() for each in (warm[0], cold))
    assert 2 * kept < anew, "it is the plan before, repaired"


def test_a_plan_of_which_little_can_stay_is_not_begun_with() -> None:
    instance, other = generate(300, 96, 6), generate(300, 96, 9)
    cold, strange = plan_of(instance, gap=2e-4), plan_of(other, gap=2e-4)
    anew = plan_of(instance, gap=2e-4, warm=replace(strange, shadows=None))
    assert np.array_equal(anew.step_wh, cold.step_wh)
    known = plan_of(instance, gap=2e-4, warm=strange)
    late = plan_of(instance, warm=strange, time_limit_s=0.0)
    assert faults(instance, known) == faults(instance, late) == []
    assert known.gap <= 2e-4
    assert not np.array_equal(late.step_wh, cold.step_wh), "without time, any plan is a beginning"


def test_a_plan_that_was_spread_for_a_dearer_peak_is_not_begun_with() -> None:
    dear = generate(300, 96, 6)
    plan = plan_of(dear, gap=2e-4)
    free = replace(dear, peak_price_per_kw=dear.peak_price_per_kw * 0.0)
    assert np.array_equal(plan_of(free, warm=plan).step_wh, plan_of(free).step_wh)
    same = plan_of(dear, gap=2e-4, warm=plan)
    assert np.array_equal(same.step_wh, plan.step_wh), "one for this peak is"


@pytest.mark.parametrize("limit_s", [0.0, 0.01, 0.2])
def test_out_of_time_it_still_has_a_plan_that_holds(limit_s: float) -> None:
    instance = generate(600, 96, 2)
    plan = plan_of(instance, time_limit_s=limit_s)
    assert faults(instance, plan) == []
    assert plan.lower_bound <= plan.cost


def test_an_impossible_limit_is_named_and_its_shortfall_shared() -> None:
    intervals = 4
    instance = Instance(
        step_s=900,
        energy_min_wh=np.tile([0, 0, 0, 400], (4, 1)),
        energy_max_wh=np.tile([400] * intervals, (4, 1)),
        step_max_wh=np.full((4, intervals), 200),
        feeder_of_cabinet=np.zeros(4, np.int32),
        region_of_feeder=np.zeros(1, np.int32),
        feeder_max_wh=np.array([[100, 100, 100, 100]]),
        region_max_wh=np.full((1, intervals), -1),
        price_per_kwh=np.ones((1, intervals)),
        peak_price_per_kw=np.zeros(1),
        peak_so_far_w=np.zeros(1),
        shortfall_price_per_kwh=9.0,
    )
    plan = plan_of(instance)
    assert faults(instance, plan) == []
    assert int(plan.shortfall_wh.sum()) == 1_200
    by_cabinet = plan.shortfall_wh.sum(axis=1)
    assert int(by_cabinet.max() - by_cabinet.min()) <= 100
    assert {(short.limit, short.index) for short in plan.shorts} == {("feeder", 0)}
    assert sum(short.shortfall_wh for short in plan.shorts) == 1_200


# --- what is refused ----------------------------------------------------------------------------


def _with(field: str, value: object) -> Instance:
    return replace(small(1, cabinets=4), **{field: value})


def _cell(field: str, value: float) -> Instance:
    instance = small(7, cabinets=4)
    array = np.array(getattr(instance, field), copy=True)
    array[(0,) * array.ndim] = value
    return replace(instance, **{field: array})


@pytest.mark.parametrize(
    ("instance", "says"),
    [
        (_cell("price_per_kwh", np.nan), r"price_per_kwh\[0,0\]: nan is out of range"),
        (_cell("price_per_kwh", np.inf), r"price_per_kwh\[0,0\]: inf"),
        (_cell("peak_price_per_kw", -1), r"peak_price_per_kw\[0\]: -1.0 is out of range"),
        (_cell("peak_so_far_w", np.nan), r"peak_so_far_w\[0\]"),
        (_cell("energy_min_wh", -5), r"energy_min_wh\[0,0\]: -5 is negative"),
        (_cell("step_max_wh", -1), r"step_max_wh\[0,0\]: -1 is negative"),
        (_cell("feeder_max_wh", -2), r"feeder_max_wh\[0,0\]: -2 is negative; -1 is no limit"),
        (_cell("region_max_wh", -9), r"region_max_wh\[0,0\]: -9"),
        (_cell("feeder_of_cabinet", 99), r"feeder_of_cabinet\[0\]: 99 is unknown"),
        (_cell("region_of_feeder", 9), r"region_of_feeder\[0\]: 9 is unknown"),
        (_cell("energy_min_wh", 2**29), r"energy_min_wh"),
        (_with("step_s", 0), "step_s: is 0"),
        (_with("shortfall_price_per_kwh", float("nan")), "shortfall_price_per_kwh: nan"),
        (_with("feeder_max_wh", np.zeros((9, 9), np.int64)), "feeder_max_wh: has shape"),
        (_with("step_max_wh", np.zeros((1, 1))), "step_max_wh: holds float64"),
    ],
)
def test_broken_input_is_refused_and_the_field_named(instance: Instance, says: str) -> None:
    with pytest.raises(InvalidError, match=says):
        plan_of(instance)


def test_a_previous_plan_of_another_shape_is_refused() -> None:
    before = plan_of(small(3))
    with pytest.raises(InvalidError, match="warm: a plan of shape"):
        plan_of(generate(8, 24, 0), warm=before)


@pytest.mark.parametrize("seed", range(6))
def test_a_sweep_over_all_prices_leaves_nothing_to_move_and_labels_that_hold(seed: int) -> None:
    instance = generate(120, 96, seed, day_ahead=True, regions=1)
    region = Builder(instance, sort(instance), None).region(0)
    assert region is not None
    cap_wh = int(instance.energy_min_wh[:, -1].sum()) // 60
    region.start(cap_wh, rough=True)
    for cap in (cap_wh, cap_wh * 9 // 10, cap_wh * 11 // 10):
        point = region.solve(cap, lambda: False)
        moved = region.moved_wh
        again = region.solve(cap, lambda: False)
        assert region.moved_wh == moved
        assert again.cost == point.cost
        assert np.array_equal(again.duals.enter, point.duals.enter)
        assert np.array_equal(again.duals.region, point.duals.region)
