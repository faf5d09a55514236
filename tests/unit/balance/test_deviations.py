"""Looks at plan and fact: what a few in a row say, and what one never does."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.balance.deviations import (
    ABOVE_W,
    LOOKS,
    OVER_LOOKS,
    PRESSED_W,
    UNRULY_MS,
    Deviations,
    Unruly,
)
from tests.support.balance_rig import grid

IDS = ("A-1", "A-2", "B-1")  # F1: 5 kW, F1, F2: 6 kW; their region 9 kW
EXPECTED = np.array([1_000, 1_000, 1_000])
ALL, NONE = np.ones(3, bool), np.zeros(3, bool)
REGION = np.array([9_000.0])


def watts(*each: float) -> np.ndarray:
    return np.array(each, float)


def test_above_the_limit_of_a_feeder_or_of_its_region() -> None:
    looks = Deviations(grid())
    found = [looks.take(EXPECTED, watts(3_000, 2_100, 100), ALL, REGION) for _ in range(4)]
    assert [each.over for each in found] == [(), (), ("F1",), ("F1",)]
    assert [each.over_now for each in found] == [False, False, True, False]
    assert found[-1].pressed.tolist() == [True, True, False]
    found = [looks.take(EXPECTED, watts(2_000, 2_000, 5_100), ALL, REGION) for _ in range(3)]
    assert found[-1].over == ("east",)
    assert found[-1].pressed.all()
    assert not looks.take(EXPECTED, watts(9_000, np.nan, 0), NONE, np.array([np.inf])).over


def test_who_is_not_known_counts_with_what_is_expected_of_it() -> None:
    looks = Deviations(grid())
    for _ in range(OVER_LOOKS):
        found = looks.take(np.array([1_000, 3_000, 0]), watts(2_100, np.nan, 0), ALL, REGION)
    assert found.over == ("F1",)


def test_far_from_the_plan_only_where_the_plan_is() -> None:
    looks = Deviations(grid())
    drawn = watts(2_100, 1_000, 1_000)
    assert not any(looks.take(EXPECTED, drawn, NONE, REGION).far for _ in range(LOOKS + 1))
    found = [looks.take(EXPECTED, drawn, ALL, REGION).far for _ in range(2 * LOOKS)]
    assert [place for place, far in enumerate(found, start=1) if far] == [LOOKS, 2 * LOOKS]


def test_who_takes_more_than_it_was_ordered_look_after_look() -> None:
    unruly = Unruly(IDS)
    drawn = watts(1_101 + ABOVE_W, 1_000, np.nan)
    for _ in range(LOOKS - 1):
        assert not unruly.take(0, EXPECTED, drawn, ALL, NONE)
    unruly.take(0, EXPECTED, watts(1_000, 1_000, 1_000), ALL, NONE)
    for _ in range(LOOKS - 1):
        assert not unruly.take(0, EXPECTED, drawn, ALL, NONE), "it began anew"
    assert unruly.take(0, EXPECTED, drawn, ALL, NONE)
    assert not unruly.take(0, EXPECTED, drawn + 500, ALL, NONE), "it is no news"
    assert unruly.names() == ("A-1",)
    assert unruly.most_w("A-1") == 1_601 + ABOVE_W
    assert unruly.most_w("A-2") is unruly.most_w("B-1") is None
    moved = unruly.of(("B-1", "A-1"))
    assert moved.names() == ("A-1",)
    unruly.take(UNRULY_MS, EXPECTED, EXPECTED.astype(float), ALL, NONE)
    assert unruly.names() == ("A-1",), "an hour is not over yet"
    unruly.take(UNRULY_MS + 1, EXPECTED, EXPECTED.astype(float), ALL, NONE)
    assert unruly.names() == ()


def test_below_a_limit_that_is_exceeded_less_is_enough() -> None:
    drawn = EXPECTED * 1.1 + PRESSED_W + 1
    free, pressed = Unruly(IDS), Unruly(IDS)
    for _ in range(LOOKS):
        free.take(0, EXPECTED, drawn, ALL, NONE)
        pressed.take(0, EXPECTED, drawn, ALL, ALL)
    assert free.names() == ()
    assert pressed.names() == IDS


@given(
    st.lists(
        st.tuples(
            st.lists(st.one_of(st.just(np.nan), st.floats(-5_000, 40_000)), min_size=3, max_size=3),
            st.lists(st.booleans(), min_size=3, max_size=3),
        ),
        max_size=3 * LOOKS,
    )
)
def test_nobody_is_blamed_without_its_own_run_of_looks(
    looks: list[tuple[list[float], list[bool]]],
) -> None:
    unruly, run, longest = Unruly(IDS), [0, 0, 0], [0, 0, 0]
    for drawn, has_plan in looks:
        unruly.take(0, EXPECTED, watts(*drawn), np.array(has_plan), NONE)
        for place in range(3):
            run[place] = run[place] + 1 if has_plan[place] and drawn[place] > 2_100 else 0
            longest[place] = max(longest[place], run[place])
    blamed = [name for name, most in zip(IDS, longest, strict=True) if most >= LOOKS]
    assert list(unruly.names()) == blamed
