"""`python -m tests.bench.loop`: one cycle of the balance loop for a whole fleet: seconds and memory.

The real loop over a real store (SQLite in a temporary folder), with telemetry of made-up cabinets, real
signatures, and a publisher that only counts: a broker's share is measured elsewhere. The first cycle is
cold, the second starts from its plan, five minutes later.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import numpy as np
import typer
from prometheus_client import CollectorRegistry
from sqlalchemy import insert

from fleet.balancing import prepare, solve_within
from fleet.core.balance.forecast import SWAPS_A_DAY
from fleet.core.balance.generate import HOURLY_SWAPS
from fleet.core.balance.grid import Grid, parse_grid
from fleet.core.records import CabinetRecord
from fleet.runtime.balance_metrics import BalanceMetrics
from fleet.runtime.demand import Demand
from fleet.runtime.desired import PLANS_AT_ONCE
from fleet.runtime.held import HeldPlans
from fleet.runtime.live import Last, LivePicture
from fleet.runtime.outlook import Outlook
from fleet.runtime.peaks import Peaks
from fleet.runtime.planner import Planner
from fleet.runtime.steering import SteeringService
from fleet.store import tables as t
from fleet.stores import Stores, open_stores
from protocols import signing
from protocols.messages import (
    DesiredPlan,
    Door,
    Presence,
    SlotState,
    SlotTelemetry,
    Status,
    Telemetry,
    encode,
)
from tests.support.balance_rig import HandClock, NoRows

SLOTS: Final = 12
MIDDLE: Final = (39.94, 116.39)
FEEDER_CABINETS: Final = 16
REGION_FEEDERS: Final = 150
EMPTY_SHARE: Final = 0.02  # of the cabinets a rush has just emptied
EVERY_S: Final = 300
DAYS: Final = 4  # since the cabinets are there; three of them are whole
DAY_MS: Final = 86_400_000
ZONE: Final = ZoneInfo("Asia/Shanghai")
MIB: Final = 1 << 20


class Timed:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float]] = []

    async def run(self, what: str, work: Awaitable[object]) -> None:
        began = time.perf_counter()
        await work
        self.rows.append((what, time.perf_counter() - began))

    def call(self, what: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        self.rows.append((what, time.perf_counter() - began))


def grid_text(cabinets: int, rng: np.random.Generator) -> str:
    """Feeders of sixteen cabinets with room for less than all, regions with a tariff and a peak."""
    feeders = -(-cabinets // FEEDER_CABINETS)
    regions = -(-feeders // REGION_FEEDERS)
    tariff = (
        '[{ from = "00:00", price = 0.31 }, { from = "07:00", price = 0.62 }, '
        '{ from = "09:00", price = 1.02 }, { from = "12:00", price = 0.62 }, '
        '{ from = "15:00", price = 1.02 }, { from = "18:00", price = 1.24 }, '
        '{ from = "21:00", price = 0.62 }, { from = "23:00", price = 0.31 }]'
    )
    parts = [
        f'[[region]]\nname = "R{each}"\npeak_price_per_kw = 38.0\ntariff = {tariff}'
        for each in range(regions)
    ]
    limits = FEEDER_CABINETS * rng.uniform(2_000, 3_500, feeders)
    parts += [
        f'[[feeder]]\nname = "F{each}"\nregion = "R{each // REGION_FEEDERS}"\n'
        f"limit_w = {int(limits[each])}"
        for each in range(feeders)
    ]
    rows = [f'C-{each:06d} = "F{each // FEEDER_CABINETS}"' for each in range(cabinets)]
    parts.append("[cabinets]\n" + "\n".join(rows))
    parts.append("[pack]\ncapacity_wh = 960\ncharger_w = 330\nefficiency = 0.9")
    parts.append("[cabinet_power]\nbreaker_w = 3500\ndefault_w = 1200\nbase_w = 60")
    return "\n\n".join(parts)


class Fleet:
    """What cabinets tell, and where their plans go."""

    def __init__(self, text: str, rng: np.random.Generator) -> None:
        self.grid = parse_grid(text)
        self.versions: dict[str, int] = {}
        self.published = 0
        self._key, _ = signing.generate()
        self._slots = [_slots(rng) for _ in self.grid.ids]
        self._place = {cabinet: place for place, cabinet in enumerate(self.grid.ids)}
        self._told: dict[str, Last] = {}

    def load(self) -> Grid:
        """The grid."""
        return self.grid

    def changed(self) -> bool:
        """Never."""
        return False

    def tell(self, now_ms: int) -> None:
        """Everybody's telemetry."""
        for cabinet, place in self._place.items():
            told = Telemetry(
                wall_ms=now_ms,
                boot_id="boot",
                mono_ms=1,
                slots=self._slots[place],
                power_w=900.0,
                plan_version=self.versions.get(cabinet, 0),
            )
            self._told[cabinet] = Last(online=True, age_ms=1_000, telemetry=told)

    def last(self, cabinet: str) -> Last | None:
        """As the live picture has it."""
        return self._told.get(cabinet)

    async def live(self, rng: np.random.Generator, clock: HandClock) -> LivePicture:
        """The picture of cabinets spread over a town of 60 km."""
        places = np.array(MIDDLE) + rng.normal(0.0, 0.15, (len(self.grid.ids), 2))
        records = [
            CabinetRecord(cabinet, cabinet, SLOTS, float(lat), float(lon))
            for cabinet, (lat, lon) in zip(self.grid.ids, places, strict=True)
        ]
        live = LivePicture(NoRows(*records), clock)
        await live.load()
        for cabinet, told in self._told.items():
            live.take_status(
                cabinet,
                Status(online=True, session=1, boot_id="boot", epoch=1, software="1", slots=SLOTS),
            )
            assert told.telemetry is not None
            live.take_telemetry(cabinet, told.telemetry)
        return live

    async def publish(self, plans: Sequence[DesiredPlan]) -> None:
        """Sign and encode as the real publisher does, a few at a time."""
        for start in range(0, len(plans), PLANS_AT_ONCE):
            for plan in plans[start : start + PLANS_AT_ONCE]:
                self.published += len(encode(signing.sign(plan, self._key)))
                self.versions[plan.cabinet] = plan.version
            await asyncio.sleep(0)


def _slots(rng: np.random.Generator) -> tuple[SlotTelemetry, ...]:
    ready = 0.0 if rng.random() < EMPTY_SHARE else 0.5
    socs = np.where(
        rng.random(SLOTS) < ready, 96, rng.integers(15, 40 if ready == 0.0 else 95, SLOTS)
    )
    found = [
        SlotTelemetry(
            slot=number,
            state=SlotState.READY if soc >= 95 else SlotState.CHARGING,
            door=Door.CLOSED,
            presence=Presence.PRESENT,
            soc_pct=int(soc),
        )
        for number, soc in enumerate(socs[:-1], 1)
    ]
    return (*found, SlotTelemetry(slot=SLOTS, state=SlotState.EMPTY, door=Door.CLOSED,
                                  presence=Presence.ABSENT))  # fmt: skip


async def cycle(cabinets: int, timed: Timed) -> tuple[Planner, Fleet]:
    """Start, one look, two runs, and what pages and riders ask of the plan."""
    rng = np.random.default_rng(1)
    fleet = Fleet(grid_text(cabinets, rng), rng)
    clock = HandClock()
    with tempfile.TemporaryDirectory() as folder:
        async with open_stores(f"sqlite:///{Path(folder) / 'fleet.db'}") as stores:
            await _register(stores, fleet.grid.ids, clock.wall_ms() - DAYS * DAY_MS)
            fleet.tell(clock.wall_ms())
            planner = _planner(fleet, stores, clock, History(fleet.grid.ids, rng))
            timed.call("compile or load the planner", prepare)
            await timed.run("recall plans and peaks", planner.recall())
            timed.call("compare plan and fact once", planner.look)
            await timed.run("learn three days", planner.learn())
            await timed.run("first run, cold: forecast, plan, store, sign", planner.attempt())
            clock.move(EVERY_S * 1_000)
            fleet.tell(clock.wall_ms())
            timed.call("compare plan and fact once more", planner.look)
            await timed.run("second run, warm", planner.attempt())
            live = await fleet.live(rng, clock)
            outlook = Outlook(planner, live)
            timed.call("what riders' offers need of the plan", outlook.refresh)
            service = SteeringService(live, outlook)
            await timed.run("first offer to a rider", service.near(*MIDDLE, 5))
            await timed.run("next offer to a rider", service.near(*MIDDLE, 5))
            timed.call("batteries to carry", outlook.moves)
            moves = outlook.moves()
            print(f"{len(moves.moves)} moves; lost {moves.lost:.0f}, then {moves.lost_after:.0f}")
    return planner, fleet


def _planner(fleet: Fleet, stores: Stores, clock: HandClock, history: History) -> Planner:
    class RealTime(HandClock):
        """The hand's clock by the wall, the machine's otherwise: the solver needs one that runs."""

        def wall_ms(self) -> int:
            return clock.wall_ms()

        def monotonic_ms(self) -> int:
            return time.perf_counter_ns() // 1_000_000

        async def sleep(self, delay_s: float) -> None:
            await asyncio.sleep(delay_s)

    real = RealTime()
    return Planner(
        grids=fleet,
        last=fleet.last,
        demand=lambda grid: Demand(
            history, stores.cabinets, cabinets=grid.ids, interval_s=900, zone=ZONE
        ),
        held=HeldPlans(stores.cabinets, stores.rollouts, fleet.last, real),
        peaks=Peaks(stores.meta, ZONE),
        publish=fleet.publish,
        solve=solve_within,
        prepare=prepare,
        clock=real,
        zone=ZONE,
        interval_s=900,
        every_s=EVERY_S,
        metrics=BalanceMetrics(CollectorRegistry()),
    )


class History:
    """Days of swaps as the ledger would tell them: thirty a day and cabinet, by the synthetic profile."""

    def __init__(self, cabinets: Sequence[str], rng: np.random.Generator) -> None:
        self._cabinets, self._rng = cabinets, rng

    async def taken_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        """A day's counts."""
        count = (until_ms - since_ms) // interval_ms
        hours = np.arange(count) * interval_ms // 3_600_000
        shares = np.asarray(HOURLY_SWAPS)[hours % 24]
        rates = SWAPS_A_DAY * shares / shares.sum()
        counts = self._rng.poisson(rates, (len(self._cabinets), count))
        rows, places = np.nonzero(counts)
        found = zip(rows.tolist(), places.tolist(), counts[rows, places].tolist(), strict=True)
        return [(self._cabinets[row], place, swaps) for row, place, swaps in found]


async def _register(stores: Stores, cabinets: Sequence[str], now_ms: int) -> None:
    rows = [
        {
            "id": each,
            "name": each,
            "slots": SLOTS,
            "epoch": 1,
            "created_ms": now_ms,
            "mqtt_pbkdf2": "",
        }
        for each in cabinets
    ]
    async with stores.database.write() as connection:
        await connection.execute(insert(t.cabinet), rows)


def main(
    *,
    cabinets: Annotated[int, typer.Option(min=1, help="How many cabinets.")] = 75_000,
) -> None:
    """Print seconds by stage and peak memory; exit 1 when a run takes longer than its time."""
    timed = Timed()
    planner, fleet = asyncio.run(cycle(cabinets, timed))
    assert planner.orders is not None
    for what, seconds in timed.rows:
        print(f"{what:<48}{seconds:>9.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024 / MIB
    plan = planner.orders.plan
    print(
        f"{cabinets} cabinets: peak memory {peak:.0f} MiB, gap {plan.gap:.3%}, solve {plan.solve_s:.2f} s, "
        f"{fleet.published / MIB:.0f} MiB of signed plans in two runs, alarms {sorted(planner.alarms)}"
    )
    slowest = max(seconds for what, seconds in timed.rows if "run" in what)
    if slowest > EVERY_S or planner.alarms:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
