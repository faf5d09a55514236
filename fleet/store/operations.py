"""Orders of operators: given once per key, logged with the command, read as views."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.commands import QueuedCommand
from fleet.core.operations import ORDERS
from fleet.core.records import NewCommand
from fleet.core.two_person import ASK_LIFE_MS, check_doors
from fleet.core.views import OrderView
from fleet.errors import InvalidError, NotFoundError
from fleet.store import tables as t
from fleet.store.commands import QUEUED, add_command, hold_cabinet
from fleet.store.engine import Database

#: Ends of an order after which the door is as it was.
NOTHING_MOVED: Final = ("refused", "expired")
#: Most commands are riders'. Where staff never ordered anything a year of them would be read.
LOOKED_AT: Final = 2_000


class OperationStore:
    """Access to the orders among ``command_outbox``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def order(self, new: NewCommand, doors_most: int | None = None) -> QueuedCommand | None:
        """Queue and log an order; None when this key gave it earlier.

        ``doors_most`` is given with one that opens a door: so many may be opened one by one.

        Raises:
            NotFoundError: no such cabinet.
            InvalidError: ``key-reused``: the key gave another order.
            RefusedError: ``busy``: too many commands wait for this cabinet; ``second-person``: too
                many of its doors were ordered open lately.
        """
        async with self._database.write() as connection:
            await hold_cabinet(connection, new.cabinet)  # others at this cabinet wait
            known = await _row(connection, new.id)
            if known is None:
                queued = await add_command(connection, new)
                if doors_most is not None:
                    check_doors(await _doors(connection, new), doors_most)
                return queued
            asked = (new.type, new.args, new.actor)
            if (known["type"], msgspec.json.decode(known["args"]), known["actor"]) != asked:
                raise InvalidError("idempotency key: gave another order", code="key-reused")
            return None

    async def view(self, command_id: str) -> OrderView:
        """One order; raise NotFoundError."""
        async with self._database.read() as connection:
            row = await _row(connection, command_id)
        if row is None or row["type"] not in ORDERS:
            raise NotFoundError(f"no order {command_id}")
        return order_view(row)

    async def of_cabinet(self, cabinet: str, limit: int) -> list[OrderView]:
        """The orders at a cabinet, newest first: those among its last ``LOOKED_AT`` commands."""
        outbox = t.command_outbox
        last = select(outbox).where(outbox.c.cabinet == cabinet)
        last = last.order_by(outbox.c.seq.desc()).limit(LOOKED_AT)
        own = last.subquery()
        query = select(own).where(own.c.type.in_(ORDERS))
        query = query.order_by(own.c.seq.desc()).limit(limit)
        async with self._database.read() as connection:
            return [order_view(row) for row in (await connection.execute(query)).mappings()]


async def _doors(connection: AsyncConnection, new: NewCommand) -> set[int]:
    """The doors that were ordered open at this cabinet within the time of an ask, by whomever."""
    outbox = t.command_outbox.c
    query = select(outbox.args).where(
        outbox.cabinet == new.cabinet,
        outbox.type == new.type,
        outbox.created_ms > new.now_ms - ASK_LIFE_MS,
        outbox.seq
        > new.now_ms - ASK_LIFE_MS,  # says nothing new: never below the clock; has an index
        outbox.state.not_in(NOTHING_MOVED),
    )
    rows = await connection.execute(query)
    return {msgspec.json.decode(row.args)["slot"] for row in rows}


async def _row(connection: AsyncConnection, command_id: str) -> RowMapping | None:
    query = select(t.command_outbox).where(t.command_outbox.c.id == command_id)
    return (await connection.execute(query)).mappings().first()


def order_view(row: RowMapping) -> OrderView:
    """A row of ``command_outbox`` as operators see it."""
    args: dict[str, Any] = msgspec.json.decode(row["args"])
    seen: dict[str, Any] = msgspec.json.decode(row["precondition"] or "{}")
    return OrderView(
        id=row["id"],
        cabinet_id=row["cabinet"],
        type=row["type"],
        actor=row["actor"],
        reason=row["reason"],
        outcome="ordered" if row["state"] == QUEUED else row["state"],
        created_ms=row["created_ms"],
        slot=args.get("slot"),
        code=args.get("code"),
        expected_presence=seen.get("presence"),
        expected_serial=seen.get("serial"),
        result=row["result_reason"],
        evidence=row["evidence"] or "",
        answered_ms=row["answered_ms"],
    )
