"""The hours ahead of a cabinet: stock, charge and riders, at the worst moment of each hour."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.core.balance.hours import HourView, hours_ahead

T0_MS = 1_760_000_400_000


def ahead(full: int, charged: list[float], taken: list[float], slots: int = 12) -> list[HourView]:
    starts = T0_MS + np.arange(len(charged)) * 900_000
    hours = hours_ahead(
        full=full,
        slots=slots,
        charged=np.array(charged),
        taken=np.array(taken),
        starts_ms=starts,
        step_s=900,
    )
    return list(hours)


def test_an_hour_is_as_good_as_its_worst_moment() -> None:
    (hour,) = ahead(4, [0, 0, 0, 3], [1, 2, 1, 0])
    assert (hour.start_ms, hour.full, hour.level) == (T0_MS, 0, "poor")


@pytest.mark.parametrize(("full", "level"), [(0, "poor"), (1, "fair"), (2, "fair"), (3, "good")])
def test_levels(full: int, level: str) -> None:
    assert ahead(full, [0] * 4, [0] * 4)[0].level == level


def test_never_less_than_none_nor_more_than_the_slots() -> None:
    assert [hour.full for hour in ahead(1, [0] * 4 + [20] * 4, [5] * 4 + [0] * 4, slots=8)] == [
        0,
        8,
    ]


def test_a_part_of_an_hour_is_left_out_and_no_more_than_half_a_day_is_told() -> None:
    assert ahead(1, [0] * 3, [0] * 3) == []
    assert len(ahead(1, [0] * 80, [0] * 80)) == 12
