"""Stations, their cabinets and amenities."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core import reports
from fleet.core.reports import Photo, Topic
from fleet.core.stations import (
    AmenityKind,
    AmenityState,
    AmenityView,
    RestStationView,
    StationRecord,
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
        return await self._read(None)

    async def get(self, station: str) -> tuple[RestStationView, tuple[str, ...]]:
        """One station with its cabinets' ids; raise NotFoundError."""
        found = await self._read(station)
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

    async def _read(self, only: str | None) -> list[tuple[RestStationView, tuple[str, ...]]]:
        own, placed = t.station.c, t.station_cabinet.c
        here = own.id.is_not(None) if only is None else own.id == only
        there = placed.station.is_not(None) if only is None else placed.station == only
        async with self._database.read() as connection:
            query = select(t.station).where(here).order_by(own.id)
            rows = (await connection.execute(query)).mappings()
            stations = [
                StationRecord(**{n: row[n] for n in StationRecord.__slots__}) for row in rows
            ]
            amenities = await _amenities(connection)
            places = defaultdict(list)
            cabinets = select(t.station_cabinet).where(there).order_by(placed.cabinet)
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
        """A stored picture; raise NotFoundError."""
        async with self._database.read() as connection:
            query = select(t.photo).where(t.photo.c.id == photo_id)
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError(f"no photo {photo_id}")
        return Photo(row.media_type, bytes(row.body))


async def _need(connection: AsyncConnection, table: Any, name: str) -> None:
    query = select(table.c.id).where(table.c.id == name)
    if (await connection.execute(query)).first() is None:
        raise NotFoundError(f"no {table.name} {name}")


async def _amenities(connection: AsyncConnection) -> Mapping[str, list[AmenityView]]:
    own, told = t.amenity.c, t.report.c
    waiting = select(told.amenity, func.count()).where(
        told.topic == Topic.RESTOCK.value, told.state == reports.OPEN, told.amenity.is_not(None)
    )
    counted = await connection.execute(waiting.group_by(told.amenity))
    reported = {int(row[0]): int(row[1]) for row in counted}
    found: dict[str, list[AmenityView]] = defaultdict(list)
    for row in await connection.execute(select(t.amenity).order_by(own.id)):
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
