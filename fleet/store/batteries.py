"""Batteries: import, history, and the rows that the audit reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select, update

from fleet.core.ids import UNKNOWN, is_slot
from fleet.core.ledger import Movement
from fleet.core.records import BatteryRecord, ImportOutcome
from fleet.core.views import LifeView, MovementView, ToldView
from fleet.errors import InvalidError, NotFoundError
from fleet.store import tables as t
from fleet.store.custody import insert_movements
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

    async def life(self, serial: str) -> tuple[dict[str, Any], list[LifeView]]:
        """A battery and every row of its life with the report that it rests on; NotFoundError."""
        move, event, swap = t.movement, t.event, t.swap
        told = (
            (event.c.cabinet == move.c.cabinet)
            & (event.c.epoch == move.c.epoch)
            & (event.c.seq == move.c.seq)
        )
        query = (
            select(
                move, event.c.type, event.c.wall_synced, event.c.received_ms, swap.c.kind,
                swap.c.step,
            )
            .outerjoin(event, told)
            .outerjoin(swap, swap.c.id == move.c.swap_id)
            .where(move.c.serial == serial)
            .order_by(move.c.id)
        )  # fmt: skip
        async with self._database.read() as connection:
            one = select(t.battery).where(t.battery.c.serial == serial)
            row = (await connection.execute(one)).mappings().first()
            if row is None:
                raise NotFoundError(f"no battery {serial}")
            return dict(row), [_life(each) for each in await connection.execute(query)]

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


def _life(row: Any) -> LifeView:
    ends = (row.to_holder, row.from_holder)
    place = next((end for end in ends if is_slot(end)), None)
    cabinet, slot = place.removeprefix("slot:").rsplit(":", 1) if place else (None, None)
    told = None
    if row.cabinet is not None:
        told = ToldView(
            cabinet=row.cabinet,
            epoch=row.epoch,
            seq=row.seq,
            type=row.type,
            wall_synced=row.wall_synced,
            received_ms=row.received_ms,
        )
    return LifeView(
        id=row.id,
        at_ms=row.at_ms,
        from_holder=row.from_holder,
        to_holder=row.to_holder,
        cause=row.cause,
        moves=row.moves,
        cabinet_id=cabinet,
        slot=None if slot is None else int(slot),
        person=next((end for end in ends if end.startswith(("rider:", "transit:"))), None),
        swap_id=row.swap_id,
        swap_kind=row.kind,
        swap_step=row.step,
        flags=tuple(flag for flag in row.flags.split(",") if flag),
        told_by=told,
    )


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
