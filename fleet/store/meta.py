"""Small facts about the store itself: its incarnation, and revisions that a running fleetd watches."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Integer, String, cast, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.store import tables as t
from fleet.store.engine import Database

INCARNATION: Final = "incarnation"
CABINETS: Final = "cabinets-revision"
BATTERIES: Final = "batteries-revision"
DENIALS: Final = "denials-revision"
#: Raised whenever plans are kept, so that two planners take turns.
PLANS: Final = "plans-revision"
#: Raised by every change of a rider's number, so that ingest and such a change take turns.
NUMBERS: Final = "numbers-revision"


class MetaStore:
    """Access to the ``meta`` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def incarnation(self, fresh: str) -> str:
        """The ledger's incarnation; takes ``fresh`` when it has none yet."""
        async with self._database.write() as connection:
            query = _insert(connection).values(name=INCARNATION, value=fresh)
            await connection.execute(query.on_conflict_do_nothing())
            return await _get(connection, INCARNATION) or fresh

    async def renew_incarnation(self, fresh: str) -> None:
        """After a backup was restored: cabinets send again what the backup does not know."""
        async with self._database.write() as connection:
            await keep(connection, INCARNATION, fresh)

    async def revisions(self) -> tuple[int, int]:
        """Counters that rise with every change of the cabinets, and of what all of them know."""
        async with self._database.read() as connection:
            cabinets = await _get(connection, CABINETS)
            batteries = await _get(connection, BATTERIES)
            denials = await _get(connection, DENIALS)
            return int(cabinets or 0), int(batteries or 0) + int(denials or 0)

    async def note(self, name: str) -> str | None:
        """A small fact by its name, None when there is none."""
        async with self._database.read() as connection:
            return await _get(connection, name)

    async def keep_note(self, name: str, text: str) -> None:
        """Keep a small fact."""
        async with self._database.write() as connection:
            await keep(connection, name, text)


async def bump(connection: AsyncConnection, name: str) -> None:
    """Raise a revision within a transaction; who raises the same one waits until this one ends.

    Two that raised it to the same number would be one change to those who watch it.
    """
    query = _insert(connection).values(name=name, value="1")
    raised = cast(cast(t.meta.c.value, Integer) + 1, String)
    changes = {"value": raised}
    await connection.execute(query.on_conflict_do_update(index_elements=["name"], set_=changes))


async def hold_numbers(connection: AsyncConnection) -> None:
    """Let nobody change a rider's number until this transaction ends."""
    query = select(t.meta.c.value).where(t.meta.c.name == NUMBERS).with_for_update(read=True)
    await connection.execute(query)


async def _get(connection: AsyncConnection, name: str) -> str | None:
    query = select(t.meta.c.value).where(t.meta.c.name == name)
    return (await connection.execute(query)).scalar_one_or_none()


async def keep(connection: AsyncConnection, name: str, value: str) -> None:
    """Write a small fact within a transaction, whether or not there is one of this name."""
    query = _insert(connection).values(name=name, value=value)
    changes = {"value": query.excluded.value}
    await connection.execute(query.on_conflict_do_update(index_elements=["name"], set_=changes))


def _insert(connection: AsyncConnection) -> sqlite.Insert | postgresql.Insert:
    """Into ``meta``: another process may add the same fact at this moment."""
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    return make(t.meta)
