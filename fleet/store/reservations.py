"""Reservations: asked for in one transaction with the order to the cabinet, and looked up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.commands import QueuedCommand
from fleet.core.plans import refuse_plan
from fleet.core.records import NewCommand
from fleet.core.reservations import (
    HELD,
    LIVE,
    NO_SHOW_WINDOW_MS,
    REFUSED,
    RELEASED,
    Reservation,
    RiderFacts,
)
from fleet.core.swaps import NO_ANSWER, REFUSALS
from fleet.errors import NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.commands import add_command
from fleet.store.engine import Database
from fleet.store.entitlements import entitlement_of
from fleet.store.holds import live_of, reservation_of


class ReservationStore:
    """Access to ``reservation``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(
        self, wanted: Reservation, order: NewCommand, decide: Callable[[RiderFacts], str | None]
    ) -> tuple[Reservation, list[QueuedCommand]]:
        """Reserve and queue the order; the rider's live one at this cabinet is returned instead.

        A pack that an earlier, unanswered order may have had kept is given free first.

        Raises:
            NotFoundError: no such cabinet or rider.
            RefusedError: ``decide`` returned a code.
        """
        now_ms = wanted.created_ms
        async with self._database.write() as connection:
            rider = select(t.rider.c.denied).where(t.rider.c.id == wanted.rider).with_for_update()
            denied = (await connection.execute(rider)).scalar_one_or_none()
            if denied is None:
                raise NotFoundError(f"no rider {wanted.rider}")
            live = await live_of(connection, wanted.rider, now_ms)
            if live is not None and live.cabinet == wanted.cabinet:
                return live, []
            facts = RiderFacts(
                denied=denied,
                open_swap=await _has_open_swap(connection, wanted.rider),
                elsewhere=live is not None,
                no_shows=await _no_shows(connection, wanted.rider, now_ms),
                plan_refusal=refuse_plan(await entitlement_of(connection, wanted.rider, now_ms)),
            )
            if (code := decide(facts)) is not None:
                raise RefusedError(REFUSALS[code], code=code)
            queued = [
                await add_command(connection, _release(order, number, hold))
                for number, hold in enumerate(await _unheard(connection, wanted))
            ]
            queued.append(await add_command(connection, order))
            row = {name: getattr(wanted, name) for name in wanted.__slots__}
            await connection.execute(insert(t.reservation).values(**row))
            return wanted, queued

    async def live(self, rider: str, now_ms: int) -> Reservation | None:
        """The rider's reservation, if a pack is kept or being asked for."""
        async with self._database.read() as connection:
            return await live_of(connection, rider, now_ms)

    async def newest(self, rider: str, cabinet: str) -> Reservation | None:
        """The rider's last one at this cabinet, however it ended."""
        own = t.reservation.c
        query = select(t.reservation).where(own.rider == rider, own.cabinet == cabinet)
        query = query.order_by(own.created_ms.desc(), own.id.desc()).limit(1)
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
            return None if row is None else reservation_of(row)

    async def release(self, held: Reservation, order: NewCommand) -> QueuedCommand:
        """End one early and queue the order that tells the cabinet."""
        async with self._database.write() as connection:
            where = (t.reservation.c.id == held.id) & t.reservation.c.state.in_(LIVE)
            await connection.execute(update(t.reservation).where(where).values(state=RELEASED))
            return await add_command(connection, order)


async def _unheard(connection: AsyncConnection, wanted: Reservation) -> list[str]:
    """Orders to keep a pack that the cabinet may have carried out without our hearing of it."""
    own = t.reservation.c
    query = select(own.id).where(
        own.rider == wanted.rider,
        own.cabinet == wanted.cabinet,
        own.state == REFUSED,
        own.reason == NO_ANSWER,
        own.expires_ms > wanted.created_ms,
    )
    return list((await connection.execute(query)).scalars())


def _release(order: NewCommand, number: int, hold: str) -> NewCommand:
    id_ = f"free-{number}-{order.id}"
    return replace(order, id=id_, type="pack.release", args={"hold": hold})


async def _has_open_swap(connection: AsyncConnection, rider: str) -> bool:
    query = select(t.swap.c.id).where(t.swap.c.rider == rider, t.swap.c.open).limit(1)
    return (await connection.execute(query)).first() is not None


async def _no_shows(connection: AsyncConnection, rider: str, now_ms: int) -> int:
    """Packs kept in vain lately: held until the time was up, and no transaction meanwhile."""
    own, swap = t.reservation.c, t.swap.c
    came = exists().where(
        swap.rider == rider,
        swap.cabinet == own.cabinet,
        swap.created_ms >= own.created_ms,
        swap.created_ms <= own.expires_ms,
    )
    query = select(func.count()).where(
        own.rider == rider,
        own.state == HELD,
        own.expires_ms <= now_ms,
        own.expires_ms > now_ms - NO_SHOW_WINDOW_MS,
        ~came,
    )
    return int((await connection.execute(query)).scalar_one())
