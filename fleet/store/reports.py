"""Riders' reports and their pictures."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import func, insert, or_, select, tuple_, update
from sqlalchemy.engine import RowMapping

from fleet.core.reports import (
    ANSWERED,
    CLOSED,
    DAY_MS,
    OPEN,
    PER_DAY_MAX,
    PHOTO_STORE_BYTES_MAX,
    NewReport,
    Photo,
    ReportView,
    TicketFilter,
    Topic,
)
from fleet.errors import LimitedError, NotFoundError
from fleet.store import tables as t
from fleet.store.engine import Database

ROWS_MAX: Final = 1_000  # in one answer


class ReportStore:
    """Access to ``report`` and ``photo``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def file(self, new: NewReport) -> ReportView:
        """Keep a report; beyond the room for pictures it is kept without its own.

        Raises:
            LimitedError: the rider has reported too much today.
        """
        own = t.report.c
        today = select(func.count()).where(own.rider == new.rider)
        today = today.where(own.created_ms > new.now_ms - DAY_MS)
        async with self._database.write() as connection:
            if int((await connection.execute(today)).scalar_one()) >= PER_DAY_MAX:
                raise LimitedError("too many reports today", retry_after_s=DAY_MS // 24_000)
            photo_id = None
            if new.photo is not None:
                used = select(func.coalesce(func.sum(func.length(t.photo.c.body)), 0))
                taken = int((await connection.execute(used)).scalar_one())
                if taken + len(new.photo.body) <= PHOTO_STORE_BYTES_MAX:
                    photo_id = f"photo-{new.id}"
                    row = {"id": photo_id, "media_type": new.photo.media_type}
                    made = insert(t.photo).values(body=new.photo.body, created_ms=new.now_ms, **row)
                    await connection.execute(made)
            values: dict[str, Any] = {
                "id": new.id,
                "rider": new.rider,
                "topic": new.topic.value,
                "station": new.station,
                "cabinet": new.cabinet,
                "swap_id": new.swap_id,
                "amenity": new.amenity,
                "place": new.place,
                "text": new.text,
                "photo": photo_id,
                "state": OPEN,
                "created_ms": new.now_ms,
            }
            await connection.execute(insert(t.report).values(**values))
        return await self.get(new.id)

    async def get(self, report_id: str) -> ReportView:
        """One report; raise NotFoundError."""
        query = select(t.report).where(t.report.c.id == report_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFoundError(f"no report {report_id}")
        return _view(row)

    async def of_rider(self, rider: str, limit: int) -> list[ReportView]:
        """A rider's reports, newest first."""
        own = t.report.c
        query = select(t.report).where(own.rider == rider)
        query = query.order_by(own.created_ms.desc(), own.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return [_view(row) for row in (await connection.execute(query)).mappings()]

    async def listed(self, state: str | None, limit: int) -> list[ReportView]:
        """Reports in a state, or all: those that wait longest first, others newest first."""
        own = t.report.c
        query = select(t.report)
        query = query if state is None else query.where(own.state == state)
        order = own.created_ms.asc() if state == OPEN else own.created_ms.desc()
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(order).limit(limit))).mappings()
            return [_view(row) for row in rows]

    async def tickets(self, wanted: TicketFilter) -> list[ReportView]:
        """One page of those that fit."""
        own = t.report.c
        query = select(t.report)
        for column, value in (
            (own.state, wanted.state), (own.topic, wanted.topic), (own.cabinet, wanted.cabinet),
        ):  # fmt: skip
            if value:
                query = query.where(column == value)
        if wanted.places is not None:
            cabinets, stations = wanted.places
            there = or_(own.cabinet.in_(sorted(cabinets)), own.station.in_(sorted(stations)))
            query = query.where(there)
        oldest_first = wanted.state == OPEN
        if wanted.after is not None:
            last = tuple_(*wanted.after)
            place = tuple_(own.created_ms, own.id)
            query = query.where(place > last if oldest_first else place < last)
        order = (own.created_ms, own.id)
        query = query.order_by(*order if oldest_first else (each.desc() for each in order))
        async with self._database.read() as connection:
            rows = (await connection.execute(query.limit(min(wanted.limit, ROWS_MAX)))).mappings()
            return [_view(row) for row in rows]

    async def answer(
        self, report_id: str, *, text: str, staff: str, close: bool, now_ms: int
    ) -> ReportView:
        """Answer a report; raise NotFoundError."""
        values = {
            "state": CLOSED if close else ANSWERED,
            "answer": text,
            "answered_by": staff,
            "answered_ms": now_ms,
        }
        where = t.report.c.id == report_id
        async with self._database.write() as connection:
            await connection.execute(update(t.report).where(where).values(**values))
        return await self.get(report_id)

    async def photo(self, report_id: str) -> Photo:
        """The report's picture; raise NotFoundError."""
        query = (
            select(t.photo.c.media_type, t.photo.c.body)
            .join(t.report, t.report.c.photo == t.photo.c.id)
            .where(t.report.c.id == report_id)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError(f"no photo of report {report_id}")
        return Photo(row.media_type, bytes(row.body))


def _view(row: RowMapping) -> ReportView:
    return ReportView(
        id=row["id"],
        rider_id=row["rider"],
        topic=Topic(row["topic"]),
        place=row["place"],
        text=row["text"],
        state=row["state"],
        created_ms=row["created_ms"],
        station_id=row["station"],
        cabinet_id=row["cabinet"],
        swap_id=row["swap_id"],
        amenity_id=row["amenity"],
        has_photo=row["photo"] is not None,
        answer=row["answer"],
        answered_by=row["answered_by"],
        answered_ms=row["answered_ms"],
    )
