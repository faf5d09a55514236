"""The forecaster against known truth: what it learns, how sure it is, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.core.balance.forecast import Forecaster, pinball, quantile
from fleet.core.balance.generate import HOURLY_SWAPS
from fleet.errors import InvalidError
from tests.bench.forecast import LEVELS, compare

RNG = np.random.default_rng(5)


def flat(cabinets: int = 3, daily: float = 24.0) -> Forecaster:
    return Forecaster(np.full(cabinets, daily), interval_s=3600)


def test_day_zero_is_the_prior_profile_scaled_to_the_site() -> None:
    forecaster = Forecaster([10.0, 40.0], interval_s=3600)
    mean = forecaster.forecast([(0, ())], 0, 24).mean
    shares = np.asarray(HOURLY_SWAPS) / sum(HOURLY_SWAPS)
    assert mean.sum(axis=1) == pytest.approx([10.0, 40.0])
    assert mean[0] / 10.0 == pytest.approx(shares, abs=2e-3)


def test_it_finds_the_sites_scale_hours_and_weekdays() -> None:
    truth = np.full((2, 7, 24), 1.0)
    truth[0] *= 2.0
    truth[1, :, 8] = 6.0  # a rush of its own
    truth[1, 5] = 0.2  # closed on Saturdays
    forecaster = flat(2)
    for day in range(56):
        forecaster.learn(RNG.poisson(truth[:, day % 7]), day % 7)
    workday = forecaster.forecast([(2, ())], 0, 24).mean.sum(axis=1)
    assert workday == pytest.approx(truth[:, 2].sum(axis=1), rel=0.12)
    saturday = forecaster.forecast([(5, ())], 0, 24).mean.sum(axis=1)
    assert saturday[0] == pytest.approx(48.0, rel=0.25)
    assert saturday[1] < 10.0
    assert forecaster.forecast([(2, ())], 8, 1).mean[1, 0] == pytest.approx(6.0, rel=0.25)


def test_it_grows_surer_and_forgets() -> None:
    forecaster = flat()
    unsure = forecaster.forecast([(0, ())], 0, 24).relative_variance
    for day in range(20):
        forecaster.learn(np.ones((3, 24)), day % 7)
    sure = forecaster.forecast([(0, ())], 0, 24).relative_variance
    assert np.all(sure < unsure / 5)
    for day in range(120):
        forecaster.learn(np.full((3, 24), 3.0), day % 7)
    assert forecaster.forecast([(0, ())], 0, 24).mean.sum(axis=1) == pytest.approx(
        [72.0] * 3, rel=0.1
    )


def test_what_nobody_saw_teaches_nothing() -> None:
    known, blind = flat(), flat()
    seen = np.ones((3, 24), bool)
    seen[1] = False
    counts = np.full((3, 24), 5.0)
    for day in range(14):
        known.learn(counts, day % 7)
        blind.learn(counts, day % 7, observed=seen)
    apart = blind.forecast([(0, ())], 0, 24)
    assert apart.relative_variance[1] > 10 * apart.relative_variance[0]


def test_a_new_cabinet_starts_from_the_fleets_profile() -> None:
    forecaster = flat(4)
    counts = np.zeros((4, 24))
    counts[:, 3] = 40.0  # a fleet of night owls
    for day in range(28):
        forecaster.learn(counts, day % 7)
    forecaster.add([10.0])
    assert forecaster.cabinets == 5
    mean = forecaster.forecast([(1, ())], 0, 24).mean[4]
    assert mean.argmax() == 3
    assert mean[3] > 0.5 * mean.sum()


def test_rain_multiplies_and_is_learnt() -> None:
    forecaster = flat(20)
    assert forecaster.condition("rain") == pytest.approx(1.3)
    for day in range(60):
        wet = day % 4 == 0
        counts = RNG.poisson(np.full((20, 24), 1.6 if wet else 1.0))
        forecaster.learn(counts, day % 7, conditions=("rain",) if wet else ())
    assert forecaster.condition("rain") == pytest.approx(1.6, rel=0.08)
    dry = forecaster.forecast([(0, ())], 0, 24).mean.sum()
    wet = forecaster.forecast([(0, ("rain",))], 0, 24).mean.sum()
    assert wet / dry == pytest.approx(forecaster.condition("rain"))


def test_quantiles_are_those_of_the_counts() -> None:
    mean, spread = 6.0, 0.2
    drawn = RNG.poisson(RNG.gamma(1 / spread, mean * spread, 400_000))
    for level in (0.05, 0.5, 0.9, 0.99):
        assert abs(int(quantile(mean, spread, level)) - np.quantile(drawn, level)) <= 1
    levels = np.stack([quantile([0.0, 0.3, 9.0], 0.05, level) for level in (0.1, 0.5, 0.9, 0.99)])
    assert np.all(np.diff(levels, axis=0) >= 0)
    assert np.all(levels[:, 0] == 0)


def test_pinball_is_least_at_the_quantile() -> None:
    drawn = RNG.poisson(7.0, 50_000)
    losses = [pinball(drawn, guess, 0.9) for guess in range(20)]
    assert int(np.argmin(losses)) == np.quantile(drawn, 0.9)


def test_it_beats_yesterday_and_last_week() -> None:
    table = compare(cabinets=60, days=35, scored=7, seed=3)
    ours = table["forecast"]
    for name, losses in table.items():
        if name != "forecast":
            for level in LEVELS:
                assert ours[level] < losses[level], (name, level)


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda f: f.learn(np.ones((3, 23)), 0), "counts"),
        (lambda f: f.learn(np.full((3, 24), -1.0), 0), "counts"),
        (lambda f: f.learn(np.full((3, 24), np.nan), 0), "counts"),
        (lambda f: f.learn(np.ones((3, 24)), 7), "weekday"),
        (lambda f: f.learn(np.ones((3, 24)), 0, conditions=("hail",)), "hail"),
        (lambda f: f.forecast([(0, ())], 20, 5), "count"),
        (lambda f: f.forecast([(0, ())], 0, 24).quantile(1.0), "level"),
        (lambda f: f.add([0.0]), "prior_daily"),
        (lambda _f: Forecaster([1.0], interval_s=700), "interval_s"),
        (lambda _f: Forecaster([1.0], kept_a_day=0.0), "kept_a_day"),
    ],
)
def test_broken_input_is_named(call: object, field: str) -> None:
    with pytest.raises(InvalidError, match=field):
        call(flat())  # type: ignore[operator]
