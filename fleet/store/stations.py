"""Stations, their cabinets and amenities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core import reports
from fleet.core.reports import Photo, Topic
from fleet.core.stations import (
    AmenityKind,
    AmenityState,
    AmenityView,
    RestStationView,
    StationRecord,
    StationSpot,
)
from fleet.errors import InvalidError, NotFoundError
from fleet.store import tables as t
from fleet.store.engine import Database


class StationStore:
    """Access to ``station``, ``station_cabinet`` and ``amenity``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, record: StationRecord, now_ms: int) -> None:
        """Make a station, or change it to this."""
        async with self._database.write() as connection:
            known = t.station.c.id == record.id
            values = asdict(record)
            if (await connection.execute(select(t.station.c.id).where(known))).first() is None:
                await connection.execute(insert(t.station).values(created_ms=now_ms, **values))
            else:
                await connection.execute(update(t.station).where(known).values(**values))

    async def record(self, station: str) -> StationRecord:
        """What is kept of it; raise NotFoundError."""
        async with self._database.read() as connection:
            query = select(t.station).where(t.station.c.id == station)
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFoundError(f"no station {station}")
        return StationRecord(**{name: row[name] for name in StationRecord.__slots__})

    async def place(self, cabinet: str, station: str | None) -> None:
        """A cabinet stands at this station, or at none; raise NotFoundError."""
        async with self._database.write() as connection:
            await _need(connection, t.cabinet, cabinet)
            here = t.station_cabinet.c.cabinet == cabinet
            await connection.execute(delete(t.station_cabinet).where(here))
            if station is not None:
                await _need(connection, t.station, station)
                row = {"cabinet": cabinet, "station": station}
                await connection.execute(insert(t.station_cabinet).values(**row))

    async def all(self) -> list[tuple[RestStationView, tuple[str, ...]]]:
        """Every station with its cabinets' ids, by id."""
        return await self._read(t.station.c.id.is_not(None))

    async def page(self, after: str, limit: int) -> list[tuple[RestStationView, tuple[str, ...]]]:
        """Stations by id, those after this one."""
        own = t.station.c.id
        some = select(own).where(own > after).order_by(own).limit(limit)
        async with self._database.read() as connection:
            names = list((await connection.execute(some)).scalars())
        return await self._read(own.in_(names))

    async def some(
        self, stations: Collection[str]
    ) -> list[tuple[RestStationView, tuple[str, ...]]]:
        """These stations, by id."""
        return await self._read(t.station.c.id.in_(sorted(stations)))

    async def places(self) -> list[StationSpot]:
        """Where every station is, and no more than that."""
        own = t.station.c
        async with self._database.read() as connection:
            rows = await connection.execute(select(own.id, own.name, own.lat, own.lon))
            return [StationSpot(*row) for row in rows]

    async def get(self, station: str) -> tuple[RestStationView, tuple[str, ...]]:
        """One station with its cabinets' ids; raise NotFoundError."""
        found = await self._read(t.station.c.id == station)
        if not found:
            raise NotFoundError(f"no station {station}")
        return found[0]

    async def where(self, cabinet: str) -> str | None:
        """The station of a cabinet; None: it stands at none."""
        own = t.station_cabinet.c
        async with self._database.read() as connection:
            query = select(own.station).where(own.cabinet == cabinet)
            return (await connection.execute(query)).scalar_one_or_none()

    async def cabinets_at(self, stations: frozenset[str]) -> frozenset[str]:
        """The cabinets at these stations."""
        own = t.station_cabinet.c
        async with self._database.read() as connection:
            query = select(own.cabinet).where(own.station.in_(stations))
            return frozenset((await connection.execute(query)).scalars())

    async def _read(
        self, here: ColumnElement[bool]
    ) -> list[tuple[RestStationView, tuple[str, ...]]]:
        own, placed = t.station.c, t.station_cabinet.c
        async with self._database.read() as connection:
            query = select(t.station).where(here).order_by(own.id)
            rows = (await connection.execute(query)).mappings()
            stations = [
                StationRecord(**{n: row[n] for n in StationRecord.__slots__}) for row in rows
            ]
            amenities = await _amenities(connection, here)
            places = defaultdict(list)
            joined = t.station_cabinet.join(t.station, own.id == placed.station)
            cabinets = select(t.station_cabinet).select_from(joined)
            cabinets = cabinets.where(here).order_by(placed.cabinet)
            for row in await connection.execute(cabinets):
                places[row.station].append(row.cabinet)
        return [
            (
                RestStationView(**asdict(each), amenities=tuple(amenities.get(each.id, ()))),
                tuple(places[each.id]),
            )
            for each in stations
        ]

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
        """Add an amenity, or change one; its id. Restocking closes what riders reported of it.

        Raises:
            NotFoundError: no such station or amenity.
        """
        own = t.amenity
        async with self._database.write() as connection:
            await _need(connection, t.station, station)
            if amenity is None:
                if kind is None:
                    raise InvalidError("kind: is missing")
                row = {"station": station, "kind": kind.value, "note": note or ""}
                made = insert(own).values(state=state.value, updated_ms=now_ms, **row)
                return int((await connection.execute(made.returning(own.c.id))).scalar_one())
            values: dict[str, Any] = {"state": state.value, "updated_ms": now_ms}
            values |= {} if note is None else {"note": note}
            where = (own.c.id == amenity) & (own.c.station == station)
            done = await connection.execute(update(own).where(where).values(**values))
            if done.rowcount == 0:
                raise NotFoundError(f"no amenity {amenity} at {station}")
            if state is AmenityState.OK:
                await _restocked(connection, amenity, now_ms)
            return amenity

    async def drop_amenity(self, station: str, amenity: int) -> None:
        """The station has it no more; raise NotFoundError."""
        where = (t.amenity.c.id == amenity) & (t.amenity.c.station == station)
        async with self._database.write() as connection:
            if (await connection.execute(delete(t.amenity).where(where))).rowcount == 0:
                raise NotFoundError(f"no amenity {amenity} at {station}")

    async def set_photo(self, station: str, photo: Photo, photo_id: str, now_ms: int) -> None:
        """A picture of the station, in place of the one before; raise NotFoundError."""
        async with self._database.write() as connection:
            where = t.station.c.id == station
            query = select(t.station.c.photo).where(where)
            before = (await connection.execute(query)).first()
            if before is None:
                raise NotFoundError(f"no station {station}")
            row = {"id": photo_id, "media_type": photo.media_type, "body": photo.body}
            await connection.execute(insert(t.photo).values(created_ms=now_ms, **row))
            await connection.execute(update(t.station).where(where).values(photo=photo_id))
            await connection.execute(delete(t.photo).where(t.photo.c.id == before.photo))

    async def photo(self, photo_id: str) -> Photo:
        """A station's picture; raise NotFoundError, of a report's too: that is not for everybody."""
        async with self._database.read() as connection:
            joined = t.photo.join(t.station, t.station.c.photo == t.photo.c.id)
            query = select(t.photo).select_from(joined).where(t.photo.c.id == photo_id).limit(1)
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError(f"no photo {photo_id}")
        return Photo(row.media_type, bytes(row.body))


async def _need(connection: AsyncConnection, table: Any, name: str) -> None:
    query = select(table.c.id).where(table.c.id == name)
    if (await connection.execute(query)).first() is None:
        raise NotFoundError(f"no {table.name} {name}")


async def _amenities(
    connection: AsyncConnection, here: ColumnElement[bool]
) -> Mapping[str, list[AmenityView]]:
    """Of the stations that the condition is true of."""
    own, told = t.amenity.c, t.report.c
    joined = t.amenity.join(t.station, t.station.c.id == own.station)
    theirs = select(own.id).select_from(joined).where(here)
    waiting = select(told.amenity, func.count()).where(
        told.topic == Topic.RESTOCK.value, told.state == reports.OPEN, told.amenity.in_(theirs)
    )
    counted = await connection.execute(waiting.group_by(told.amenity))
    reported = {int(row[0]): int(row[1]) for row in counted}
    found: dict[str, list[AmenityView]] = defaultdict(list)
    query = select(t.amenity).select_from(joined).where(here).order_by(own.id)
    for row in await connection.execute(query):
        view = AmenityView(
            id=row.id,
            kind=AmenityKind(row.kind),
            state=AmenityState(row.state),
            note=row.note,
            updated_ms=row.updated_ms,
            reported=reported.get(row.id, 0),
        )
        found[row.station].append(view)
    return found


async def _restocked(connection: AsyncConnection, amenity: int, now_ms: int) -> None:
    """Whoever reported it finds it answered."""
    own = t.report.c
    where = (own.amenity == amenity) & (own.state == reports.OPEN)
    values = {"state": reports.CLOSED, "answered_ms": now_ms, "answered_by": "restock"}
    await connection.execute(update(t.report).where(where).values(**values))
