"""``fleet.ports.Balance`` over the planner: plan, fact, limit and price of any part of the fleet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.curve import CurvePoint, CurveView, PlanNote, ScopesView
from fleet.core.balance.grid import GridRegion
from fleet.core.balance.hours import HourView, hours_ahead
from fleet.core.balance.moves import MovesView
from fleet.core.balance.what_if import Change, WhatIfView
from fleet.core.console_views import EnergyDay, Metering, energy_day
from fleet.errors import NotFoundError
from fleet.ports import Clock

if TYPE_CHECKING:  # the planner compiles; who has it brings it
    from fleet.runtime.outlook import Outlook
    from fleet.runtime.planner import Orders, Planner
    from fleet.runtime.what_if import WhatIf

Rows = NDArray[np.int64]
#: Start, planned and measured power, swaps expected, energy that comes too late.
_Span: TypeAlias = tuple[int, int | None, int | None, float | None, int | None]


class BalanceService:
    """Implements ``fleet.ports.Balance``."""

    def __init__(
        self, planner: Planner, clock: Clock, outlook: Outlook, what_if: WhatIf | None = None
    ) -> None:
        self._planner = planner
        self._outlook = outlook
        self._clock = clock
        self._what_if = what_if

    async def curve(self, scope: str) -> CurveView:
        """The day behind and ahead of one scope; raise NotFoundError."""
        planner = self._planner
        rows = self._rows(scope)
        now_ms = self._clock.wall_ms()
        step_ms = planner.interval_s * 1_000
        past = planner.ring.means(rows, now_ms)
        series: list[_Span] = [(*each, None, None) for each in past]
        orders = planner.orders
        if orders is not None:
            begin = (
                now_ms
                - now_ms % step_ms
                + (step_ms if past and past[-1][0] + step_ms > now_ms else 0)
            )
            for span in _ahead(orders, rows):
                if span[0] >= begin:
                    series.append(span)
                elif series and series[-1][0] == span[0]:  # the present one, measured already
                    series[-1] = (*series[-1][:3], *span[3:])
        return CurveView(
            scope=scope,
            interval_s=planner.interval_s,
            now_ms=now_ms,
            plan=self._note(),
            alarms=tuple(sorted(planner.alarms)),
            service=planner.service(),
            clock_rate=planner.rate,
            points=tuple(self._point(scope, each) for each in series),
        )

    async def what_if(self, scope: str, change: Change) -> WhatIfView:
        """Two plans for the next day, with and without a change of the grid.

        Raises:
            NotFoundError: no such scope.
            InvalidError: a field of the change is out of range.
            RefusedError: ``what-if-busy``.
        """
        if self._what_if is None:
            raise NotFoundError("what if: this fleet answers no such questions")
        return await self._what_if.ask(scope, self._rows(scope), change)

    async def scopes(self) -> ScopesView:
        """The names that a curve may be asked of."""
        grid = self._planner.grid
        return ScopesView(
            regions=tuple(region.name for region in grid.regions),
            feeders=tuple(feeder.name for feeder in grid.feeders),
            cabinets=len(grid.cabinets),
        )

    async def moves(self) -> MovesView:
        """Batteries to carry, by the plan that holds."""
        return await asyncio.to_thread(self._outlook.moves)

    async def hours(self, cabinet_id: str, full: int, slots: int) -> tuple[HourView, ...]:
        """What to expect of one cabinet in the next hours; nothing without a plan that holds."""
        planner = self._planner
        orders, now_ms = planner.orders, self._clock.wall_ms()
        if orders is None or now_ms >= orders.valid_until_ms or cabinet_id not in planner.grid.ids:
            return ()
        row = planner.grid.ids.index(cabinet_id)
        starts = orders.problem.starts_ms
        ahead = int(np.searchsorted(starts, now_ms, side="right")) - 1
        starts = starts[max(ahead, 0) :]
        pack = planner.grid.pack
        pack_wh = pack.capacity_wh * (pack.ready_pct - pack.back_pct) / 100 / pack.efficiency
        charged = orders.plan.step_wh[row, max(ahead, 0) :] / max(pack_wh, 1.0)
        taken = planner.swaps_ahead(now_ms, len(starts))[row]
        return hours_ahead(
            full=full,
            slots=slots,
            charged=charged,
            taken=taken,
            starts_ms=starts,
            step_s=planner.interval_s,
        )

    async def energy_day(self) -> EnergyDay | None:
        """What was used and paid since midnight, by the meterings that are kept."""
        planner, now_ms = self._planner, self._clock.wall_ms()
        midnight_ms = now_ms - planner.minute(now_ms) * 60_000 - now_ms % 60_000
        regions = []
        for place, region in enumerate(planner.grid.regions):
            rows = self._rows(f"region:{region.name}")
            meterings: list[Metering] = []
            for start_ms, _, actual_w in planner.ring.means(rows, now_ms):
                minute = planner.minute(start_ms)
                limit_w = self._region_limit(place, region, minute)
                meterings.append((start_ms, actual_w, limit_w, region.price(minute)))
            regions.append((region.name, meterings))
        return energy_day(regions, planner.interval_s * 1_000, midnight_ms, now_ms)

    def _note(self) -> PlanNote | None:
        orders = self._planner.orders
        if orders is None:
            return None
        follows, stubborn = orders.problem.follows, orders.problem.stubborn
        return PlanNote(
            version=orders.version,
            made_ms=orders.made_ms,
            gap=orders.plan.gap,
            cost=orders.plan.cost,
            shortfall_wh=int(orders.plan.shortfall_wh.sum(dtype=np.int64)),
            planned=int((follows | stubborn).sum()),
            acknowledged=self._planner.acknowledged(),
            reserved=int((~follows).sum()),
        )

    def _rows(self, scope: str) -> Rows:
        grid = self._planner.grid
        kind, _, name = scope.partition(":")
        feeders = [feeder for _, feeder in grid.cabinets]
        match kind:
            case "fleet" if not name:
                chosen = list(range(len(feeders)))
            case "region":
                own = {
                    place
                    for place, feeder in enumerate(grid.feeders)
                    if grid.regions[feeder.region].name == name
                }
                _need(any(region.name == name for region in grid.regions), scope)
                chosen = [row for row, feeder in enumerate(feeders) if feeder in own]
            case "feeder":
                named = [each.name for each in grid.feeders]
                _need(name in named, scope)
                chosen = [row for row, at in enumerate(feeders) if at == named.index(name)]
            case "cabinet":
                _need(name in grid.ids, scope)
                chosen = [grid.ids.index(name)]
            case _:
                _need(False, scope)  # noqa: FBT003 - none of the above
                chosen = []
        return np.array(chosen, np.int64)

    def _point(self, scope: str, span: _Span) -> CurvePoint:
        start_ms, plan_w, actual_w, swaps, shortfall_wh = span
        minute = self._planner.minute(start_ms)
        return CurvePoint(
            start_ms=start_ms,
            plan_w=plan_w,
            actual_w=actual_w,
            limit_w=self._limit(scope, minute),
            price=self._price(scope, minute),
            swaps=swaps,
            shortfall_wh=shortfall_wh,
        )

    def _limit(self, scope: str, minute: int) -> int | None:
        grid = self._planner.grid
        kind, _, name = scope.partition(":")
        if kind == "cabinet":
            return grid.power.breaker_w + grid.power.base_w
        if kind == "feeder":
            return next(each.limit_w for each in grid.feeders if each.name == name)
        limits = [
            self._region_limit(place, region, minute)
            for place, region in enumerate(grid.regions)
            if kind == "fleet" or region.name == name
        ]
        return sum(limits)

    def _region_limit(self, place: int, region: GridRegion, minute: int) -> int:
        """The region's own limit, or what its feeders can carry if that is less."""
        feeders_w = sum(each.limit_w for each in self._planner.grid.feeders if each.region == place)
        own_w = region.limit(minute, self._planner.interval_s / 60)
        return feeders_w if own_w is None else min(own_w, feeders_w)

    def _price(self, scope: str, minute: int) -> float:
        """The price of the scope's region; of the fleet, the mean of its regions."""
        grid = self._planner.grid
        kind, _, name = scope.partition(":")
        regions: list[Any] = list(grid.regions)
        if kind == "region":
            regions = [each for each in regions if each.name == name]
        elif kind == "feeder":
            regions = [regions[each.region] for each in grid.feeders if each.name == name]
        elif kind == "cabinet":
            feeder = grid.feeders[grid.cabinets[grid.ids.index(name)][1]]
            regions = [regions[feeder.region]]
        return float(np.mean([region.price(minute) for region in regions]))


def _ahead(orders: Orders, rows: Rows) -> list[_Span]:
    """The plan's intervals: power, riders expected, and what comes too late."""
    power = orders.expected_w[rows].sum(axis=0)
    riders = np.diff(orders.problem.stock.riders[rows].sum(axis=0), prepend=0.0)
    short = orders.plan.shortfall_wh[rows].sum(axis=0, dtype=np.int64)
    return [
        (int(start), int(watts), None, round(float(swaps), 2), int(short_wh))
        for start, watts, swaps, short_wh in zip(
            orders.problem.starts_ms, power, riders, short, strict=True
        )
    ]


def _need(there: bool, scope: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not there:
        raise NotFoundError(
            f"scope {scope!r}: expected fleet, region:NAME, feeder:NAME or cabinet:ID of the grid"
        )
