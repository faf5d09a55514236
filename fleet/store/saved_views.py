"""Saved views: a few small rows per account."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.saved_views import VIEWS_MAX, SavedView
from fleet.errors import NotFoundError, RefusedError
from fleet.store.engine import Database
from fleet.store.tables_views import saved_view


class SavedViewStore:
    """Access to ``saved_view``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, staff: str) -> list[SavedView]:
        """Those of one account, by name."""
        own = saved_view.c
        query = select(saved_view).where(own.staff == staff).order_by(own.name).limit(VIEWS_MAX)
        async with self._database.read() as connection:
            return [_view(row) for row in (await connection.execute(query)).mappings()]

    async def get(self, view_id: str) -> SavedView:
        """One of anybody's; raise NotFoundError."""
        query = select(saved_view).where(saved_view.c.id == view_id)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise NotFoundError(f"no view {view_id}")
        return _view(row)

    async def put(self, new: SavedView) -> SavedView:
        """Keep one, in place of the account's one of the same name; raise RefusedError."""
        own = saved_view.c
        values = {name: getattr(new, name) for name in SavedView.__struct_fields__}
        async with self._database.write() as connection:
            old = await _named(connection, new.staff, new.name)
            if old is not None:
                changed = {"page": new.page, "query": new.query}
                await connection.execute(update(saved_view).where(own.id == old).values(**changed))
                values["id"] = old
            else:
                count = select(func.count()).where(own.staff == new.staff)
                if int((await connection.execute(count)).scalar_one()) >= VIEWS_MAX:
                    raise RefusedError(f"{VIEWS_MAX} views: delete one first", code="views-full")
                await connection.execute(insert(saved_view).values(**values))
        return SavedView(**values)

    async def rename(self, staff: str, view_id: str, name: str) -> SavedView:
        """Another name for one's own; raise NotFoundError or RefusedError ``view-name``."""
        own = saved_view.c
        async with self._database.write() as connection:
            old = await _named(connection, staff, name)
            if old not in (None, view_id):
                raise RefusedError(f"{name!r}: another view has this name", code="view-name")
            mine = (own.id == view_id) & (own.staff == staff)
            done = await connection.execute(update(saved_view).where(mine).values(name=name))
            if done.rowcount != 1:
                raise NotFoundError(f"no view {view_id} of yours")
        return await self.get(view_id)

    async def delete(self, staff: str, view_id: str) -> None:
        """Forget one's own; raise NotFoundError."""
        own = saved_view.c
        async with self._database.write() as connection:
            mine = (own.id == view_id) & (own.staff == staff)
            if (await connection.execute(delete(saved_view).where(mine))).rowcount != 1:
                raise NotFoundError(f"no view {view_id} of yours")


async def _named(connection: AsyncConnection, staff: str, name: str) -> str | None:
    own = saved_view.c
    query = select(own.id).where(own.staff == staff, own.name == name)
    found: str | None = (await connection.execute(query)).scalar_one_or_none()
    return found


def _view(row: Any) -> SavedView:
    return SavedView(**{name: row[name] for name in SavedView.__struct_fields__})
