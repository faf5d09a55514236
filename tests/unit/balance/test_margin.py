"""What a swap more would cost: only where there is room, and never above the shortfall's price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fleet.core.balance.instance import NO_LIMIT, Instance, Plan
from fleet.core.balance.margin import energy_price

T = 40


def instance(**more: object) -> Instance:
    zero = np.zeros((2, T), np.int64)
    price = np.full((1, T), 1.0)
    price[0, 5], price[0, 35] = 0.25, 0.125
    made = Instance(
        step_s=900,
        energy_min_wh=zero,
        energy_max_wh=zero,
        step_max_wh=zero,
        feeder_of_cabinet=np.array([0, 1], np.int32),
        region_of_feeder=np.array([0, 0], np.int32),
        feeder_max_wh=np.full((2, T), 500, np.int64),
        region_max_wh=np.full((1, T), NO_LIMIT, np.int64),
        price_per_kwh=price,
        peak_price_per_kw=np.zeros(1),
        peak_so_far_w=np.zeros(1),
        shortfall_price_per_kwh=30.0,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def plan(*cells: tuple[int, int, int]) -> Plan:
    step = np.zeros((2, T), np.int32)
    for row, place, wh in cells:
        step[row, place] = wh
    return Plan(step, np.zeros_like(step), 0.0, 0.0, 0.0)


def prices(of: Instance, *cells: tuple[int, int, int]) -> list[float]:
    return energy_price(of, plan(*cells), 3_500).tolist()


def test_the_cheapest_interval_of_the_next_hours_counts() -> None:
    assert prices(instance()) == [0.25, 0.25]


def test_a_full_feeder_or_breaker_is_passed_over() -> None:
    assert prices(instance(), (0, 5, 500)) == [1.0, 0.25]
    wide = instance(feeder_max_wh=np.full((2, T), NO_LIMIT, np.int64))
    assert prices(wide, (0, 5, 875)) == [1.0, 0.25]


def test_a_full_region_and_a_paid_peak_are_passed_over() -> None:
    limit = np.full((1, T), NO_LIMIT, np.int64)
    limit[0, 5] = 300
    assert prices(instance(region_max_wh=limit), (0, 5, 300)) == [1.0, 1.0]
    peak = instance(peak_price_per_kw=np.full(1, 38.0))
    assert prices(peak, (0, 5, 300)) == [1.0, 1.0], "one more would raise the peak"
    paid = replace(peak, peak_so_far_w=np.full(1, 4_000.0))
    assert prices(paid, (0, 5, 300)) == [0.25, 0.25]


def test_without_any_room_it_is_a_lost_riders_price() -> None:
    assert prices(instance(feeder_max_wh=np.zeros((2, T), np.int64))) == [30.0, 30.0]
