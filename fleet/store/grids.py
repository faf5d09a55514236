"""Versions of the grid: kept with their log row, and read by the loop and the pages."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Select, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit_log import DONE
from fleet.core.balance.versions import (
    GridVersion,
    NewVersion,
    check_new,
    check_withdrawal,
    digest_of,
)
from fleet.errors import NotFoundError
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.engine import Database
from fleet.store.meta import bump
from fleet.store.tables_desk import grid_version

GRIDS: Final = "grids-revision"
HISTORY_MAX: Final = 500
_PLAIN: Final = [column for column in grid_version.c if column.name != "text"]


class GridStore:
    """Access to ``grid_version``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def revision(self) -> int:
        """Rises with every version and every withdrawal."""
        async with self._database.read() as connection:
            return await _revision(connection)

    async def history(self) -> tuple[int, list[GridVersion]]:
        """The revision, and the newest versions, the oldest first."""
        async with self._database.read() as connection:
            return await _revision(connection), await _history(connection)

    async def text(self, version: int) -> str:
        """One version, as a file; raise NotFoundError."""
        query = select(grid_version.c.text).where(grid_version.c.version == version)
        async with self._database.read() as connection:
            text: str | None = (await connection.execute(query)).scalar_one_or_none()
        if text is None:
            raise NotFoundError(f"no version {version} of the grid")
        return text

    async def add(self, new: NewVersion) -> int:
        """Keep a version and log it; its number. Raise InvalidError or RefusedError."""
        async with self._database.write() as connection:
            revision = await _revision(connection, lock=True)
            known = await _history(connection)
            check_new(new, known, revision)
            version = known[-1].version + 1 if known else 1
            values = {
                "version": version,
                "valid_from_ms": new.valid_from_ms,
                "created_ms": new.created_ms,
                "actor": new.actor,
                "reason": new.reason,
                "source": new.source,
                "digest": digest_of(new.text),
                "text": new.text,
            }
            await connection.execute(insert(grid_version).values(**values))
            await _log(
                connection,
                new.created_ms,
                new.actor,
                "grid.change",
                version=version,
                reason=new.reason,
            )
            await bump(connection, GRIDS)
        return version

    async def withdraw(
        self,
        version: int,
        *,
        actor: str,
        reason: str,
        day_ms: int,
        now_ms: int,
        revision: int | None = None,
    ) -> None:
        """Take back the last version before it begins at ``day_ms``; raise RefusedError."""
        async with self._database.write() as connection:
            seen = await _revision(connection, lock=True)
            known = await _history(connection)
            check_withdrawal(version, known, day_ms, seen if revision is None else revision, seen)
            where = grid_version.c.version == version
            change = update(grid_version).where(where)
            await connection.execute(change.values(withdrawn_ms=now_ms, withdrawn_by=actor))
            await _log(connection, now_ms, actor, "grid.withdraw", version=version, reason=reason)
            await bump(connection, GRIDS)


async def _revision(connection: AsyncConnection, *, lock: bool = False) -> int:
    query: Select[Any] = select(t.meta.c.value).where(t.meta.c.name == GRIDS)
    if lock:
        query = query.with_for_update()
    return int((await connection.execute(query)).scalar_one())


async def _history(connection: AsyncConnection) -> list[GridVersion]:
    query = select(*_PLAIN).order_by(grid_version.c.version.desc()).limit(HISTORY_MAX)
    rows = (await connection.execute(query)).mappings()
    return [_view(row) for row in rows][::-1]


def _view(row: RowMapping) -> GridVersion:
    return GridVersion(**dict(row))


async def _log(
    connection: AsyncConnection, at_ms: int, actor: str, what: str, *, version: int, reason: str
) -> None:
    await append(
        connection,
        at_ms=at_ms,
        actor=actor,
        action=what,
        outcome=DONE,
        subject=f"grid:{version}",
        reason=reason,
    )
