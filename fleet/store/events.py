"""Committing events: one transaction per batch takes in order, custody and watermark together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.batch import Plan
from fleet.core.ingest import BATCH_EVENTS_MAX, Arrival, BatchOutcome, Watermark
from fleet.store import tables as t
from fleet.store.charging import charge_told, tell_again
from fleet.store.custody import StaleFactsError, load_book, write_pending
from fleet.store.engine import Database, StoreError
from fleet.store.riders import riders_of
from fleet.store.sessions import write_sessions
from protocols.sockets import SocketBody

_STALE_TRIES_MAX: Final = 5
_ERROR_CHARS_MAX: Final = 2_000


class EventStore:
    """The durable end of the cabinets' outboxes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit(self, arrivals: Sequence[Arrival], now_ms: int) -> BatchOutcome:
        """Commit a batch in the order given; the outcome tells what to acknowledge.

        An event that the store refuses for its own content goes to quarantine.

        Raises:
            StoreError: the store is out of reach; nothing is committed, try again.
        """
        outcome = BatchOutcome()
        for start in range(0, len(arrivals), BATCH_EVENTS_MAX):
            part = arrivals[start : start + BATCH_EVENTS_MAX]
            try:
                outcome.merge(await self._commit(part, now_ms))
            except (SQLAlchemyError, OverflowError, UnicodeError):
                for arrival in part:
                    outcome.merge(await self._commit_alone(arrival, now_ms))
        return outcome

    async def watermarks(self) -> dict[str, Watermark]:
        """What is committed of every cabinet."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(t.watermark))
            return {row.cabinet: Watermark(row.epoch, row.seq) for row in rows}

    async def _commit_alone(self, arrival: Arrival, now_ms: int) -> BatchOutcome:
        try:
            return await self._commit([arrival], now_ms)
        except (SQLAlchemyError, OverflowError, UnicodeError) as error:
            poison = Arrival(
                arrival.cabinet,
                arrival.epoch,
                arrival.seq,
                arrival.payload,
                None,
                f"store: {error}",
            )
            return await self._commit([poison], now_ms)

    async def _commit(self, arrivals: Sequence[Arrival], now_ms: int) -> BatchOutcome:
        for _ in range(_STALE_TRIES_MAX):
            try:
                async with self._database.write() as connection:
                    return await _commit_in(connection, arrivals, now_ms, self._database.dialect)
            except StaleFactsError:
                continue
        raise StoreError("store: other writers kept moving the same batteries")


async def _commit_in(
    connection: AsyncConnection, arrivals: Sequence[Arrival], now_ms: int, dialect: str
) -> BatchOutcome:
    plan = Plan(marks=await _marks(connection, {arrival.cabinet for arrival in arrivals}))
    for arrival in arrivals:
        plan.judge(arrival)
    plan.name_riders(await riders_of(connection, plan.numbers()))
    keys = plan.keys()
    book = await load_book(connection, keys)
    pending = plan.work_out(book.copy(), now_ms)
    await _insert_events(connection, plan, now_ms)
    await write_pending(connection, book, pending, now_ms)
    begun = [swap for name, swap in pending.swaps.items() if name not in book.swaps]
    await charge_told(connection, begun, now_ms)
    touched = {*pending.swaps, *(swap for swap, _ in pending.transfers)}
    over = {name for name in touched if name in book.swaps and not book.swaps[name].open}
    if over:
        await tell_again(connection, over, now_ms)
    told = [(at.cabinet, body) for at, _, body in plan.sound if isinstance(body, SocketBody)]
    await write_sessions(connection, told, now_ms)
    await _insert_quarantine(connection, plan, now_ms, dialect)
    for cabinet in sorted(plan.moved):
        mark = plan.marks[cabinet]
        query = update(t.watermark).where(t.watermark.c.cabinet == cabinet)
        await connection.execute(query.values(epoch=mark.epoch, seq=mark.seq))
    return plan.outcome


async def _marks(connection: AsyncConnection, cabinets: set[str]) -> dict[str, Watermark]:
    query = (
        select(t.watermark)
        .where(t.watermark.c.cabinet.in_(cabinets))
        .order_by(t.watermark.c.cabinet)  # everyone locks in the same order
        .with_for_update()
    )
    rows = await connection.execute(query)
    return {row.cabinet: Watermark(row.epoch, row.seq) for row in rows}


async def _insert_events(connection: AsyncConnection, plan: Plan, now_ms: int) -> None:
    rows = [
        {
            "cabinet": arrival.cabinet,
            "epoch": event.epoch,
            "seq": event.seq,
            "boot_id": event.boot_id,
            "mono_ms": event.mono_ms,
            "wall_ms": event.wall_ms,
            "wall_synced": event.wall_synced,
            "type": event.type,
            "body": bytes(event.body).decode(),
            "received_ms": now_ms,
        }
        for arrival, event, _ in plan.sound
    ]
    if rows:
        await connection.execute(insert(t.event), rows)


async def _insert_quarantine(
    connection: AsyncConnection, plan: Plan, now_ms: int, dialect: str
) -> None:
    rows: list[dict[str, Any]] = [
        {
            "cabinet": arrival.cabinet,
            "digest": hashlib.sha256(arrival.payload).hexdigest(),
            "epoch": arrival.epoch,
            "seq": arrival.seq,
            "payload": arrival.payload,
            "error": error[:_ERROR_CHARS_MAX].replace("\x00", ""),
            "received_ms": now_ms,
        }
        for arrival, error in plan.poison
    ]
    if rows:
        make = sqlite.insert if dialect == "sqlite" else postgresql.insert
        await connection.execute(make(t.quarantine_event).on_conflict_do_nothing(), rows)
