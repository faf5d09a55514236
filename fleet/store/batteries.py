"""Batteries: import, history, and the rows that the audit reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, select, union_all, update

from fleet.core.audit import (
    Link,
    SequenceSpan,
    Violation,
    check_chains,
    check_numbers,
    check_sequences,
    check_slots,
    check_swaps,
)
from fleet.core.audit_log import check_log
from fleet.core.ids import UNKNOWN, is_slot
from fleet.core.ingest import Watermark
from fleet.core.ledger import Movement
from fleet.core.records import BatteryRecord, ImportOutcome
from fleet.core.views import MovementView
from fleet.errors import InvalidError, NotFoundError
from fleet.store import tables as t
from fleet.store.audit_log import read_log
from fleet.store.custody import battery_of, insert_movements, swap_of, transfer_of
from fleet.store.engine import Database, chunks
from fleet.store.meta import BATTERIES, bump
from fleet.store.swaps import movement_views


class BatteryStore:
    """Access to ``battery`` and the ledger as a whole."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, records: Sequence[BatteryRecord], now_ms: int) -> ImportOutcome:
        """Register batteries where the papers say they are.

        One that is known keeps its place; only what it is gets updated.

        Raises:
            InvalidError: two of them in one slot, or a slot that is taken. Nothing is written.
        """
        added: list[BatteryRecord] = []
        kept: list[str] = []
        async with self._database.write() as connection:
            known: dict[str, str] = {}
            taken: dict[str, str] = {}
            for part in chunks(record.serial for record in records):
                query = select(t.battery).where(t.battery.c.serial.in_(part)).with_for_update()
                rows = await connection.execute(query)
                known.update({row.serial: row.holder for row in rows})
            for part in chunks(record.holder for record in records if is_slot(record.holder)):
                rows = await connection.execute(
                    select(t.battery).where(t.battery.c.holder.in_(part))
                )
                taken.update({row.holder: row.serial for row in rows})
            for record in records:
                if record.serial in known:
                    if known[record.serial] != record.holder:
                        kept.append(record.serial)
                    what = {"model": record.model, "capacity_wh": record.capacity_wh}
                    query_up = update(t.battery).where(t.battery.c.serial == record.serial)
                    await connection.execute(query_up.values(state="registered", **what))
                    continue
                place = record.holder if is_slot(record.holder) else record.serial
                if (other := taken.setdefault(place, record.serial)) != record.serial:
                    raise InvalidError(f"battery {record.serial}: {record.holder} has {other}")
                known[record.serial] = record.holder
                added.append(record)
            await insert_movements(connection, (_arrival(record, now_ms) for record in added))
            if added:
                await connection.execute(insert(t.battery), [_row(record) for record in added])
            await bump(connection, BATTERIES)
        return ImportOutcome(len(added), len(records) - len(added), tuple(kept))

    async def serials(self) -> list[str]:
        """All registered packs."""
        query = select(t.battery.c.serial).where(t.battery.c.state == "registered")
        async with self._database.read() as connection:
            return list((await connection.execute(query.order_by(t.battery.c.serial))).scalars())

    async def history(self, serial: str) -> tuple[dict[str, Any], list[MovementView]]:
        """A battery and all its rows in the ledger; raise NotFoundError."""
        where = t.movement.c.serial == serial
        async with self._database.read() as connection:
            one = select(t.battery).where(t.battery.c.serial == serial)
            row = (await connection.execute(one)).mappings().first()
            if row is None:
                raise NotFoundError(f"no battery {serial}")
            query = select(t.movement).where(where).order_by(t.movement.c.id)
            return dict(row), movement_views((await connection.execute(query)).mappings())

    async def audit(self) -> list[Violation]:
        """Check the whole ledger against its invariants, in one snapshot."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(t.battery))
            batteries = {row["serial"]: battery_of(row) for row in rows.mappings()}
            rows = await connection.execute(select(t.movement).order_by(t.movement.c.id))
            links = [
                Link(row.id, row.serial, row.from_holder, row.to_holder, row.swap_id, row.moves)
                for row in rows
            ]
            swaps = [swap_of(row) for row in (await connection.execute(select(t.swap))).mappings()]
            rows = await connection.execute(select(t.transfer))
            transfers = [transfer_of(row) for row in rows.mappings()]
            spans = [SequenceSpan(*row) for row in await connection.execute(_spans())]
            rows = await connection.execute(select(t.watermark))
            marks = {row.cabinet: Watermark(row.epoch, row.seq) for row in rows}
            rows = await connection.execute(select(t.rider.c.number, t.rider.c.id))
            numbers = {row.number: row.id for row in rows}
            log, head = await read_log(connection)
        return [
            *check_chains(links, batteries),
            *check_slots(batteries.values()),
            *check_swaps(swaps, links, transfers),
            *check_numbers(numbers, swaps, batteries.values()),
            *check_sequences(spans, marks),
            *check_log(log, head),
        ]


def _arrival(record: BatteryRecord, now_ms: int) -> Movement:
    return Movement(record.serial, UNKNOWN, record.holder, "import", now_ms)


def _row(record: BatteryRecord) -> dict[str, Any]:
    return {
        "serial": record.serial,
        "model": record.model,
        "capacity_wh": record.capacity_wh,
        "holder": record.holder,
        "version": 1,
        "state": "registered",
        "disputed": False,
        "since_ms": 0,  # papers never outdate what a sensor reports, however late
    }


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
