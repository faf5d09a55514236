"""Our policy: forecast, envelopes, plan and back to slots, every 15 minutes, as the fleet does it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleet.core.balance import rush
from fleet.core.balance.envelopes import (
    PackCurve,
    Slots,
    cabinet_envelopes,
    needed,
    ready_packs,
)
from fleet.core.balance.forecast import Forecast, Forecaster
from fleet.core.balance.generate import DAY_S
from fleet.core.balance.instance import NO_LIMIT, Floats, Instance, Ints, Plan
from fleet.core.balance.mirror import LostPrice, Mirror
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
LATER: Final = 32  # intervals within which a pack may be charged cheaper
CHARGE: Final = 9  # intervals that a returned pack needs
TODAY_WORTH: Final = 15.0
GAP: Final = 0.002
#: The charge rule keeps every bound, so that packs draw a little less than a cabinet may: allow it.
MARGIN: Final = 0.015
MARGIN_W: Final = 15.0


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
    worth_min: float = 0.02
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
        self._mirror = Mirror(slots, self._curve, town.feeder_of, town.region_of)
        self._lost_price = LostPrice(tuning.lost_price) if tuning.lost_price > 0.0 else None
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
        want = np.where(want > 0.0, want * (1.0 + MARGIN) + MARGIN_W, 0.0)
        want = np.minimum(want, self._town.breaker_w)
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
        if self._lost_price is None or not self._tuning.mirrored:
            return
        town, interval = self._town, step // PER_INTERVAL
        mirrored = self._mirror.step(
            came, STEP_S / 3600, town.feeder_w[:, interval % 96], town.region_w[:, interval]
        )
        self._lost_price.learn(
            int(lost.sum()), int(mirrored.sum()), int(came.sum()), STEP_S / DAY_S
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
        factor = (TODAY_WORTH + seen) / (TODAY_WORTH + expected)
        mean = self._expected.mean[:, first : first + count].copy()
        mean[:, : 96 - first] *= factor[:, None]
        return Forecast(mean, self._expected.relative_variance)

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
        instance, wanted = self.instance(now)
        warm = None if self._plan is None else self._plan.later(1)
        started = time.perf_counter()
        self._plan = solve(
            instance, clock=time.perf_counter, gap=GAP, threads=self._threads, warm=warm
        )
        self.solve_s += time.perf_counter() - started
        energy: Floats = self._plan.step_wh[:, 0].astype(float)
        waiting = ((now.soc >= 0) & (now.soc < now.ready)).sum(axis=1)
        pressed = rush.urgent(wanted, waiting, CHARGE)
        self._open = rush.opened(pressed, energy, instance.energy_max_wh[:, 0])
        return energy

    def _stock(self, interval: int) -> Callable[[Floats, Floats], Floats]:
        tuning = self._tuning
        if tuning.perfect or self._lost_price is None:
            fixed = np.full(len(self._target), tuning.perfect_z if tuning.perfect else tuning.z)
            return lambda mean, variance: spread_stock(mean, variance, fixed)
        worth = np.maximum(self._saving(interval) / self._lost_price.price, tuning.worth_min)
        return lambda mean, variance: priced_stock(mean, variance, worth[None, :])

    def _saving(self, interval: int) -> Floats:
        """What one pack saves if it is ready later than by the end of each interval [T + lead]."""
        length = HORIZON + self._tuning.lead
        day = np.roll(self._town.price, -(interval % 96))
        price = np.concatenate((day[-CHARGE:], day, day))
        late = np.lib.stride_tricks.sliding_window_view(price[CHARGE:], LATER)[1 : length + 1]
        now = np.lib.stride_tricks.sliding_window_view(price, CHARGE)[1 : length + 1]
        saved: Floats = np.maximum(now.mean(axis=1) - late.min(axis=1), 0.0) * SWAP_WH / 1000
        return saved

    def instance(self, now: Now) -> tuple[Instance, Floats]:
        """The problem of this moment, and the packs needed by each interval."""
        town, tuning = self._town, self._tuning
        slots = Slots(now.soc, np.ones(now.soc.shape, bool), town.breaker_w)
        forecast = self._forecast(now.interval)
        wanted = needed(
            forecast,
            HORIZON,
            ready_packs(slots, self._curve.ready_soc),
            (now.soc >= 0).sum(axis=1).astype(float),
            stock=self._stock(now.interval),
            lead=np.full(len(now.soc), max(tuning.lead, int(tuning.perfect))),
            charge=CHARGE,
        )
        low, high, step = cabinet_envelopes(slots, forecast, wanted, self._curve, INTERVAL_S)
        place = now.interval % 96
        hours = np.arange(now.interval, now.interval + HORIZON)
        region_w = town.region_w[:, np.minimum(hours, town.region_w.shape[1] - 1)]
        regions = len(region_w)
        instance = Instance(
            step_s=INTERVAL_S,
            energy_min_wh=low,
            energy_max_wh=high,
            step_max_wh=step,
            feeder_of_cabinet=town.feeder_of,
            region_of_feeder=town.region_of,
            feeder_max_wh=_limits(np.roll(town.feeder_w, -place, axis=1)),
            region_max_wh=_limits(region_w),
            price_per_kwh=np.tile(np.roll(town.price, -place), (regions, 1)),
            peak_price_per_kw=np.full(regions, PEAK_PRICE * town.days / MONTH_DAYS),
            peak_so_far_w=now.peak_w.copy(),
            shortfall_price_per_kwh=tuning.shortfall_price,
        )
        return instance, wanted


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
