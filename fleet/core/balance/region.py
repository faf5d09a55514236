"""One region at a time: exact at a given cap of its load, and a search for the cap that pays.

At a cap the plan is built by ``exchange.sweep``, for halves of the prices, quarters, and so on. What a lower
cap would cost per watt-hour is read off the labels; it falls as the cap rises, so the total of energy
and peak cost is convex in the cap, and its least value lies between two tangents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance import exchange, network
from fleet.core.balance.bits import words_for
from fleet.core.balance.greedy import keep_what_fits, refill, start_region
from fleet.core.balance.instance import Floats, Ints
from fleet.core.balance.network import ENDLESS, Network
from fleet.core.balance.scratch import search_for

#: Evaluations of one region's cap; each at least cuts its bracket by a tenth.
CAPS_MAX: Final = 60
#: Sweeps at one cap, a bound against our own mistakes: one is usual.
PASSES_MAX: Final = 20_000
#: Searches for a group in one sweep: a time limit is looked at between sweeps only.
ROUNDS: Final = 32
#: Searches for a group of prices go on while they move such a share of the energy.
WORTH: Final = 5e-5
#: So many levels of price are a tariff's.
LEVELS_FEW: Final = 12
#: The largest step outwards while the best cap is not yet between two.
STRIDE_MAX: Final = 0.25
GROWTH: Final = 4
#: A step up is so much longer than one down: it costs more, and coming back costs little.
UP: Final = 4


#: Sets of intervals and what is dear to each [G,W].
Groups: TypeAlias = tuple[NDArray[np.uint64], NDArray[np.uint64]]


@dataclass(frozen=True, slots=True)
class Tariff:
    """Prices per Wh of one region; a cap and the peak are energies of one interval in Wh."""

    price: Floats  # [T+1]; the last, "not charged", is 0
    shortfall: float
    peak: float  # per Wh of the highest interval
    peak_paid_wh: float  # paid already
    limit: Ints  # [T+1]; ENDLESS where there is none


@dataclass(frozen=True, slots=True)
class Duals:
    """Prices of the limits at one cap: ``enter`` per Wh [F,T+1] at feeders, ``region`` [T+1]."""

    enter: Floats
    region: Floats
    slope: float  # what one Wh less of the cap costs


@dataclass(frozen=True, slots=True)
class Point:
    """The region solved at one cap."""

    cap_wh: int
    cost: float  # energy, shortfall and the peak there is
    convex: float  # the same with the whole cap paid for: convex in the cap
    duals: Duals


class Region:
    """A region's network and tariff, and where its search stands."""

    def __init__(self, net: Network, tariff: Tariff, scale: int = 1) -> None:
        self.net = net
        self.tariff = tariff
        self.scale = scale  # Wh per unit of the network: not 1 in a coarse look
        self.feeder_limit = net.froom.copy()
        nodes = len(tariff.price)
        self._usable = tariff.price < tariff.shortfall
        levels = np.unique(tariff.price[self._usable])
        self._levels: Floats = np.append(levels, tariff.shortfall)
        self._rank = np.full(nodes, len(levels), np.int32)
        self._rank[self._usable] = np.searchsorted(levels, tariff.price[self._usable])
        self._search = search_for(net)
        self._enter = np.zeros(net.froom.shape, np.int32)
        self._region = np.zeros(nodes, np.int32)
        self._rough = [_halves(self._rank, len(levels), size) for size in _sizes(len(levels))]
        self._fine = _groups(
            self._rank, [(rank, rank + 1) for rank in range(len(levels))], len(levels)
        )
        self.point: Point | None = None
        self.best: Point | None = None
        self.below: Point | None = None  # where a higher cap pays
        self.above: Point | None = None  # where a lower cap pays
        self.floor = -np.inf  # a cost that no plan goes below, known before the search
        self.enough = 0.0  # share of the cost above the floor that will do
        self.moved_wh = 0
        self._repaired = False  # what a previous plan left over is little
        self._stride = STRIDE_MAX
        self._cap_wh = 0  # at which the network stands
        self._kept: tuple[NDArray[Any], ...] | None = None  # x, v and rooms at ``above``

    # --- a first plan -----------------------------------------------------------------------------

    def start(self, cap_wh: int, quota: Ints | None = None, *, rough: bool = False) -> None:
        """Fill the empty network below this cap, the busiest cabinet first.

        ``quota`` [F,T+1] says what each feeder had better use: a hint, from a coarse look. ``rough``:
        a search follows. Where nearly each interval has a price of its own, energy is then taken as it
        comes: by price, cabinets served last would be left with what comes too late for them.
        """
        net, tariff = self.net, self.tariff
        room = np.where(self._usable, np.minimum(tariff.limit, cap_wh), 0)
        room[-1] = ENDLESS
        order = np.argsort(-net.emin[:, -1], kind="stable").astype(np.int32)
        rank_of, node_of = self._tiers(level=rough and len(self._levels) > LEVELS_FEW)
        start_region(
            net.emin, net.emax, net.step, order, net.feeder, rank_of, node_of,
            np.full_like(net.froom, ENDLESS) if quota is None else quota,
            net.froom, room, net.x, net.v,
        )  # fmt: skip
        network.index_all(net)

    def warm(self, away_max: float = 1.0) -> int | None:
        """Begin with the plan in ``net.x`` and ``net.v``; cabinets that it does not fit are planned anew.

        Returns the highest load of that plan; None when more than the share ``away_max`` of the energy
        could not stay where it was: the network is then to be filled by ``start``.
        """
        net, tariff = self.net, self.tariff
        peak = int(self.loads().max(initial=0))
        redo = np.zeros(len(net.x), np.bool_)
        loads = np.zeros(len(tariff.price), np.int64)
        keep_what_fits(
            net.first, net.emin, net.emax, net.step, self._usable, net.froom, net.x, net.v,
            loads, redo,
        )  # fmt: skip
        room = np.where(self._usable, np.minimum(tariff.limit, peak) - loads, 0)
        rank_of, node_of = self._tiers()
        away_wh = refill(
            redo, net.emin, net.emax, net.step, net.feeder, rank_of, node_of, net.froom, room,
            net.x, net.v,
        )  # fmt: skip
        if away_wh > away_max * float(self.loads().sum()):
            np.copyto(net.froom, self.feeder_limit)
            return None
        network.index_all(net)
        self._repaired = True
        return peak

    def _tiers(self, *, level: bool = False) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Ranks [2,T+1] of prices within a hint and, all dearer, beyond it; and their inverse.

        ``level``: all prices are the same, so that the earliest goes first.
        """
        price = self.tariff.price
        if level:
            price = np.ones_like(price)
            price[-1] = 0.0  # not charged
        nodes = len(price)
        beyond = 1 + 2 * float(np.abs(price).max())
        by_price = np.argsort(np.concatenate((price, price + beyond)), kind="stable")
        rank_of = np.empty(2 * nodes, np.int32)
        rank_of[by_price] = np.arange(2 * nodes, dtype=np.int32)
        return rank_of.reshape(2, nodes), (by_price % nodes).astype(np.int32)

    # --- at a cap ---------------------------------------------------------------------------------

    def solve(self, cap_wh: int, late: Callable[[], bool]) -> Point:
        """The optimum at this cap; a feasible plan of some cost when it gets late."""
        self._set_cap(cap_wh)
        net = self.net
        worth_wh = int(WORTH * net.emin[:, -1].sum(dtype=np.int64))
        near = self._repaired and self.point is None
        for groups in () if near else self._rough:
            while not late() and self._sweep(groups, worth_wh):
                pass
        for _ in range(PASSES_MAX):
            rounds = 0 if late() else ROUNDS
            if not self._sweep(self._fine, 0, rounds=rounds) or rounds == 0:
                break
        network.shed(net)
        cost, base = self._costs()
        peak, paid = self.tariff.peak, self.tariff.peak_paid_wh
        self.point = Point(cap_wh, cost, base + peak * max(cap_wh, paid), self._duals(cap_wh))
        if self.best is None or cost < self.best.cost:
            self.best = self.point
        return self.point

    def far(self, share: float) -> bool:
        """Whether the plan in the network costs so much more than is known to be needed."""
        cost, _ = self._costs()
        return cost - self.floor > share * abs(cost)

    def _costs(self) -> tuple[float, float]:
        """Of the plan in the network: all of it, and all but its peak."""
        loads, tariff = self.loads(), self.tariff
        base = float(loads @ tariff.price[:-1])
        base += network.total_short(self.net) * tariff.shortfall
        return base + tariff.peak * max(float(loads.max(initial=0)), tariff.peak_paid_wh), base

    def loads(self) -> Ints:
        """Energy per interval [T]."""
        out = np.zeros(len(self.tariff.price) - 1, np.int64)
        network.loads(self.net, out)
        return out

    def _set_cap(self, cap_wh: int) -> None:
        self._cap_wh = cap_wh
        room = np.minimum(self.tariff.limit[:-1], cap_wh) - self.loads()
        self.net.croom[:-1] = room
        self.net.croom[-1] = ENDLESS

    def _sweep(self, groups: Groups, worth_wh: int, *, rounds: int = ROUNDS) -> bool:
        """Bring energy to these groups; whether there is more to do, and the labels are not right yet."""
        moved, cut = exchange.sweep(
            self.net, self._search, *groups, self._enter, self._region, worth_wh, rounds
        )
        self.moved_wh += int(moved)
        return bool(cut)

    def _duals(self, cap_wh: int) -> Duals:
        enter, region = self._levels[self._enter], self._levels[self._region]
        extra = np.maximum(region - self.tariff.price, 0.0)
        extra[-1] = 0.0
        capped = self.tariff.limit >= cap_wh
        capped[-1] = False
        return Duals(enter, region, float(extra[capped].sum()))

    # --- the cap that pays ------------------------------------------------------------------------

    def lowest_cap(self) -> int:
        """Below this a cap saves nothing: the peak is paid already."""
        return int(self.tariff.peak_paid_wh)

    def search(
        self, guess_wh: int, tolerance: float, late: Callable[[], bool], stride: float
    ) -> None:
        """Leave the network at the best cap found; ``tolerance`` is a share of the cost.

        ``stride`` is how far from the guess to look first, as a share of it; it grows until the best
        cap is between two.
        """
        lowest = self.lowest_cap()
        cap = max(guess_wh, lowest)
        self._stride = stride
        for _ in range(CAPS_MAX):
            self._approach(cap)
            point = self.solve(cap, late)
            if late():
                break
            if point.duals.slope > self.tariff.peak:
                self.below = point
            else:
                self.above = point
                self._keep()
            if self._done(tolerance, lowest):
                break
            cap = self._next_cap(lowest)
        if self.point is not self.best and self.best is not None:
            self._approach(self.best.cap_wh)
            self.solve(self.best.cap_wh, late)
        self._kept = None

    def _keep(self) -> None:
        """Remember the network, which stands at ``above``."""
        net = self.net
        if self._kept is None:
            self._kept = net.x.copy(), net.v.copy(), net.froom.copy()
            return
        for kept, now in zip(self._kept, (net.x, net.v, net.froom), strict=True):
            np.copyto(kept, now)

    def _approach(self, cap_wh: int) -> None:
        """Come to a cap from above when the network was there: pressing a load down moves far less.

        Room that opens below a higher cap lets energy move in all intervals and price after price;
        a lower cap only moves what stands above it.
        """
        if self._kept is None or cap_wh <= self._cap_wh:
            return
        net = self.net
        for kept, now in zip(self._kept, (net.x, net.v, net.froom), strict=True):
            np.copyto(now, kept)
        network.index_all(net)

    def _done(self, tolerance: float, lowest: int) -> bool:
        if self.certified or (self.above is not None and self.above.cap_wh <= lowest):
            return True
        if self.below is None or self.above is None or self.best is None:
            return False
        if self.above.cap_wh - self.below.cap_wh <= 1:
            return True
        return self.best.cost - self._tangents()[1] <= tolerance * abs(self.best.cost)

    @property
    def certified(self) -> bool:
        """Whether the best plan is near enough to what was known before the search."""
        if self.best is None:
            return False
        return self.best.cost - self.floor <= self.enough * abs(self.best.cost)

    def _next_cap(self, lowest: int) -> int:
        if self.below is None:
            assert self.above is not None
            # The load may stay below the cap: start from what there is.
            top = min(self.above.cap_wh, int(self.loads().max(initial=0)))
            return max(lowest, min(int(top * (1 - self._step_out())), self.above.cap_wh - 1))
        if self.above is None:
            return int(self.below.cap_wh * (1 + min(UP * self._step_out(), STRIDE_MAX))) + 1
        low, high = self.below.cap_wh, self.above.cap_wh
        inner = (high - low) / 10
        cap = self._tangents()[0]
        return int(min(max(cap, low + inner, low + 1), high - inner, high - 1))

    def _step_out(self) -> float:
        step = self._stride
        self._stride = min(GROWTH * step, STRIDE_MAX)
        return step

    def _tangents(self) -> tuple[float, float]:
        """Where the tangents at both ends of the bracket meet: a cap and a cost below the least."""
        assert self.below is not None
        assert self.above is not None
        p = self.tariff.peak
        left, right = self.below, self.above
        a = left.convex, p - left.duals.slope
        b = right.convex, p - right.duals.slope
        if b[1] - a[1] <= 0:
            return (left.cap_wh + right.cap_wh) / 2, min(a[0], b[0])
        cap = (a[0] - b[0] + b[1] * right.cap_wh - a[1] * left.cap_wh) / (b[1] - a[1])
        return cap, a[0] + a[1] * (cap - left.cap_wh)


def _sizes(count: int) -> list[int]:
    """Sizes of groups that halve from all ranks down to two."""
    return [1 << k for k in range((count - 1).bit_length(), 0, -1)]


def _halves(rank: NDArray[np.int32], count: int, size: int) -> Groups:
    """Groups of so many ranks; sinks are those of the cheaper half of each."""
    starts = range(0, max(count - size // 2, 0), size)
    ranges = [(start, start + size // 2) for start in starts]
    return _groups(rank, [*ranges, (0, count)], count)  # what is above a limit goes anywhere


def _groups(rank: NDArray[np.int32], ranges: list[tuple[int, int]], count: int) -> Groups:
    """Sets of the ranks in each range, and of the usable ones above it."""
    words = words_for(len(rank))
    sets = [_set((rank >= low) & (rank < high)) for low, high in ranges]
    rest = [_set((rank >= high) & (rank < count)) for _, high in ranges]
    shape = (len(ranges), words)
    return np.array(sets, np.uint64).reshape(shape), np.array(rest, np.uint64).reshape(shape)


def _set(members: NDArray[np.bool_]) -> NDArray[np.uint64]:
    words = words_for(len(members))
    padded = np.zeros(words * 64, np.uint8)
    padded[: len(members)] = members
    return np.packbits(padded, bitorder="little").view(np.uint64)
