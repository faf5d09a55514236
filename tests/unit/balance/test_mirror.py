"""The picture of charging at once, and the price that holds a plan to its service."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.core.balance.envelopes import PackCurve, Slots
from fleet.core.balance.mirror import AIM, PRICE_HIGH, PRICE_LOW, PRICE_SHARE, LostPrice, Mirror
from fleet.errors import InvalidError

HOURS = 1 / 12
CURVE = PackCurve(np.full(101, 400.0), np.linspace(0.0, 1_300.0, 101), 0.9)
CHARGE_STEPS = 27  # 884 Wh at 400 W, in steps of five minutes
NONE = np.array([np.inf])


def mirror(soc: list[list[float]], breaker_w: float = 4_000.0) -> Mirror:
    slots = np.array(soc)
    rows = len(slots)
    return Mirror(
        Slots(slots, np.ones(slots.shape, bool), np.full(rows, breaker_w)),
        CURVE,
        np.zeros(rows, np.int32),
        np.zeros(1, np.int32),
    )


def lost_later(
    site: Mirror, steps: int, feeder_w: np.ndarray = NONE, region_w: np.ndarray = NONE
) -> int:
    """Charge for so many steps without riders, then let a great many come."""
    for _ in range(steps):
        site.step([0], HOURS, feeder_w, region_w)
    return int(site.step([10], HOURS, NONE, NONE)[0])


def test_riders_take_ready_packs_and_the_rest_are_lost() -> None:
    site = mirror([[0.95, 0.9, 0.5, -1.0], [0.95, 0.2, 0.2, -1.0]])
    assert site.step([3, 1], HOURS, NONE, NONE).tolist() == [1, 0]
    assert site.step([0, 1], HOURS, NONE, NONE).tolist() == [0, 1]


def test_a_pack_that_came_back_is_ready_after_its_charge() -> None:
    early, late = mirror([[0.9]]), mirror([[0.9]])
    for site in (early, late):
        site.step([1], HOURS, NONE, NONE)
    assert lost_later(early, CHARGE_STEPS - 2) == 10
    assert lost_later(late, CHARGE_STEPS - 1) == 9


@pytest.mark.parametrize("what", ["breaker", "feeder", "region"])
def test_where_power_is_cut_the_readiest_pack_is_first(what: str) -> None:
    breaker_w = 400.0 if what == "breaker" else 4_000.0
    feeder_w = np.array([400.0]) if what == "feeder" else NONE
    region_w = np.array([400.0]) if what == "region" else NONE
    for steps, lost in ((CHARGE_STEPS - 2, 10), (CHARGE_STEPS, 9), (2 * CHARGE_STEPS - 2, 9)):
        site = mirror([[0.22, 0.22, -1.0]], breaker_w)
        assert lost_later(site, steps, feeder_w, region_w) == lost
    site = mirror([[0.22, 0.22, -1.0]], breaker_w)
    assert lost_later(site, 2 * CHARGE_STEPS, feeder_w, region_w) == 8


def test_slots_out_of_use_and_empty_ones_never_hand_out() -> None:
    soc = np.array([[0.95, -1.0]])
    slots = Slots(soc, np.array([[False, True]]), np.array([4_000.0]))
    site = Mirror(slots, CURVE, np.zeros(1, np.int32), np.zeros(1, np.int32))
    assert lost_later(site, 100) == 10


def test_the_price_rises_with_what_is_lost_beyond_the_mirror_and_falls_below_it() -> None:
    dear, cheap = LostPrice(2.0), LostPrice(2.0)
    assert dear.price == 2.0
    dear.learn(round(100_000 * PRICE_SHARE), 0, 100_000, 1.0)
    assert dear.price == pytest.approx(2.0 * np.e, rel=0.01)
    cheap.learn(0, round(100_000 * PRICE_SHARE * 0.5 / AIM), 100_000, 1.0)
    assert cheap.price == pytest.approx(2.0 * np.exp(-0.5), rel=0.02)
    dear.learn(100_000, 0, 1_000, 1.0)
    assert dear.price == 2.0 * PRICE_HIGH
    cheap.learn(0, 100_000, 1_000, 1.0)
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
