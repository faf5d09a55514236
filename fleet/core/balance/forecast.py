"""Swaps to come: per cabinet, weekday and interval, with how sure that is.

The rate of a cabinet is a product: its daily scale, the fleet's profile of the weekday, and what sets
this site apart by hour, by weekday, and by hour of the weekday. Each factor is a Gamma-Poisson mean
``(k + seen) / (k + expected)``: near 1 (or the prior) until swaps say otherwise, so that a cabinet of
today starts from the fleet and one of last year stands on its own. What was seen fades by a share per
day. Rain and holidays multiply; their factors are learnt from the whole fleet or given.

Day 0 stands on a synthetic profile (no free log of real swaps was found) and a scale per site.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleet.core.balance.generate import DAY_S, HOURLY_SWAPS
from fleet.core.balance.instance import Floats
from fleet.errors import InvalidError

HOURS: Final = 24
WEEKDAYS: Final = 7
SWAPS_A_DAY: Final = 30.0
#: How much of what was seen is left after a day: half of it is from the last five weeks.
KEPT_A_DAY: Final = 0.98
#: Swaps that each factor's prior is worth.
PROFILE_WORTH: Final = 400.0
SCALE_WORTH: Final = 2.0
HOUR_WORTH: Final = 8.0
WEEKDAY_WORTH: Final = 30.0
CELL_WORTH: Final = 20.0
CONDITION_WORTH: Final = 500.0
#: What a condition is taken for before any was seen.
CONDITIONS: Final[Mapping[str, float]] = {"rain": 1.3, "holiday": 1.3}
#: Relative variance of a day's rate that no history takes away.
DAY_VARIANCE: Final = 0.01
QUANTILE_COUNT_MAX: Final = 500
#: Swaps of today that the forecast of a site is worth when today says otherwise (rain, a feast).
TODAY_WORTH: Final = 15.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Swaps of each cabinet and interval. Counts are negative binomial about ``mean``."""

    mean: Floats  # [C,T]
    relative_variance: Floats  # [C]: of the rate itself, common to all intervals of a cabinet
    socket_w: Floats | None = None  # [C,T]: what all sockets of a cabinet are expected to take

    def of(self, cabinets: NDArray[np.int64]) -> Forecast:
        """The same of some cabinets, in this order."""
        sockets = None if self.socket_w is None else self.socket_w[cabinets]
        return Forecast(self.mean[cabinets], self.relative_variance[cabinets], sockets)

    def variance(self) -> Floats:
        """Of the count of each interval [C,T]."""
        spread: Floats = self.mean + self.mean**2 * self.relative_variance[:, None]
        return spread

    def quantile(self, level: float) -> NDArray[np.int64]:
        """The least count that is not exceeded with probability ``level`` [C,T]."""
        return quantile(self.mean, self.relative_variance[:, None], level)


def quantile(mean: ArrayLike, relative_variance: ArrayLike, level: float) -> NDArray[np.int64]:
    """Quantile of negative binomial counts, exact up to QUANTILE_COUNT_MAX."""
    if not 0.0 < level < 1.0:
        raise InvalidError(f"level: is {level}, expected a number between 0 and 1")
    mean_, spread = np.broadcast_arrays(
        np.asarray(mean, float), np.asarray(relative_variance, float)
    )
    size = 1.0 / np.maximum(spread, 1e-9)
    odds = mean_ / (mean_ + size)
    mass = np.exp(-size * np.log1p(mean_ / size))
    total, found = mass.copy(), np.zeros(mean_.shape, np.int64)
    for count in range(1, QUANTILE_COUNT_MAX + 1):
        short = total < level
        if not short.any():
            break
        found[short] = count
        mass = mass * odds * (size + count - 1) / count
        total += mass
    return found


class Forecaster:
    """Learns from a day's counts at a time; see the module for the model.

    Args:
        prior_daily: swaps a day expected of each cabinet before any was seen [C].
        interval_s: length of an interval; a divisor of an hour.
    """

    def __init__(
        self, prior_daily: ArrayLike, *, interval_s: int = 900, kept_a_day: float = KEPT_A_DAY
    ) -> None:
        if not 1 <= interval_s <= 3600 or 3600 % interval_s:
            raise InvalidError(f"interval_s: is {interval_s}, expected a divisor of 3600")
        if not 0.0 < kept_a_day <= 1.0:
            raise InvalidError(f"kept_a_day: is {kept_a_day}, expected above 0, at most 1")
        self.intervals = DAY_S // interval_s
        self._hour = np.arange(self.intervals) * interval_s // 3600
        self._kept = kept_a_day
        middle = (np.arange(self.intervals) + 0.5) * interval_s / 3600
        shape = np.interp(middle, np.arange(HOURS) + 0.5, HOURLY_SWAPS, period=HOURS)
        self._prior_profile: Floats = shape / shape.sum()
        self._profile_seen = np.zeros((WEEKDAYS, self.intervals))
        self._weekday_seen = np.zeros((2, WEEKDAYS))
        self._conditions = {name: np.zeros(2) for name in CONDITIONS}
        self._scale = np.zeros((2, 0))
        self._hours = np.zeros((2, 0, HOURS))
        self._weekdays = np.zeros((2, 0, WEEKDAYS))
        self._cells = np.zeros((2, 0, WEEKDAYS, HOURS), np.float32)
        self._prior_daily = np.zeros(0)
        self.add(prior_daily)

    @property
    def cabinets(self) -> int:
        """How many there are."""
        return len(self._prior_daily)

    def add(self, prior_daily: ArrayLike) -> None:
        """New cabinets behind those that are known, each with its expected swaps a day."""
        daily = np.atleast_1d(np.asarray(prior_daily, float))
        if daily.ndim != 1 or not np.all(np.isfinite(daily) & (daily > 0)):
            raise InvalidError("prior_daily: expected a row of numbers above 0, one per cabinet")
        more = len(daily)
        self._prior_daily = np.concatenate((self._prior_daily, daily))
        self._scale = np.concatenate((self._scale, np.zeros((2, more))), axis=1)
        self._hours = np.concatenate((self._hours, np.zeros((2, more, HOURS))), axis=1)
        self._weekdays = np.concatenate((self._weekdays, np.zeros((2, more, WEEKDAYS))), axis=1)
        cells = np.zeros((2, more, WEEKDAYS, HOURS), np.float32)
        self._cells = np.concatenate((self._cells, cells), axis=1)

    def condition(self, name: str) -> float:
        """By how much this condition multiplies the swaps, as far as is known."""
        seen, expected = self._conditions[_known(name)]
        prior = CONDITIONS[name]
        return float((CONDITION_WORTH * prior + seen) / (CONDITION_WORTH + expected))

    def factor(self, conditions: Iterable[str]) -> float:
        """Of all conditions of a day together."""
        return float(np.prod([self.condition(name) for name in conditions]))

    def learn(
        self,
        counts: ArrayLike,
        weekday: int,
        *,
        conditions: Iterable[str] = (),
        observed: NDArray[np.bool_] | None = None,
    ) -> None:
        """Take in one day: ``counts`` [C,I] of riders who came, served or not.

        ``observed`` [C,I] is False where nobody knows (the cabinet was offline, or not yet there).
        """
        seen = np.asarray(counts, float)
        if seen.shape != (self.cabinets, self.intervals):
            raise InvalidError(
                f"counts: has shape {seen.shape}, expected {(self.cabinets, self.intervals)}"
            )
        if not np.all(np.isfinite(seen) & (seen >= 0)):
            raise InvalidError("counts: expected numbers from 0 on")
        _check_weekday(weekday)
        known = np.ones(seen.shape, bool) if observed is None else observed
        seen = np.where(known, seen, 0.0)
        names = tuple(_known(name) for name in conditions)
        factor = self.factor(names)
        self._fade()
        plain = float(np.where(known, self._rates(weekday), 0.0).sum())
        for name in names:
            others = factor / self.condition(name)
            self._conditions[name] += (seen.sum(), plain * others)
        unit = np.where(known, self._base(weekday)[None, :] * factor, 0.0)
        self._learn_sites(seen, unit, weekday)
        share = np.where(known, self._share(weekday)[None, :] * factor, 0.0)
        self._weekday_seen[0, weekday] += seen.sum()
        self._weekday_seen[1, weekday] += (share * self._scale_mean()[:, None]).sum()
        self._profile_seen[weekday] += seen.sum(axis=0) / factor

    def forecast(
        self, days: Iterable[tuple[int, Iterable[str]]], first: int, count: int
    ) -> Forecast:
        """``count`` intervals from interval ``first`` of the first of ``days`` on.

        Each day is its weekday (0 is Monday) and its conditions.
        """
        rows = []
        for weekday, conditions in days:
            _check_weekday(weekday)
            rows.append(self._rates(weekday) * self.factor(conditions))
        mean = np.concatenate(rows, axis=1) if rows else np.zeros((self.cabinets, 0))
        if not (first >= 0 and count >= 1 and first + count <= mean.shape[1]):
            raise InvalidError(
                f"first {first}, count {count}: expected to lie in {len(rows)} days "
                f"of {self.intervals} intervals"
            )
        relative = DAY_VARIANCE + 1.0 / (SCALE_WORTH + self._scale[0])
        return Forecast(mean[:, first : first + count], relative)

    def _fade(self) -> None:
        parts: tuple[NDArray[Any], ...] = (
            self._profile_seen,
            self._weekday_seen,
            self._scale,
            self._hours,
            self._weekdays,
            self._cells,
            *self._conditions.values(),
        )
        for sums in parts:
            np.multiply(sums, self._kept, out=sums)

    def _learn_sites(self, seen: Floats, unit: Floats, weekday: int) -> None:
        """From coarse to fine: each factor explains what is left of the coarser ones, today's included.

        ``unit`` is what a site of one swap a day would see.
        """
        starts = np.searchsorted(self._hour, np.arange(HOURS))
        seen_h = np.add.reduceat(seen, starts, axis=1)
        self._scale += np.stack((seen.sum(axis=1), unit.sum(axis=1)))
        mean_h = np.add.reduceat(unit, starts, axis=1) * self._scale_mean()[:, None]
        self._hours += np.stack((seen_h, mean_h))
        mean_h *= _factor(self._hours, HOUR_WORTH)
        self._weekdays[:, :, weekday] += np.stack((seen.sum(axis=1), mean_h.sum(axis=1)))
        mean_h *= _factor(self._weekdays, WEEKDAY_WORTH)[:, weekday, None]
        self._cells[:, :, weekday] += np.stack((seen_h, mean_h)).astype(np.float32)

    def _scale_mean(self) -> Floats:
        seen, exposure = self._scale
        mean: Floats = (SCALE_WORTH + seen) / (SCALE_WORTH / self._prior_daily + exposure)
        return mean

    def _share(self, weekday: int) -> Floats:
        """Share of the weekday's swaps of each interval, fleet-wide [I]."""
        seen = self._profile_seen[weekday]
        share: Floats = (PROFILE_WORTH * self._prior_profile + seen) / (PROFILE_WORTH + seen.sum())
        return share

    def _base(self, weekday: int) -> Floats:
        """The share, times how busy this weekday is against the mean day."""
        total, expected = self._weekday_seen[:, weekday]
        return self._share(weekday) * float((PROFILE_WORTH + total) / (PROFILE_WORTH + expected))

    def _rates(self, weekday: int) -> Floats:
        """Mean swaps of a day without conditions [C,I]."""
        apart = (
            _factor(self._hours, HOUR_WORTH)
            * _factor(self._weekdays, WEEKDAY_WORTH)[:, weekday, None]
            * _factor(self._cells[:, :, weekday], CELL_WORTH)
        )
        rates: Floats = self._scale_mean()[:, None] * self._base(weekday) * apart[:, self._hour]
        return rates


def by_today(forecast: Forecast, seen: ArrayLike, expected: ArrayLike, left: int) -> Forecast:
    """The same, the ``left`` intervals of today that are to come scaled by how today went so far.

    ``seen`` [C] are the riders of today's whole intervals, served or not, ``expected`` [C] how many
    they would have been by the forecast.
    """
    factor = (TODAY_WORTH + np.asarray(seen, float)) / (TODAY_WORTH + np.asarray(expected, float))
    mean = forecast.mean.copy()
    mean[:, :left] *= factor[:, None]
    return replace(forecast, mean=mean)


def pinball(counts: ArrayLike, guess: ArrayLike, level: float) -> float:
    """Mean pinball loss of guesses of one quantile: the score of a forecast's spread."""
    over = np.asarray(counts, float) - np.asarray(guess, float)
    return float(np.maximum(level * over, (level - 1.0) * over).mean())


def _factor(sums: NDArray[Any], worth: float) -> Floats:
    factor: Floats = ((worth + sums[0]) / (worth + sums[1])).astype(float)
    return factor


def _known(name: str) -> str:
    if name not in CONDITIONS:
        raise InvalidError(f"condition {name!r}: expected one of {', '.join(CONDITIONS)}")
    return name


def _check_weekday(weekday: int) -> None:
    if not 0 <= weekday < WEEKDAYS:
        raise InvalidError(f"weekday: is {weekday}, expected 0 (Monday) to 6")
