"""What becomes of a reservation within the transactions of others: answers, and swaps that begin."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.reservations import ASKED, HELD, LIVE, REFUSED, USED, Reservation, slot_in
from fleet.store import tables as t


async def settle_hold(
    connection: AsyncConnection, hold: str, outcome: str, reason: str | None, evidence: str
) -> None:
    """What the cabinet answered to ``pack.hold``."""
    held = outcome == "done"
    values: dict[str, Any] = {"state": HELD if held else REFUSED, "reason": reason}
    if held:
        values["slot"] = slot_in(evidence)
    where = (t.reservation.c.id == hold) & (t.reservation.c.state == ASKED)
    await connection.execute(update(t.reservation).where(where).values(**values))


async def use_hold(connection: AsyncConnection, rider: str, cabinet: str) -> None:
    """The rider has come: the cabinet took the kept pack into the transaction."""
    own = t.reservation.c
    where = (own.rider == rider) & (own.cabinet == cabinet) & own.state.in_(LIVE)
    await connection.execute(update(t.reservation).where(where).values(state=USED))


async def live_of(connection: AsyncConnection, rider: str, now_ms: int) -> Reservation | None:
    """The rider's live reservation."""
    own = t.reservation.c
    query = select(t.reservation).where(
        own.rider == rider, own.state.in_(LIVE), own.expires_ms > now_ms
    )
    row = (await connection.execute(query.order_by(own.created_ms.desc()))).mappings().first()
    return None if row is None else reservation_of(row)


def reservation_of(row: RowMapping) -> Reservation:
    """A row of ``reservation`` as the core knows it."""
    return Reservation(**{name: row[name] for name in Reservation.__slots__})
