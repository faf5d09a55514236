"""Our policy: forecast, envelopes, plan and back to slots, every 15 minutes, as the fleet does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleet.core.balance import rush
from fleet.core.balance.envelopes import PackCurve, Slots
from fleet.core.balance.forecast import Forecast, Forecaster, by_today
from fleet.core.balance.instance import NO_LIMIT, Floats, Instance, Ints, Plan
from fleet.core.balance.mirror import Mirror
from fleet.core.balance.needs import (
    WORTH_MIN,
    Needs,
    charge_intervals,
    needs,
    waiting_saves,
    worth,
)
from fleet.core.balance.promise import LostPrice, Promise
from fleet.core.balance.service import priced_stock, spread_stock
from fleet.core.balance.solve import solve
from simulator.world.day_policies import PER_INTERVAL, Now
from simulator.world.day_town import (
    INTERVAL_S,
    MONTH_DAYS,
    PEAK_PRICE,
    STEP_S,
    SWAP_WH,
    Town,
    curve,
)

HORIZON: Final = 96
AHEAD: Final = 16  # intervals of forecast beyond the horizon
HOURS: Final = INTERVAL_S / 3600
GAP: Final = 0.002


@dataclass(frozen=True, slots=True)
class Tuning:
    """What may be turned."""

    lost_price: float = 1.5  # usual worth of a lost swap; 0: stock fixed by ``z``
    z: float = 2.0
    lead: int = 0
    mirrored: bool = True  # the worth of a lost swap follows what charging at once would lose
    shortfall_price: float = 30.0
    perfect: bool = False
    perfect_z: float = -0.5
    worth_min: float = WORTH_MIN
    low: float = rush.EARLY_SOC
    few: int = rush.FEW_PACKS


class Ours:
    """Plans every interval, hands each cabinet its energy, carries over what a step did not place."""

    def __init__(self, town: Town, ready: float, tuning: Tuning, threads: int = 2) -> None:
        self._town = town
        self._tuning = tuning
        self._threads = threads
        cabinets = len(town.soc)
        power, mains = curve()
        self._curve = PackCurve(power, mains, ready)
        slots = Slots(town.soc, np.ones(town.soc.shape, bool), town.breaker_w)
        self._promise: Promise | None = None
        if tuning.lost_price > 0.0:
            mirror = Mirror(slots, self._curve, town.feeder_of, town.region_of)
            self._promise = Promise(mirror, LostPrice(tuning.lost_price))
        self._forecaster = _taught(town)
        self._seen = np.zeros((cabinets, 96), np.int64)  # riders of the day so far
        self._expected = Forecast(np.zeros((cabinets, 0)), np.zeros(cabinets))
        self._expected_day = -1
        self._plan: Plan | None = None
        self._left_wh = np.zeros(cabinets)
        self._open = np.zeros(cabinets, bool)
        self._target = np.full(cabinets, ready)
        self._planned_wh = self._unplaced_wh = 0.0
        self.solve_s = 0.0

    def unplaced(self) -> tuple[float, float]:
        """Energy planned, and what of it found no slot in its interval."""
        return self._planned_wh, self._unplaced_wh

    def target(self, now: Now) -> Floats:
        """Lower where ready packs run out although all are charged at once."""
        if now.step % PER_INTERVAL == 0:
            few = rush.few((now.soc >= now.ready).sum(axis=1), self._tuning.few)
            self._target = np.where(few, self._tuning.low, now.target)
        return self._target

    def want_w(self, now: Now) -> Floats:
        """What is left of the interval's energy over what is left of its time."""
        self._look_back(now)
        phase = now.step % PER_INTERVAL
        if phase == 0:
            self._unplaced_wh += float(np.maximum(self._left_wh, 0.0).sum())
            self._left_wh = self._replan(now)
            self._planned_wh += float(self._left_wh.sum())
        left_h = (PER_INTERVAL - phase) * STEP_S / 3600
        want = np.maximum(self._left_wh, 0.0) / left_h
        want = np.minimum(rush.allowed(want), self._town.breaker_w)
        return np.where(self._open, now.full_w, want)

    def _look_back(self, now: Now) -> None:
        self._left_wh -= now.drawn_wh
        if now.step == 0:
            return
        came = now.lost + now.served
        before = now.step - 1
        self._seen[:, before // PER_INTERVAL % 96] += came
        self._compare(came, now.lost, before)
        if now.step % (96 * PER_INTERVAL) == 0:
            day = now.step // (96 * PER_INTERVAL) - 1
            weekday, conditions = self._day(day)
            self._forecaster.learn(self._seen, weekday, conditions=conditions)
            self._seen[:] = 0
            self._expected_day = -1

    def _compare(self, came: Ints, lost: Ints, step: int) -> None:
        """Let the mirror serve the same riders."""
        if self._promise is None or not self._tuning.mirrored:
            return
        town, interval = self._town, step // PER_INTERVAL
        self._promise.look(
            came,
            lost,
            STEP_S / 3600,
            town.feeder_w[:, interval % 96],
            town.region_w[:, interval],
        )

    def _day(self, day: int) -> tuple[int, tuple[str, ...]]:
        town = self._town
        index = min(len(town.history) + day, len(town.rain) - 1)
        return (town.first_weekday + day) % 7, ("rain",) if town.rain[index] else ()

    def _forecast(self, interval: int) -> Forecast:
        count = HORIZON + AHEAD
        if self._tuning.perfect:
            return self._truth(interval, count)
        day, first = divmod(interval, 96)
        if day != self._expected_day:
            days = [self._day(day + ahead) for ahead in range(3)]
            self._expected = self._forecaster.forecast(days, 0, 3 * 96)
            self._expected_day = day
        seen = self._seen[:, :first].sum(axis=1)
        expected = self._expected.mean[:, :first].sum(axis=1)
        ahead = self._expected.mean[:, first : first + count]
        return by_today(
            Forecast(ahead, self._expected.relative_variance), seen, expected, 96 - first
        )

    def _truth(self, interval: int, count: int) -> Forecast:
        riders = self._town.riders
        first = interval * PER_INTERVAL
        steps = riders[first : first + count * PER_INTERVAL].T.astype(float)
        missing = count * PER_INTERVAL - steps.shape[1]
        if missing:  # beyond the end the day before comes again
            again = self._town.riders[-96 * PER_INTERVAL :].T.astype(float)
            again = np.concatenate((again, again), axis=1)[:, :missing]
            steps = np.concatenate((steps, again), axis=1)
        mean = steps.reshape(len(steps), count, PER_INTERVAL).sum(axis=2)
        return Forecast(mean, np.zeros(len(mean)))

    def _replan(self, now: Now) -> Floats:
        instance, found = self.instance(now)
        warm = None if self._plan is None else self._plan.later(1)
        started = time.perf_counter()
        self._plan = solve(
            instance, clock=time.perf_counter, gap=GAP, threads=self._threads, warm=warm
        )
        self.solve_s += time.perf_counter() - started
        energy: Floats = self._plan.step_wh[:, 0].astype(float)
        self._open = rush.opened(found.urgent, energy, instance.energy_max_wh[:, 0])
        return energy

    def _stock(self, interval: int) -> Callable[[Floats, Floats], Floats]:
        tuning = self._tuning
        if tuning.perfect or self._promise is None:
            fixed = np.full(len(self._target), tuning.perfect_z if tuning.perfect else tuning.z)
            return lambda mean, variance: spread_stock(mean, variance, fixed)
        charge = charge_intervals(self._curve, INTERVAL_S)
        price = np.roll(self._town.price, -(interval % 96))
        saves = waiting_saves(price, HORIZON + tuning.lead, INTERVAL_S, charge, SWAP_WH)
        kept = worth(saves, self._promise.lost_price.price, tuning.worth_min)
        return lambda mean, variance: priced_stock(mean, variance, kept[None, :])

    def instance(self, now: Now) -> tuple[Instance, Needs]:
        """The problem of this moment, and what it rests on."""
        town, tuning = self._town, self._tuning
        slots = Slots(now.soc, np.ones(now.soc.shape, bool), town.breaker_w)
        found = needs(
            slots,
            self._forecast(now.interval),
            self._curve,
            stock=self._stock(now.interval),
            intervals=HORIZON,
            interval_s=INTERVAL_S,
            lead=np.full(len(now.soc), max(tuning.lead, int(tuning.perfect))),
        )
        place = now.interval % 96
        hours = np.arange(now.interval, now.interval + HORIZON)
        region_w = town.region_w[:, np.minimum(hours, town.region_w.shape[1] - 1)]
        regions = len(region_w)
        instance = Instance(
            step_s=INTERVAL_S,
            energy_min_wh=found.low,
            energy_max_wh=found.high,
            step_max_wh=found.step,
            feeder_of_cabinet=town.feeder_of,
            region_of_feeder=town.region_of,
            feeder_max_wh=_limits(np.roll(town.feeder_w, -place, axis=1)),
            region_max_wh=_limits(region_w),
            price_per_kwh=np.tile(np.roll(town.price, -place), (regions, 1)),
            peak_price_per_kw=np.full(regions, PEAK_PRICE * town.days / MONTH_DAYS),
            peak_so_far_w=now.peak_w.copy(),
            shortfall_price_per_kwh=tuning.shortfall_price,
        )
        return instance, found


def _taught(town: Town) -> Forecaster:
    """A forecaster that has seen the history."""
    daily = town.history.sum(axis=(1, 2)).mean() / len(town.soc) if len(town.history) else 30.0
    forecaster = Forecaster(np.full(len(town.soc), max(daily, 1.0)), interval_s=INTERVAL_S)
    for day, counts in enumerate(town.history):
        conditions = ("rain",) if town.rain[day] else ()
        forecaster.learn(counts, day % 7, conditions=conditions)
    return forecaster


def _limits(power_w: Floats) -> Ints:
    finite = np.isfinite(power_w)
    limits: Ints = np.where(finite, np.floor(np.where(finite, power_w, 0.0) * HOURS), NO_LIMIT)
    return limits.astype(np.int64)
