"""The station's services over a real store, for the tests of its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fleet.core.commands import QueuedCommand
from fleet.core.records import CabinetRecord, Credential
from fleet.core.stations import AmenityKind, AmenityState, StationRecord
from fleet.core.swaps import CabinetFacts
from fleet.core.views import CabinetView
from fleet.errors import NotFoundError
from fleet.runtime.console import StationPlace
from fleet.runtime.sockets import SocketService
from fleet.runtime.stations import ReportService, StationService
from fleet.stores import Stores, open_stores
from protocols.sockets import SocketBody, SocketState, SocketTelemetry
from tests.support.fleet import Reporter
from tests.support.fleet_fakes import Town, cabinet
from tests.support.stores import sqlite_store

CABINET = "DH-0001"
DRUM = StationRecord(
    id="DRUM",
    name="鼓楼驿站",
    address="鼓楼东大街 1 号",
    hours="00:00-24:00",
    price_kwh_minor=120,
    price_hour_minor=20,
)


def sockets(*states: SocketState, **more: Any) -> tuple[SocketTelemetry, ...]:
    """The charging area, socket by socket."""
    return tuple(
        SocketTelemetry(socket=n, state=state, power_max_w=500, **more)
        for n, state in enumerate(states, start=1)
    )


class LiveOver:
    """The live picture's part of a town."""

    def __init__(self, town: Town) -> None:
        self._views = town.cabinets.views

    def known(self, cabinet_id: str) -> bool:
        return cabinet_id in self._views

    def view(self, cabinet_id: str) -> CabinetView:
        if not self.known(cabinet_id):
            raise NotFoundError(f"no cabinet {cabinet_id}")
        return self._views[cabinet_id]

    def facts(self, cabinet_id: str) -> CabinetFacts:
        view = self.view(cabinet_id)
        return CabinetFacts(view.online, view.age_ms, view.full, view.empty, view.alarms)


class Sent:
    """What would go to the cabinets."""

    def __init__(self) -> None:
        self.orders: list[QueuedCommand] = []

    def submit(self, command: QueuedCommand) -> None:
        self.orders.append(command)


class AreaTown:
    """A town with a station of one cabinet and two sockets."""

    def __init__(self, town: Town, stores: Stores) -> None:
        self.town = town
        self.stores = stores
        self.sent = Sent()
        self.reporter = Reporter(CABINET)
        live: Any = LiveOver(town)
        commands: Any = self.sent
        stations = StationService(rows=stores.stations, live=live, clock=town.clock)
        town.area = SimpleNamespace(
            stations=stations,
            sockets=SocketService(
                rows=stores.sockets,
                orders=stores.commands,
                live=live,
                commands=commands,
                clock=town.clock,
            ),
            reports=ReportService(rows=stores.reports, stations=stations, clock=town.clock),
        )

    async def settle(self) -> None:
        """A station, its amenities, and a rider whom the store knows too."""
        now_ms = self.town.clock.wall_ms()
        record = CabinetRecord(CABINET, CABINET, 12)
        await self.stores.cabinets.add(record, Credential(CABINET, "hash", None), now_ms)
        await self.stores.stations.put(DRUM, now_ms)
        await self.stores.stations.place(CABINET, "DRUM")
        self.town.station_places.append(StationPlace("DRUM", DRUM.name, None, None, (CABINET,)))
        for kind, note in ((AmenityKind.REPAIR_KIT, "柜子后面"), (AmenityKind.SHOP, "九折")):
            await self.stores.stations.set_amenity(
                "DRUM", kind=kind, state=AmenityState.OK, note=note, now_ms=now_ms
            )

    async def know(self, rider_id: str) -> None:
        """The store has this rider."""
        await self.stores.riders.add(rider_id, f"hash-{rider_id}", "8000", 1)

    async def tell(self, *bodies: SocketBody) -> None:
        """What the cabinet says."""
        events = [self.reporter.event("socket.step", body) for body in bodies]
        arrivals = [self.reporter.arrival(event) for event in events]
        await self.stores.events.commit(arrivals, self.town.clock.wall_ms())


@asynccontextmanager
async def area_town(folder: Path) -> AsyncIterator[AreaTown]:
    """Not yet served."""
    town = Town()
    idle = sockets(SocketState.IDLE, SocketState.IDLE)
    town.cabinets.put(cabinet(sockets=idle))
    async with open_stores(sqlite_store(folder / "area.db")) as stores:
        made = AreaTown(town, stores)
        await made.settle()
        yield made
