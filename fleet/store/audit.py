"""Reads the whole ledger in one snapshot and holds it against every rule; rebuilds the present."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import func, insert, select, text, union_all, update
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit import (
    Link,
    SequenceSpan,
    Violation,
    check_chains,
    check_numbers,
    check_owed,
    check_sequences,
    check_since,
    check_slots,
    check_swaps,
)
from fleet.core.audit_log import DONE, check_log
from fleet.core.audit_orders import check_commands, check_orders, check_two_persons
from fleet.core.audit_sources import Report, check_sources
from fleet.core.audit_swaps import Told, check_legs, check_steps
from fleet.core.ingest import Watermark
from fleet.core.ledger import Battery
from fleet.core.rebuild import Difference, compare
from fleet.store import tables as t
from fleet.store.asks import ask_of
from fleet.store.audit_log import append, read_log
from fleet.store.custody import battery_of, swap_of, transfer_of
from fleet.store.engine import Database
from fleet.store.tables_orders import order_ask
from protocols.messages import BatteryBody, InventoryBody, StepBody

_MOVING = {"battery.in": BatteryBody, "battery.out": BatteryBody, "inventory": InventoryBody}


class AuditStore:
    """Reads everything; writes only when the present is rebuilt."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def audit(self) -> list[Violation]:
        """Every broken invariant."""
        async with self._database.read() as connection:
            await self._at_leisure(connection)
            return await check(connection)

    async def differences(self) -> list[Difference]:
        """Batteries whose stored present is not what their past says."""
        async with self._database.read() as connection:
            await self._at_leisure(connection)
            return compare(await _links(connection), await _batteries(connection))

    async def rebuild(self, actor: str, now_ms: int) -> list[Difference]:
        """Bring the stored present to what the past says; what was wrong is returned and logged."""
        async with self._database.write() as connection:
            await self._at_leisure(connection)
            wrong = compare(await _links(connection), await _batteries(connection))
            for each in wrong:
                await _mend(connection, each)
                await append(
                    connection,
                    at_ms=now_ms,
                    actor=actor,
                    action="ledger.rebuild",
                    outcome=DONE,
                    subject=each.serial,
                    reason=f"{_said(each)}; its movements say {each.past.holder}"[:500],
                )
            return wrong

    async def _at_leisure(self, connection: AsyncConnection) -> None:
        """Between two questions a large ledger is worked through for minutes, in one transaction.

        The role of ``deploy/postgresql/roles.sql`` has its idle transactions ended after one.
        """
        if self._database.dialect == "postgresql":
            setting = text("SET LOCAL idle_in_transaction_session_timeout = 0")
            await connection.execute(setting)


def _said(each: Difference) -> str:
    return "was not stored" if each.stored is None else f"was stored at {each.stored.holder}"


async def _mend(connection: AsyncConnection, each: Difference) -> None:
    past = each.past
    values = {"holder": past.holder, "version": past.version, "since_ms": past.since_ms}
    if each.stored is None:
        row = insert(t.battery).values(
            serial=each.serial, state="registered", disputed=True, **values
        )
        await connection.execute(row)
    else:
        where = t.battery.c.serial == each.serial
        await connection.execute(update(t.battery).where(where).values(**values))


async def check(connection: AsyncConnection) -> list[Violation]:
    """Every broken invariant, as this connection sees the ledger."""
    batteries, links = await _batteries(connection), await _links(connection)
    rows = (await connection.execute(select(t.swap))).mappings().all()
    swaps = [swap_of(row) for row in rows]
    is_open = {row["id"]: bool(row["open"]) for row in rows}
    legs = await connection.execute(select(t.transfer))
    transfers = [transfer_of(row) for row in legs.mappings()]
    spans = [SequenceSpan(*row) for row in await connection.execute(_spans())]
    marks = {
        row.cabinet: Watermark(row.epoch, row.seq)
        for row in await connection.execute(select(t.watermark))
    }
    numbers = {
        row.number: row.id
        for row in await connection.execute(select(t.rider.c.number, t.rider.c.id))
    }
    owed = {(row.serial, row.holder) for row in await connection.execute(select(t.owed))}
    log, head = await read_log(connection)
    outbox = t.command_outbox.c
    ordered = (
        await connection.execute(select(outbox.id, outbox.actor, outbox.state, outbox.type))
    ).all()
    asks = [ask_of(row) for row in (await connection.execute(select(order_ask))).mappings()]
    seqs = await connection.execute(
        select(t.cabinet.c.id, t.cabinet.c.command_seq, func.max(outbox.seq))
        .join(t.command_outbox, outbox.cabinet == t.cabinet.c.id)
        .group_by(t.cabinet.c.id, t.cabinet.c.command_seq)
    )
    return [
        *check_chains(links, batteries),
        *check_since(links, batteries),
        *check_slots(batteries.values()),
        *check_owed(owed, batteries),
        *check_swaps(swaps, links, transfers),
        *check_legs(swaps, links, transfers),
        *check_steps(swaps, await _told(connection), is_open),
        *check_sources(links, await _reports(connection)),
        *check_numbers(numbers, swaps, batteries.values()),
        *check_sequences(spans, marks),
        *check_log(log, head),
        *check_orders(((row.id, row.actor, row.state) for row in ordered), log),
        *check_two_persons(((row.id, row.type) for row in ordered), asks),
        *check_commands(tuple(row) for row in seqs),
    ]


async def _batteries(connection: AsyncConnection) -> dict[str, Battery]:
    rows = await connection.execute(select(t.battery))
    return {row["serial"]: battery_of(row) for row in rows.mappings()}


async def _links(connection: AsyncConnection) -> list[Link]:
    move, event = t.movement, t.event
    told = (
        (event.c.cabinet == move.c.cabinet)
        & (event.c.epoch == move.c.epoch)
        & (event.c.seq == move.c.seq)
    )
    query = select(move, event.c.wall_synced).outerjoin(event, told).order_by(move.c.id)
    return [
        Link(
            row.id,
            row.serial,
            row.from_holder,
            row.to_holder,
            row.swap_id,
            row.moves,
            row.at_ms,
            row.cause,
            tuple(flag for flag in row.flags.split(",") if flag),
            None if row.cabinet is None else (row.cabinet, row.epoch, row.seq),
            synced=row.wall_synced is not False,
        )
        for row in await connection.execute(query)
    ]


async def _reports(connection: AsyncConnection) -> list[Report]:
    query = select(t.event).where(t.event.c.type.in_(_MOVING))
    return [
        Report(
            (row.cabinet, row.epoch, row.seq),
            row.type,
            msgspec.json.decode(row.body, type=_MOVING[row.type]),
        )
        for row in await connection.execute(query)
    ]


async def _told(connection: AsyncConnection) -> list[Told]:
    query = select(t.event.c.cabinet, t.event.c.body).where(t.event.c.type == "swap.step")
    query = query.order_by(t.event.c.cabinet, t.event.c.epoch, t.event.c.seq)
    bodies = [
        (row.cabinet, msgspec.json.decode(row.body, type=StepBody))
        for row in await connection.execute(query)
    ]
    return [Told(cabinet, body.swap_id, body.step) for cabinet, body in bodies]


def _spans() -> Any:
    poison = t.quarantine_event
    both = union_all(
        select(t.event.c.cabinet, t.event.c.epoch, t.event.c.seq),
        select(poison.c.cabinet, poison.c.epoch, poison.c.seq).where(poison.c.seq.is_not(None)),
    ).subquery()
    seq = both.c.seq
    return (
        select(
            both.c.cabinet, both.c.epoch, func.min(seq), func.max(seq), func.count(seq.distinct())
        )
        .group_by(both.c.cabinet, both.c.epoch)
        .order_by(both.c.cabinet, both.c.epoch)
    )
