"""The plan of the whole fleet: regions side by side, one certificate, the caller's order of cabinets.

``solve`` is anytime: it keeps a feasible plan from the first second on and stops at a time or gap
limit. It is deterministic, as long as no time limit cuts it short: regions do not influence one
another, and nothing random is drawn.

Complexity: a search of the exchange graph is O(N·T/64) word operations; a handful of searches per
price level and cap. Memory: seven 32-bit numbers per cabinet and interval.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.bound import Prices, region_bound, region_prices
from fleet.core.balance.fair import spread
from fleet.core.balance.instance import Floats, Instance, Plan, Shadows, check, cost_of_loads
from fleet.core.balance.network import ENDLESS, network
from fleet.core.balance.region import Region, Tariff
from fleet.core.balance.shorts import find_shorts
from fleet.errors import InvalidError

Clock: TypeAlias = Callable[[], float]  # monotonic seconds
Progress: TypeAlias = Callable[[str, float], None]  # what is done, share of all

GAP_DEFAULT: Final = 0.0002
THREADS_DEFAULT: Final = 2
#: The first look at a region's cap takes its feeders as single stores of at most so many units.
COARSE_GAP: Final = 0.01
#: How far the best cap usually is from the first guess.
STRIDE_COARSE: Final = 0.05
STRIDE_COLD: Final = 0.01
STRIDE_WARM: Final = 0.0005
COARSE_ENERGY_MAX: Final = 2**29


@dataclass(frozen=True, slots=True)
class Order:
    """Cabinets sorted by region and feeder, and where each region's stand."""

    cabinets: NDArray[np.int64]  # [N]: place in the instance
    feeders: NDArray[np.int64]  # [K]
    cabinet_from: NDArray[np.int64]  # [R+1]
    feeder_from: NDArray[np.int64]  # [R+1]
    feeder_first: NDArray[np.int64]  # [K+1]: cabinets of the sorted feeders


def solve(
    instance: Instance,
    *,
    clock: Clock,
    gap: float = GAP_DEFAULT,
    time_limit_s: float | None = None,
    threads: int = THREADS_DEFAULT,
    warm: Plan | None = None,
    progress: Progress = lambda _what, _share: None,
) -> Plan:
    """The cheapest plan, with a bound below which no plan can be.

    ``warm`` is the previous plan of the same cabinets; what it says is repaired where it no longer
    fits, and the prices of its limits bound the new cost before the search. ``gap`` is the share of the cost that may be left; it is reached unless time runs out.

    Raises:
        InvalidError: a field of the instance is broken, or ``warm`` has another shape.
    """
    check(instance)
    if warm is not None and warm.step_wh.shape != instance.energy_min_wh.shape:
        raise InvalidError(
            f"warm: a plan of shape {warm.step_wh.shape}, expected {instance.energy_min_wh.shape}"
        )
    started_s = clock()
    until_s = None if time_limit_s is None else started_s + time_limit_s

    def late() -> bool:
        return until_s is not None and clock() >= until_s

    order = sort(instance)
    builder = _Builder(instance, order, warm)
    cabinets, feeders, regions, intervals = instance.shape
    step_wh = np.zeros((cabinets, intervals), np.int32)
    short_wh = np.zeros((cabinets, intervals), np.int32)
    region_wh = np.zeros((regions, intervals), np.int64)
    feeder_wh = np.zeros((feeders, intervals), np.int64)
    bounds = np.zeros(regions)
    shadows = Shadows(
        np.zeros((regions, intervals)),
        np.zeros((regions, intervals)),
        np.zeros((feeders, intervals)),
    )
    done = 0

    def run(r: int) -> None:
        nonlocal done
        region = builder.region(r)
        if region is not None:
            known = builder.known_prices(r)
            if known is not None:
                region.floor, region.enough = region_bound(region, known), gap
            _plan_region(region, builder, gap, late, r)
            bounds[r], prices = _certify(region, known)
            builder.note_prices(r, prices, shadows)
            rows = order.cabinets[order.cabinet_from[r] : order.cabinet_from[r + 1]]
            spread(region.net)
            step_wh[rows] = region.net.x[:, :-1]
            short_wh[rows] = region.net.v[:, :-1]
            region_wh[r] = region.loads()
            feeder_wh[builder.feeders(r)] = (region.feeder_limit - region.net.froom)[:, :-1]
        else:
            bounds[r] = instance.peak_price_per_kw[r] * instance.peak_so_far_w[r] / 1000
        done += 1
        progress(f"region {r}", done / regions)

    sizes = np.diff(order.cabinet_from)
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        # The largest first, so that the last one to end is a small one.
        list(pool.map(run, [int(r) for r in np.argsort(-sizes, kind="stable")]))
    lost_wh = int(short_wh.sum(dtype=np.int64))
    cost = cost_of_loads(instance, region_wh, lost_wh)
    bound = min(float(bounds.sum()), cost)
    return Plan(
        step_wh=step_wh,
        shortfall_wh=short_wh,
        cost=cost,
        lower_bound=bound,
        solve_s=clock() - started_s,
        shorts=find_shorts(instance, step_wh, short_wh, feeder_wh) if lost_wh else (),
        shadows=shadows,
    )


def sort(instance: Instance) -> Order:
    """Sort cabinets by region, then feeder, then place."""
    region = instance.region_of_feeder.astype(np.int64)
    feeders = np.argsort(region, kind="stable")
    rank = np.empty_like(feeders)
    rank[feeders] = np.arange(len(feeders))
    by_rank = rank[instance.feeder_of_cabinet]
    cabinets = np.argsort(by_rank, kind="stable")
    counts = np.bincount(by_rank, minlength=len(feeders))
    feeder_first = np.concatenate(([0], np.cumsum(counts)))
    regions = len(instance.price_per_kwh)
    feeder_from = np.searchsorted(region[feeders], np.arange(regions + 1))
    return Order(cabinets, feeders, feeder_first[feeder_from], feeder_from, feeder_first)


def _plan_region(
    region: Region, builder: _Builder, gap: float, late: Callable[[], bool], r: int
) -> None:
    previous = builder.previous(r)
    guess, stride = int(ENDLESS), STRIDE_COLD
    if previous is not None:
        stride = STRIDE_WARM
        region.warm(*previous)
        guess = max(int(previous[0].sum(axis=0, dtype=np.int64).max(initial=0)), 1)
    elif region.tariff.peak > 0 and not late():
        coarse = builder.coarse(region)
        coarse.start(_first_guess(coarse))
        coarse.search(_first_guess(coarse), COARSE_GAP, late, STRIDE_COARSE)
        assert coarse.best is not None
        guess = max(coarse.best.cap_wh * coarse.scale, region.lowest_cap())
        if guess > region.lowest_cap():
            guess = int(guess * (1 + STRIDE_COLD)) + 1  # from above it is a short way down
        region.start(guess, coarse.net.x.astype(np.int64) * coarse.scale)
    else:
        region.start(guess)
    if region.tariff.peak > 0 and not late():
        region.search(guess, gap / 2, late, stride)
    else:
        region.solve(guess if region.tariff.peak > 0 else int(ENDLESS), late)


def _certify(region: Region, known: Prices | None) -> tuple[float, Prices]:
    """The best bound there is, and its prices; no new one when the known will do."""
    if known is not None and region.certified:
        return region.floor, known
    prices = region_prices(region)
    assert prices is not None
    bound = region_bound(region, prices)
    return (region.floor, known) if known is not None and region.floor > bound else (bound, prices)


def _first_guess(region: Region) -> int:
    """Somewhat above the mean load."""
    mean = float(region.net.emin[:, -1].sum(dtype=np.int64)) / (region.net.x.shape[1] - 1)
    return int(1.3 * mean) + 1


class _Builder:
    """Cuts an instance into regions."""

    def __init__(self, instance: Instance, order: Order, warm: Plan | None) -> None:
        self._instance = instance
        self._order = order
        self._warm = warm

    def region(self, r: int) -> Region | None:
        """The empty network of one region; None when no cabinet is in it."""
        order, instance = self._order, self._instance
        low, high = int(order.cabinet_from[r]), int(order.cabinet_from[r + 1])
        if low == high:
            return None
        rows = order.cabinets[low:high]
        feeders = self._feeders(r)
        first = (order.feeder_first[feeders.start : feeders.stop + 1] - low).astype(np.int32)
        emin = instance.energy_min_wh[rows].astype(np.int32)
        emax = instance.energy_max_wh[rows].astype(np.int32)
        step = np.empty((len(rows), emin.shape[1] + 1), np.int32)
        np.minimum(instance.step_max_wh[rows], emax[:, -1:], out=step[:, :-1], casting="unsafe")
        step[:, -1] = emax[:, -1]
        limits = instance.feeder_max_wh[order.feeders[feeders]]
        return Region(
            network(
                first,
                np.repeat(np.arange(len(first) - 1, dtype=np.int32), np.diff(first)),
                emin,
                emax,
                step,
                _rooms(limits),
                np.full(emin.shape[1] + 1, ENDLESS),
            ),
            self._tariff(r),
        )

    def previous(self, r: int) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        """The region's rows of the previous plan, if there is one."""
        if self._warm is None:
            return None
        order = self._order
        rows = order.cabinets[order.cabinet_from[r] : order.cabinet_from[r + 1]]
        return self._warm.step_wh[rows], self._warm.shortfall_wh[rows]

    def known_prices(self, r: int) -> Prices | None:
        """The prices of the region's limits in the previous plan, if it has any."""
        shadows = None if self._warm is None else self._warm.shadows
        instance = self._instance
        if (
            shadows is None
            or shadows.feeder.shape != instance.feeder_max_wh.shape
            or not shadows.peak.shape == shadows.region.shape == instance.price_per_kwh.shape
        ):
            return None
        feeders = self.feeders(r)
        return Prices(
            _with_node(shadows.peak[r]),
            _with_node(shadows.region[r]),
            _with_node(shadows.feeder[feeders]),
        )

    def note_prices(self, r: int, prices: Prices, shadows: Shadows) -> None:
        """Enter a region's prices."""
        shadows.peak[r], shadows.region[r] = prices.peak[:-1], prices.region[:-1]
        shadows.feeder[self.feeders(r)] = prices.feeder[:, :-1]

    def feeders(self, r: int) -> NDArray[np.int64]:
        """The region's feeders: their places in the instance."""
        return self._order.feeders[self._feeders(r)]

    def _feeders(self, r: int) -> slice:
        return slice(int(self._order.feeder_from[r]), int(self._order.feeder_from[r + 1]))

    def coarse(self, region: Region) -> Region:
        """The region with each feeder as one store: relaxed, and some twenty times smaller."""
        net, tariff = region.net, region.tariff
        starts = net.first[:-1]
        sums = [_feeder_sums(values, net.first) for values in (net.emin, net.emax, net.step)]
        scale = max(1, -(-int(sums[1].max(initial=0)) // COARSE_ENERGY_MAX))
        emin, emax, step = ((total // scale).astype(np.int32) for total in sums)
        feeders = len(starts)
        small = network(
            np.arange(feeders + 1, dtype=np.int32),
            np.arange(feeders, dtype=np.int32),
            np.minimum(emin, emax),
            emax,
            step,
            region.feeder_limit // scale,
            np.full(emin.shape[1] + 1, ENDLESS),
        )
        return Region(
            small,
            Tariff(
                price=tariff.price * scale,
                shortfall=tariff.shortfall * scale,
                peak=tariff.peak * scale,
                peak_paid_wh=tariff.peak_paid_wh / scale,
                limit=tariff.limit // scale,
            ),
            scale,
        )

    def _tariff(self, r: int) -> Tariff:
        instance = self._instance
        hours = instance.step_s / 3600
        return Tariff(
            price=np.append(instance.price_per_kwh[r] / 1000, 0.0),
            shortfall=instance.shortfall_price_per_kwh / 1000,
            peak=float(instance.peak_price_per_kw[r]) / 1000 / hours,
            peak_paid_wh=float(instance.peak_so_far_w[r]) * hours,
            limit=_rooms(instance.region_max_wh[r : r + 1])[0],
        )


def _feeder_sums(values: NDArray[np.int32], first: NDArray[np.int32]) -> NDArray[np.int64]:
    """Sums of the rows of each feeder [F,..]; an empty one has none."""
    padded = np.vstack((values, np.zeros((1, values.shape[1]), np.int32)))
    sums: NDArray[np.int64] = np.add.reduceat(padded, first[:-1], axis=0, dtype=np.int64)
    sums[np.diff(first) == 0] = 0  # reduceat gives an empty one its neighbour
    return sums


def _with_node(prices: Floats) -> Floats:
    """Prices with the node "not charged" added, which costs nothing."""
    padded = np.zeros((*prices.shape[:-1], prices.shape[-1] + 1))
    padded[..., :-1] = prices
    return padded


def _rooms(limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Limits with the node "not charged" added; -1 becomes endless."""
    rooms = np.full((limits.shape[0], limits.shape[1] + 1), ENDLESS)
    rooms[:, :-1] = np.where(limits < 0, ENDLESS, limits)
    return rooms
