"""The console of a large simulated fleet, for ``tests.bench.web_fleet`` and the screenshots.

    python -m tests.bench.web_fleet_server FOLDER CABINETS

Prints ``ready URL`` when it serves. ``GET /bench/pulse?changes=N`` lets so many cabinets change at
once; ``GET /bench/steady?on=1`` lets 3,000 of them report every second, 500 with a change.
"""

from __future__ import annotations

import asyncio
import math
import random
import sys
from collections.abc import Sequence
from dataclasses import replace as dc_replace
from pathlib import Path
from typing import Any, Final

import uvicorn
from msgspec.structs import replace
from sqlalchemy import insert

from fleet.adapters.clock import SystemClock
from fleet.console import ConsoleSide
from fleet.runtime.cabinets import CabinetService
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture
from fleet.runtime.stations import ReportService, StationService
from fleet.store import tables as t
from fleet.stores import Stores, open_stores
from protocols.messages import SlotState, Status, Telemetry, encode
from tests.bench.web_fleet_desk import Moves, charts_of, seed_desk
from tests.support.fleet_fakes import Town, slot

CABINETS_PER_STATION: Final = 20
REPORTS: Final = 3_000  # in a second: each cabinet every 10 s
CHANGES: Final = 500
ROWS: Final = 2_000  # in one statement
#: A made-up city of 60 km, with more of everything in the middle.
LAT, LON, SPREAD = 31.2, 121.5, 0.14

GOOD = tuple(slot(n, SlotState.READY if n <= 7 else SlotState.EMPTY, 97 if n <= 7 else None) for n in range(1, 13))  # fmt: skip
BAD = (*GOOD[:11], slot(12, SlotState.FAULTED, 55, flags=("cell-hot",)))
BARE = tuple(slot(n, SlotState.CHARGING if n <= 7 else SlotState.EMPTY, 40 if n <= 7 else None) for n in range(1, 13))  # fmt: skip


class Fleet:
    """What the cabinets would tell."""

    def __init__(self, count: int, now_ms: int) -> None:
        self.random = random.Random(30_000)
        self.ids = [f"DH-{n:05d}" for n in range(count)]
        self.now_ms = now_ms

    def telemetry(self, slots: Sequence[Any], *alarms: str) -> Telemetry:
        return Telemetry(
            wall_ms=self.now_ms,
            boot_id="boot",
            mono_ms=1,
            slots=tuple(slots),
            power_w=float(self.random.randrange(0, 2_400)),
            power_limit_w=3_000,
            temp_c=round(self.random.gauss(24, 4), 1),
            alarms=alarms,
        )

    def any_telemetry(self) -> Telemetry:
        draw = self.random.random()
        if draw < 0.004:
            return self.telemetry(BAD, "smoke")
        if draw < 0.03:
            return self.telemetry(BAD, "offline-bms-4")
        return self.telemetry(BARE if draw < 0.1 else GOOD)

    def place(self) -> tuple[float, float]:
        far = abs(self.random.gauss(0, SPREAD))
        turn = self.random.uniform(0, 2 * math.pi)
        return LAT + far * math.sin(turn), LON + far * math.cos(turn) * 1.17


async def seed(stores: Stores, fleet: Fleet) -> None:
    """Cabinets, stations and the last that each told, as a long-running fleetd has them."""
    stations, cabinets, latest, stands = [], [], [], []
    status = encode(Status(online=True, session=1, boot_id="boot", epoch=1, software="0.1.0", slots=12)).decode()  # fmt: skip
    for number, cabinet in enumerate(fleet.ids):
        at = number // CABINETS_PER_STATION
        if number % CABINETS_PER_STATION == 0:
            lat, lon = fleet.place()
            stations.append({"id": f"ST-{at:04d}", "name": f"驿站 {at}", "lat": lat, "lon": lon, "created_ms": 1})  # fmt: skip
        near = fleet.random.gauss(0, 0.004), fleet.random.gauss(0, 0.004)
        cabinets.append({"id": cabinet, "name": f"{at} 号站 {number % 20 + 1} 柜", "slots": 12, "lat": lat + near[0], "lon": lon + near[1], "epoch": 1, "mqtt_pbkdf2": "", "created_ms": 1})  # fmt: skip
        telemetry = encode(fleet.any_telemetry()).decode()
        latest.append({"cabinet": cabinet, "telemetry": telemetry, "received_ms": fleet.now_ms, "status": status, "session": 1})  # fmt: skip
        stands.append({"cabinet": cabinet, "station": f"ST-{at:04d}"})
    for table, rows in ((t.cabinet, cabinets), (t.cabinet_latest, latest), (t.station, stations), (t.station_cabinet, stands)):  # fmt: skip
        for start in range(0, len(rows), ROWS):
            async with stores.database.write() as connection:
                await connection.execute(insert(table), rows[start : start + ROWS])


class Bench:
    """The running parts, and what makes them change."""

    def __init__(self, fleet: Fleet, live: LivePicture, hub: Hub) -> None:
        self.fleet, self.live, self.hub = fleet, live, hub
        self.steady = False
        self._next = 0
        self._turn = False

    def report(self, reports: int, changes: int) -> None:
        """So many cabinets report; so many of them otherwise than before."""
        self._turn = not self._turn
        told = []
        for place in range(reports):
            cabinet = self.fleet.ids[self._next % len(self.fleet.ids)]
            self._next += 1
            last = self.live.last(cabinet)
            assert last is not None
            telemetry = last.telemetry or self.fleet.any_telemetry()
            if place < changes:
                bad = telemetry.slots == BAD
                telemetry = replace(telemetry, slots=GOOD if bad else BAD, alarms=())
            self.live.take_telemetry(cabinet, telemetry)
            told.append(cabinet)
        self.hub.tell(told)

    async def run(self) -> None:
        """Report for as long as it is wanted, spread over the second as real cabinets do."""
        while True:
            await asyncio.sleep(0.1)
            if self.steady:
                self.report(REPORTS // 10, CHANGES // 10)


async def main(folder: Path, count: int) -> None:
    clock = SystemClock()
    fleet = Fleet(count, clock.wall_ms())
    async with open_stores(f"sqlite:///{folder / 'fleet.db'}") as stores:
        await seed(stores, fleet)
        live, hub = LivePicture(stores.cabinets, clock), Hub()
        await live.load()
        troubled = {
            cabinet: last.telemetry.alarms[0]
            for cabinet in fleet.ids
            if (last := live.last(cabinet)) and last.telemetry and last.telemetry.alarms
        }
        await seed_desk(stores, fleet.ids, troubled, fleet.now_ms)
        for cabinet in fleet.ids:
            if fleet.random.random() > 0.02:  # the others are offline
                live.take_status(cabinet, Status(online=True, session=2, boot_id="boot", epoch=1, software="0.1.0", slots=12))  # fmt: skip
        side = ConsoleSide(stores, live, hub, clock, clock)
        bench = Bench(fleet, live, hub)
        town = Town()
        town.cabinets = CabinetService(live=live, hub=hub)  # type: ignore[assignment]
        town.charts = charts_of(stores, town.cabinets, clock)
        town.balance = Moves(fleet.ids)
        stations = StationService(rows=stores.stations, live=live, clock=clock)
        reports = ReportService(rows=stores.reports, stations=stations, clock=clock)
        app = town.make_app()
        app.state.web = dc_replace(
            app.state.web, console=side.board, records=side.records, reports=reports
        )
        _controls(app, bench)
        config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off")
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for _, work in side.works()]
            tasks.append(group.create_task(bench.run()))
            serving = group.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            side.board.counts()
            port = server.servers[0].sockets[0].getsockname()[1]
            print(f"ready http://127.0.0.1:{port}", flush=True)
            await serving
            for task in tasks:
                task.cancel()


def _controls(app: Any, bench: Bench) -> None:
    async def pulse(changes: int) -> dict[str, int]:
        bench.report(changes, changes)
        return {"changes": changes}

    async def steady(on: int) -> dict[str, int]:
        bench.steady = bool(on)
        return {"on": on}

    app.add_api_route("/bench/pulse", pulse)
    app.add_api_route("/bench/steady", steady)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
