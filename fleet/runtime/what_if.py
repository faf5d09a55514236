"""What if the limit were another: two plans on the same state, beside the one that holds.

Nothing of the loop is touched: no order, peak or warm start. One question at a time; it begins while no
run is under way, works on one thread, and ends with the best there is when its time is up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from fleet.core.balance import horizon
from fleet.core.balance.grid import Grid
from fleet.core.balance.horizon import Problem
from fleet.core.balance.instance import Instance, Ints, Plan
from fleet.core.balance.what_if import (
    Change,
    Rows,
    WhatIfPoint,
    WhatIfView,
    as_if,
    check_change,
    held_to,
    part_of,
    regions_of,
    summed,
)
from fleet.errors import NotFoundError, RefusedError
from fleet.ports import Clock

if TYPE_CHECKING:
    from fleet.runtime.grid_source import State
    from fleet.runtime.planner import Planner

#: For both plans together, and what of it the first may take.
LIMIT_S: Final = 12.0
FIRST_SHARE: Final = 0.5
#: A run of the loop is waited for so long.
WAIT_S: Final = 20.0
GAP_WANTED: Final = 0.001
TICK_S: Final = 0.05

SolveAlone = Callable[[Instance, Callable[[], float], float], Plan]


class WhatIf:
    """Answers questions about the grid. ``solve`` is the planner's, on one thread."""

    def __init__(self, planner: Planner, solve: SolveAlone, clock: Clock) -> None:
        self._planner = planner
        self._solve = solve
        self._clock = clock
        self._asked = asyncio.Lock()

    async def ask(self, scope: str, rows: Rows, change: Change) -> WhatIfView:
        """Both plans; ``rows`` are the scope's cabinets in the planner's grid.

        Raises:
            InvalidError: a field is out of range.
            RefusedError: ``what-if-busy``: another question is being answered, or no plan is yet.
        """
        check_change(change, scope.partition(":")[0])
        if self._asked.locked():
            raise RefusedError("another question is being answered", code="what-if-busy")
        async with self._asked:
            state = await self._state()
            stopped = asyncio.Event()

            def clock_s() -> float:
                return math.inf if stopped.is_set() else self._clock.monotonic_ms() / 1_000

            try:
                return await asyncio.to_thread(self._answer, state, scope, rows, change, clock_s)
            finally:
                stopped.set()  # whoever asked may be gone: the solver ends with what it has

    async def _state(self) -> State:
        """What the loop knows, when it is not planning itself."""
        if self._planner.orders is None:
            raise RefusedError("there is no plan yet", code="what-if-busy")
        begun_ms = self._clock.monotonic_ms()
        while self._planner.planning:
            if self._clock.monotonic_ms() - begun_ms >= WAIT_S * 1_000:
                raise RefusedError("the planner is at work", code="what-if-busy")
            await self._clock.sleep(TICK_S)
        return self._planner.state()

    def _answer(
        self, state: State, scope: str, rows: Rows, change: Change, clock_s: Callable[[], float]
    ) -> WhatIfView:
        regions = regions_of(state.grid, scope)
        part, own = part_of(state.grid, regions)
        if not len(own):
            raise NotFoundError(f"scope {scope!r}: has no cabinets")
        rows = np.flatnonzero(np.isin(own, rows))
        begun_s = clock_s()
        problem = self._problem(state, part, own, regions)
        first = self._solve(problem.instance, clock_s, LIMIT_S * FIRST_SHARE)
        grid = as_if(part, scope, change)
        other = self._problem(state, grid, own, regions)
        if scope.startswith("cabinet:") and change.limit_w is not None:
            other = held_to(other, int(rows[0]), change.limit_w - grid.power.base_w)
        left_s = max(LIMIT_S - (clock_s() - begun_s), 1.0)
        second = self._solve(other.instance, clock_s, left_s)
        now_w = horizon.powers(problem, first, bare=True) + problem.reserve_w + part.power.base_w
        then_w = horizon.powers(other, second, bare=True) + other.reserve_w + part.power.base_w
        return WhatIfView(
            scope=scope,
            now=summed(first, now_w, rows),
            then=summed(second, then_w, rows),
            points=_points(other, now_w[rows], then_w[rows], self._limits(change, other)),
            solve_s=round(clock_s() - begun_s, 3),
            in_time=max(first.gap, second.gap) <= GAP_WANTED,
        )

    def _problem(self, state: State, part: Grid, own: Rows, regions: list[int]) -> Problem:
        return horizon.build(
            part,
            [state.sites[row] for row in own],
            state.forecast().of(own),
            now_ms=state.now_ms,
            interval_s=self._planner.interval_s,
            zone=self._planner.zone,
            peak_w=state.peak_w[regions],
        )

    def _limits(self, change: Change, problem: Problem) -> list[int | None]:
        """The asked-for limit where it holds."""
        minutes = horizon.day_minutes(problem.starts_ms, self._planner.zone)
        return [change.limit_w if _within(change, minute) else None for minute in minutes]


def _within(change: Change, minute: int) -> bool:
    if change.from_min is None or change.to_min is None:
        return True
    long = (change.to_min - change.from_min) % 1_440 or 1_440
    return (minute - change.from_min) % 1_440 < long


def _points(
    problem: Problem, now_w: Ints, then_w: Ints, limits: list[int | None]
) -> tuple[WhatIfPoint, ...]:
    return tuple(
        WhatIfPoint(start_ms=int(start), now_w=int(now), then_w=int(then), limit_w=limit)
        for start, now, then, limit in zip(
            problem.starts_ms, now_w.sum(axis=0), then_w.sum(axis=0), limits, strict=True
        )
    )
