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
from fleet.core.balance.instance import NO_LIMIT, Floats, Instance, Ints, Plan
from fleet.core.balance.service import STEP_UP, ServiceLevel, priced_stock, spread_stock
from fleet.core.balance.solve import solve
from simulator.world.day_policies import PER_INTERVAL, SOON_H, Now
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
RECENT_STEPS: Final = int(SOON_H * 3600 / STEP_S)
TODAY_WORTH: Final = 15.0
GAP: Final = 0.002
#: The charge rule keeps every bound, so that packs draw a little less than a cabinet may: allow it.
MARGIN: Final = 0.015
MARGIN_W: Final = 15.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """What may be turned."""

    z: float = 2.0
    lead: int = 0
    target: float = 0.04  # share of swaps that may be lost by holding back
    shortfall_price: float = 30.0
    perfect: bool = False
    lost_price: float = 2.0
    worth_min: float = 0.02
    low: float = rush.EARLY_SOC
    few: int = rush.FEW_PACKS
    step_up: float = STEP_UP  # 0: each site's stock stays as it is
    tilt: float = 0.0
    cap_open: bool = False
    pool: float = 0.0


class Ours:
    """Plans every interval, hands each cabinet its energy, carries over what a step did not place."""

    def __init__(self, town: Town, ready: float, tuning: Tuning, threads: int = 2) -> None:
        self._town = town
        self._tuning = tuning
        self._threads = threads
        cabinets = len(town.soc)
        power, mains = curve()
        self._curve = PackCurve(power, mains, ready)
        self._level = ServiceLevel(
            cabinets, z=tuning.z, target=tuning.target, step_up=tuning.step_up
        )
        self._forecaster = _taught(town)
        self._seen = np.zeros((cabinets, 96), np.int64)  # riders of the day so far
        self._days: dict[int, Floats] = {}
        self._plan: Plan | None = None
        self._left_wh = np.zeros(cabinets)
        self._held = np.full(cabinets, -RECENT_STEPS)
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
        if self._tuning.cap_open:
            reg = self._town.region_of[self._town.feeder_of]
            most = np.minimum(now.full_w, self._town.breaker_w)
            more = np.where(self._open, np.maximum(most - want, 0), 0)
            room = np.maximum(self._cap_w - np.bincount(reg, want, len(self._cap_w)), 0)
            share = np.minimum(room / np.maximum(np.bincount(reg, more, len(room)), 1.0), 1.0)
            want = want + more * share[reg]
        else:
            want = np.where(self._open, now.full_w, want)
        held = want < 0.9 * np.minimum(now.full_w, self._town.breaker_w)
        self._held[held] = now.step
        return want

    def _look_back(self, now: Now) -> None:
        self._left_wh -= now.drawn_wh
        if now.step == 0:
            return
        came = now.lost + now.served
        before = now.step - 1
        self._seen[:, before // PER_INTERVAL % 96] += came
        avoidable = np.where(before - self._held < RECENT_STEPS, now.lost, 0)
        self._level.learn(avoidable, now.served)
        if now.step % (96 * PER_INTERVAL) == 0:
            day = now.step // (96 * PER_INTERVAL) - 1
            weekday, conditions = self._day(day)
            self._forecaster.learn(self._seen, weekday, conditions=conditions)
            self._seen[:] = 0
            self._days.clear()

    def _day(self, day: int) -> tuple[int, tuple[str, ...]]:
        town = self._town
        index = min(len(town.history) + day, len(town.rain) - 1)
        return (town.first_weekday + day) % 7, ("rain",) if town.rain[index] else ()

    def _forecast(self, interval: int) -> Forecast:
        count = HORIZON + AHEAD
        if self._tuning.perfect:
            return self._truth(interval, count)
        day, first = divmod(interval, 96)
        days = [self._day(day + ahead) for ahead in range(3)]
        forecast = self._forecaster.forecast(days, first, count)
        today = self._forecaster.forecast(days[:1], 0, max(first, 1)).mean
        seen = self._seen[:, :first].sum(axis=1)
        expected = today.sum(axis=1) if first else np.zeros(len(seen))
        factor = (TODAY_WORTH + seen) / (TODAY_WORTH + expected)
        mean = forecast.mean.copy()
        mean[:, : 96 - first] *= factor[:, None]
        return Forecast(mean, forecast.relative_variance)

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
        from fleet.core.balance.instance import region_loads

        self._cap_w = np.maximum(
            region_loads(instance, self._plan.step_wh).max(axis=1) / HOURS, now.peak_w
        )
        waiting = ((now.soc >= 0) & (now.soc < now.ready)).sum(axis=1)
        pressed = rush.urgent(wanted, waiting, CHARGE)
        self._open = rush.opened(pressed, energy, instance.energy_max_wh[:, 0])
        return energy

    def _stock(self, interval: int) -> Callable[[Floats, Floats], Floats]:
        if self._tuning.perfect:
            return lambda mean, variance: spread_stock(mean, variance, np.full(len(mean), 0.3))
        if self._tuning.lost_price <= 0.0:
            return lambda mean, variance: spread_stock(mean, variance, self._level.z)
        worth = np.maximum(self._saving(interval) / self._tuning.lost_price, self._tuning.worth_min)
        zs = self._level.z
        zs = zs * (1 - self._tuning.pool) + zs.mean() * self._tuning.pool
        own = np.exp(self._tuning.z - zs)
        return lambda mean, variance: priced_stock(mean, variance, worth[None, :] * own[:, None])

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
            price_per_kwh=np.tile(
                np.roll(town.price, -place) + tuning.tilt * (np.arange(HORIZON) // 4), (regions, 1)
            ),
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
