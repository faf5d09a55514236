"""Orders that wait for a second person: asked, admitted or withdrawn, each with its row in the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.commands import QueuedCommand
from fleet.core.operations import OPERATOR
from fleet.core.records import NewCommand
from fleet.core.two_person import (
    ADMITTED,
    ASKED,
    WITHDRAWN,
    Ask,
    check_admission,
    check_withdrawal,
)
from fleet.errors import NotFoundError, RefusedError
from fleet.store.audit_log import append
from fleet.store.commands import add_command, hold_cabinet
from fleet.store.engine import Database
from fleet.store.tables_orders import order_ask

ASKS_SHOWN_MAX: Final = 20


class AskStore:
    """Access to ``order_ask``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, ask: Ask) -> Ask:
        """Keep and log an ask; the same id again is the same ask.

        Raises:
            NotFoundError: no such cabinet.
            RefusedError: ``asked-already``: another of this kind waits for this cabinet.
        """
        async with self._database.write() as connection:
            await hold_cabinet(connection, ask.cabinet_id)
            known = await _one(connection, ask.id)
            if known is not None:
                return known
            own = order_ask.c
            waiting = select(own.id).where(
                own.cabinet == ask.cabinet_id,
                own.type == ask.type,
                own.state == ASKED,
                own.expires_ms > ask.asked_ms,
            )
            if (await connection.execute(waiting)).first() is not None:
                text = f"{ask.type} at {ask.cabinet_id}: somebody has asked for it already"
                raise RefusedError(text, code="asked-already")
            values = {name: getattr(ask, name) for name in ask.__struct_fields__}
            values["cabinet"] = values.pop("cabinet_id")
            await connection.execute(insert(order_ask).values(**values))
            await _log(connection, ask, ask.asked_name, ASKED, ask.asked_ms)
            return ask

    async def get(self, ask_id: str) -> Ask:
        """One ask; raise NotFoundError."""
        async with self._database.read() as connection:
            return await _known(connection, ask_id)

    async def of_cabinet(self, cabinet: str) -> list[Ask]:
        """The asks at a cabinet, newest first."""
        query = select(order_ask).where(order_ask.c.cabinet == cabinet)
        query = query.order_by(order_ask.c.asked_ms.desc()).limit(ASKS_SHOWN_MAX)
        async with self._database.read() as connection:
            return [ask_of(row) for row in (await connection.execute(query)).mappings()]

    async def waiting(self, now_ms: int) -> list[Ask]:
        """Those that wait for a second person at that time, the oldest first."""
        own = order_ask.c
        query = select(order_ask).where(own.expires_ms > now_ms, own.state == ASKED)
        query = query.order_by(own.asked_ms, own.id).limit(ASKS_SHOWN_MAX)
        async with self._database.read() as connection:
            return [ask_of(row) for row in (await connection.execute(query)).mappings()]

    async def admit(
        self,
        ask_id: str,
        *,
        person: str,
        name: str,
        now_ms: int,
        command: Callable[[Ask], NewCommand],
    ) -> tuple[Ask, QueuedCommand]:
        """Let a second person admit it: the order is queued and logged in the same transaction.

        Raises:
            NotFoundError: no such ask.
            RefusedError: ``ask-over``, ``same-person``, or ``busy``.
        """
        async with self._database.write() as connection:
            ask = await _known(connection, ask_id, lock=True)
            check_admission(ask, person, now_ms)
            queued = await add_command(connection, command(ask))
            changes = {
                "state": ADMITTED,
                "admitted_by": person,
                "admitted_name": name,
                "command_id": queued.id,
            }
            where = order_ask.c.id == ask_id
            await connection.execute(update(order_ask).where(where).values(**changes))
            return await _known(connection, ask_id), queued

    async def withdraw(self, ask_id: str, name: str, now_ms: int) -> Ask:
        """Take it back; raise NotFoundError, or RefusedError ``ask-over``."""
        async with self._database.write() as connection:
            ask = await _known(connection, ask_id, lock=True)
            check_withdrawal(ask, now_ms)
            where = order_ask.c.id == ask_id
            await connection.execute(update(order_ask).where(where).values(state=WITHDRAWN))
            await _log(connection, ask, name, WITHDRAWN, now_ms)
            return await _known(connection, ask_id)


async def _one(connection: AsyncConnection, ask_id: str, *, lock: bool = False) -> Ask | None:
    query = select(order_ask).where(order_ask.c.id == ask_id)
    if lock:
        query = query.with_for_update()
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else ask_of(row)


async def _known(connection: AsyncConnection, ask_id: str, *, lock: bool = False) -> Ask:
    found = await _one(connection, ask_id, lock=lock)
    if found is None:
        raise NotFoundError(f"no ask {ask_id}")
    return found


async def _log(connection: AsyncConnection, ask: Ask, name: str, outcome: str, at_ms: int) -> None:
    await append(
        connection,
        at_ms=at_ms,
        actor=OPERATOR + name,
        action=ask.type,
        outcome=outcome,
        cabinet=ask.cabinet_id,
        subject=ask.id,
        reason=ask.reason,
    )


def ask_of(row: RowMapping) -> Ask:
    """A row of ``order_ask`` as the core knows it."""
    values = {str(name): value for name, value in row.items()}
    values["cabinet_id"] = values.pop("cabinet")
    return Ask(**values)
