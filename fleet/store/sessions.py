"""What becomes of a session at a socket within the transactions of others: answers and events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.plans import Entitlement
from fleet.core.sockets import ASKED, REFUSED, SocketSession, told
from fleet.core.swaps import NO_ANSWER
from fleet.store import tables as t
from fleet.store.entitlements import entitlement_of
from protocols.sockets import SocketBody


async def settle_session(connection: AsyncConnection, row: RowMapping) -> None:
    """What the cabinet answered to ``socket.start``; provisional, until it tells of the session."""
    if row["state"] in {"done", "accepted"}:
        return
    session = msgspec.json.decode(row["args"])["session"]
    where = (t.socket_session.c.id == session) & (t.socket_session.c.state == ASKED)
    values = {"state": REFUSED, "reason": row["result_reason"] or NO_ANSWER}
    await connection.execute(update(t.socket_session).where(where).values(**values))


async def write_sessions(
    connection: AsyncConnection, bodies: Iterable[tuple[str, SocketBody]], now_ms: int
) -> None:
    """Take in what cabinets told, in order; a session that nobody knows is written down as told.

    (After a backup was restored the row may be missing: what a rider drew is not forgotten.)
    """
    own = t.socket_session
    for cabinet, body in bodies:
        if body.session is None:
            continue
        query = select(own).where(own.c.id == body.session).with_for_update()
        row = (await connection.execute(query)).mappings().first()
        if row is None:
            session = _unknown(cabinet, body, now_ms)
            if session is not None:
                held = await entitlement_of(connection, session.rider, now_ms, to_spend=False)
                terms = await terms_at(connection, cabinet, held, now_ms)
                values = asdict(session) | terms | {"idempotency_key": f"told-{session.id}"}
                row = {**values, "cabinet": cabinet}  # type: ignore[assignment]  # read like a row
                await connection.execute(insert(own).values(**values))
        if row is None or row["cabinet"] != cabinet:
            continue  # nobody tells of another cabinet's
        before = session_of(row)
        after = told(before, body, now_ms)
        if after != before:
            where = own.c.id == after.id
            await connection.execute(update(own).where(where).values(**asdict(after)))


def _unknown(cabinet: str, body: SocketBody, now_ms: int) -> SocketSession | None:
    if body.session is None or body.rider_id is None:
        return None
    return SocketSession(
        id=body.session,
        cabinet=cabinet,
        socket=body.socket,
        rider=body.rider_id,
        state=ASKED,
        limit_wh=0,
        limit_s=0,
        created_ms=now_ms,
        updated_ms=now_ms,
    )


async def terms_at(
    connection: AsyncConnection, cabinet: str, held: Entitlement, now_ms: int
) -> dict[str, Any]:
    """What a session of a rider with this plan will cost, and who pays and is told."""
    plan = held.plan
    return {
        **await _prices_at(connection, cabinet),
        "plan": plan.id if plan else None,
        "partner": held.partner,
        "tell_ms": now_ms if held.partner else None,
        "included": plan is not None and plan.quota_wh is not None,
    }


async def _prices_at(connection: AsyncConnection, cabinet: str) -> dict[str, int]:
    """What the cabinet's station asks; nothing where there is no station."""
    own = t.station.c
    query = (
        select(own.price_kwh_minor, own.price_hour_minor)
        .join(t.station_cabinet, t.station_cabinet.c.station == own.id)
        .where(t.station_cabinet.c.cabinet == cabinet)
    )
    row = (await connection.execute(query)).mappings().first()
    return dict(row) if row else {"price_kwh_minor": 0, "price_hour_minor": 0}


def session_of(row: RowMapping | dict[str, Any]) -> SocketSession:
    """A row as the core knows it."""
    return SocketSession(**{name: row[name] for name in SocketSession.__slots__})
