"""What a station has beside its cabinets: sockets, amenities, and an ear for riders' reports."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.ports import Clock
from fleet.runtime.commands import Commands
from fleet.runtime.live import LivePicture
from fleet.runtime.sockets import SocketService
from fleet.runtime.stations import ReportService, StationService
from fleet.stores import Stores


@dataclass(frozen=True, slots=True)
class Area:
    """The services."""

    sockets: SocketService
    stations: StationService
    reports: ReportService

    @classmethod
    def of(cls, stores: Stores, live: LivePicture, commands: Commands, clock: Clock) -> Area:
        """Over these stores."""
        stations = StationService(rows=stores.stations, live=live, clock=clock)
        return cls(
            sockets=SocketService(
                rows=stores.sockets,
                orders=stores.commands,
                live=live,
                commands=commands,
                clock=clock,
            ),
            stations=stations,
            reports=ReportService(rows=stores.reports, stations=stations, clock=clock),
        )
