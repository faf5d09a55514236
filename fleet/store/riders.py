"""Riders: keyed hash and tail of a phone, and what the ledger says they hold."""

from __future__ import annotations

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.exc import IntegrityError

from fleet.core.views import RiderView
from fleet.store import tables as t
from fleet.store.engine import Database
from fleet.store.swaps import serials_of


class RiderStore:
    """Access to ``rider``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, rider: str) -> RiderView | None:
        """The rider of this id."""
        return await self._one(t.rider.c.id == rider)

    async def by_hash(self, phone_hash: str) -> RiderView | None:
        """The rider of this phone."""
        return await self._one(t.rider.c.phone_hash == phone_hash)

    async def add(self, rider: str, phone_hash: str, tail: str, now_ms: int) -> bool:
        """Register a rider; False when another call was first with this phone."""
        row = {"id": rider, "phone_hash": phone_hash, "phone_tail": tail, "created_ms": now_ms}
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(t.rider).values(**row))
        except IntegrityError:
            return False
        return True

    async def _one(self, where: ColumnElement[bool]) -> RiderView | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(t.rider).where(where))).first()
            if row is None:
                return None
            serials = await serials_of(connection, row.id)
        return RiderView(id=row.id, phone_tail=row.phone_tail, serials=serials)
