"""A cabinet's own limits: the lower of told and wished, and what neither says is no limit."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.core.balance.own_limits import (
    NOTHING_SAID,
    OwnLimits,
    Quiet,
    most_to_charge,
    own_limits,
)
from protocols.settings import Value

QUIET: dict[str, Value] = {"quiet_from_h": 22, "quiet_until_h": 6, "quiet_power_w": 800}


@pytest.mark.parametrize(
    ("told", "wished", "most_w", "default_w"),
    [
        ({}, {}, None, None),
        ({"power_max_w": 3_000}, {}, 3_000, None),
        ({}, {"power_max_w": 1_500}, 1_500, None),
        ({"power_max_w": 3_000}, {"power_max_w": 1_500}, 1_500, None),
        ({"power_max_w": 1_500}, {"power_max_w": 3_000}, 1_500, None),
        ({"power_default_w": 2_500}, {"power_default_w": 500}, None, 2_500),
        ({"power_default_w": 500}, {"power_default_w": 2_500}, None, 2_500),
        ({"power_default_w": 2_500, "power_max_w": 900}, {}, 900, 900),
        ({"power_default_w": 2_500, "power_max_w": 900}, {"power_max_w": 1_700}, 900, 1_700),
        ({"power_max_w": "much", "power_default_w": "little"}, {}, None, None),
    ],
)
def test_told_and_wished(
    told: dict[str, Value], wished: dict[str, Value], most_w: int | None, default_w: int | None
) -> None:
    assert own_limits(told, wished) == OwnLimits(most_w, default_w)


def test_quiet_hours_are_those_of_both_records() -> None:
    night = Quiet(22, 6, 800)
    assert own_limits(QUIET, {}) == OwnLimits(quiet=(night,))
    assert own_limits(QUIET, {"quiet_power_w": 300}).quiet == (night, Quiet(22, 6, 300))
    assert own_limits(QUIET, {"quiet_until_h": 22}).quiet == (night,), "never, once it is there"
    assert own_limits({}, {"quiet_power_w": 300}) is NOTHING_SAID, "nobody knows when"
    assert [night.holds(hour * 60) for hour in (21, 22, 23, 0, 5, 6)] == [
        *(False, True, True, True, True, False)
    ]


def test_what_can_be_charged_with() -> None:
    made = most_to_charge(
        [NOTHING_SAID, OwnLimits(1_060), OwnLimits(10), OwnLimits(quiet=(Quiet(22, 6, 860),))],
        [21 * 60 + 45, 22 * 60],
        breaker_w=3_500,
        own_w=60,
    )
    assert made.dtype == np.int64
    assert made.tolist() == [[3_500, 3_500], [1_000, 1_000], [0, 0], [3_500, 800]]
