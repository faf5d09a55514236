"""``fleet.ports.Stations`` and ``fleet.ports.Reports``: the places riders rest at, and what they say."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

from msgspec.structs import replace

from fleet.core import photos, reports
from fleet.core.geo import Point
from fleet.core.operations import check_staff
from fleet.core.reports import NewReport, Photo, ReportView, TicketFilter, Topic
from fleet.core.stations import (
    AmenityKind,
    AmenityState,
    RestStationView,
    StationSpot,
    check_text,
    first_spots,
)
from fleet.errors import DeniedError, NotFoundError
from fleet.ports import Clock
from fleet.runtime.commands import new_id
from fleet.runtime.live import LivePicture

LIST_MAX: Final = 200


class StationRows(Protocol):
    """What the service needs of the store."""

    async def all(self) -> list[tuple[RestStationView, tuple[str, ...]]]:
        """Every station with its cabinets' ids."""
        ...

    async def page(self, after: str, limit: int) -> list[tuple[RestStationView, tuple[str, ...]]]:
        """Stations by id, those after this one."""
        ...

    async def some(
        self, stations: Collection[str]
    ) -> list[tuple[RestStationView, tuple[str, ...]]]:
        """These stations."""
        ...

    async def places(self) -> list[StationSpot]:
        """Where every station is."""
        ...

    async def get(self, station: str) -> tuple[RestStationView, tuple[str, ...]]:
        """One station with its cabinets' ids; raise NotFoundError."""
        ...

    async def where(self, cabinet: str) -> str | None:
        """The station of a cabinet."""
        ...

    async def cabinets_at(self, stations: frozenset[str]) -> frozenset[str]:
        """The cabinets at these stations."""
        ...

    async def set_amenity(
        self,
        station: str,
        *,
        kind: AmenityKind | None,
        state: AmenityState,
        note: str | None,
        now_ms: int,
        amenity: int | None = None,
    ) -> int:
        """Add an amenity, or change one."""
        ...

    async def photo(self, photo_id: str) -> Photo:
        """A stored picture."""
        ...


class ReportRows(Protocol):
    """Where reports are kept."""

    async def file(self, new: NewReport) -> ReportView:
        """Keep a report; raise LimitedError."""
        ...

    async def get(self, report_id: str) -> ReportView:
        """One report; raise NotFoundError."""
        ...

    async def of_rider(self, rider: str, limit: int) -> list[ReportView]:
        """A rider's, newest first."""
        ...

    async def listed(self, state: str | None, limit: int) -> list[ReportView]:
        """Those in a state, or all."""
        ...

    async def tickets(self, wanted: TicketFilter) -> list[ReportView]:
        """One page of those that fit."""
        ...

    async def answer(
        self, report_id: str, *, text: str, staff: str, close: bool, now_ms: int
    ) -> ReportView:
        """Answer one."""
        ...

    async def photo(self, report_id: str) -> Photo:
        """Its picture."""
        ...


class StationService:
    """Implements ``fleet.ports.Stations``."""

    def __init__(self, *, rows: StationRows, live: LivePicture, clock: Clock) -> None:
        self._rows = rows
        self._live = live
        self._clock = clock

    async def all(self) -> list[RestStationView]:
        """Every station, with its cabinets as they stand."""
        return [self._seen(*each) for each in await self._rows.all()]

    async def page(self, after: str, limit: int) -> list[RestStationView]:
        """Stations by id, those after this one."""
        return [self._seen(*each) for each in await self._rows.page(after, limit)]

    async def near(self, here: Point | None, most: int) -> tuple[list[RestStationView], bool]:
        """The nearest, or the first by name; and whether there are more."""
        spots = first_spots(await self._rows.places(), here)
        found = await self._rows.some([each.id for each in spots[:most]])
        return [self._seen(*each) for each in found], len(spots) > most

    async def get(self, station_id: str) -> RestStationView:
        """One station; raise NotFoundError."""
        return self._seen(*await self._rows.get(station_id))

    async def of_cabinet(self, cabinet_id: str) -> RestStationView | None:
        """The station that a cabinet stands at."""
        if not self._live.known(cabinet_id):
            return None
        station = await self._rows.where(cabinet_id)
        return None if station is None else await self.get(station)

    async def where(self, cabinet_id: str) -> str | None:
        """The id of the station that a cabinet stands at."""
        return await self._rows.where(cabinet_id)

    async def cabinets_at(self, stations: frozenset[str]) -> frozenset[str]:
        """The ids of the cabinets at these stations."""
        return await self._rows.cabinets_at(stations)

    def _seen(self, view: RestStationView, cabinets: tuple[str, ...]) -> RestStationView:
        known = tuple(self._live.view(name) for name in cabinets if self._live.known(name))
        return replace(view, cabinets=known)

    async def set_amenity(
        self, station_id: str, amenity: int, state: AmenityState, note: str | None
    ) -> None:
        """How much is left of an amenity; raise NotFoundError, InvalidError."""
        if note is not None:
            check_text("note", note, 300)
        await self._rows.set_amenity(
            station_id,
            kind=None,
            state=state,
            note=note,
            now_ms=self._clock.wall_ms(),
            amenity=amenity,
        )

    async def photo(self, photo_id: str) -> Photo:
        """A station's picture; raise NotFoundError."""
        return await self._rows.photo(photo_id)


class ReportService:
    """Implements ``fleet.ports.Reports``."""

    def __init__(self, *, rows: ReportRows, stations: StationService, clock: Clock) -> None:
        self._rows = rows
        self._stations = stations
        self._clock = clock

    async def file(
        self,
        *,
        rider_id: str,
        topic: str,
        place: str,
        text: str,
        photo: bytes | None = None,
        station_id: str | None = None,
        cabinet_id: str | None = None,
        swap_id: str | None = None,
    ) -> ReportView:
        """Keep a rider's report.

        Raises:
            InvalidError: a field is malformed; of a photo the code is ``photo``.
            NotFoundError: no such station.
            LimitedError: too many today.
        """
        now_ms = self._clock.wall_ms()
        new = NewReport(
            id=new_id(now_ms),
            rider=rider_id,
            topic=reports.check_topic(topic),
            place=reports.clean_text("place", place, reports.PLACE_CHARS_MAX),
            text=reports.clean_text("text", text, reports.TEXT_CHARS_MAX, least=2),
            now_ms=now_ms,
            station=(await self._stations.get(station_id)).id if station_id else None,
            cabinet=check_text("cabinet", cabinet_id, 32) if cabinet_id else None,
            swap_id=check_text("swap", swap_id, 64) if swap_id else None,
            photo=photos.strip(photo) if photo else None,
        )
        return await self._rows.file(new)

    async def restock(self, *, rider_id: str, station_id: str, amenity: int) -> ReportView:
        """A rider says that something is used up; once per rider until it is restocked."""
        station = await self._stations.get(station_id)
        found = next((each for each in station.amenities if each.id == amenity), None)
        if found is None:
            raise NotFoundError(f"no amenity {amenity} at {station_id}")
        for report in await self._rows.of_rider(rider_id, LIST_MAX):
            if report.amenity_id == amenity and report.state == reports.OPEN:
                return report
        now_ms = self._clock.wall_ms()
        new = NewReport(
            id=new_id(now_ms),
            rider=rider_id,
            topic=Topic.RESTOCK,
            place=station.name,
            text=found.kind.value,
            now_ms=now_ms,
            station=station.id,
            amenity=amenity,
        )
        return await self._rows.file(new)

    async def get(self, report_id: str, *, rider_id: str | None) -> ReportView:
        """One report; of a rider only the own. ``rider_id`` None: an operator looks.

        Raises:
            NotFoundError: no such report.
            DeniedError: another rider's.
        """
        view = await self._rows.get(report_id)
        if rider_id is not None and view.rider_id != rider_id:
            raise DeniedError("another rider's report")
        return view

    async def of_rider(self, rider_id: str, limit: int = 50) -> list[ReportView]:
        """The rider's reports, newest first."""
        return await self._rows.of_rider(rider_id, min(limit, LIST_MAX))

    async def listed(self, *, waiting: bool) -> list[ReportView]:
        """For operators: those that wait, the oldest first; or all, the newest first."""
        return await self._rows.listed(reports.OPEN if waiting else None, LIST_MAX)

    async def tickets(self, wanted: TicketFilter) -> list[ReportView]:
        """For operators: one page of those that fit."""
        return await self._rows.tickets(wanted)

    async def answer(self, report_id: str, *, text: str, staff: str, close: bool) -> ReportView:
        """Answer a report; raise InvalidError, NotFoundError."""
        check_staff(staff)
        return await self._rows.answer(
            report_id,
            text=reports.clean_text("answer", text, reports.ANSWER_CHARS_MAX, least=1),
            staff=staff,
            close=close,
            now_ms=self._clock.wall_ms(),
        )

    async def photo(self, report_id: str, *, rider_id: str | None) -> Photo:
        """The picture of a report that one may see; raises as ``get``."""
        await self.get(report_id, rider_id=rider_id)
        return await self._rows.photo(report_id)
