"""Batteries to carry from cabinet to cabinet, where charging alone cannot meet the demand.

A van exchanges packs: it leaves full ones and takes as many empty ones, so that no slot is lost. What a
site will lack follows from the plan: riders come by the forecast, packs become ready by the planned
energy, the readiest first, and whoever finds none is lost and asks for nothing later. So the riders
lost up to t are the highest backlog so far, max over s <= t of (riders - ready - charged)(s).

A site can spare what it has beyond the stock that its service level asks for, at every interval, if it
charges as fast as it can: the next plan sees to that. Who has no power to spare gives nothing. Who
gives to whom is a transport problem: a pack is worth a rider served, less the way. It is solved
exactly by shortest augmenting paths, with the nearest givers of each site only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from fleet.core.balance.instance import Floats, Ints
from fleet.core.distance import distance_m

#: One pack's share of a van that carries two dozen, and of the hands at both ends.
PER_KM: Final = 0.15
HANDLING: Final = 0.5
#: The sites looked at, the soonest short first, and the givers of each: bounds the search.
SITES_MAX: Final = 200
GIVERS_MAX: Final = 8
#: A mean of lost riders below this is no reason to send a van.
LOST_MIN: Final = 0.5
LEAST: Final = 1e-9  # differences below are roundings

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Stock:
    """What the plan rests on. Rows are the grid's cabinets; counts begin now."""

    ready: Floats  # [N] packs
    jobs_wh: Floats  # [N,S] energy that packs lack, the readiest first; 0 is none
    jobs_h: Floats  # [N,S] what that takes at the full rate
    back_wh: float  # of a returned pack
    back_h: float
    ends_h: Floats  # [T] of the intervals, from now on
    riders: NDArray[np.float32]  # [N,T] expected up to each interval's end
    kept: NDArray[np.float32]  # [N,T] packs to have been ready by then


class MoveView(Struct, frozen=True, kw_only=True):
    """Packs to exchange. ``why``: "limit" (a feeder or region allows no more), or "busy"."""

    giver: str
    taker: str
    packs: int
    by_ms: int
    distance_m: int
    why: str
    lost: float  # riders whom the taker will have turned away without it


class MovesView(Struct, frozen=True, kw_only=True):
    """What is proposed for the plan that holds, and how many riders stay without a battery."""

    version: int
    moves: tuple[MoveView, ...]
    lost: float
    lost_after: float


def charged(stock: Stock, energy_wh: NDArray[np.signedinteger[Any]]) -> Floats:
    """Packs that the plan makes ready up to each interval's end [N,T], parts of one included.

    No more than its energy is for, the readiest first, and none before its charger could be done.
    """
    total = np.cumsum(energy_wh, axis=1, dtype=np.float64)
    count = np.zeros_like(total)
    before = np.zeros(len(total))
    for job in stock.jobs_wh.T:
        lacking = np.where(job > 0.0, job, np.inf)[:, None]
        count += np.clip((total - before[:, None]) / lacking, 0.0, 1.0)
        before += job
    count += np.maximum(total - before[:, None], 0.0) / stock.back_wh
    in_time = np.zeros_like(count)
    for job, hours in zip(stock.jobs_wh.T, stock.jobs_h.T, strict=True):
        in_time += (job > 0.0)[:, None] & (hours[:, None] <= stock.ends_h)
    came = np.searchsorted(stock.ends_h, stock.ends_h - stock.back_h, side="right")
    in_time += np.where(came > 0, stock.riders[:, np.maximum(came, 1) - 1], 0.0)
    return np.minimum(count, in_time)


def lost_riders(stock: Stock, done: Floats) -> Floats:
    """Riders turned away up to each interval's end [N,T]."""
    backlog = stock.riders - stock.ready[:, None] - done
    lost: Floats = np.maximum.accumulate(np.maximum(backlog, 0.0), axis=1)
    return lost


def spare_packs(stock: Stock, done: Floats) -> Ints:
    """Full packs that can go at once, whatever comes [N], by what is ``charged`` at the most."""
    margin = (stock.ready[:, None] + done - stock.kept).min(axis=1)
    spare: Ints = np.floor(np.minimum(margin, stock.ready)).astype(np.int64)
    return np.maximum(spare, 0)


def propose(
    stock: Stock,
    energy_wh: NDArray[np.signedinteger[Any]],
    energy_max_wh: Ints,
    limited: NDArray[np.bool_],
    *,
    cabinets: Sequence[str],
    places: Sequence[Place | None],
    starts_ms: NDArray[np.int64],
    version: int,
    lost_swap_price: float,
) -> MovesView:
    """The moves that pay, the soonest first.

    Args:
        stock: of the plan.
        energy_wh: the plan [N,T].
        energy_max_wh: what could have been charged up to each interval's end [N,T].
        limited: cabinets to which the plan gives less than they need for a limit [N].
        cabinets: their ids.
        places: where they are; None is not known, and then nothing is moved from or to there.
        starts_ms: of the plan's intervals.
        version: of the plan.
        lost_swap_price: what a pack is worth to a rider who would find none.
    """
    done = charged(stock, energy_wh)
    most = charged(stock, np.diff(energy_max_wh, axis=1, prepend=0))
    lost, spare = lost_riders(stock, done), spare_packs(stock, most)
    final = lost[:, -1]
    waiting = (stock.jobs_wh > 0.0).sum(axis=1)
    first = (lost >= LOST_MIN).argmax(axis=1)
    short = [n for n in _rows(final >= LOST_MIN) if places[n] is not None and waiting[n]]
    takers = sorted(short, key=lambda n: (int(first[n]), -float(final[n]), n))[:SITES_MAX]
    givers = [
        n for n in _rows((spare > 0) & (final < LOST_MIN) & ~limited) if places[n] is not None
    ]
    need = [min(round(float(final[n])), int(waiting[n])) or 1 for n in takers]
    arcs = _arcs(takers, givers, places, lost_swap_price)
    flows = transport(
        need,
        [int(spare[n]) for n in givers],
        [(taker, giver, worth) for taker, giver, worth, _ in arcs],
    )
    moves = [
        MoveView(
            giver=cabinets[givers[giver]],
            taker=cabinets[row],
            packs=packs,
            by_ms=int(starts_ms[first[row]]),
            distance_m=way_m,
            why="limit" if limited[row] else "busy",
            lost=round(float(final[row]), 1),
        )
        for (taker, giver, _, way_m), packs in zip(arcs, flows, strict=True)
        if packs
        for row in [takers[taker]]
    ]
    moves.sort(key=lambda move: (move.by_ms, move.taker, move.distance_m))
    helped = _helped(moves, {cabinets[n]: final[n] for n in short})
    total = float(final.sum())
    return MovesView(version=version, moves=tuple(moves), lost=total, lost_after=total - helped)


def _helped(moves: Sequence[MoveView], lost_at: Mapping[str, float]) -> float:
    """How many of the riders who would be lost find a pack after the moves."""
    brought: Counter[str] = Counter()
    for move in moves:
        brought[move.taker] += move.packs
    return sum(min(brought[taker], lost) for taker, lost in lost_at.items())


def _rows(chosen: NDArray[np.bool_]) -> list[int]:
    return [int(row) for row in np.flatnonzero(chosen)]


def _arcs(
    takers: Sequence[int], givers: Sequence[int], places: Sequence[Place | None], price: float
) -> list[tuple[int, int, float, int]]:
    """(taker, giver, worth of a pack, metres) of the nearest givers that pay; by their numbers."""
    found = []
    there = np.array([places[row] for row in givers], float).reshape(-1, 2)
    for taker, row in enumerate(takers):
        here = places[row]
        assert here is not None
        ways = sorted(
            (distance_m(*here, *there[giver]), giver) for giver in _nearest(there, here).tolist()
        )
        for way_m, giver in ways[:GIVERS_MAX]:
            worth = price - HANDLING - PER_KM * way_m / 1_000
            if worth > 0.0:
                found.append((taker, giver, worth, way_m))
    return found


def _nearest(there: Floats, here: Place) -> NDArray[np.intp]:
    """Some of the nearest places, by the plane that touches the globe here; more than are wanted."""
    lat, lon = there[:, 0] - here[0], (there[:, 1] - here[1] + 180.0) % 360.0 - 180.0
    apart = lat**2 + (lon * math.cos(math.radians(here[0]))) ** 2
    most = min(2 * GIVERS_MAX, len(apart))
    nearest: NDArray[np.intp] = np.argpartition(apart, most - 1)[:most] if most else np.arange(0)
    return nearest


def transport(
    need: Sequence[int], spare: Sequence[int], arcs: Sequence[tuple[int, int, float]]
) -> list[int]:
    """Packs on each arc (taker, giver, worth of one) that are worth most together.

    Shortest augmenting paths: the flow of each size is the best of that size, and what the next pack
    adds only falls, so that the first one that adds nothing ends the search.
    """
    flows = _Flows(need, spare, arcs)
    while (path := flows.best_path()) is not None:
        flows.push(path)
    return flows.flow


class _Flows:
    """What is carried so far, and what is left of need and spare packs."""

    def __init__(
        self, need: Sequence[int], spare: Sequence[int], arcs: Sequence[tuple[int, int, float]]
    ) -> None:
        self._arcs = arcs
        self._left, self._open = list(spare), list(need)
        self.flow = [0] * len(arcs)
        self._by_giver: list[list[int]] = [[] for _ in spare]
        self._by_taker: list[list[int]] = [[] for _ in need]
        for number, (taker, giver, _) in enumerate(arcs):
            self._by_giver[giver].append(number)
            self._by_taker[taker].append(number)

    def push(self, path: Sequence[int]) -> None:
        """As many packs as the path takes."""
        first, last = self._arcs[path[0]][1], self._arcs[path[-1]][0]
        packs = min(
            self._left[first], self._open[last], *(self.flow[n] for n in path[1::2]), 1 << 30
        )
        for place, number in enumerate(path):
            self.flow[number] += -packs if place % 2 else packs
        self._left[first] -= packs
        self._open[last] -= packs

    def best_path(self) -> list[int] | None:
        """Arcs from a giver with packs left to a taker in need, there and back by turns.

        Bellman-Ford; None when no pack more is worth carrying.
        """
        worth = [0.0 if packs else -math.inf for packs in self._left]  # of a pack at each giver
        arrived = [-math.inf] * len(self._open)
        into: list[int] = [-1] * len(self._open)
        back: list[int] = [-1] * len(self._left)
        queue = [giver for giver, packs in enumerate(self._left) if packs]
        while queue:
            later: list[int] = []
            for giver in queue:
                for number in self._by_giver[giver]:
                    taker, _, each = self._arcs[number]
                    if worth[giver] + each > arrived[taker] + LEAST:
                        arrived[taker], into[taker] = worth[giver] + each, number
                        later += self._turn_back(taker, arrived[taker], worth, back)
            queue = later
        ends = [n for n, packs in enumerate(self._open) if packs and arrived[n] > LEAST]
        if not ends:
            return None
        taker = max(ends, key=lambda each: (arrived[each], -each))
        path = [into[taker]]
        while (turn := back[self._arcs[path[-1]][1]]) >= 0:
            path += [turn, into[self._arcs[turn][0]]]
        return path[::-1]

    def _turn_back(
        self, taker: int, arrived: float, worth: list[float], back: list[int]
    ) -> list[int]:
        """Givers whose packs this taker could do without, if that is worth more than before."""
        found = []
        for number in self._by_taker[taker]:
            _, giver, each = self._arcs[number]
            if self.flow[number] and arrived - each > worth[giver] + LEAST:
                worth[giver], back[giver] = arrived - each, number
                found.append(giver)
        return found
