"""What the console asks of the store: the day's transactions, things by name, a cabinet's events."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from fleet.core.console_views import TURNED_AWAY, EventRow, Find
from fleet.core.swaps import RIDER_KINDS
from fleet.store import tables as t
from fleet.store.engine import Database
from protocols.messages import Step

FINDS_MAX: Final = 8  # of each kind
KEPT_MS: Final = 40 * 86_400_000
#: Sorts behind every text that a serial, an id or a number can go on with.
_END: Final = "\U0010fffd"
#: The same where languages order, and where bytes do.
_LAST_LETTER: Final = "Z"
_LAST_BYTE: Final = "~"
_ID_CHARS: Final = 64
#: Of a rare type a year of events would be read; so far back is more than a week.
LOOKED_AT: Final = 10_000


class ConsoleStore:
    """Reads over many tables; writes ``turned_away`` alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.dialect == "sqlite" else postgresql.insert

    async def swap_counts(self, since_ms: int) -> tuple[int, int, int]:
        """Riders' transactions since then: completed, ended, refused by the cabinet."""
        done = t.swap.c.step == Step.COMPLETED.value
        refused = (t.swap.c.step == Step.REJECTED.value) & t.swap.c.reason.in_(sorted(TURNED_AWAY))
        query = select(func.count(case((done, 1))), func.count(), func.count(case((refused, 1))))
        query = query.where(
            t.swap.c.updated_ms >= since_ms,
            t.swap.c.open.is_(False),
            t.swap.c.kind.in_(sorted(kind.value for kind in RIDER_KINDS)),
        )
        async with self._database.read() as connection:
            completed, ended, rejected = (await connection.execute(query)).one()
            return int(completed), int(ended), int(rejected)

    async def turned_since(self, since_ms: int) -> int:
        """Riders who were shown that a cabinet can't serve them, since then."""
        query = select(func.coalesce(func.sum(t.turned_away.c.riders), 0))
        query = query.where(t.turned_away.c.at_ms >= since_ms)
        async with self._database.read() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def add_turned(self, riders: Mapping[tuple[int, str, str], int], now_ms: int) -> None:
        """Add riders by (start of the quarter of an hour, cabinet, reason); forget what is old."""
        rows = [
            {"at_ms": at_ms, "cabinet": cabinet, "reason": reason, "riders": number}
            for (at_ms, cabinet, reason), number in sorted(riders.items())
        ]
        query = self._insert(t.turned_away)
        query = query.on_conflict_do_update(
            index_elements=["at_ms", "cabinet", "reason"],
            set_={"riders": t.turned_away.c.riders + query.excluded["riders"]},
        )
        old = delete(t.turned_away).where(t.turned_away.c.at_ms < now_ms - KEPT_MS)
        async with self._database.write() as connection:
            await connection.execute(query, rows)
            await connection.execute(old)

    async def shown_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        """Riders who were shown it: (cabinet, interval since ``since_ms``, count).

        They are kept by quarters of an hour, and all of one counted in the interval it begins in.
        """
        own = t.turned_away.c
        place = ((own.at_ms - since_ms) // interval_ms).label("place")
        query = select(own.cabinet, place, func.sum(own.riders))
        query = query.where(own.at_ms >= since_ms, own.at_ms < until_ms)
        return await self._counts(query.group_by(own.cabinet, place))

    async def refused_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int, reasons: Collection[str]
    ) -> list[tuple[str, int, int]]:
        """Riders whom a cabinet refused for these reasons: (cabinet, interval, count)."""
        own = t.swap.c
        place = ((own.updated_ms - since_ms) // interval_ms).label("place")
        query = select(own.cabinet, place, func.count()).where(
            own.step == Step.REJECTED.value,
            own.reason.in_(sorted(reasons)),
            own.kind.in_(sorted(kind.value for kind in RIDER_KINDS)),
            own.updated_ms >= since_ms,
            own.updated_ms < until_ms,
        )
        return await self._counts(query.group_by(own.cabinet, place))

    async def _counts(self, query: Select[Any]) -> list[tuple[str, int, int]]:
        async with self._database.read() as connection:
            return [(row[0], int(row[1]), int(row[2])) for row in await connection.execute(query)]

    async def search(self, text: str) -> list[Find]:
        """Batteries, transactions and riders whose serial, id or number begins with a text.

        A rider is also found by the last four digits of his phone, which is all that is kept of it.
        """
        serial, swap, own = t.battery.c.serial, t.swap.c.id, t.rider.c
        capital = text.upper()
        packs = select(serial, t.battery.c.holder, t.battery.c.state).order_by(serial)
        swaps = select(swap, t.swap.c.cabinet, t.swap.c.step).order_by(swap.desc())
        riders = select(own.id, own.number, own.phone_tail)
        # One condition in each: with an OR of several the database may read the table through.
        asked = [
            *(("battery", packs.where(self._begins(serial, each))) for each in {text, capital}),
            ("swap", swaps.where(self._begins(swap, capital))),
            ("rider", riders.where(self._begins(own.number, text)).order_by(own.number)),
            ("rider", riders.where(self._begins(own.id, capital)).order_by(own.id)),
            ("rider", riders.where(own.phone_tail == text).order_by(own.id)),
        ]
        found: dict[str, dict[str, Find]] = {"battery": {}, "swap": {}, "rider": {}}
        for kind, query in asked:
            for each in await self._finds(kind, query):
                found[kind].setdefault(each.id, each)
        return [each for some in found.values() for each in list(some.values())[:FINDS_MAX]]

    async def events(self, cabinet: str, kind: str, most: int) -> list[EventRow]:
        """The newest events of a cabinet; of one type those among its last ``LOOKED_AT``."""
        last = select(t.event).where(t.event.c.cabinet == cabinet)
        last = last.order_by(t.event.c.epoch.desc(), t.event.c.seq.desc())
        query = last.limit(most)
        if kind:
            own = last.limit(LOOKED_AT).subquery()
            query = select(own).where(own.c.type == kind)
            query = query.order_by(own.c.epoch.desc(), own.c.seq.desc()).limit(most)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).mappings()
            return [
                EventRow(
                    epoch=row["epoch"],
                    seq=row["seq"],
                    at_ms=row["wall_ms"],
                    received_ms=row["received_ms"],
                    synced=row["wall_synced"],
                    type=row["type"],
                    body=row["body"],
                )
                for row in rows
            ]

    async def _finds(self, kind: str, query: Select[Any]) -> list[Find]:
        async with self._database.read() as connection:
            rows = await connection.execute(query.limit(FINDS_MAX))
            return [
                Find(kind=kind, id=row[0], detail=row[1] or "", title=row[2] or "") for row in rows
            ]

    def _begins(self, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
        """A prefix, as a range: LIKE alone reads the whole table unless the order is that of bytes.

        PostgreSQL orders by the language of the database. Whichever that is, what goes on with the
        letters of serials and ids stands before one of these two ends.
        """
        if self._database.dialect == "sqlite":
            return (column >= text) & (column < text + _END)
        end = func.greatest(text + _LAST_LETTER * _ID_CHARS, text + _LAST_BYTE)
        return and_(column >= text, column <= end, column.startswith(text, autoescape=True))
