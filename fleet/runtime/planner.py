"""The balance loop: state, forecast, plan, publish; every few minutes, and early when much changed.

One plan is worked out at a time, in a thread. A run that fails or is late changes nothing: the last
plan holds until its validity ends, and then every cabinet is on its safe default. What was published
may be with a cabinet until the cabinet says otherwise, and is counted so.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance import horizon
from fleet.core.balance.curve import Ring, ServiceNote
from fleet.core.balance.deviations import METER_MAX, UNRULY_MS, Deviations, Unruly
from fleet.core.balance.grid import Grid
from fleet.core.balance.horizon import Problem, Site, Standing
from fleet.core.balance.instance import Floats, Instance, Ints, Plan
from fleet.errors import FleetError, InvalidError
from fleet.ports import Clock
from fleet.runtime.balance_metrics import BalanceMetrics
from fleet.runtime.demand import Demand
from fleet.runtime.grid_source import GridSource, State
from fleet.runtime.held import HeldPlans
from fleet.runtime.live import Last
from fleet.runtime.peaks import Peaks
from fleet.runtime.promise import ServiceWatch
from protocols.messages import DesiredPlan

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
#: After a start cabinets get so long to be heard before the first run.
HEAR_MS: Final = 10_000
SAMPLE_MS: Final = 5_000
#: Between two runs, however much changes.
EARLY_GAP_MS: Final = 20_000
#: An interval of which less is left is over for planning: its energies would be roundings.
LEFT_SHARE_MIN: Final = 0.05
#: Of the time between runs: what the solver gets, and when a run is late.
SOLVE_SHARE: Final = 0.3
LATE_SHARE: Final = 0.8
#: An instance, the plan before, a clock in seconds, and how many of them it may take.
Solve = Callable[[Instance, Plan | None, Callable[[], float], float], Plan]


@dataclass(frozen=True, slots=True)
class Orders:
    """The plan that holds. ``expected_w`` [N,T] is all power, worst cases and base load included."""

    version: int
    made_ms: int
    valid_until_ms: int
    problem: Problem
    plan: Plan
    power_w: Ints
    expected_w: Ints


class Planner:
    """Plans, publishes and watches."""

    def __init__(
        self,
        *,
        grids: GridSource,
        last: Callable[[str], Last | None],
        demand: Callable[[Grid], Demand],
        held: HeldPlans,
        peaks: Peaks,
        service: ServiceWatch,
        publish: Callable[[Sequence[DesiredPlan]], Awaitable[None]],
        solve: Solve,
        prepare: Callable[[], None],
        clock: Clock,
        zone: tzinfo,
        interval_s: int,
        every_s: int,
        metrics: BalanceMetrics,
        rate: int = 1,
    ) -> None:
        """Read the grid; raise InvalidError.

        ``clock``'s wall clock is that of the tariff's day, which runs ``rate`` times as fast as its
        monotonic one: intervals and runs go by the former, deadlines and ages by the latter.
        """
        self._grids = grids
        self._last = last
        self._make_demand = demand
        self._held = held
        self._peaks = peaks
        self._service = service
        self._publish = publish
        self._solve = solve
        self._prepare = prepare
        self._clock = clock
        self.zone = zone
        self.interval_s = interval_s
        self._every_s = every_s
        self.rate = rate
        self._run_s = every_s / rate  # real seconds from run to run
        self._sample_ms = max(SAMPLE_MS // rate, 1)
        self._metrics = metrics
        self.grid = grids.load()
        self.alarms: set[str] = set()
        self._take_cabinets(self.grid)
        self._slot: int | None = None  # the regular run that was last begun
        self._begun_ms: int | None = None
        self._early = ""
        self.planning = False  # a run is under way
        self._looked_ms: int | None = None
        self._unruly = Unruly(self.grid.ids, UNRULY_MS // rate)
        self._far_slot: int | None = None  # in which being far from the plan was answered
        self._arrange()

    def _take_cabinets(self, grid: Grid) -> None:
        """Begin with these cabinets: what was measured and planned until now was of others."""
        self.ring = Ring(len(grid.ids), self.interval_s * 1_000)
        self._demand = self._make_demand(grid)
        self.orders: Orders | None = None
        self._fresh: NDArray[np.bool_] | None = None
        self._has_plan = np.zeros(len(grid.ids), bool)

    def _arrange(self) -> None:
        self._deviations = Deviations(self.grid)
        for warning in self.grid.warnings():
            log.warning("balance: %s", warning)

    # --- the loop -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Plan and watch until cancelled."""
        await self.recall()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="balance-watch")
            group.create_task(self._plan(), name="balance-plan")
            group.create_task(self._grids.run(), name="balance-grids")

    async def recall(self) -> None:
        """Take up what was published and measured before a restart."""
        while True:
            try:
                await self._held.recall()
                await self._peaks.recall()
                await self._service.recall(self._clock.wall_ms())
            except FleetError as error:
                log.warning("balance: no plans and peaks from the store: %s; trying again", error)
                await self._clock.sleep(TICK_S)
            else:
                return

    async def _plan(self) -> None:
        begun_ms = self._clock.monotonic_ms()
        log.info("balance: preparing the planner (the first time takes about half a minute)")
        try:
            await asyncio.to_thread(self._prepare)
            log.info("balance: the planner is ready")
        except Exception as error:  # noqa: BLE001 - no fault of the planner may stop the fleet
            self._raise("failed", f"the planner can't be prepared: {error!r}")
        while self._clock.monotonic_ms() - begun_ms < HEAR_MS:
            await self._clock.sleep(TICK_S)
        while True:
            if self.due():
                await self.attempt()
            await self._clock.sleep(TICK_S)

    async def _watch(self) -> None:
        while True:
            now_ms = self._clock.monotonic_ms()
            if self._looked_ms is None or now_ms - self._looked_ms >= self._sample_ms:
                self._looked_ms = now_ms
                try:
                    self.look()
                except Exception as error:  # noqa: BLE001 - nor may a look
                    self._raise("failed", f"plan and fact were not compared: {error!r}")
            await self._clock.sleep(TICK_S)

    def due(self) -> bool:
        """Whether a run is to begin now."""
        wall_ms, now_ms = self._clock.wall_ms(), self._clock.monotonic_ms()
        step_ms = self.interval_s * 1_000
        if 1.0 - wall_ms % step_ms / step_ms < LEFT_SHARE_MIN:
            return False
        if wall_ms // (self._every_s * 1_000) != self._slot:
            return True
        rested = self._begun_ms is None or now_ms - self._begun_ms >= EARLY_GAP_MS
        return bool(self._early) and rested

    def early(self, why: str) -> None:
        """Ask for a run before the next regular one."""
        if not self._early and self._slot is not None:
            log.info("balance: planning anew: %s", why)
        self._early = why

    async def attempt(self) -> None:
        """One run; whatever goes wrong, the last plan holds."""
        self._slot = self._clock.wall_ms() // (self._every_s * 1_000)
        self._begun_ms = self._clock.monotonic_ms()
        self._early = ""
        self.planning = True
        try:
            orders = await self._work_out()
            if orders is None:
                self._metrics.runs.labels("discarded").inc()
                return
            await self._issue(orders)
        except Exception as error:
            self._metrics.runs.labels("failed").inc()
            self._raise("failed", f"no plan was made, the last one holds: {error!r}")
            log.debug("balance", exc_info=error)
            return
        finally:
            self.planning = False
        self._metrics.runs.labels("done").inc()
        self._clear("failed")
        self._clear("late")

    async def learn(self) -> None:
        """Take in the days that are over since the last time; raise StoreError."""
        await self._demand.catch_up(self._clock.wall_ms())

    async def _work_out(self) -> Orders | None:
        """The next plan; None when it came too late, or for a grid that is no more."""
        grid, demand = self.grid, self._demand
        await self.learn()
        await self._held.look_up()
        now_ms = self._clock.wall_ms()
        sites = self._sites(grid)
        peak_w, warm = self._peaks.highest(grid, self.ring, now_ms), self._warm(now_ms)
        await self._peaks.keep()
        stretch, priced = await self._service.collect(grid, now_ms), self._priced(now_ms)
        stopping = False

        def clock_s() -> float:
            """Endless once nobody waits for the answer: the solver then ends with what it has."""
            return math.inf if stopping else self._clock.monotonic_ms() / 1_000

        def work() -> tuple[Problem, Plan]:
            count = len(horizon.interval_starts(now_ms, self.interval_s))
            problem = horizon.build(
                priced,
                sites,
                demand.forecast(now_ms, count + 1),
                now_ms=now_ms,
                interval_s=self.interval_s,
                zone=self.zone,
                peak_w=peak_w,
            )
            return problem, self._solve(problem.instance, warm, clock_s, self._run_s * SOLVE_SHARE)

        started_ms = self._clock.monotonic_ms()
        solving = asyncio.ensure_future(asyncio.to_thread(work))
        timer = asyncio.ensure_future(self._clock.sleep(self._run_s * LATE_SHARE))
        try:
            await asyncio.wait({solving, timer}, return_when=asyncio.FIRST_COMPLETED)
            if not solving.done():
                self._raise("late", "the plan is late; the last one holds")
                await asyncio.wait({solving})  # one at a time
                solving.exception()
                return None
        finally:
            stopping = True
            timer.cancel()
        problem, plan = solving.result()
        if self.grid is not grid:
            self.early("the grid changed under the run")
            return None
        self._metrics.solve_seconds.observe((self._clock.monotonic_ms() - started_ms) / 1_000)
        seen = await self._service.look(stretch, sites, problem)
        await self._service.keep()
        self._metrics.held_to(seen, self.lost_swap_price)
        return self._orders(grid, problem, plan)

    def _orders(self, grid: Grid, problem: Problem, plan: Plan) -> Orders:
        now_ms = self._clock.wall_ms()
        power_w = horizon.powers(problem, plan)
        count = horizon.valid_intervals(self.interval_s, self._every_s)
        until_ms = int(problem.starts_ms[0]) + count * self.interval_s * 1_000
        return Orders(
            version=max(now_ms, self._held.version + 1),
            made_ms=now_ms,
            valid_until_ms=until_ms,
            problem=problem,
            plan=plan,
            power_w=power_w,
            expected_w=power_w + problem.reserve_w + grid.power.base_w,
        )

    async def _issue(self, orders: Orders) -> None:
        """Keep, then publish: a version is never given twice, and what may be out is known."""
        documents = horizon.documents(
            self.grid,
            orders.problem,
            orders.power_w,
            version=orders.version,
            every_s=self._every_s,
        )
        await self._held.keep(documents)
        self.orders = orders
        self._metrics.gap_ratio.set(orders.plan.gap)
        self._metrics.shortfall_watthours.set(int(orders.plan.shortfall_wh.sum(dtype=np.int64)))
        for short in orders.plan.shorts[:3]:
            log.warning(
                "balance: %s %d is short of %d Wh in interval %d",
                *(short.limit, short.index, short.shortfall_wh, short.interval),
            )
        try:
            await self._publish(documents)
            self._clear("unpublished")
        except FleetError as error:  # the broker gets what is stored when it is back
            self._raise("unpublished", f"plan {orders.version} is not with all cabinets: {error}")

    # --- what is known --------------------------------------------------------------------------

    def _warm(self, now_ms: int) -> Plan | None:
        """The plan before, moved on to now."""
        if self.orders is None or len(self.orders.power_w) != len(self.grid.ids):
            return None
        plan, starts = self.orders.plan, self.orders.problem.starts_ms
        gone = (now_ms - int(starts[0])) // (self.interval_s * 1_000)
        if not 0 <= gone < len(starts):
            return None
        return plan.later(gone)

    def state(self) -> State:
        """What a plan would rest on now; nothing of it is kept."""
        grid, demand, now_ms = self.grid, self._demand, self._clock.wall_ms()
        count = len(horizon.interval_starts(now_ms, self.interval_s)) + 1
        return State(
            now_ms=now_ms,
            grid=self._priced(now_ms),
            sites=self._sites(grid),
            peak_w=self._peaks.highest(grid, self.ring, now_ms),
            forecast=lambda: demand.forecast(now_ms, count),
        )

    def _sites(self, grid: Grid) -> list[Site]:
        """The cabinets as they stand; who takes more than it is ordered does not follow."""
        sites = []
        for site in map(self._held.site, grid.ids):
            most_w = self._unruly.most_w(site.cabinet)
            if most_w is not None and site.standing is not Standing.SILENT:
                site = replace(site, standing=Standing.STUBBORN)  # noqa: PLW2901 - the same one
            sites.append(site if most_w is None else replace(site, seen_w=most_w))
        return sites

    @property
    def lost_swap_price(self) -> float:
        """What losing a rider is taken to cost now."""
        return self._service.price(self.grid, self._clock.wall_ms())

    def service(self) -> ServiceNote:
        """What the plan is held to."""
        return self._service.note(self.grid, self._clock.wall_ms())

    def _priced(self, now_ms: int) -> Grid:
        """The grid with the worth that a lost swap has now."""
        return replace(self.grid, lost_swap_price=self._service.price(self.grid, now_ms))

    def expected_w(self, wall_ms: int) -> Ints:
        """What each cabinet should take at most at a moment [N]."""
        orders = self.orders
        alone_w = self.grid.power.default_w + self.grid.power.base_w
        if orders is None or wall_ms >= orders.valid_until_ms:
            return np.full(len(self.grid.ids), alone_w, np.int64)
        place = (wall_ms - int(orders.problem.starts_ms[0])) // (self.interval_s * 1_000)
        row: Ints = orders.expected_w[:, max(place, 0)]
        return row

    def minute(self, wall_ms: int) -> int:
        """The minute of the local day."""
        return horizon.day_minutes(np.array([wall_ms]), self.zone)[0]

    def acknowledged(self) -> int:
        """How many of the ordered cabinets say that they have the plan."""
        if self.orders is None:
            return 0
        ordered = self.orders.problem.follows | self.orders.problem.stubborn
        return int((ordered & self._has_plan).sum())

    # --- plan against fact ----------------------------------------------------------------------

    def look(self) -> None:
        """Take in what is measured, and judge it."""
        if self._grids.changed():
            self._take_grid()
        wall_ms = self._clock.wall_ms()
        actual_w = np.full(len(self.grid.ids), np.nan)
        has_plan = np.zeros(len(self.grid.ids), bool)
        for place, cabinet in enumerate(self.grid.ids):
            last = self._last(cabinet)
            if last is None or last.telemetry is None or not last.online or last.age_ms is None:
                continue
            if last.age_ms <= horizon.FRESH_MS and last.telemetry.power_w is not None:
                actual_w[place] = last.telemetry.power_w
                has_plan[place] = self._held.has_newest(cabinet, last.telemetry.plan_version)
        expected_w = self.expected_w(wall_ms)
        power = self.grid.power
        most_w = METER_MAX * (power.breaker_w + power.base_w)
        self.ring.add(wall_ms, expected_w, np.clip(actual_w, 0.0, most_w))
        fresh = np.isfinite(actual_w)
        actual_w = np.where(actual_w >= 0.0, actual_w, np.nan)  # nothing is given back here
        if (
            self._fresh is not None
            and len(self._fresh) == len(fresh)
            and (fresh & ~self._fresh).any()
        ):
            self.early("a cabinet is back")
        self._fresh, self._has_plan = fresh, has_plan
        self._measure(wall_ms, expected_w, actual_w)
        self._judge(expected_w, actual_w, has_plan)

    def _take_grid(self) -> None:
        """The file has changed: take it, or keep the one before."""
        try:
            grid = self._grids.load()
        except InvalidError as error:
            self._raise("grid", f"{error}; the grid before holds")
            return
        self._clear("grid")
        if grid.ids != self.grid.ids:
            self._take_cabinets(grid)
            self._unruly = self._unruly.of(grid.ids)
        self.grid = grid
        self._arrange()
        self.early("the grid has changed")

    def _measure(self, wall_ms: int, expected_w: Ints, actual_w: Floats) -> None:
        metrics, orders = self._metrics, self.orders
        metrics.planned_watts.set(int(expected_w.sum()))
        metrics.actual_watts.set(float(np.nansum(actual_w)))
        stale = orders is None or wall_ms >= orders.valid_until_ms
        if orders is not None:
            metrics.plan_age_seconds.set((wall_ms - orders.made_ms) / 1_000)
            ordered = orders.problem.follows | orders.problem.stubborn
            metrics.planned_cabinets.set(int(ordered.sum()))
            metrics.acknowledged_cabinets.set(self.acknowledged())
            metrics.reserved_cabinets.set(int((~orders.problem.follows).sum()))
        if stale and orders is not None:
            self._raise("stale", "the last plan has ended; cabinets are on their safe default")
        else:
            self._clear("stale")

    def _judge(self, expected_w: Ints, actual_w: Floats, has_plan: NDArray[np.bool_]) -> None:
        """Look for what is above a limit or an order, or far from the plan."""
        found = self._deviations.take(expected_w, actual_w, has_plan, self._region_limits())
        if found.over:
            self._raise("over-limit", f"more than the limit on {', '.join(found.over[:5])}")
            if found.over_now:
                self.early("a limit is exceeded")
        else:
            self._clear("over-limit")
        ordered_w = expected_w
        if self.orders is not None:
            default_w = self.grid.power.default_w + self.grid.power.base_w
            ordered_w = np.where(self.orders.problem.stubborn, default_w, expected_w)
        now_ms = self._clock.monotonic_ms()
        if self._unruly.take(now_ms, ordered_w, actual_w, has_plan, found.pressed):
            self.early("a cabinet takes more than it was ordered")
        if names := self._unruly.names():
            self._raise("unruly", f"more than ordered is taken by {', '.join(names[:5])}")
        else:
            self._clear("unruly")
        if found.far and self._far_slot != self._slot:
            self._far_slot = self._slot  # what a new plan did not mend, the next will not either
            self.early("measured power is far from the plan")

    def swaps_ahead(self, now_ms: int, count: int) -> Floats:
        """The swaps to expect of each cabinet and interval, the present one first [N,T]."""
        return self._demand.forecast(now_ms, count).mean

    def _region_limits(self) -> Floats:
        """What each region may take now [R]."""
        minute = self.minute(self._clock.wall_ms())
        limits = [region.limit(minute, 0.0) for region in self.grid.regions]
        return np.array([math.inf if limit is None else float(limit) for limit in limits])

    def _raise(self, code: str, text: str) -> None:
        if code not in self.alarms:
            log.warning("balance: %s: %s", code, text)
        self.alarms.add(code)
        self._metrics.alarm.labels(code).set(1)

    def _clear(self, code: str) -> None:
        if code in self.alarms:
            log.warning("balance: %s: over", code)
        self.alarms.discard(code)
        self._metrics.alarm.labels(code).set(0)
