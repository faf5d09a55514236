"""Days of a fleet, slot by slot, under one policy: what it costs and whom it turns away.

Five-minute steps: riders come and take the fullest ready pack, the policy names each cabinet's power,
feeders and regions cut it, and the charge rule of the cabinet spreads it over the slots. The meter
bills energy by the tariff and each region's highest quarter of an hour at a monthly price, pro rata of
the days played.

Costs are compared with what is left behind: energy that the packs lack at the end against the start is
bought at the tariff's mean over the riders' hours (dearer than a plan would pay). A rider who got less
than a ready pack comes back with that much less four hours later; what is then still owed is bought too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from fleet.core.balance.instance import Floats, Ints
from simulator.world import day_kernels as kernels
from simulator.world.day_plan import Ours, Tuning
from simulator.world.day_policies import (
    PER_INTERVAL,
    STEPS_A_DAY,
    AtOnce,
    Now,
    Policy,
    SlotsAtOnce,
    Urgency,
    Valley,
)
from simulator.world.day_town import MONTH_DAYS, PEAK_PRICE, STEP_S, Town, curve, value_per_kwh

READY_SOC: Final = 0.9
POLICIES: Final = (
    "at-once",
    "at-once-early",
    "valley",
    "n-slots",
    "earliest-deadline",
    "least-laxity",
    "plan",
    "plan-not-early",
    "plan-perfect",
)
HOURS: Final = STEP_S / 3600
#: Without early offers more must be kept in stock for the same service.
PRICE_NOT_EARLY: Final = 20.0
#: After so many steps (4 h) a rider who got less is back, with that much less.
BACK_STEPS: Final = 48


@dataclass(frozen=True, slots=True)
class Result:
    """One policy in one town."""

    policy: str
    riders: int
    lost: int
    energy_kwh: float
    energy_cost: float
    peak_cost: float
    stock_kwh: float  # in the packs at the end, as taken from the mains
    valued_cost: float  # energy, peak, and what packs and riders lack
    handed_soc: float  # mean state of charge of packs handed out
    unplaced_share: float  # of the energy planned
    solve_s: float
    region_w: Floats  # [R, intervals]
    lost_by_cabinet: Ints  # [C]

    @property
    def lost_share(self) -> float:
        """Of the riders who came."""
        return self.lost / max(self.riders, 1)


def make_policy(name: str, town: Town, tuning: Tuning | None = None, threads: int = 2) -> Policy:
    """A fresh policy by its name in POLICIES."""
    chosen = tuning or Tuning()
    match name:
        case "at-once":
            return AtOnce()
        case "valley":
            return Valley()
        case "n-slots":
            return SlotsAtOnce()
        case "earliest-deadline" | "least-laxity":
            return Urgency(town, laxity=name == "least-laxity")
        case "at-once-early":
            return AtOnce(chosen.low)
        case "plan":
            return Ours(town, READY_SOC, chosen, threads)
        case "plan-not-early":
            late = replace(chosen, low=READY_SOC, lost_price=PRICE_NOT_EARLY)
            return Ours(town, READY_SOC, late, threads)
        case "plan-perfect":
            return Ours(town, READY_SOC, replace(chosen, perfect=True), threads)
        case _:
            pass
    raise ValueError(f"policy {name!r}: expected one of {', '.join(POLICIES)}")


def run(
    town: Town,
    name: str,
    tuning: Tuning | None = None,
    progress: Callable[[float], None] = lambda _share: None,
    *,
    threads: int = 2,
) -> Result:
    """Play the town's days under this policy; the number of the planner's threads changes nothing."""
    policy = make_policy(name, town, tuning, threads)
    world = _World(town)
    steps = town.days * STEPS_A_DAY
    for step in range(steps):
        world.step(step, policy)
        if step % STEPS_A_DAY == 0:
            progress(step / steps)
    return world.result(name, policy)


class _World:
    """The state that a step changes, and the meters."""

    def __init__(self, town: Town) -> None:
        cabinets, slots = town.soc.shape
        self._town = town
        self._soc = town.soc.copy()
        self._set_da = np.zeros((cabinets, slots), np.int64)
        self._drawn_a = np.zeros((cabinets, slots))
        self._came = np.zeros(cabinets, np.int64)
        self._lost = np.zeros(cabinets, np.int64)
        self._served = np.zeros(cabinets, np.int64)
        self._handed = np.zeros(cabinets)
        self._drawn_wh = np.zeros(cabinets)
        self._full_w = np.zeros(cabinets)
        self._packs = np.zeros(cabinets, np.int64)
        regions = int(town.region_of.max()) + 1
        self._region_wh = np.zeros((regions, town.days * 96))
        self._region_of = town.region_of[town.feeder_of]
        self._target = np.full(cabinets, READY_SOC)
        self._owed = np.zeros(cabinets)
        self._owe = np.zeros((BACK_STEPS, cabinets))  # by when these riders are back
        self._lost_by = np.zeros(cabinets, np.int64)
        self._handed_total = 0.0

    def step(self, step: int, policy: Policy) -> None:
        town = self._town
        place = step % BACK_STEPS
        self._owed += self._owe[place]
        self._owe[place] = 0.0
        kernels.wishes(self._soc, READY_SOC, self._full_w, self._packs)
        np.minimum(self._full_w, town.breaker_w, out=self._full_w)
        peak_w = self._region_wh.max(axis=1) / (HOURS * PER_INTERVAL)
        now = Now(
            step, self._soc, self._full_w, READY_SOC, READY_SOC, peak_w,
            self._lost, self._served, self._drawn_wh,
        )  # fmt: skip
        want_w = policy.want_w(now)
        self._target = policy.target(now)
        limit_w = self._cut(want_w, step // PER_INTERVAL)
        count = town.riders[step]
        kernels.step(
            self._soc, self._set_da, self._drawn_a, count, self._came, town.brought,
            self._target, READY_SOC, self._owed, self._owe[place], limit_w, HOURS, self._drawn_wh,
            self._lost, self._handed,
        )  # fmt: skip
        self._came += count
        self._served = count - self._lost
        self._lost_by += self._lost
        self._handed_total += float(self._handed.sum())
        drawn = np.bincount(self._region_of, self._drawn_wh, len(self._region_wh))
        self._region_wh[:, step // PER_INTERVAL] += drawn

    def _cut(self, want_w: Floats, interval: int) -> Floats:
        """What feeders and then regions let through; each in proportion."""
        town = self._town
        limit_w = np.minimum(np.minimum(want_w, self._full_w), town.breaker_w)
        for member, most_w in (
            (town.feeder_of, town.feeder_w[:, interval % 96]),
            (self._region_of, town.region_w[:, interval]),
        ):
            load = np.bincount(member, limit_w, len(most_w))
            share = np.minimum(most_w / np.maximum(load, 1.0), 1.0)
            limit_w = limit_w * share[member]
        return limit_w

    def result(self, name: str, policy: Policy) -> Result:
        town = self._town
        price = np.tile(town.price, town.days)
        energy_cost = float((self._region_wh * price).sum() / 1000)
        region_w = self._region_wh / (HOURS * PER_INTERVAL)
        peak_cost = float(region_w.max(axis=1).sum() / 1000 * PEAK_PRICE * town.days / MONTH_DAYS)
        riders = int(self._came.sum())
        lost = int(self._lost_by.sum())
        served = riders - lost
        handed = self._handed_total / max(served, 1)
        stock, before = _stock_kwh(self._soc), _stock_kwh(town.soc)
        _, mains = curve()
        owed = float(self._owed.sum() + self._owe.sum()) * float(mains[-1]) / 1000
        lacking_kwh = before - stock + owed
        planned, unplaced = policy.unplaced()
        return Result(
            policy=name,
            riders=riders,
            lost=lost,
            energy_kwh=float(self._region_wh.sum() / 1000),
            energy_cost=energy_cost,
            peak_cost=peak_cost,
            stock_kwh=stock,
            valued_cost=energy_cost + peak_cost + lacking_kwh * value_per_kwh(town),
            handed_soc=handed,
            unplaced_share=unplaced / planned if planned else 0.0,
            solve_s=policy.solve_s if isinstance(policy, Ours) else 0.0,
            region_w=region_w,
            lost_by_cabinet=self._lost_by,
        )


def _stock_kwh(soc: Floats) -> float:
    _, mains = curve()
    return float(np.interp(soc[soc >= 0], np.arange(101) / 100, mains).sum() / 1000)
