"""Another limit, price or service level for one part of the fleet: the grid as it would be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.grid import (
    POWER_MAX_W,
    PRICE_MAX,
    Grid,
    GridFeeder,
    GridRegion,
    Window,
)
from fleet.core.balance.horizon import Problem
from fleet.core.balance.instance import Ints, Plan
from fleet.errors import InvalidError, NotFoundError

PRICE_PCT_MAX: Final = 1_000
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Change:
    """What would be different; None stays as it is. A window restricts the limit to a time of day."""

    limit_w: int | None = None
    from_min: int | None = None
    to_min: int | None = None
    price_pct: int | None = None
    lost_swap_price: float | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing would be different."""
        return self.limit_w is None and self.price_pct is None and self.lost_swap_price is None


class WhatIfPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One interval of the scope, by a plan made now for the grid as it is, and as it would be."""

    start_ms: int
    now_w: int
    then_w: int
    limit_w: int | None


class WhatIfSum(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan comes to: of the regions that the scope touches, the next 24 hours."""

    cost: float
    cost_error: float  # by how much the cost may lie above the least possible one
    peak_w: int  # of the scope
    shortfall_wh: int  # of the scope


class WhatIfView(msgspec.Struct, frozen=True, kw_only=True):
    """Both plans, computed by the planner on the same state and forecast."""

    scope: str
    now: WhatIfSum
    then: WhatIfSum
    points: tuple[WhatIfPoint, ...]
    solve_s: float
    in_time: bool  # both within the wanted gap; otherwise the best that was found


def check_change(change: Change, kind: str) -> None:
    """Raise InvalidError naming the field."""
    if change.empty:
        raise InvalidError("what if: give another limit, price or service level")
    if change.limit_w is not None and not 0 <= change.limit_w <= POWER_MAX_W:
        raise InvalidError(f"limit_kw: expected 0 to {POWER_MAX_W // 1_000}")
    windowed = change.from_min is not None or change.to_min is not None
    if windowed and (change.from_min is None or change.to_min is None):
        raise InvalidError("from and to: give both, or neither")
    if windowed and change.limit_w is None:
        raise InvalidError("from and to: are the time of a limit; give one")
    if windowed and kind not in ("fleet", "region"):
        raise InvalidError(f"from and to: a {kind} has one limit for the whole day")
    if change.price_pct is not None and not 1 <= change.price_pct <= PRICE_PCT_MAX:
        raise InvalidError(f"price_pct: expected 1 to {PRICE_PCT_MAX} per cent")
    lost = change.lost_swap_price
    if lost is not None and not 1e-6 <= lost <= PRICE_MAX:
        raise InvalidError(f"lost_swap_price: expected above 0, up to {PRICE_MAX:g}")


def regions_of(grid: Grid, scope: str) -> list[int]:
    """The regions that a scope touches: no other one's plan depends on it; raise NotFoundError."""
    kind, _, name = scope.partition(":")
    if kind == "region":
        return [place for place, each in enumerate(grid.regions) if each.name == name]
    if kind == "feeder":
        return [each.region for each in grid.feeders if each.name == name]
    if kind == "cabinet":
        return [grid.feeders[feeder].region for cabinet, feeder in grid.cabinets if cabinet == name]
    if scope == "fleet":
        return list(range(len(grid.regions)))
    raise NotFoundError(f"scope {scope!r}: expected fleet, region:, feeder: or cabinet:")


def part_of(grid: Grid, regions: list[int]) -> tuple[Grid, Rows]:
    """The grid of some regions only, and the places of its cabinets in the whole one."""
    place_of = {region: place for place, region in enumerate(regions)}
    feeders = [place for place, each in enumerate(grid.feeders) if each.region in place_of]
    feeder_of = {feeder: place for place, feeder in enumerate(feeders)}
    rows = [row for row, (_, feeder) in enumerate(grid.cabinets) if feeder in feeder_of]
    part = Grid(
        regions=tuple(grid.regions[each] for each in regions),
        feeders=tuple(
            replace(grid.feeders[each], region=place_of[grid.feeders[each].region])
            for each in feeders
        ),
        cabinets=tuple((grid.cabinets[row][0], feeder_of[grid.cabinets[row][1]]) for row in rows),
        pack=grid.pack,
        power=grid.power,
        shortfall_price_per_kwh=grid.shortfall_price_per_kwh,
        lost_swap_price=grid.lost_swap_price,
    )
    return part, np.array(rows, np.int64)


def as_if(grid: Grid, scope: str, change: Change) -> Grid:
    """The part of the grid with the change; of a single cabinet, see ``held_to``.

    The limit of the whole fleet is shared by its regions, as their present limits are to one another.
    """
    kind, _, name = scope.partition(":")
    regions, feeders = list(grid.regions), list(grid.feeders)
    if change.limit_w is not None and kind == "feeder":
        feeders = [_held(each, change.limit_w) if each.name == name else each for each in feeders]
    if change.limit_w is not None and kind in ("fleet", "region"):
        most_w = [_most_w(grid, place) for place in range(len(regions))]
        regions = [
            _limited(region, change, round(change.limit_w * own_w / max(sum(most_w), 1)))
            for region, own_w in zip(regions, most_w, strict=True)
        ]
    if change.price_pct is not None:
        share = change.price_pct / 100
        regions = [
            replace(each, prices=tuple((start, price * share) for start, price in each.prices))
            for each in regions
        ]
    lost = change.lost_swap_price
    return replace(
        grid,
        regions=tuple(regions),
        feeders=tuple(feeders),
        lost_swap_price=grid.lost_swap_price if lost is None else lost,
        # What comes too late costs in the same measure as who is turned away.
        shortfall_price_per_kwh=grid.shortfall_price_per_kwh
        * (1.0 if lost is None else lost / grid.lost_swap_price),
    )


def held_to(problem: Problem, row: int, power_w: int) -> Problem:
    """The problem with one cabinet's charging held to a power."""
    instance = problem.instance
    hours = np.full(len(problem.starts_ms), instance.step_s / 3600)
    hours[0] *= problem.share
    step = instance.step_max_wh.copy()
    most = np.floor(max(power_w, 0) * hours).astype(step.dtype)
    step[row] = np.minimum(step[row], most)
    return replace(problem, instance=replace(instance, step_max_wh=step))


def summed(plan: Plan, power_w: Ints, rows: Rows) -> WhatIfSum:
    """What a plan comes to, in the rows of the scope."""
    total = power_w[rows].sum(axis=0)
    return WhatIfSum(
        cost=plan.cost,
        cost_error=plan.cost - plan.lower_bound,
        peak_w=int(total.max(initial=0)),
        shortfall_wh=int(plan.shortfall_wh[rows].sum(dtype=np.int64)),
    )


def _held(feeder: GridFeeder, limit_w: int) -> GridFeeder:
    return replace(feeder, limit_w=limit_w)


def _most_w(grid: Grid, region: int) -> int:
    feeders_w = sum(each.limit_w for each in grid.feeders if each.region == region)
    own_w = grid.regions[region].limit_w
    return feeders_w if own_w is None else min(own_w, feeders_w)


def _limited(region: GridRegion, change: Change, limit_w: int) -> GridRegion:
    if change.from_min is None or change.to_min is None:
        return replace(region, limit_w=limit_w)
    window = Window(change.from_min, change.to_min, limit_w)
    return replace(region, windows=(*region.windows, window))
