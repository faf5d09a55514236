"""The public benchmark: instances of any size from a seed. The profile is synthetic and says so.

Swaps per site and day are log-normal around 30 with a two-peak working day (no free log of real swaps
was found); a site has twelve 1 kWh packs and 350 W chargers. Feeders carry 1 to 40 sites with limits
that bind at night, regions are unequal (the largest holds about a third), the tariff has valley, flat,
peak and sharp peak hours, or with ``day_ahead`` a price of its own for each interval.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fleet.core.balance.instance import NO_LIMIT, Floats, Instance, Ints
from fleet.errors import InvalidError

DAY_S: Final = 86_400
PACKS: Final = 12
PACK_WH: Final = 1_000
CHARGER_W: Final = 350.0
EFFICIENCY: Final = 0.9
#: Share of a day's swaps per hour, 0 to 23, in per cent: synthetic, with peaks before the meals.
HOURLY_SWAPS: Final = (
    1.0, 0.6, 0.4, 0.3, 0.3, 0.6, 1.5, 3.0, 4.0, 6.0, 8.5, 8.0,
    5.0, 6.0, 7.0, 6.5, 8.0, 7.5, 5.5, 5.0, 5.5, 4.5, 3.0, 2.0,
)  # fmt: skip
#: Price per kWh in the hours 0 to 23: valley, flat, peak, sharp peak.
HOURLY_PRICE: Final = (
    0.31, 0.31, 0.31, 0.31, 0.31, 0.31, 0.31, 0.62, 0.62, 1.02, 1.02, 1.02,
    0.62, 0.62, 0.62, 1.02, 1.02, 1.02, 1.24, 1.24, 1.24, 0.62, 0.62, 0.31,
)  # fmt: skip
CHUNK: Final = 5_000  # cabinets drawn at once: bounds the memory of the float arrays


def generate(
    cabinets: int, intervals: int, seed: int, *, day_ahead: bool = False, regions: int | None = None
) -> Instance:
    """An instance of this size; the same arguments give the same bytes."""
    if not 1 <= cabinets <= 1_000_000:
        raise InvalidError(f"cabinets {cabinets}: expected 1 to 1000000")
    if not 4 <= intervals <= 1_440 or DAY_S % intervals:
        raise InvalidError(f"intervals {intervals}: expected 4 to 1440, a divisor of {DAY_S} s")
    rng = np.random.default_rng(seed)
    step_s = DAY_S // intervals
    region_count = regions or max(1, min(31, cabinets // 300))
    feeder_of, region_of = _grid(rng, cabinets, region_count)
    emin, emax, step = _envelopes(rng, cabinets, intervals, step_s)
    feeder_max = _feeder_limits(rng, feeder_of, len(region_of), emin, step)
    region_max = _region_limits(rng, region_of, feeder_max, intervals, region_count)
    price = _prices(rng, region_count, intervals, day_ahead=day_ahead)
    energy = np.zeros(region_count)
    np.add.at(energy, region_of[feeder_of], emin[:, -1].astype(float))
    return Instance(
        step_s=step_s,
        energy_min_wh=emin,
        energy_max_wh=emax,
        step_max_wh=step,
        feeder_of_cabinet=feeder_of,
        region_of_feeder=region_of,
        feeder_max_wh=feeder_max,
        region_max_wh=region_max,
        price_per_kwh=price,
        peak_price_per_kw=rng.uniform(28, 42, region_count).round(2),
        peak_so_far_w=(energy / 24 * rng.choice((0.0, 0.6, 1.2), region_count)).round(),
        shortfall_price_per_kwh=8.0,
    )


def _grid(rng: np.random.Generator, cabinets: int, regions: int) -> tuple[np.ndarray, np.ndarray]:
    """Feeder of each cabinet and region of each feeder."""
    sizes: list[int] = []
    left = cabinets
    while left:
        size = min(left, 1 + int(rng.geometric(1 / 14)) % 40)
        sizes.append(size)
        left -= size
    feeder_of = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    weight = 1 / np.arange(1, regions + 1)
    region_of = rng.choice(regions, len(sizes), p=weight / weight.sum()).astype(np.int32)
    region_of[: min(regions, len(sizes))] = np.arange(min(regions, len(sizes)))
    return rng.permutation(feeder_of).astype(np.int32), region_of


def _envelopes(
    rng: np.random.Generator, cabinets: int, intervals: int, step_s: int
) -> tuple[Ints, Ints, Ints]:
    """Energy that swaps demand, energy that returned packs can take, energy of an interval."""
    shape = (cabinets, intervals)
    emin, emax = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    step = np.zeros(shape, np.int64)
    hours = (np.arange(intervals) + 0.5) * step_s / 3600
    share = np.interp(hours, np.arange(24) + 0.5, HOURLY_SWAPS, period=24)
    share /= share.sum()
    for low in range(0, cabinets, CHUNK):
        high = min(cabinets, low + CHUNK)
        rows = high - low
        daily = np.clip(rng.lognormal(np.log(28), 0.5, rows), 3, 75)
        swaps = rng.poisson(daily[:, None] * share)
        per_swap = rng.uniform(0.65, 0.85, (rows, 1)) * PACK_WH / EFFICIENCY
        full = rng.integers(4, PACKS, rows)
        need = np.maximum(np.cumsum(swaps, axis=1) - full[:, None], 0) * per_swap
        empty = (PACKS - full)[:, None] * per_swap
        can = np.cumsum(swaps, axis=1) * per_swap + empty
        chargers = rng.integers(6, PACKS + 1, (rows, 1))
        most = chargers * CHARGER_W / EFFICIENCY * step_s / 3600
        hold = np.minimum(can / per_swap, chargers) * CHARGER_W / EFFICIENCY * step_s / 3600
        step[low:high] = np.minimum(most, hold)
        emax[low:high] = np.maximum.accumulate(can, axis=1)
        emin[low:high] = np.minimum(np.floor(need), emax[low:high])
    return emin, emax, step


def _feeder_limits(
    rng: np.random.Generator,
    feeder_of: np.ndarray,
    feeders: int,
    emin: Ints,
    step: Ints,
) -> Ints:
    """Rating less a base load with an evening peak; a tenth of the feeders has no limit."""
    intervals = emin.shape[1]
    energy = np.bincount(feeder_of, emin[:, -1].astype(float), feeders)
    most = np.bincount(feeder_of, step.max(axis=1).astype(float), feeders)
    hours = np.arange(intervals) * 24 / intervals
    base = 0.55 + 0.25 * np.exp(-(((hours - 19.5) / 2.5) ** 2)) + 0.1 * np.sin(hours / 24 * np.pi)
    rating = np.maximum(energy / intervals * rng.uniform(2.2, 4.5, feeders), most * 0.35)
    limit: Ints = (rating[:, None] * (1.15 - base[None, :])).astype(np.int64)
    limit[rng.random(feeders) < 0.1] = NO_LIMIT
    return limit


def _region_limits(
    rng: np.random.Generator, region_of: np.ndarray, feeder_max: Ints, intervals: int, regions: int
) -> Ints:
    """No limit but for two hours of demand response in every other region."""
    limit = np.full((regions, intervals), NO_LIMIT, np.int64)
    total = np.zeros((regions, intervals))
    np.add.at(total, region_of, np.maximum(feeder_max, 0).astype(float))
    per_hour = intervals // 24 if intervals >= 24 else 1
    for region in range(0, regions, 2):
        start = int(rng.integers(17, 20)) * intervals // 24
        window = slice(start, start + 2 * per_hour)
        limit[region, window] = (total[region, window] * 0.12).astype(np.int64)
    return limit


def _prices(rng: np.random.Generator, regions: int, intervals: int, *, day_ahead: bool) -> Floats:
    hour = np.arange(intervals) * 24 // intervals
    steps = np.asarray(HOURLY_PRICE)[hour]
    shift = rng.integers(-1, 2, regions)
    price = np.stack([np.roll(steps, int(s) * intervals // 24) for s in shift])
    if day_ahead:
        price = price + rng.normal(0, 0.12, price.shape)
    return price.round(5)
