"""A rider's own data: what the rider holds, everything that is kept, and forgetting it."""

from __future__ import annotations

import secrets
from typing import Any, Final

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.account_views import ExportView, PackView
from fleet.core.audit_log import DONE
from fleet.core.ids import rider_holder
from fleet.core.swaps import REFUSALS
from fleet.errors import NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.engine import Database
from fleet.store.entitlements import lasting
from fleet.store.hand_over import telling, told_of
from fleet.store.meta import DENIALS, bump
from fleet.store.plans import charge_views
from fleet.store.swaps import serials_of
from fleet.store.tables_accounts import charge, partner_rider, subscription

ROWS_MAX: Final = 5_000
FORGOTTEN: Final = "deleted"


class PrivacyStore:
    """Reading and forgetting what belongs to one rider."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def packs(self, rider: str) -> tuple[PackView, ...]:
        """The batteries in a rider's hands, and what was known at the hand-over."""
        async with self._database.read() as connection:
            return await _packs(connection, rider)

    async def export(self, rider: str) -> ExportView:
        """Everything that is kept of a rider; raise NotFoundError."""
        async with self._database.read() as connection:
            query = select(t.rider).where(t.rider.c.id == rider)
            row = (await connection.execute(query)).mappings().first()
            if row is None:
                raise NotFoundError(f"no rider {rider}")
            return ExportView(
                rider_id=rider,
                number=row["number"],
                phone_tail=row["phone_tail"],
                created_ms=row["created_ms"],
                denied_reason=row["denied_reason"],
                packs=await _packs(connection, rider),
                swaps=await _rows(connection, t.swap, t.swap.c.rider == rider),
                reservations=await _rows(connection, t.reservation, t.reservation.c.rider == rider),
                subscriptions=await _rows(connection, subscription, subscription.c.rider == rider),
                charges=tuple(await charge_views(connection, charge.c.rider == rider, ROWS_MAX)),
                partner_subjects=await _rows(
                    connection, partner_rider, partner_rider.c.rider == rider
                ),
                audit_log=await _rows(connection, t.audit_log, t.audit_log.c.subject == rider),
                socket_sessions=await _rows(
                    connection, t.socket_session, t.socket_session.c.rider == rider
                ),
                reports=await _rows(connection, t.report, t.report.c.rider == rider),
            )

    async def forget(self, rider: str, actor: str, now_ms: int) -> None:
        """Delete what tells who a rider is; the ledger keeps the bare id, so that no battery is lost.

        Raises:
            NotFoundError: no such rider.
            RefusedError: ``holds-battery``, ``open-swap``, ``open-session``: that must end first;
                ``denied-rider``: who is blocked does not end the block by a new account.
        """
        async with self._database.write() as connection:
            own = t.rider.c
            query = select(own.phone_hash, own.denied).where(own.id == rider).with_for_update()
            row = (await connection.execute(query)).first()
            if row is None:
                raise NotFoundError(f"no rider {rider}")
            if row.denied and actor == rider:
                raise RefusedError(REFUSALS["denied-rider"], code="denied-rider")
            await _must_be_done(connection, rider, now_ms)
            await _erase(connection, rider, row.phone_hash, now_ms)
            await append(
                connection,
                at_ms=now_ms,
                actor=actor,
                action="rider.forget",
                outcome=DONE,
                cabinet="",
                command_id="",
                subject=rider,
                reason="",
                evidence="",
            )
            await bump(connection, DENIALS)


async def _must_be_done(connection: AsyncConnection, rider: str, now_ms: int) -> None:
    """Raise RefusedError while something of the rider is still under way."""
    if await serials_of(connection, rider):
        raise RefusedError("the rider holds a battery", code="holds-battery")
    is_open = select(t.swap.c.id).where(t.swap.c.rider == rider, t.swap.c.open).limit(1)
    if (await connection.execute(is_open)).first() is not None:
        raise RefusedError("the rider has an unfinished transaction", code="open-swap")
    charging = (t.socket_session.c.rider == rider) & lasting(now_ms)
    if (await connection.execute(select(t.socket_session.c.id).where(charging))).first():
        raise RefusedError("the rider charges at a socket", code="open-session")


async def _erase(connection: AsyncConnection, rider: str, phone_hash: str, now_ms: int) -> None:
    pictures = select(t.report.c.photo).where(t.report.c.rider == rider)
    for table, where in (
        (t.photo, t.photo.c.id.in_(pictures)),
        (t.report, t.report.c.rider == rider),
        (t.session, t.session.c.rider_id == rider),
        (t.login_code, t.login_code.c.phone_hash == phone_hash),
        (partner_rider, partner_rider.c.rider == rider),
    ):
        await connection.execute(delete(table).where(where))
    ends = update(subscription).where(
        subscription.c.rider == rider,
        or_(subscription.c.until_ms.is_(None), subscription.c.until_ms > now_ms),
    )
    await connection.execute(ends.values(until_ms=now_ms))
    # Denied too: the number in a phone's storage must open nothing any more.
    gone = update(t.rider).where(t.rider.c.id == rider)
    await connection.execute(
        gone.values(
            phone_hash=f"{FORGOTTEN}:{secrets.token_hex(24)}",
            phone_tail="",
            denied=True,
            denied_reason=FORGOTTEN,
        )
    )


async def _rows(connection: AsyncConnection, table: Any, where: Any) -> tuple[dict[str, Any], ...]:
    rows = await connection.execute(select(table).where(where).limit(ROWS_MAX))
    return tuple(dict(row) for row in rows.mappings())


async def _packs(connection: AsyncConnection, rider: str) -> tuple[PackView, ...]:
    query = select(t.battery).where(t.battery.c.holder == rider_holder(rider))
    rows = list((await connection.execute(query.order_by(t.battery.c.serial))).mappings())
    return tuple([await _pack(connection, row, rider) for row in rows])


async def _pack(connection: AsyncConnection, row: Any, rider: str) -> PackView:
    move = t.movement.c
    last = select(move.at_ms, t.event.c.body).select_from(t.movement.outerjoin(t.event, telling()))
    last = last.where(move.serial == row["serial"], move.to_holder == rider_holder(rider))
    found = (await connection.execute(last.order_by(move.id.desc()).limit(1))).first()
    lent = select(func.count()).where(
        move.serial == row["serial"], move.to_holder.startswith("rider:"), move.moves
    )
    told = told_of(row["serial"], found.body if found else None)
    return PackView(
        serial=row["serial"],
        since_ms=found.at_ms if found else row["since_ms"],
        model=row["model"],
        capacity_wh=row["capacity_wh"],
        soc_pct=told.soc_pct,
        capacity_ah=told.capacity_ah,
        cycles=told.cycles,
        lent=int((await connection.execute(lent)).scalar_one()),
    )
