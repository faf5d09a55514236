"""The plan of the whole fleet: regions side by side, one certificate, the caller's order of cabinets.

``solve`` is anytime: it keeps a feasible plan from the first second on and stops at a time or gap
limit. It is deterministic, as long as no time limit cuts it short: regions do not influence one
another, and nothing random is drawn.

Complexity: a search of the exchange graph is O(N·T/64) word operations; a handful of searches per
price level and cap. Memory: seven 32-bit numbers per cabinet and interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np

from fleet.core.balance.bound import Prices, region_bound, region_prices
from fleet.core.balance.cut import Builder, sort
from fleet.core.balance.fair import spread
from fleet.core.balance.instance import Instance, Plan, Shadows, Short, check, cost_of_loads
from fleet.core.balance.network import ENDLESS
from fleet.core.balance.region import Region
from fleet.core.balance.rows import give
from fleet.core.balance.shorts import find_shorts
from fleet.errors import InvalidError

Clock: TypeAlias = Callable[[], float]  # monotonic seconds
Progress: TypeAlias = Callable[[str, float], None]  # what is done, share of all

GAP_DEFAULT: Final = 0.0002
THREADS_DEFAULT: Final = 2
#: How good the first look at a region's cap is, with its feeders as single stores.
COARSE_GAP: Final = 0.01
#: How far the best cap usually is from the first guess.
STRIDE_COARSE: Final = 0.05
STRIDE_COLD: Final = 0.01
STRIDE_WARM: Final = 0.0005
#: What share of a region's gap a search is counted on to close.
CLOSES: Final = 0.9
#: With more than this share of its energy elsewhere a previous plan is a worse start than none.
AWAY_MAX: Final = 0.06
#: Where a repaired plan is so far from its bound, keeping its peak will not do: it is searched at once.
FAR: Final = 0.02
#: A previous plan is no help where the peak's price has been more than so many times today's.
CHEAPER_PEAK: Final = 1.25
#: What a search costs for itself, in cabinets.
SEARCH_CABINETS: Final = 1_000


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
    run = _Run(instance, gap, warm, lambda: until_s is not None and clock() >= until_s, progress)
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        # The largest first, so that the last one to end is a small one.
        list(pool.map(run.first, run.largest_first(range(len(instance.price_per_kwh)))))
        while regions := run.worst():
            list(pool.map(run.again, run.largest_first(regions)))
    return replace(run.plan(), solve_s=clock() - started_s)


class _Run:
    """One solve: the plan so far, and what is known of each region."""

    def __init__(
        self,
        instance: Instance,
        gap: float,
        warm: Plan | None,
        late: Callable[[], bool],
        progress: Progress,
    ) -> None:
        cabinets, feeders, regions, intervals = instance.shape
        self._instance = instance
        self._gap = gap
        self._warm = warm
        self._late = late
        self._progress = progress
        self._order = sort(instance)
        self._builder = Builder(instance, self._order, warm)
        self._step_wh = np.zeros((cabinets, intervals), np.int32)
        self._short_wh = np.zeros((cabinets, intervals), np.int32)
        self._lacking = np.zeros(cabinets, np.bool_)
        self._region_wh = np.zeros((regions, intervals), np.int64)
        self._feeder_wh = np.zeros((feeders, intervals), np.int64)
        self._costs = np.zeros(regions)
        self._bounds = np.zeros(regions)
        self._shadows = Shadows(
            np.zeros((regions, intervals)),
            np.zeros((regions, intervals)),
            np.zeros((feeders, intervals)),
        )
        self._open = np.zeros(regions, np.bool_)  # repaired and bounded, but not searched
        self._done = 0

    def largest_first(self, regions: Iterable[int]) -> list[int]:
        """Sorted by cabinets, then number."""
        sizes = np.diff(self._order.cabinet_from)
        return sorted(regions, key=lambda r: (-int(sizes[r]), r))

    def first(self, r: int) -> None:
        """Plan a region. Where prices are known, repairing the previous plan may be enough."""
        instance = self._instance
        region = self._builder.region(r)
        if region is None:
            paid = instance.peak_price_per_kw[r] * instance.peak_so_far_w[r] / 1000
            self._costs[r] = self._bounds[r] = paid
        else:
            known = self._builder.known_prices(r)
            if known is not None:
                region.floor, region.enough = region_bound(region, known), self._gap
            peak = None if self._warm is None else self._begin(region, r, self._warm, known)
            if peak is None:
                _plan_cold(region, self._builder, self._gap, self._late)
            else:
                search = known is None or region.far(FAR)
                _plan_warm(region, peak, self._gap, self._late, search=search)
                self._open[r] = not search and not region.certified
            self._note(r, region, known)
        self._done += 1
        self._progress(f"region {r}", self._done / len(self._costs))

    def _begin(self, region: Region, r: int, warm: Plan, known: Prices | None) -> int | None:
        """Enter the previous plan; its highest load, or None when it is no help.

        It is none where much of its energy can't stay where it was, and where the peak cost more then:
        what was spread for its sake is brought together again more slowly than planned anew.
        """
        cheaper = known is not None and known.peak.sum() > CHEAPER_PEAK * region.tariff.peak
        if cheaper and not self._late():
            return None
        self._builder.enter(region, r, warm.step_wh, warm.shortfall_wh)
        return region.warm(1.0 if self._late() else AWAY_MAX)

    def worst(self) -> list[int]:
        """The regions to search still: the least work that brings the whole gap down."""
        left = np.where(self._open, self._costs - self._bounds, 0.0)
        over = float((self._costs - self._bounds).sum() - self._gap * abs(self._costs.sum()))
        found = []
        sizes = np.diff(self._order.cabinet_from)
        for r in np.argsort(-left / (sizes + SEARCH_CABINETS), kind="stable"):
            if over <= 0 or left[r] <= 0 or self._late():
                break
            found.append(int(r))
            # A search closes its region's gap but for a part; at the known cap there may be none.
            over -= CLOSES * left[r]
        return found

    def again(self, r: int) -> None:
        """Search for the cap of a region that was only repaired."""
        region = self._builder.region(r)
        assert region is not None
        known = self._builder.known_prices(r)
        region.floor, region.enough = float(self._bounds[r]), self._gap / 2
        self._builder.enter(region, r, self._step_wh, self._short_wh)
        self._open[r] = False
        peak = region.warm()
        assert peak is not None
        _plan_warm(region, peak, self._gap, self._late, search=True)
        self._note(r, region, known)

    def _note(self, r: int, region: Region, known: Prices | None) -> None:
        """Enter a region's plan, cost, bound and prices."""
        assert region.best is not None
        builder = self._builder
        self._bounds[r], prices = _certify(region, known, search=not self._open[r])
        builder.note_prices(r, prices, self._shadows)
        spread(region.net)
        rows, net = builder.rows(r), region.net
        give(net.x, rows, np.ones(len(rows), np.int32), self._step_wh)
        give(net.v, rows, net.short + self._lacking[rows], self._short_wh)
        self._lacking[rows] = net.short > 0
        self._costs[r] = region.best.cost
        self._region_wh[r] = region.loads()
        self._feeder_wh[builder.feeders(r)] = (region.feeder_limit - net.froom)[:, :-1]

    def plan(self) -> Plan:
        """What has been found, as a plan; its time is not set."""
        lost_wh = int(self._short_wh[self._lacking].sum(dtype=np.int64))
        cost = cost_of_loads(self._instance, self._region_wh, lost_wh)
        shorts: tuple[Short, ...] = ()
        if lost_wh:
            shorts = find_shorts(
                self._instance, self._step_wh, self._short_wh, self._feeder_wh, self._lacking
            )
        return Plan(
            step_wh=self._step_wh,
            shortfall_wh=self._short_wh,
            cost=cost,
            lower_bound=min(float(self._bounds.sum()), cost),
            solve_s=0.0,
            shorts=shorts,
            shadows=self._shadows,
        )


def _plan_cold(region: Region, builder: Builder, gap: float, late: Callable[[], bool]) -> None:
    if region.tariff.peak <= 0 or late():
        region.start(int(ENDLESS))
        region.solve(int(ENDLESS), late)
        return
    coarse = builder.coarse(region)
    coarse.start(_first_guess(coarse), rough=True)
    coarse.search(_first_guess(coarse), COARSE_GAP, late, STRIDE_COARSE)
    assert coarse.best is not None
    guess = max(coarse.best.cap_wh * coarse.scale, region.lowest_cap())
    if guess > region.lowest_cap():
        guess = int(guess * (1 + STRIDE_COLD)) + 1  # from above it is a short way down
    region.start(guess, coarse.net.x.astype(np.int64) * coarse.scale, rough=True)
    region.search(guess, gap / 2, late, STRIDE_COLD)


def _plan_warm(
    region: Region, peak: int, gap: float, late: Callable[[], bool], *, search: bool
) -> None:
    """Begin with the plan in the network, of this peak; ``search`` for the cap or stay at what it was."""
    guess = max(peak, 1)
    if region.tariff.peak <= 0 or late():
        region.solve(guess if region.tariff.peak > 0 else int(ENDLESS), late)
    elif search:
        region.search(guess, gap / 2, late, STRIDE_WARM)
    else:
        region.solve(max(guess, region.lowest_cap()), late)


def _certify(region: Region, known: Prices | None, *, search: bool) -> tuple[float, Prices]:
    """The best bound there is, and its prices; no new one when the known will do, or must."""
    if known is not None and (region.certified or not search):
        return region.floor, known
    prices = region_prices(region)
    assert prices is not None
    bound = region_bound(region, prices)
    return (region.floor, known) if known is not None and region.floor > bound else (bound, prices)


def _first_guess(region: Region) -> int:
    """Somewhat above the mean load."""
    mean = float(region.net.emin[:, -1].sum(dtype=np.int64)) / (region.net.x.shape[1] - 1)
    return int(1.3 * mean) + 1
