"""The played day's judgement and its riders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from deploy.demo.day import SWAPS_A_DAY, arrivals, grid_toml
from deploy.demo.day_verdict import Reading, consumed_kwh, judge
from fleet.core.balance.grid import parse_grid

STEP_MS = 900_000


def point(place: int, plan_w: int | None = 900, actual_w: int | None = 800) -> dict[str, Any]:
    return {
        "start_ms": place * STEP_MS,
        "plan_w": plan_w,
        "actual_w": actual_w,
        "limit_w": 1_000,
        "price": 0.5,
    }


def readings(*kwh: float) -> list[Reading]:
    return [Reading(place * STEP_MS, value) for place, value in enumerate(kwh)]


def verdict(points: Sequence[dict[str, Any]], meter: Sequence[Reading]) -> tuple[str, ...]:
    return judge({each["start_ms"]: each for each in points}, meter, 0, 2, STEP_MS).violations


def test_a_day_within_its_limits() -> None:
    points = {each["start_ms"]: each for each in (point(0), point(1))}
    found = judge(points, readings(5.0, 5.2, 5.3), 0, 2, STEP_MS)
    assert found.violations == ()
    assert found.intervals == 2
    assert found.energy_kwh == pytest.approx(0.3)
    assert found.cost == pytest.approx(0.15)
    assert found.peak_w == pytest.approx(800)


@pytest.mark.parametrize(
    ("second", "meter", "says"),
    [
        (point(1, plan_w=1_001), readings(0, 0.1, 0.2), "plan 1001 W"),
        (point(1, actual_w=1_001), readings(0, 0.1, 0.2), "measured 1001 W"),
        (point(1), readings(0, 0.1, 0.36), "meter 1040 W"),
        (point(1, plan_w=None), readings(0, 0.1, 0.2), "plan is not known"),
        (point(1, actual_w=None), readings(0, 0.1, 0.2), "measured is not known"),
        (point(1), readings(0, 0.1), "has nothing of this interval"),
        (point(2), readings(0, 0.1, 0.2), "has nothing of this interval"),
    ],
)
def test_what_is_above_or_not_known_is_a_violation(
    second: dict[str, Any], meter: Sequence[Reading], says: str
) -> None:
    [told] = verdict([point(0), second], meter)
    assert says in told
    assert told.startswith(f"{STEP_MS}: ")


def test_the_meter_is_read_between_its_readings() -> None:
    meter = [Reading(0, 1.0), Reading(100, 2.0), Reading(300, 6.0)]
    assert consumed_kwh(meter, 50, 200) == pytest.approx(2.5)
    assert consumed_kwh(meter, 0, 300) == pytest.approx(5.0)
    assert consumed_kwh(meter, -1, 300) is None
    assert consumed_kwh(meter, 0, 301) is None
    assert consumed_kwh([], 0, 1) is None


def test_riders_come_by_the_hour_and_the_same_every_time() -> None:
    due = arrivals(1_772_553_600_000, 24)
    assert due == arrivals(1_772_553_600_000, 24) == sorted(due)
    assert 0.6 * SWAPS_A_DAY <= len(due) <= 1.4 * SWAPS_A_DAY
    many = [len(arrivals(1_772_553_600_000, 24, seed)) for seed in range(50)]
    assert sum(many) / len(many) == pytest.approx(SWAPS_A_DAY, rel=0.1)


def test_its_grid_is_one_that_fleetd_takes() -> None:
    grid = parse_grid(grid_toml("DH-0001"))
    assert grid.ids == ("DH-0001",)
    assert grid.warnings() == []
    assert [grid.regions[0].price(hour * 60) for hour in (0, 9, 18, 23)] == [0.31, 1.02, 1.24, 0.31]
