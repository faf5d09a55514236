"""A town of cabinets for the closed loop: sites, riders, grid and tariff, all from one seed.

No free log of real swaps was found. Demand follows the synthetic working day of the planner's public
benchmark, with what a forecast has to cope with: sites of log-normal size, office and home sites with
shapes of their own, weekdays, rainy days, Poisson riders, packs that come back more or less empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cabinet.core.charge import EFFICIENCY
from fleet.core.balance.generate import HOURLY_PRICE, HOURLY_SWAPS
from simulator.world import day_kernels as kernels

HOURS: Final = 24
SLOTS: Final = 12
PACKS: Final = 11  # one slot stays free for the rider's pack
BREAKER_W: Final = 4_000.0  # for charging: 220 V, 20 A less what the cabinet takes itself
STEP_S: Final = 300
INTERVAL_S: Final = 900
SWAP_WH: Final = 930.0  # from the mains, on the mean
SIZE_SIGMA: Final = 0.5
RAIN_SHARE: Final = 0.15
RAIN_FACTOR: Final = 1.35
WEEKDAY_FACTOR: Final = (1.0, 1.0, 1.0, 1.02, 1.08, 0.95, 0.9)
PEAK_PRICE: Final = 38.0  # CNY per kW and month
MONTH_DAYS: Final = 30.0
REGION_CABINETS: Final = 300


@dataclass(frozen=True, slots=True)
class Town:
    """What happens, whatever the policy: the same riders with the same packs for all of them."""

    days: int
    rates: NDArray[np.float64]  # [history+days, C, 96] mean riders of each interval
    rain: NDArray[np.bool_]  # [history+days]
    history: NDArray[np.int64]  # [history, C, 96] riders who came before day 0
    riders: NDArray[np.int64]  # [days*288, C]
    brought: NDArray[np.float64]  # [C, most riders] state of charge of their packs
    soc: NDArray[np.float64]  # [C, SLOTS] at the start
    breaker_w: NDArray[np.float64]  # [C]
    feeder_of: NDArray[np.int32]  # [C]
    region_of: NDArray[np.int32]  # [K]
    feeder_w: NDArray[np.float64]  # [K, 96] of each hour of day; inf is none
    region_w: NDArray[np.float64]  # [R, days*96]
    price: NDArray[np.float64]  # [96] per kWh

    @property
    def first_weekday(self) -> int:
        """Of day 0; history begins on a Monday."""
        return len(self.history) % 7


def build(cabinets: int, days: int, swaps_per_day: float, seed: int, history: int = 28) -> Town:
    """A town; the same arguments give the same town."""
    rng = np.random.default_rng([seed, cabinets, days, history])
    rates, rain = _rates(rng, cabinets, history + days, swaps_per_day)
    counts = rng.poisson(rates[:history])
    steps = np.repeat(rates[history:] / 3.0, 3, axis=2)
    riders = rng.poisson(steps.transpose(0, 2, 1).reshape(-1, cabinets))
    most = int(riders.sum(axis=0).max())
    brought = np.clip(rng.normal(0.22, 0.12, (cabinets, most)), 0.03, 0.6)
    soc = np.full((cabinets, SLOTS), -1.0)
    soc[:, :PACKS] = np.where(
        rng.random((cabinets, PACKS)) < 0.6, 0.9, rng.uniform(0.2, 0.9, (cabinets, PACKS))
    )
    feeder_of, region_of = _grid(rng, cabinets)
    mean_w = rates.mean(axis=0).sum(axis=1) * SWAP_WH / HOURS
    feeder_w = _feeder_limits(rng, feeder_of, len(region_of), mean_w)
    region_w = _region_limits(rng, region_of[feeder_of], mean_w, days)
    return Town(
        days=days,
        rates=rates,
        rain=rain,
        history=counts,
        riders=riders,
        brought=brought,
        soc=soc,
        breaker_w=np.full(cabinets, BREAKER_W),
        feeder_of=feeder_of,
        region_of=region_of,
        feeder_w=feeder_w,
        region_w=region_w,
        price=np.repeat(np.asarray(HOURLY_PRICE), 4),
    )


def value_per_kwh(town: Town) -> float:
    """What stock is worth: the tariff's mean over the hours in which riders come."""
    weight = np.interp(np.arange(96) / 4 + 0.125, np.arange(HOURS) + 0.5, HOURLY_SWAPS, period=24)
    return float((town.price * weight).sum() / weight.sum())


def curve() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mains power at the full rate and energy since empty, by whole per cent of charge [101]."""
    power, energy, current = np.zeros(101), np.zeros(101), np.zeros(101)
    for pct in range(101):
        soc = pct / 100
        rest = float(kernels.resting_v(soc))
        volts = float(kernels.bound_v(min(54.6, rest + kernels.CURRENT_MAX_A * 0.25)))
        full = int(kernels.most_da(volts)) / 10
        amps = max(min(full, (kernels.VOLTAGE_MAX_V - rest) / kernels.RESISTANCE_OHM), 0.3)
        power[pct] = amps * (rest + amps * kernels.RESISTANCE_OHM) / EFFICIENCY
        if pct:
            hours = 0.01 * kernels.CAPACITY_AH * 2 / (amps + current[pct - 1])
            energy[pct] = energy[pct - 1] + (power[pct] + power[pct - 1]) / 2 * hours
        current[pct] = amps
    return power, energy


def _rates(
    rng: np.random.Generator, cabinets: int, days: int, swaps_per_day: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    hour = (np.arange(96) + 0.5) / 4
    common = np.interp(hour, np.arange(HOURS) + 0.5, HOURLY_SWAPS, period=HOURS)
    noon = np.exp(-(((hour - 10.8) / 1.6) ** 2))
    evening = np.exp(-(((hour - 18.5) / 2.5) ** 2))
    kind = rng.uniform(-0.35, 0.35, (cabinets, 1))  # offices to homes
    own = np.repeat(rng.lognormal(0.0, 0.2, (cabinets, HOURS)), 4, axis=1)
    shape = common * (1.0 - kind * noon + kind * evening) * own
    shape /= shape.sum(axis=1, keepdims=True)
    size = np.clip(rng.lognormal(-(SIZE_SIGMA**2) / 2, SIZE_SIGMA, cabinets), 0.1, 2.5)
    daily = swaps_per_day * size / size.mean()
    weekday = np.asarray(WEEKDAY_FACTOR) * rng.lognormal(0.0, 0.08, (cabinets, 7))
    rain = rng.random(days) < RAIN_SHARE
    rates = np.empty((days, cabinets, 96))
    for day in range(days):
        factor = weekday[:, day % 7] * (RAIN_FACTOR if rain[day] else 1.0)
        rates[day] = shape * (daily * factor)[:, None]
    return rates, rain


def _grid(rng: np.random.Generator, cabinets: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    sizes: list[int] = []
    while sum(sizes) < cabinets:
        sizes.append(min(cabinets - sum(sizes), 4 + int(rng.geometric(1 / 12)) % 36))
    feeder_of = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    regions = max(1, cabinets // REGION_CABINETS)
    region_of = (np.arange(len(sizes)) % regions).astype(np.int32)
    return rng.permutation(feeder_of).astype(np.int32), region_of


def _feeder_limits(
    rng: np.random.Generator, feeder_of: Any, feeders: int, mean_w: Any
) -> NDArray[np.float64]:
    """From 1.8 to 3.5 times the mean load, a fifth less at the town's evening peak."""
    load = np.bincount(feeder_of, mean_w, feeders)
    hour = (np.arange(96) + 0.5) / 4
    free = 1.0 - 0.2 * np.exp(-(((hour - 19.5) / 2.5) ** 2))
    limit = np.maximum(load * rng.uniform(1.8, 3.5, feeders), 2_000.0)[:, None] * free
    limit[rng.random(feeders) < 0.1] = np.inf
    return limit


def _region_limits(
    rng: np.random.Generator, region_of: Any, mean_w: Any, days: int
) -> NDArray[np.float64]:
    """Two hours of demand response, 17:00 to 19:00, on one day in three: 1.4 times the mean load."""
    load = np.bincount(region_of, mean_w)
    limit = np.full((len(load), days * 96), np.inf)
    for region in range(len(load)):
        for day in range(int(rng.integers(3)), days, 3):
            limit[region, day * 96 + 68 : day * 96 + 76] = 1.4 * load[region]
    return limit
