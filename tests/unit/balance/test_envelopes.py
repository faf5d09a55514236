"""From slots and forecast to envelopes: bounds that hold, can be followed, and move the right way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.balance.envelopes import EMPTY, PackCurve, Slots, cabinet_envelopes, needed
from fleet.core.balance.forecast import Forecast
from fleet.core.balance.service import (
    priced_stock,
    spread_stock,
)
from fleet.errors import InvalidError
from simulator.world.day_town import curve

POWER, MAINS = curve()
CURVE = PackCurve(POWER, MAINS, 0.9)
T = 48
STEP_S = 900
HOURS = STEP_S / 3600


def site(seed: int, cabinets: int = 4) -> tuple[Slots, Forecast]:
    rng = np.random.default_rng(seed)
    soc = rng.uniform(0.0, 1.0, (cabinets, 12)).round(3)
    soc[rng.random(soc.shape) < 0.15] = EMPTY
    usable = rng.random(soc.shape) > 0.1
    slots = Slots(soc, usable, rng.choice([0.0, 900.0, 4_000.0], cabinets, p=[0.1, 0.3, 0.6]))
    mean = rng.gamma(0.5, rng.uniform(0.1, 2.0), (cabinets, T + 8))
    return slots, Forecast(mean, np.full(cabinets, 0.02))


def plan_for(
    slots: Slots, forecast: Forecast, z: float = 2.0, lead: int = 1
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    cabinets = len(slots.soc)
    wanted = needed(
        forecast,
        T,
        (slots.soc >= 0.9).sum(axis=1).astype(float),
        (slots.soc >= 0).sum(axis=1).astype(float),
        stock=lambda mean, variance: spread_stock(mean, variance, np.full(cabinets, z)),
        lead=np.full(cabinets, lead),
        charge=9,
    )
    return wanted, cabinet_envelopes(slots, forecast, wanted, CURVE, STEP_S)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 1_000_000), st.floats(0.0, 4.0), st.integers(0, 6))
def test_envelopes_are_ordered_and_can_be_followed(seed: int, z: float, lead: int) -> None:
    slots, forecast = site(seed)
    wanted, (low, high, step) = plan_for(slots, forecast, z, lead)
    assert np.all(np.diff(wanted, axis=1) >= 0)
    assert np.all(low >= 0)
    assert np.all(low <= high)
    assert np.all(np.diff(low, axis=1) >= 0)
    assert np.all(np.diff(high, axis=1) >= 0)
    assert np.all(step <= slots.breaker_w[:, None] * HOURS)
    total = np.zeros(len(low))
    for t in range(T):  # as late as may be: never too late
        total = np.maximum(total, low[:, t])
        before = low[:, t - 1] if t else 0
        assert np.all(low[:, t] - before <= step[:, t])
        assert np.all(total <= high[:, t])
    first = np.diff(np.concatenate((np.zeros((len(high), 1)), high), axis=1), axis=1)
    assert np.all(first <= step)  # as early as may be: never too fast


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1_000_000))
def test_more_service_asks_for_no_less(seed: int) -> None:
    slots, forecast = site(seed)
    before = None
    for z, lead in ((0.0, 0), (1.0, 0), (1.0, 2), (3.0, 4)):
        wanted, (low, _, _) = plan_for(slots, forecast, z, lead)
        if before is not None:
            assert np.all(wanted >= before[0] - 1e-9)
            assert np.all(low >= before[1] - 1)  # whole Wh
        before = wanted, low


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1_000_000))
def test_a_stronger_breaker_lets_more_be_charged(seed: int) -> None:
    slots, forecast = site(seed)
    strong = Slots(slots.soc, slots.usable, slots.breaker_w + 800.0)
    _, (_, high, _) = plan_for(slots, forecast)
    _, (_, high_2, _) = plan_for(strong, forecast)
    assert np.all(high_2 >= high)


def quiet(soc: list[float], usable: bool = True) -> tuple[Slots, Forecast]:
    state = np.full((1, 12), EMPTY)
    state[0, : len(soc)] = soc
    slots = Slots(state, np.full(state.shape, usable), np.array([4_000.0]))
    return slots, Forecast(np.zeros((1, T + 8)), np.zeros(1))


def test_one_pack_follows_its_curve() -> None:
    slots, forecast = quiet([0.2])
    _, (low, high, step) = plan_for(slots, forecast)
    energy = float(MAINS[90] - MAINS[20])
    assert np.all(low == 0)  # nobody comes
    assert high[0, -1] == pytest.approx(energy, abs=2)
    assert high[0, 0] == pytest.approx(POWER[20] * HOURS, rel=0.02)
    assert 8 <= int(np.argmax(high[0] == high[0, -1])) <= 10  # about 2.3 h
    assert step[0, 0] == pytest.approx(POWER[20] * HOURS, rel=0.02)


def test_a_rider_to_come_sets_the_deadline() -> None:
    slots, forecast = quiet([0.2])
    mean = forecast.mean.copy()
    mean[0, 20] = 1.0
    _, (low, high, _) = plan_for(slots, Forecast(mean, np.zeros(1)), z=0.0, lead=0)
    assert low[0, 9] == 0
    assert low[0, 20] == pytest.approx(float(MAINS[90] - MAINS[20]), abs=2)
    assert low[0, 19] < low[0, 20]
    assert high[0, -1] > low[0, -1]  # the rider's own pack may charge too


@pytest.mark.parametrize("soc", [[], [0.95, 0.9]])
def test_nothing_to_charge(soc: list[float]) -> None:
    _, (low, high, step) = plan_for(*quiet(soc))
    assert not low.any()
    assert not high.any()
    assert not step.any()


def test_a_slot_out_of_service_charges_nothing() -> None:
    _, (_, high, _) = plan_for(*quiet([0.2, 0.5], usable=False))
    assert not high.any()


def test_stock_by_price_follows_erlang() -> None:
    mean = np.array([[3.0]])
    losses = [1.0]
    for packs in range(1, 13):
        losses.append(3.0 * losses[-1] / (packs + 3.0 * losses[-1]))
    for worth in (0.5, 0.1, 0.01, 0.001):
        kept = priced_stock(mean, mean, np.array([[worth]]))[0, 0]
        saved = [3.0 * (losses[k] - losses[k + 1]) for k in range(12)]
        assert kept == sum(1 for value in saved if value > worth)


def test_stock_by_price_grows_with_the_worth_of_a_rider_and_with_spread() -> None:
    mean = np.full((1, 40), np.linspace(0.0, 12.0, 40))
    cheap = priced_stock(mean, mean, np.full((1, 40), 0.2))
    dear = priced_stock(mean, mean, np.full((1, 40), 0.01))
    wide = priced_stock(mean, 2 * mean, np.full((1, 40), 0.01))
    assert np.all(dear >= cheap)
    assert np.all(wide >= dear - 1e-9)
    assert dear[0, 0] == 0


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: Slots(np.full((1, 2), 1.2), np.ones((1, 2), bool), np.ones(1)), "soc"),
        (lambda: Slots(np.full((1, 2), np.nan), np.ones((1, 2), bool), np.ones(1)), "soc"),
        (lambda: Slots(np.zeros((1, 2)), np.ones((1, 3), bool), np.ones(1)), "usable"),
        (lambda: Slots(np.zeros((1, 2)), np.ones((1, 2), bool), -np.ones(1)), "breaker_w"),
        (lambda: PackCurve(np.zeros(3), np.arange(3.0), 0.9), "power_w"),
        (lambda: PackCurve(np.ones(3), np.zeros(3), 0.9), "mains_wh"),
        (lambda: PackCurve(np.ones(3), np.arange(3.0), 0.1), "ready_soc"),
    ],
)
def test_broken_input_is_named(call: object, field: str) -> None:
    with pytest.raises(InvalidError, match=field):
        call()  # type: ignore[operator]
