"""Sessions at sockets: begun with the order to the cabinet, changed with its events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.commands import QueuedCommand
from fleet.core.plans import Entitlement, refuse_socket
from fleet.core.records import NewCommand
from fleet.core.sockets import (
    ASKED,
    ENDED,
    REFUSALS,
    NewSession,
    SessionFacts,
    SocketSession,
)
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.commands import add_command
from fleet.store.engine import Database
from fleet.store.entitlements import entitlement_of, lasting
from fleet.store.sessions import session_of, terms_at


class SocketStore:
    """Access to ``socket_session``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(
        self, new: NewSession, decide: Callable[[SessionFacts], str | None]
    ) -> QueuedCommand | str:
        """Row and order in one transaction; or the id of the session that this key began earlier.

        A plan that counts energy lets a session have no more than what is left of it.

        Raises:
            NotFoundError: no such cabinet or rider.
            InvalidError: the key began another session.
            RefusedError: ``decide`` returned a code.
        """
        async with self._database.write() as connection:
            query = select(t.rider.c.denied).where(t.rider.c.id == new.rider).with_for_update()
            denied = (await connection.execute(query)).scalar_one_or_none()
            if denied is None:
                raise NotFoundError(f"no rider {new.rider}")
            if (known := await _by_key(connection, new)) is not None:
                return known
            held = await entitlement_of(connection, new.rider, new.now_ms)
            facts = await _facts(connection, new, held, denied=denied)
            if (code := decide(facts)) is not None:
                raise RefusedError(REFUSALS[code], code=code)
            if held.left_wh is not None:
                new = replace(new, limit_wh=min(new.limit_wh, held.left_wh))
            command = await add_command(connection, _order(new))
            terms = await terms_at(connection, new.cabinet, held, new.now_ms)
            await connection.execute(
                insert(t.socket_session).values(
                    id=new.id,
                    cabinet=new.cabinet,
                    socket=new.socket,
                    rider=new.rider,
                    idempotency_key=new.key,
                    state=ASKED,
                    limit_wh=new.limit_wh,
                    limit_s=new.limit_s,
                    energy_wh=0,
                    duration_s=0,
                    created_ms=new.now_ms,
                    updated_ms=new.now_ms,
                    **terms,
                )
            )
            return command

    async def get(self, session_id: str) -> SocketSession:
        """One session; raise NotFoundError."""
        own = t.socket_session
        async with self._database.read() as connection:
            row = await connection.execute(select(own).where(own.c.id == session_id))
            found = row.mappings().first()
        if found is None:
            raise NotFoundError(f"no session {session_id}")
        return session_of(found)

    async def of_rider(self, rider: str, limit: int) -> list[SocketSession]:
        """A rider's sessions, newest first."""
        own = t.socket_session.c
        query = select(t.socket_session).where(own.rider == rider)
        query = query.order_by(own.created_ms.desc(), own.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return [session_of(row) for row in (await connection.execute(query)).mappings()]

    async def drawn_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int, float]]:
        """What sessions took: (cabinet, interval of their beginning, Wh, mean length in s)."""
        own = t.socket_session.c
        place = ((own.created_ms - since_ms) // interval_ms).label("place")
        query = (
            select(own.cabinet, place, func.sum(own.energy_wh), func.avg(own.duration_s))
            .where(own.created_ms >= since_ms, own.created_ms < until_ms, own.energy_wh > 0)
            .group_by(own.cabinet, place)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return [(row[0], int(row[1]), int(row[2]), float(row[3])) for row in rows]


async def _facts(
    connection: AsyncConnection, new: NewSession, held: Entitlement, *, denied: bool
) -> SessionFacts:
    own = t.socket_session.c
    mine = select(own.id).where(own.rider == new.rider, lasting(new.now_ms)).limit(1)
    here = select(own.id).where(
        own.cabinet == new.cabinet,
        own.socket == new.socket,
        own.state == ASKED,
        lasting(new.now_ms),
    )
    shown = select(own.state).where(own.id == new.shown)
    state = (await connection.execute(shown)).scalar_one_or_none() if new.shown else None
    return SessionFacts(
        no_plan=refuse_socket(held),
        shown_ended=state == ENDED,
        denied=denied,
        rider_open=(await connection.execute(mine)).first() is not None,
        socket_open=(await connection.execute(here.limit(1))).first() is not None,
    )


async def _by_key(connection: AsyncConnection, new: NewSession) -> str | None:
    own = t.socket_session.c
    query = select(own.id, own.cabinet, own.socket).where(
        own.rider == new.rider, own.idempotency_key == new.key
    )
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    if (row.cabinet, row.socket) != (new.cabinet, new.socket):
        raise InvalidError("idempotency key: it began another session")
    return str(row.id)


def _order(new: NewSession) -> NewCommand:
    args: dict[str, Any] = {
        "socket": new.socket,
        "session": new.id,
        "rider_id": new.rider,
        "limit_wh": new.limit_wh,
        "limit_s": new.limit_s,
    }
    return NewCommand(
        id=f"start-{new.id}",
        cabinet=new.cabinet,
        type="socket.start",
        args=args,
        actor=new.rider,
        now_ms=new.now_ms,
        expires_ms=new.expires_ms,
    )
