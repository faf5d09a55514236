"""Riders: keyed hash and tail of a phone, number, whether blocked, and what the ledger says they hold."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import ColumnElement, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit_log import DONE
from fleet.core.batch import Keys, Pending
from fleet.core.ids import rider_holder
from fleet.core.ledger import claim
from fleet.core.offline import UNKNOWN_RIDER, number_name
from fleet.core.views import RiderView
from fleet.errors import InvalidError, NotFoundError
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.charging import charge_told
from fleet.store.custody import load_book, swap_of, write_pending
from fleet.store.engine import Database
from fleet.store.meta import DENIALS, NUMBERS, bump, hold_numbers
from fleet.store.swaps import serials_of
from protocols.offline import NUMBER_DIGITS, rider_number

#: With half of all numbers given away, so many tries fail once in a million million.
_NUMBER_TRIES_MAX: Final = 40


def fresh_number() -> str:
    """A number at random: what it is must not tell how many riders there are."""
    return rider_number(secrets.randbelow(10 ** (NUMBER_DIGITS - 1)))


class RiderStore:
    """Access to ``rider``."""

    def __init__(self, database: Database, mint: Callable[[], str] = fresh_number) -> None:
        self._database = database
        self._mint = mint

    async def get(self, rider: str) -> RiderView | None:
        """The rider of this id."""
        return await self._one(t.rider.c.id == rider)

    async def by_hash(self, phone_hash: str) -> RiderView | None:
        """The rider of this phone."""
        return await self._one(t.rider.c.phone_hash == phone_hash)

    async def named(self, name: str) -> RiderView:
        """The rider of this id or number; raise NotFoundError."""
        rider = await self._one(or_(t.rider.c.id == name, t.rider.c.number == name))
        if rider is None:
            raise NotFoundError(f"no rider has the id or number {name}")
        return rider

    async def all(self, *, denied_only: bool = False) -> list[RiderView]:
        """Every rider, by id, without what they hold."""
        query = select(t.rider).order_by(t.rider.c.id)
        if denied_only:
            query = query.where(t.rider.c.denied)
        async with self._database.read() as connection:
            return [_view(row, ()) for row in await connection.execute(query)]

    async def add(self, rider: str, phone_hash: str, tail: str, now_ms: int) -> bool:
        """Register a rider under a fresh number; False when another call was first with this phone."""
        row = {"id": rider, "phone_hash": phone_hash, "phone_tail": tail, "created_ms": now_ms}
        for _ in range(_NUMBER_TRIES_MAX):
            number = self._mint()
            try:
                async with self._database.write() as connection:
                    await bump(connection, NUMBERS)
                    await connection.execute(insert(t.rider).values(number=number, **row))
                    await _claim(connection, number, rider, now_ms)
            except IntegrityError:
                if await self.by_hash(phone_hash) is not None:
                    return False
                continue
            return True
        raise InvalidError("riders: no free number was found; the numbers are running out")

    async def set_number(self, rider: str, number: str, actor: str, now_ms: int) -> int:
        """Give a rider this number and what was done under it; tells how many batteries that is.

        Raises:
            NotFoundError: no such rider.
            InvalidError: another rider has the number.
        """
        async with self._database.write() as connection:
            await bump(connection, NUMBERS)
            query = select(t.rider.c.id).where(t.rider.c.number == number)
            owner = (await connection.execute(query)).scalar_one_or_none()
            if owner not in {None, rider}:
                raise InvalidError(f"number {number}: is the number of {owner}")
            await _change(connection, rider, number=number)
            await _log(connection, now_ms, actor, "rider.number", subject=rider, detail=number)
            return await _claim(connection, number, rider, now_ms)

    async def deny(self, rider: str, reason: str, actor: str, now_ms: int) -> None:
        """Block a rider, online and offline; raise NotFoundError."""
        await self._judge(rider, reason, actor, now_ms, denied=True)

    async def allow(self, rider: str, reason: str, actor: str, now_ms: int) -> None:
        """End a block; raise NotFoundError."""
        await self._judge(rider, reason, actor, now_ms, denied=False)

    async def denied_names(self) -> list[str]:
        """Who is blocked, in the words of a cabinet: each rider by id and by number."""
        query = select(t.rider.c.id, t.rider.c.number).where(t.rider.c.denied)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(t.rider.c.id))
            return [name for row in rows for name in (row.id, number_name(row.number))]

    async def log_ticket(self, rider: str, ticket: str, actor: str, now_ms: int) -> None:
        """Keep who had a ticket made for a rider."""
        async with self._database.write() as connection:
            await _log(connection, now_ms, actor, "ticket.issue", subject=rider, detail=ticket)

    async def _judge(
        self, rider: str, reason: str, actor: str, now_ms: int, *, denied: bool
    ) -> None:
        async with self._database.write() as connection:
            await _change(connection, rider, denied=denied, denied_reason=reason if denied else "")
            action = "rider.deny" if denied else "rider.allow"
            await _log(connection, now_ms, actor, action, subject=rider, detail=reason)
            await bump(connection, DENIALS)

    async def _one(self, where: ColumnElement[bool]) -> RiderView | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(t.rider).where(where))).first()
            if row is None:
                return None
            return _view(row, await serials_of(connection, row.id))


async def riders_of(connection: AsyncConnection, numbers: Collection[str]) -> dict[str, str]:
    """The riders' ids by number; the numbers stay as they are until this transaction ends."""
    if not numbers:
        return {}
    await hold_numbers(connection)
    query = select(t.rider.c.number, t.rider.c.id).where(t.rider.c.number.in_(numbers))
    return {row.number: row.id for row in await connection.execute(query)}


def _view(row: Any, serials: tuple[str, ...]) -> RiderView:
    return RiderView(
        id=row.id,
        phone_tail=row.phone_tail,
        serials=serials,
        number=row.number,
        denied=row.denied,
        denied_reason=row.denied_reason,
    )


async def _change(connection: AsyncConnection, rider: str, **values: Any) -> None:
    result = await connection.execute(update(t.rider).where(t.rider.c.id == rider).values(**values))
    if result.rowcount != 1:
        raise NotFoundError(f"no rider {rider}")


async def _claim(connection: AsyncConnection, number: str, rider: str, now_ms: int) -> int:
    """Book to the rider what happened under a number before it was known whose it is."""
    name = number_name(number)
    before, after = rider_holder(name), rider_holder(rider)
    book = await load_book(connection, Keys(holders={before}))
    pending = Pending()
    pending.add(claim(book, before, after, now_ms))
    await write_pending(connection, book, pending, now_ms)
    swaps = select(t.swap).where(t.swap.c.rider == name).with_for_update()
    rows = (await connection.execute(swaps)).mappings().all()
    for row in rows:
        flags = ",".join(flag for flag in row["flags"].split(",") if flag != UNKNOWN_RIDER)
        change = update(t.swap).where(t.swap.c.id == row["id"])
        # When it ended stays as it was: it is no swap of today.
        await connection.execute(change.values(rider=rider, flags=flags))
    leg, of_these = t.transfer.c, [row["id"] for row in rows]
    for column in (leg.from_holder, leg.to_holder) if rows else ():
        # A leg names whoever its own transaction is of; by name alone all legs would be read.
        legs = update(t.transfer).where(leg.swap_id.in_(of_these), column == before)
        await connection.execute(legs.values({column.name: after}))
    await charge_told(connection, (replace(swap_of(row), rider=rider) for row in rows), now_ms)
    return len(pending.movements)


async def _log(
    connection: AsyncConnection, now_ms: int, actor: str, action: str, *, subject: str, detail: str
) -> None:
    await append(
        connection,
        at_ms=now_ms,
        actor=actor,
        action=action,
        outcome=DONE,
        subject=subject,
        reason=detail,
    )
