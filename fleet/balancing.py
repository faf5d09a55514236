"""Puts the balance loop together; imported only where a grid is given, since it brings a compiler."""

from __future__ import annotations

from collections.abc import Callable

from fleet.adapters.clock import DayClock, SystemClock
from fleet.adapters.grid_file import GridFile
from fleet.config import FleetConfig
from fleet.core.balance.generate import generate
from fleet.core.balance.grid import Grid
from fleet.core.balance.instance import Instance, Plan
from fleet.core.balance.solve import solve
from fleet.errors import ConfigError, InvalidError
from fleet.runtime.balance_metrics import BalanceMetrics
from fleet.runtime.demand import Demand
from fleet.runtime.desired import DesiredPublisher
from fleet.runtime.grids import GridVersions
from fleet.runtime.held import HeldPlans
from fleet.runtime.live import LivePicture
from fleet.runtime.metrics import FleetMetrics
from fleet.runtime.outlook import Outlook
from fleet.runtime.peaks import Peaks
from fleet.runtime.planner import Planner
from fleet.runtime.promise import ServiceWatch
from fleet.runtime.what_if import WhatIf
from fleet.stores import Stores
from protocols.fastclock import FastClock


async def open_grids(
    config: FleetConfig, stores: Stores, clock: SystemClock, day: DayClock
) -> GridVersions:
    """The grid's versions, the file among them; raise ConfigError naming what is wrong with it."""
    assert config.balance.grid_file is not None
    grids = GridVersions(stores.grids, GridFile(config.balance.grid_file), day=day, real=clock)
    try:
        await grids.open()
    except InvalidError as error:
        raise ConfigError(f"balance.grid_file: {error}") from error
    return grids


def make_service(stores: Stores, fast: FastClock) -> ServiceWatch:
    """What the loop is held to, by the riders of the store."""
    return ServiceWatch(stores.swaps, stores.console, stores.meta, fast=fast)


def make_planner(
    config: FleetConfig,
    stores: Stores,
    grids: GridVersions,
    *,
    live: LivePicture,
    clock: DayClock,
    fast: FastClock,
    metrics: FleetMetrics,
    desired: DesiredPublisher,
    service: ServiceWatch,
) -> Planner:
    """The loop for the configured grid; raise ConfigError naming what is wrong with it.

    ``clock`` is that of the tariff's day.
    """
    balance = config.balance
    zone = config.pages.zone()

    def demand(grid: Grid) -> Demand:
        return Demand(
            stores.swaps,
            stores.cabinets,
            cabinets=grid.ids,
            interval_s=balance.interval_s,
            zone=zone,
            fast=fast,
            sockets=stores.sockets,
            lost=stores.console,
        )

    try:
        return Planner(
            grids=grids,
            last=live.last,
            demand=demand,
            held=HeldPlans(stores.cabinets, stores.rollouts, live.last, clock),
            peaks=Peaks(stores.meta, zone),
            service=service,
            publish=desired.publish_plans,
            solve=solve_within,
            prepare=prepare,
            clock=clock,
            zone=zone,
            interval_s=balance.interval_s,
            every_s=balance.every_s,
            rate=fast.rate,
            metrics=BalanceMetrics(metrics.registry),
        )
    except InvalidError as error:
        raise ConfigError(f"balance.grid_file: {error}") from error


def make_outlook(planner: Planner, live: LivePicture) -> Outlook:
    """What the loop's plan says of each cabinet."""
    return Outlook(planner, live)


def make_what_if(planner: Planner, clock: SystemClock) -> WhatIf:
    """Questions to the planner; by real time, whatever the tariff's day does."""
    return WhatIf(planner, solve_alone, clock)


def solve_alone(instance: Instance, clock_s: Callable[[], float], limit_s: float) -> Plan:
    """The planner on one thread, so that the loop's own run finds a core."""
    return solve(instance, clock=clock_s, time_limit_s=limit_s, threads=1)


def solve_within(
    instance: Instance, warm: Plan | None, clock_s: Callable[[], float], limit_s: float
) -> Plan:
    """The planner, within a time."""
    return solve(instance, clock=clock_s, time_limit_s=limit_s, warm=warm)


def prepare() -> None:
    """Compile the planner, or load what was compiled before."""
    small = generate(8, 24, 0)
    found = solve(small, clock=_at_rest)
    solve(small, clock=_at_rest, warm=found)


def _at_rest() -> float:
    return 0.0
