"""A small grid, cabinets with slots, and a clock that is moved by hand, for the balance loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from prometheus_client import CollectorRegistry

from fleet.core.balance.forecast import Forecast
from fleet.core.balance.grid import Grid, parse_grid
from fleet.core.balance.instance import Instance, Plan, cost_of
from fleet.core.records import CabinetRecord, LatestRow
from fleet.core.templates import Settings
from fleet.errors import FleetError, InvalidError
from fleet.runtime.balance_metrics import BalanceMetrics
from fleet.runtime.demand import Demand
from fleet.runtime.held import HeldPlans
from fleet.runtime.live import Last
from fleet.runtime.peaks import Peaks
from fleet.runtime.planner import Planner
from fleet.runtime.promise import ServiceWatch
from protocols.fastclock import REAL
from protocols.messages import (
    DesiredPlan,
    Door,
    Presence,
    SlotState,
    SlotTelemetry,
    Telemetry,
)
from protocols.settings import Value

ZONE = ZoneInfo("Asia/Shanghai")
#: A Wednesday, 10:05 in Shanghai: five minutes into an interval.
NOW_MS = int(datetime(2026, 3, 4, 10, 5, tzinfo=ZONE).timestamp() * 1_000)
STEP_MS = 900_000
DAY_MS = 86_400_000

GRID = """
shortfall_price_per_kwh = 30.0

[[region]]
name = "east"
peak_price_per_kw = 38.0
limit_w = 9000
tariff = [{ from = "00:00", price = 0.3 }, { from = "08:00", price = 1.1 }, { from = "22:00", price = 0.3 }]
window = [{ from = "18:00", to = "20:00", limit_w = 5000 }]

[[feeder]]
name = "F1"
region = "east"
limit_w = 5000

[[feeder]]
name = "F2"
region = "east"
limit_w = 6000

[cabinets]
A-1 = "F1"
A-2 = "F1"
B-1 = "F2"

[pack]
capacity_wh = 960
charger_w = 330
efficiency = 0.9

[cabinet_power]
breaker_w = 3500
default_w = 2000
base_w = 60
"""


def grid(text: str = GRID) -> Grid:
    return parse_grid(text)


def slot(number: int, soc_pct: int | None, state: SlotState | None = None) -> SlotTelemetry:
    """A slot with a pack of this charge, or an empty one."""
    there = soc_pct is not None
    if state is None:
        state = SlotState.EMPTY if not there else SlotState.CHARGING
    return SlotTelemetry(
        slot=number,
        state=state,
        door=Door.CLOSED,
        presence=Presence.PRESENT if there else Presence.ABSENT,
        soc_pct=soc_pct,
    )


def slots(*socs_pct: int | None) -> tuple[SlotTelemetry, ...]:
    return tuple(slot(number, soc) for number, soc in enumerate(socs_pct, start=1))


def telemetry(socs: Sequence[int | None], power_w: float | None, version: int = 0) -> Telemetry:
    return Telemetry(
        wall_ms=NOW_MS,
        boot_id="boot-1",
        mono_ms=1,
        slots=slots(*socs),
        power_w=power_w,
        plan_version=version,
    )


def steady(cabinets: int, intervals: int = 97, mean: float = 0.3) -> Forecast:
    return Forecast(np.full((cabinets, intervals), mean), np.full(cabinets, 0.02))


def desired(cabinet: str, version: int, *power_w: int, begin_ms: int = NOW_MS) -> DesiredPlan:
    """A plan that begins with the interval of ``begin_ms``."""
    start = begin_ms - begin_ms % STEP_MS
    return DesiredPlan(
        cabinet=cabinet,
        version=version,
        valid_from_ms=start,
        valid_until_ms=start + len(power_w) * STEP_MS,
        step_s=900,
        power_w=power_w,
    )


class HandClock:
    """Time stands still until it is moved, and sleepers wait for that."""

    def __init__(self, wall_ms: int = NOW_MS) -> None:
        self.mono, self.wall = 1_000_000, wall_ms
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def monotonic_ms(self) -> int:
        return self.mono

    def wall_ms(self) -> int:
        return self.wall

    def now_utc(self) -> datetime:
        return datetime.fromtimestamp(self.wall / 1_000, UTC)

    async def sleep(self, delay_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.mono + round(delay_s * 1_000), future))
        await future

    def move(self, duration_ms: int) -> None:
        self.mono += duration_ms
        self.wall += duration_ms
        ripe = [each for each in self._sleepers if each[0] <= self.mono]
        self._sleepers = [each for each in self._sleepers if each[0] > self.mono]
        for _, future in ripe:
            if not future.done():
                future.set_result(None)


def half_power(instance: Instance, _warm: Plan | None, _clock: Any, _limit_s: float) -> Plan:
    """A stand-in for the solver: half of each cabinet's most, within the limits by halves again."""
    step = instance.step_max_wh // 8
    zero = np.zeros_like(step)
    cost = cost_of(instance, step, zero)
    return Plan(step.astype(np.int32), zero.astype(np.int32), cost, cost, 0.0)


class NoRows:
    """A register of the cabinets that it is given."""

    def __init__(self, *records: CabinetRecord) -> None:
        self.records = list(records)

    async def all(self) -> list[CabinetRecord]:
        return self.records

    async def latest(self) -> list[LatestRow]:
        return []

    async def save_latest(self, rows: list[LatestRow]) -> None:
        raise AssertionError(rows)


class Rig:
    """A planner with everything around it in memory."""

    def __init__(self, solve: Any = half_power, text: str = GRID, rate: int = 1) -> None:
        self.rate = rate
        self.fast = REAL
        self.clock = HandClock()
        self.text = text
        self.dirty = False
        self.told: dict[str, Last] = {}
        self.stored: dict[str, str] = {}
        self.wished: dict[str, Settings] = {}
        self.notes: dict[str, str] = {}
        self.saved: list[dict[str, tuple[int, str]]] = []
        self.published: list[DesiredPlan] = []
        self.swaps: list[tuple[str, int]] = []
        self.refused: list[tuple[str, int]] = []
        self.shown: list[tuple[str, int, int]] = []
        self.asked: list[tuple[int, int]] = []
        self.broken: set[str] = set()
        self.registry = CollectorRegistry()
        self.solve = solve
        self.planner = self.make()

    def make(self) -> Planner:
        """A fleetd that starts now."""
        self.registry = CollectorRegistry()
        self.service = ServiceWatch(self, self, self, fast=self.fast)
        return Planner(
            grids=self,
            last=self.told.get,
            demand=self._demand,
            held=HeldPlans(self, self, self.told.get, self.clock),
            peaks=Peaks(self, ZONE),
            service=self.service,
            publish=self._publish,
            solve=self._solve,
            prepare=lambda: None,
            clock=self.clock,
            zone=ZONE,
            interval_s=900,
            every_s=300,
            rate=self.rate,
            metrics=BalanceMetrics(self.registry),
        )

    def _solve(self, *asked: Any) -> Plan:
        plan: Plan = self.solve(*asked)
        return plan

    def _demand(self, of: Grid) -> Demand:
        return Demand(
            self, self, cabinets=of.ids, interval_s=900, zone=ZONE, fast=self.fast, lost=self
        )

    def tell(
        self,
        cabinet: str,
        *,
        version: int = 0,
        power_w: float | None = 500.0,
        socs: Sequence[int | None] = (20, 30, 40, 60, 99, None),
        online: bool = True,
        age_ms: int = 1_000,
        settings: Mapping[str, Value] = MappingProxyType({}),
    ) -> None:
        told = telemetry(socs, power_w, version)
        self.told[cabinet] = Last(online, age_ms, told, settings)

    def everybody(self, version: int = 0) -> None:
        for cabinet in self.planner.grid.ids:
            self.tell(cabinet, version=version)

    def busy(self, swaps_a_day: int = 48) -> None:
        """Riders came evenly to every cabinet in the last days."""
        midnight_ms = NOW_MS - NOW_MS % DAY_MS
        self.swaps = [
            (cabinet, midnight_ms - day * DAY_MS + number * DAY_MS // swaps_a_day)
            for cabinet in parse_grid(self.text).ids
            for day in range(1, 10)
            for number in range(swaps_a_day)
        ]

    def newest(self, cabinet: str) -> DesiredPlan:
        return [plan for plan in self.published if plan.cabinet == cabinet][-1]

    def metric(self, name: str, **labels: str) -> float:
        value = self.registry.get_sample_value(name, labels)
        assert value is not None, name
        return value

    # --- ports ----------------------------------------------------------------------------------

    def load(self) -> Grid:
        self.dirty = False
        if "grid" in self.broken:
            raise InvalidError("region[0].name: is missing")
        return parse_grid(self.text)

    def changed(self) -> bool:
        return self.dirty

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def note(self, name: str) -> str | None:
        return self.notes.get(name)

    async def keep_note(self, name: str, text: str) -> None:
        if "store" in self.broken:
            raise FleetError("no store", code="store")
        self.notes[name] = text

    async def plans(self) -> dict[str, str]:
        return dict(self.stored)

    async def all_settings(self) -> dict[str, Settings]:
        if "settings" in self.broken:
            raise FleetError("no settings", code="store")
        return dict(self.wished)

    async def save_plans(self, plans: dict[str, tuple[int, str]], _now_ms: int) -> None:
        if "store" in self.broken:
            raise FleetError("no store", code="store")
        self.saved.append(plans)
        self.stored.update({cabinet: text for cabinet, (_, text) in plans.items()})

    async def taken_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        self.asked.append((since_ms, until_ms))
        self._fail("ledger")
        return _placed(self.swaps, since_ms, until_ms, interval_ms)

    async def refused_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int, reasons: Collection[str]
    ) -> list[tuple[str, int, int]]:
        assert "no-full-battery" in reasons
        return _placed(self.refused, since_ms, until_ms, interval_ms)

    async def shown_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        return [
            (cabinet, (at - since_ms) // interval_ms, riders)
            for cabinet, at, riders in self.shown
            if since_ms <= at < until_ms
        ]

    def _fail(self, what: str) -> None:
        if what in self.broken:
            raise FleetError(f"no {what}", code="store")

    async def registered_ms(self) -> dict[str, int]:
        return dict.fromkeys(parse_grid(self.text).ids, NOW_MS - 10 * DAY_MS)

    async def _publish(self, plans: Sequence[DesiredPlan]) -> None:
        if "broker" in self.broken:
            raise FleetError("no broker", code="broker")
        self.published.extend(plans)


def _placed(
    rows: list[tuple[str, int]], since_ms: int, until_ms: int, interval_ms: int
) -> list[tuple[str, int, int]]:
    return [
        (cabinet, (at - since_ms) // interval_ms, 1)
        for cabinet, at in rows
        if since_ms <= at < until_ms
    ]


async def until(condition: Callable[[], bool], turns: int = 20_000) -> None:
    """Let other tasks and threads run until it holds."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0.0005)
    raise AssertionError("it never came")
