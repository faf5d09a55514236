"""The price that holds a plan to its service, and what may never move it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.balance.envelopes import PackCurve, Slots
from fleet.core.balance.mirror import Mirror
from fleet.core.balance.promise import (
    AIM,
    PRICE_HIGH,
    PRICE_LOW,
    PRICE_SHARE,
    SURE,
    Balance,
    LostPrice,
    Promise,
    kept,
    recalled,
)
from fleet.errors import InvalidError

CURVE = PackCurve(np.full(101, 400.0), np.linspace(0.0, 1_300.0, 101), 0.9)
NONE = np.array([np.inf])


def test_the_price_rises_with_what_is_lost_beyond_the_mirror_and_falls_below_it() -> None:
    dear, cheap = LostPrice(2.0), LostPrice(2.0)
    assert dear.price == 2.0
    dear.learn(round(100_000 * PRICE_SHARE), 0, 100_000, 1.0)
    assert dear.price == pytest.approx(2.0 * np.e, rel=0.01)
    cheap.learn(625, round(100_000 * PRICE_SHARE / AIM), 100_000, 1.0)
    assert cheap.price == pytest.approx(2.0 * np.exp(-0.5), rel=0.02)
    dear.learn(100_000, 0, 1_000, 1.0)
    assert dear.price == 2.0 * PRICE_HIGH
    cheap.learn(50_000, 100_000, 100_000, 1.0)
    assert cheap.price == 2.0 * PRICE_LOW


def test_what_was_lost_weeks_ago_is_forgotten() -> None:
    price = LostPrice(1.0)
    price.learn(100, 0, 10_000, 1.0)
    before = price.price
    for _ in range(60):
        price.learn(0, 0, 10_000, 1.0)
    assert 1.0 < price.price < 1.0 + 0.5 * (before - 1.0)


def test_nothing_for_a_lost_swap_is_refused() -> None:
    with pytest.raises(InvalidError, match="usual"):
        LostPrice(0.0)


def test_losses_that_nobody_counts_never_make_a_swap_cheaper() -> None:
    price = LostPrice(2.0)
    price.learn(0, round(SURE) - 1, 10_000, 1.0)
    assert price.counted, "too few to tell"
    for _ in range(30):
        price.learn(0, 100, 10_000, 1.0)
    assert not price.counted
    assert price.price == 2.0
    price.learn(2_000, 0, 10_000, 1.0)
    assert price.counted
    assert price.price < 2.0, "some were counted: fewer than the mirror's"


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500), st.floats(0.0, 3.0)), max_size=20),
    st.floats(0.01, 100.0),
)
def test_the_price_is_bounded_whatever_comes(
    looks: list[tuple[int, int, float]], usual: float
) -> None:
    price = LostPrice(usual)
    for lost, mirrored, days in looks:
        price.learn(lost, mirrored, max(lost, mirrored), days)
        assert PRICE_LOW * usual <= price.price <= PRICE_HIGH * usual
    again = LostPrice(usual, recalled(kept(price.balance)))
    assert again.price == price.price


_COUNTS = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(0, 75_000 * 30))


@given(st.lists(st.tuples(_COUNTS, st.floats(0.0, 3.0)), max_size=10))
def test_one_lost_swap_moves_no_price_far_however_small_the_fleet(
    looks: list[tuple[tuple[int, int, int], float]],
) -> None:
    price = LostPrice(1.0)
    for (lost, mirrored, riders), days in looks:
        price.learn(lost, mirrored, max(lost, mirrored, riders), days)
    counted, before = price.counted, price.price
    price.learn(1, 0, 1, 0.0)
    assert price.price <= before * np.exp(0.5)
    if counted and price.balance.more > 0.0:
        assert price.price >= before * 0.99, (
            "but for its rider, who makes the day's riders one more"
        )


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("riders", [20, 200, 2_000, 30_000])
def test_a_small_fleet_is_answered_by_evidence_and_a_large_one_as_before(
    riders: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    level, bad = LostPrice(1.0), LostPrice(1.0)
    high = 0
    for _ in range(30):
        both, theirs = rng.poisson(riders * 0.025, 2)
        ours, twice = rng.poisson(riders * 0.025), rng.poisson(riders * 0.075)
        level.learn(int(both + ours), int(both + theirs), riders, 1.0)
        bad.learn(int(both + twice), int(both + theirs), riders, 1.0)
        high += level.price == PRICE_HIGH
    assert high <= 15, "equal service is not taken for the worst one"
    assert bad.price >= 2.0, "twice as many lost than there are seen within a month"
    if riders >= 30_000:
        as_before = np.exp(level.balance.more / riders / PRICE_SHARE)
        assert level.price == pytest.approx(np.clip(as_before, PRICE_LOW, PRICE_HIGH), rel=1e-9)


def test_twenty_riders_a_day_and_one_lost() -> None:
    small = LostPrice(2.0)
    small.learn(0, 0, 20, 1.0)
    assert small.price == 2.0
    small.learn(1, 0, 20, 1.0)
    assert 2.0 < small.price < 2.0 * 1.7
    for _ in range(7):
        small.learn(1, 0, 20, 1.0)
    assert small.price == 2.0 * PRICE_HIGH, "one a day for a week is no chance"


def site(*soc: float) -> Promise:
    slots = np.array([soc])
    mirror = Mirror(
        Slots(slots, np.ones(slots.shape, bool), np.array([4_000.0])),
        CURVE,
        np.zeros(1, np.int32),
        np.zeros(1, np.int32),
    )
    return Promise(mirror, LostPrice(2.0))


def test_a_long_stretch_is_played_in_short_steps() -> None:
    whole, once = site(0.95, 0.22), site(0.95, 0.22)
    assert whole.look([3], [1], 6.0, NONE, NONE) == (3, 1, 0), "one is ready after each two hours"
    assert once.mirror.step([3], 6.0, NONE, NONE).tolist() == [2], "at once only one would be"


def test_what_was_not_all_counted_moves_the_packs_and_not_the_price() -> None:
    seen = site(0.95, 0.22)
    seen.lost_price.learn(50, 0, 100, 1.0)
    before = seen.lost_price.price
    assert seen.look([1], [1], 0.5, NONE, NONE, judged=False) == (1, 1, 0)
    assert seen.lost_price.price <= before
    assert seen.lost_price.balance.riders < 100
    assert seen.look([1], [0], 0.1, NONE, NONE)[2] == 1, "the one ready pack is gone"


def test_cabinets_that_are_not_pictured_are_left_out() -> None:
    blind = site(0.95)
    blind.mirror.forget(np.array([True]))
    assert blind.look([5], [5], 0.1, NONE, NONE) == (0, 0, 0)
    assert blind.lost_price.price == 2.0


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {},
        kept(Balance()) | {"extra": 1.0},
        kept(Balance()) | {"lost": "1"},
        kept(Balance()) | {"days": True},
        kept(Balance()) | {"riders": float("nan")},
        kept(Balance()) | {"more": float("inf")},
        kept(Balance()) | {"days": -1.0},
        kept(Balance()) | {"lost": 2.0, "riders": 1.0},
    ],
)
def test_what_no_balance_can_be_is_refused(values: Any) -> None:
    with pytest.raises(InvalidError, match="balance"):
        recalled(values)
