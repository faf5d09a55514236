"""What both the fleet and its closed loop decide: the worth of stock, and envelopes from a moment on."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.core.balance.envelopes import PackCurve, Slots
from fleet.core.balance.forecast import TODAY_WORTH, Forecast, by_today
from fleet.core.balance.needs import WORTH_MIN, charge_intervals, needs, waiting_saves, worth
from fleet.core.balance.service import spread_stock

pytestmark = pytest.mark.timeout(240)  # the first envelopes compile
CURVE = PackCurve(np.full(101, 400.0), np.linspace(0.0, 1_000.0, 101), 0.9, 0.1)


def test_a_charge_is_counted_in_whole_intervals() -> None:
    assert charge_intervals(CURVE, 900) == 8, "800 Wh at 400 W"
    assert charge_intervals(CURVE, 3_600) == 2
    assert charge_intervals(PackCurve(CURVE.power_w * 50, CURVE.mains_wh, 0.9), 3_600) == 1


def test_waiting_saves_the_dear_hours_before_against_the_cheapest_ones_after() -> None:
    price = np.array([1.0] * 12 + [0.25] * 12)  # of each hour; the day comes again
    saves = waiting_saves(price, 24, 3_600, 2, 1_000.0)
    assert saves[:3] == pytest.approx([0.0, 0.0, 0.0]), "no cheap hour within eight"
    assert saves[5:11] == pytest.approx([0.75] * 6)
    assert saves[13:22] == pytest.approx([0.0] * 9), "it is cheap already"
    assert worth(saves, 3.0)[6] == pytest.approx(0.25)
    assert worth(saves, 3.0).min() == WORTH_MIN


def test_what_is_left_of_an_interval_is_what_the_envelope_has_of_it() -> None:
    slots = Slots(np.array([[0.95, 0.5, 0.3, -1.0]]), np.ones((1, 4), bool), np.array([3_000.0]))
    forecast = Forecast(np.full((1, 97), 0.4), np.full(1, 0.02))
    asked = {
        "stock": lambda mean, variance: spread_stock(mean, variance, np.ones(1)),
        "intervals": 96,
        "interval_s": 900,
    }
    whole, third = (needs(slots, forecast, CURVE, share=share, **asked) for share in (1.0, 1 / 3))
    assert whole.ready.tolist() == third.ready.tolist() == [1.0]
    assert third.riders[0, 0] == pytest.approx(whole.riders[0, 0] / 3)
    assert third.high[0, 0] == pytest.approx(whole.high[0, 0] / 3, abs=1)
    for each in (whole, third):
        assert np.all(each.low <= each.high)
        assert np.all(np.diff(each.low) >= 0)
        assert np.all(np.diff(each.high) >= 0)


def test_a_day_that_goes_otherwise_is_expected_to_go_on_so() -> None:
    forecast = Forecast(np.full((3, 10), 2.0), np.full(3, 0.1))
    wet = by_today(forecast, [3 * TODAY_WORTH, TODAY_WORTH, 0.0], [TODAY_WORTH] * 3, 4)
    assert wet.mean[:, 0].tolist() == [4.0, 2.0, 1.0]
    assert wet.mean[:, 4:].tolist() == forecast.mean[:, 4:].tolist(), "tomorrow is another day"
    assert forecast.mean[0, 0] == 2.0
