"""Several fleetd at one database: calls that have all begun before any of them may end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from sqlalchemy import Executable, Select, func, select, text

from fleet.store import tables as t
from fleet.store.audit_log import AUDIT_HEAD
from fleet.store.engine import Database

#: Where everything ends that is logged.
LOG: Final = select(t.meta.c.value).where(t.meta.c.name == AUDIT_HEAD).with_for_update()
#: Where small facts are written; they may still be read.
FACTS: Final = text("LOCK TABLE meta IN SHARE MODE")
_TURNS: Final = 20
_POLL_S: Final = 0.002
_DEADLINE_S: Final = 60.0
_WAITING: Final = select(func.count()).select_from(text("pg_locks")).where(text("NOT granted"))


def cabinet_row(cabinet: str) -> Select[Any]:
    """Where orders for one cabinet meet."""
    return select(t.cabinet.c.id).where(t.cabinet.c.id == cabinet).with_for_update()


async def at_once(gate: Database, place: Executable, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
    """What the calls return or raise.

    ``gate`` locks ``place`` until every call waits for a lock or is over: on PostgreSQL each of them
    has then read whatever it decides by, as far as nothing keeps it from doing so. On SQLite there is
    one writer, and they queue up.
    """
    async with gate.write() as connection:
        if gate.dialect == "postgresql":
            await connection.execute(place)
        tasks = [asyncio.ensure_future(call) for call in calls]
        if gate.dialect == "postgresql":
            await _all_wait(gate, tasks)
        else:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def _all_wait(gate: Database, tasks: list[asyncio.Future[Any]]) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            over = sum(task.done() for task in tasks)
            async with gate.read() as connection:
                waiting = int((await connection.execute(_WAITING)).scalar_one())
            if over + waiting >= len(tasks):
                return
            await asyncio.sleep(_POLL_S)


def names(outcomes: list[Any]) -> list[str]:
    """The codes of what was refused, and the types of the rest, sorted."""
    return sorted(getattr(each, "code", None) or type(each).__name__ for each in outcomes)
