"""The log of orders: appending within the transaction of what it tells of, and reading."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit_log import DONE, Head, LogRow, digest, head_of
from fleet.core.operations import OPERATOR, TECHNICIAN
from fleet.core.records import LogFilter
from fleet.core.views import LogView
from fleet.store import tables as t
from fleet.store.engine import Database
from fleet.store.meta import keep

AUDIT_HEAD: Final = "audit-head"
AUDIT_ANCHORED: Final = "audit-anchored"
LOG_ROWS_MAX: Final = 10_000


class AuditLogStore:
    """Reading ``audit_log``; rows are appended by those who give and settle orders."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self, wanted: LogFilter) -> list[LogView]:
        """The rows that match, newest first."""
        log = t.audit_log
        query = select(log).order_by(log.c.id.desc()).limit(min(wanted.limit, LOG_ROWS_MAX))
        if wanted.cabinet is not None:
            query = query.where(log.c.cabinet == wanted.cabinet)
        if wanted.staff is not None:
            actors = (OPERATOR + wanted.staff, TECHNICIAN + wanted.staff)
            query = query.where(log.c.actor.in_(actors))
        if wanted.action is not None:
            query = query.where(log.c.action.startswith(wanted.action, autoescape=True))
        async with self._database.read() as connection:
            return [_view(log_row(row)) for row in (await connection.execute(query)).mappings()]

    async def head(self) -> Head:
        """The last row, by its own word."""
        log = t.audit_log.c
        query = select(log.id, log.hash).order_by(log.id.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
            return Head() if row is None else Head(row.id, row.hash)

    async def hash_of(self, row: int) -> str | None:
        """The hash that a row bears; None when there is none such."""
        query = select(t.audit_log.c.hash).where(t.audit_log.c.id == row)
        async with self._database.read() as connection:
            found: str | None = (await connection.execute(query)).scalar_one_or_none()
            return found

    async def anchored(self) -> bool:
        """Whether the log was ever anchored, by this store's own word."""
        query = select(t.meta.c.value).where(t.meta.c.name == AUDIT_ANCHORED)
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def mark_anchored(self) -> None:
        """Remember that there is an anchor, so that one that goes missing is missed."""
        if not await self.anchored():
            async with self._database.write() as connection:
                await keep(connection, AUDIT_ANCHORED, "1")

    async def note(
        self,
        *,
        at_ms: int,
        actor: str,
        action: str,
        subject: str,
        reason: str,
        outcome: str = DONE,
    ) -> None:
        """Add a row about something that is done, or about to be."""
        async with self._database.write() as connection:
            await append(
                connection,
                at_ms=at_ms,
                actor=actor,
                action=action,
                outcome=outcome,
                subject=subject,
                reason=reason,
            )

    async def read(self) -> list[LogRow]:
        """The whole log in order."""
        async with self._database.read() as connection:
            return (await read_log(connection))[0]


async def hold_log(connection: AsyncConnection) -> Head:
    """The last row; nobody else adds one until this transaction ends.

    For what decides by rows that are not there yet, and then is logged: of two at once the second
    sees what the first wrote.
    """
    locked = select(t.meta.c.value).where(t.meta.c.name == AUDIT_HEAD).with_for_update()
    return head_of((await connection.execute(locked)).scalar_one())


async def append(connection: AsyncConnection, *, at_ms: int, **content: Any) -> None:
    """Add a row behind the last one, which stays locked until the transaction ends."""
    where = t.meta.c.name == AUDIT_HEAD
    head = await hold_log(connection)
    bare = LogRow(id=head.id + 1, at_ms=at_ms, prev=head.hash, **content)
    values = {name: getattr(bare, name) for name in bare.__slots__} | {"hash": digest(bare)}
    await connection.execute(insert(t.audit_log).values(**values))
    text = Head(bare.id, values["hash"]).text
    await connection.execute(update(t.meta).where(where).values(value=text))


async def read_log(connection: AsyncConnection) -> tuple[list[LogRow], Head]:
    """The whole log in order, and its head."""
    rows = await connection.execute(select(t.audit_log).order_by(t.audit_log.c.id))
    stored = select(t.meta.c.value).where(t.meta.c.name == AUDIT_HEAD)
    head = head_of((await connection.execute(stored)).scalar_one_or_none())
    return [log_row(row) for row in rows.mappings()], head


def log_row(row: RowMapping) -> LogRow:
    """A row of ``audit_log`` as the core knows it."""
    return LogRow(**{name: row[name] for name in LogRow.__slots__})


def _view(row: LogRow) -> LogView:
    return LogView(
        id=row.id,
        at_ms=row.at_ms,
        actor=row.actor,
        action=row.action,
        cabinet_id=row.cabinet,
        command_id=row.command_id,
        subject=row.subject,
        outcome=row.outcome,
        slot=row.slot,
        swap_id=row.swap_id,
        reason=row.reason,
        result=row.result,
        evidence=row.evidence,
        hash=row.hash,
    )
