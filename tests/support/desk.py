"""The operator's desk over a real store and the real planner, for the tests of its pages."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from msgspec.structs import replace

from fleet.adapters.clock import SystemClock
from fleet.balancing import solve_alone, solve_within
from fleet.core.balance.versions import FILE, NewVersion
from fleet.core.partners import Partner
from fleet.core.plans import Plan
from fleet.core.records import BatteryRecord, CabinetRecord, Credential
from fleet.core.views import CabinetView
from fleet.ports_charts import Charts
from fleet.runtime.balance import BalanceService
from fleet.runtime.desk import AlarmService, DeskService, GridService
from fleet.runtime.live import LivePicture
from fleet.runtime.outlook import Outlook
from fleet.runtime.what_if import WhatIf
from fleet.store.alarms import AlarmStore
from fleet.store.desk import DeskStore
from fleet.stores import Stores, open_stores
from protocols.messages import AlarmBody, Kind, Step
from tests.support.balance_rig import GRID, NOW_MS, NoRows, Rig
from tests.support.fleet import T0_MS, Reporter
from tests.support.fleet_fakes import Town, cabinet
from tests.support.stores import sqlite_store

HOUR_MS: Final = 3_600_000
CABINET: Final = "DH-0001"
SWAP: Final = "01JD00000000000000000SWAP1"
RIDER: Final = "R000000000001"
PHONE: Final = "+8613800138000"
OLD, NEW = "YZ48-000002", "YZ48-000001"
PARTNER_KEY: Final = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="


class DeskTown:
    """A town with a ledger of one swap, an alarm that stands, a grid and a plan."""

    def __init__(self, town: Town, stores: Stores, rig: Rig) -> None:
        self.town, self.stores, self.rig = town, stores, rig
        self.reporter = Reporter(CABINET)
        balance = BalanceService(
            rig.planner,
            rig.clock,
            Outlook(rig.planner, LivePicture(NoRows(), rig.clock)),
            WhatIf(rig.planner, solve_alone, SystemClock()),
        )
        town.balance = balance
        town.charts = Charts(
            desk=DeskService(
                rows=DeskStore(stores.database),
                lives=stores.batteries,
                riders=stores.riders,
                partners=stores.partners,
                plans=stores.plans,
                cabinets=town.cabinets,
                clock=town.clock,
            ),
            alarms=AlarmService(AlarmStore(stores.database), town.clock),
            grid=GridService(stores.grids, rig.clock, town.clock),
            asking=balance,
        )

    async def settle(self) -> None:
        """What there is to see."""
        stores, now_ms = self.stores, T0_MS
        record = CabinetRecord(CABINET, "Drum Tower", 12)
        await stores.cabinets.add(record, Credential(CABINET, "hash", None), now_ms)
        await stores.riders.add(RIDER, "hash-1", "8000", now_ms)
        self.town.riders.add(PHONE, NEW)
        packs = [BatteryRecord(NEW, "YZ48", 1180, f"slot:{CABINET}:1")]
        packs += [BatteryRecord(f"YZ48-1{n:05d}", "YZ48", 1180, "depot:MAIN") for n in range(60)]
        packs.append(BatteryRecord(OLD, "YZ48", 1180, f"rider:{RIDER}"))
        await stores.batteries.add(packs, now_ms)
        await stores.plans.add(Plan("monthly", "月卡", "Monthly", "period", 29_900, quota=60), 1)
        partner = Partner("meituan", "美团", PARTNER_KEY, None, 5_000, "", "", "")
        await stores.partners.add(partner, "hash", now_ms)
        await self.swap()
        version = NewVersion(
            text=self.rig.text,
            valid_from_ms=NOW_MS - HOUR_MS,
            now_ms=NOW_MS - HOUR_MS,
            created_ms=now_ms,
            actor="fleetd",
            reason="the grid's file",
            source=FILE,
        )
        await stores.grids.add(version)

    async def swap(self) -> None:
        """One swap, step by step, and an alarm meanwhile."""
        at = self.reporter
        smoke = AlarmBody(code="smoke", active=True, severity="critical", slot=3, detail="3.2 V")
        events = [
            at.step(SWAP, Step.RESERVED, rider=RIDER, slot_in=4, slot_out=1),
            at.step(SWAP, Step.OPENING_RETURN, rider=RIDER, slot_in=4, slot_out=1),
            at.step(SWAP, Step.AWAIT_RETURN, rider=RIDER, slot_in=4, slot_out=1),
            at.battery("in", OLD, 4, swap=SWAP, rider=RIDER, cycles=412, capacity_ah=23.4),
            at.step(SWAP, Step.VERIFYING, rider=RIDER, slot_in=4, slot_out=1),
            at.event("alarm", smoke),
            at.step(SWAP, Step.AWAIT_PICKUP, rider=RIDER, slot_in=4, slot_out=1),
            at.battery("out", NEW, 1, swap=SWAP, rider=RIDER),
            at.step(SWAP, Step.COMPLETED, rider=RIDER, slot_in=4, slot_out=1),
        ]
        await self.tell(*events)
        self.town.swaps.views[SWAP] = await self.stores.swaps.view(SWAP)

    async def tell(self, *events: Any) -> None:
        """What the cabinet says."""
        arrivals = [self.reporter.arrival(event) for event in events]
        await self.stores.events.commit(arrivals, self.reporter.wall_ms)

    async def age(self, now_ms: int, stays: int = 21) -> None:
        """The old pack goes out and comes back for weeks, and stands in its slot now."""
        at = self.reporter
        for stay in range(stays):
            told = {"cycles": 412 + stay, "capacity_ah": round(23.4 - 0.05 * stay, 2)}
            begin_ms = now_ms - (stays - stay) * 31 * HOUR_MS
            at.wall_ms = begin_ms
            await self.ride(f"P{stay}", Kind.PICKUP, "out", soc_pct=96, **told)
            at.wall_ms = begin_ms + (7 + stay % 3 * 5) * HOUR_MS
            await self.ride(f"R{stay}", Kind.RETURN, "in", soc_pct=20 + stay, **told)
        slots = self.town.cabinets.views[CABINET].slots
        here = {"serial": OLD, "soc_pct": 71, "cell_temp_c": 31.5, "air_temp_c": 27.0}
        here |= {"pack_voltage_v": 51.2, "charge_power_w": 298.0}
        self.change(slots=tuple(replace(s, **here) if s.slot == 4 else s for s in slots))

    async def ride(self, swap: str, kind: Kind, way: str, **told: Any) -> None:
        """A first pick-up, or a return without one, of the old pack."""
        at = self.reporter
        asked: dict[str, Any] = {"rider": RIDER, "kind": kind}
        asked |= {"slot_out": 4} if way == "out" else {"slot_in": 4}
        await self.tell(
            at.step(swap, Step.RESERVED, **asked),
            at.battery(way, OLD, 4, swap=swap, rider=RIDER, **told),
            at.step(swap, Step.COMPLETED, **asked),
        )

    def change(self, **values: Any) -> CabinetView:
        """The cabinet as it stands."""
        self.town.cabinets.change(CABINET, **values)
        return self.town.cabinets.views[CABINET]

    def measure(self) -> None:
        """A day of looks at the meters, below what was planned, as days are."""
        cabinets = len(self.rig.planner.grid.ids)
        for quarter in range(96, 0, -1):
            at_ms = NOW_MS - quarter * 900_000
            load = 1_200 + 700 * math.sin(quarter / 96 * 2 * math.pi) + 60 * (quarter % 3)
            planned = np.full(cabinets, int(load) + 150, np.int64)
            self.rig.planner.ring.add(at_ms, planned, np.full(cabinets, load))


@asynccontextmanager
async def desk_town(folder: Path, *, plan: bool = False) -> AsyncIterator[DeskTown]:
    """Not yet served; with a plan where one is looked at, since that takes its time."""
    rig = Rig(solve=solve_within, text=GRID)
    rig.everybody()
    rig.busy()
    async with open_stores(sqlite_store(folder / "fleet.db")) as stores:
        town = Town()
        town.cabinets.put(cabinet())
        made = DeskTown(town, stores, rig)
        await made.settle()
        if plan:
            made.measure()
            await rig.planner.attempt()
            assert rig.planner.orders is not None, rig.planner.alarms
        yield made
