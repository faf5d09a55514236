"""Reading for the operator's lists: one page at a time, by the keys that the rows are ordered by."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Select, String, and_, cast, func, literal, literal_column, or_, select
from sqlalchemy.engine import RowMapping

from fleet.core.desk import (
    PackFilter,
    PackRow,
    RiderFilter,
    RiderRow,
    SwapEvent,
    SwapFilter,
    SwapRow,
    Told,
)
from fleet.core.ids import rider_holder
from fleet.errors import NotFoundError
from fleet.store import tables as t
from fleet.store.arrivals import arrived_between
from fleet.store.custody import split_flags
from fleet.store.engine import Database
from fleet.store.hand_over import telling, told_of
from fleet.store.tables_accounts import subscription
from protocols.messages import SLOTS_MAX, BatteryBody, StepBody

ROWS_MAX = 1_000
EVENTS_MAX = 500
#: A cabinet's events of a swap arrive within so long of the swap's row.
AROUND_MS = 3_600_000
_SLOTS = (
    select(literal_column("1").label("number"))
    .union_all(*(select(literal_column(str(each))) for each in range(2, SLOTS_MAX + 1)))
    .subquery()
)
_TYPES = ("swap.step", "battery.in", "battery.out")


class DeskStore:
    """Access to packs, swaps and riders as lists."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def packs(self, wanted: PackFilter) -> list[PackRow]:
        """Packs by serial."""
        row = t.battery.c
        query = select(t.battery).where(row.serial > wanted.after).order_by(row.serial)
        if wanted.serial:
            query = query.where(row.serial.startswith(wanted.serial, autoescape=True))
        if wanted.place:
            whole = row.holder == wanted.place
            begins = row.holder.startswith(f"{wanted.place}:", autoescape=True)
            query = query.where(or_(whole, begins))
        if wanted.cabinet:
            query = query.where(row.holder.startswith(f"slot:{wanted.cabinet}:", autoescape=True))
        if wanted.state:
            query = query.where(row.state == wanted.state)
        if wanted.disputed:
            query = query.where(row.disputed)
        if wanted.cabinets is not None:
            query = query.where(row.holder.in_(_slots_of(wanted.cabinets)))
        rows = await self._rows(query.limit(min(wanted.limit, ROWS_MAX)))
        return [_pack(each) for each in rows]

    async def pack(self, serial: str) -> PackRow:
        """One pack; raise NotFoundError."""
        rows = await self._rows(select(t.battery).where(t.battery.c.serial == serial))
        if not rows:
            raise NotFoundError(f"no battery {serial}")
        return _pack(rows[0])

    async def told(self, serial: str) -> list[Told]:
        """What cabinets told of a pack as it came and went, the oldest first."""
        move = t.movement.c
        joined = t.movement.join(t.event, telling())
        query = select(move.at_ms, t.event.c.body).select_from(joined)
        query = query.where(move.serial == serial).order_by(move.id.desc()).limit(ROWS_MAX)
        found = []
        for row in await self._rows(query):
            told = told_of(serial, row["body"])
            known = (told.soc_pct, told.capacity_ah, told.cycles)
            if known != (None, None, None):
                soc, capacity, cycles = known
                found.append(
                    Told(at_ms=row["at_ms"], soc_pct=soc, capacity_ah=capacity, cycles=cycles)
                )
        return found[::-1]

    async def swaps(self, wanted: SwapFilter) -> list[SwapRow]:
        """Swaps, the newest first."""
        row = t.swap.c
        query = select(t.swap).order_by(row.created_ms.desc(), row.id.desc())
        for column, value in (
            (row.id, wanted.swap), (row.cabinet, wanted.cabinet), (row.rider, wanted.rider),
            (row.kind, wanted.kind), (row.reason, wanted.reason),
        ):  # fmt: skip
            if value:
                query = query.where(column == value)
        if wanted.outcome:
            over = and_(~row.open, row.step == wanted.outcome)
            query = query.where(row.open if wanted.outcome == "open" else over)
        if wanted.flagged:
            query = query.where(t.FLAGGED)
        if wanted.since_ms is not None:
            query = query.where(row.created_ms >= wanted.since_ms)
        if wanted.until_ms is not None:
            query = query.where(row.created_ms < wanted.until_ms)
        if wanted.before is not None:
            at_ms, last = wanted.before
            same = and_(row.created_ms == at_ms, row.id < last)
            # The first condition says nothing new; an index can begin there.
            query = query.where(row.created_ms <= at_ms, or_(row.created_ms < at_ms, same))
        if wanted.cabinets is not None:
            query = query.where(row.cabinet.in_(sorted(wanted.cabinets)))
        rows = await self._rows(query.limit(min(wanted.limit, ROWS_MAX)))
        return [_swap(each) for each in rows]

    async def swap_events(self, swap: SwapRow) -> list[SwapEvent]:
        """What was told of a swap, in the order in which it happened at the cabinet."""
        event, order = t.event.c, t.command_outbox.c
        span = (swap.created_ms - AROUND_MS, swap.updated_ms + AROUND_MS)
        async with self._database.read() as connection:
            then = await arrived_between(connection, swap.cabinet_id, *span)
        told = (
            select(t.event)
            .where(then, event.type.in_(_TYPES), event.body.contains(swap.id, autoescape=True))
            .order_by(event.epoch, event.seq)
            .limit(EVENTS_MAX)
        )
        orders = select(t.command_outbox).where(order.swap_id == swap.id).order_by(order.seq)
        found: list[SwapEvent] = []
        for row in await self._rows(orders.limit(EVENTS_MAX)):
            found += _orders(row)
        for row in await self._rows(told):
            found += _told(row, swap.id)
        return found

    async def riders(self, wanted: RiderFilter) -> list[RiderRow]:
        """Riders by id, with how many packs they hold."""
        row = t.rider.c
        held = (
            select(func.count())
            .select_from(t.battery)
            .where(t.battery.c.holder == rider_holder("") + row.id)
            .scalar_subquery()
        )
        query = select(t.rider, held.label("packs")).where(row.id > wanted.after).order_by(row.id)
        if wanted.query:
            known = (row.id == wanted.query, row.number == wanted.query)
            query = query.where(or_(*known, row.phone_tail == wanted.query))
        if wanted.blocked:
            query = query.where(row.denied)
        rows = await self._rows(query.limit(min(wanted.limit, ROWS_MAX)))
        return [_rider(each) for each in rows]

    async def subscribers(self) -> dict[str, int]:
        """How many riders have each plan by a subscription that has no end yet, by plan."""
        own = subscription.c
        query = select(own.plan, func.count()).where(own.until_ms.is_(None)).group_by(own.plan)
        async with self._database.read() as connection:
            return {row[0]: int(row[1]) for row in await connection.execute(query)}

    async def _rows(self, query: Select[Any]) -> list[RowMapping]:
        async with self._database.read() as connection:
            return list((await connection.execute(query)).mappings())


def _slots_of(cabinets: Collection[str]) -> Select[Any]:
    """The holders that these cabinets' slots are.

    Worked out by the database: thousands of cabinets are more conditions than a statement may have.
    """
    own, slot = t.cabinet.c, _SLOTS.c.number
    query = select(literal("slot:") + own.id + ":" + cast(slot, String)).select_from(t.cabinet)
    return query.join(_SLOTS, slot <= own.slots).where(own.id.in_(sorted(cabinets)))


def _pack(row: RowMapping) -> PackRow:
    return PackRow(**{name: row[name] for name in PackRow.__struct_fields__})


def _swap(row: RowMapping) -> SwapRow:
    return SwapRow(
        id=row["id"],
        cabinet_id=row["cabinet"],
        rider_id=row["rider"],
        kind=row["kind"],
        step=row["step"],
        open=row["open"],
        slot_in=row["slot_in"],
        slot_out=row["slot_out"],
        reason=row["reason"],
        flags=split_flags(row["flags"]),
        authority=row["authority"],
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
    )


def _rider(row: RowMapping) -> RiderRow:
    return RiderRow(**{name: row[name] for name in RiderRow.__struct_fields__})


def _told(row: RowMapping, swap_id: str) -> list[SwapEvent]:
    """An event of this swap; none when it only mentions it."""
    when = {
        "at_ms": row["wall_ms"],
        "boot_id": row["boot_id"],
        "mono_ms": row["mono_ms"],
        "wall_synced": row["wall_synced"],
        "received_ms": row["received_ms"],
    }
    try:
        if row["type"] == "swap.step":
            step = msgspec.json.decode(row["body"], type=StepBody)
            if step.swap_id != swap_id:
                return []
            return [
                SwapEvent(
                    what="step",
                    step=step.step.value,
                    reason=step.reason,
                    detail=step.detail,
                    **when,
                )
            ]
        pack = msgspec.json.decode(row["body"], type=BatteryBody)
    except msgspec.MsgspecError:
        return []
    if pack.swap_id != swap_id:
        return []
    what = row["type"].rpartition(".")[2]
    return [SwapEvent(what=what, slot=pack.slot, serial=pack.serial, soc_pct=pack.soc_pct, **when)]


def _orders(row: RowMapping) -> list[SwapEvent]:
    found = [SwapEvent(what="order", at_ms=row["created_ms"], step=row["type"])]
    if row["answered_ms"] is not None:
        found.append(
            SwapEvent(
                what="answer",
                at_ms=row["answered_ms"],
                step=row["state"],
                reason=row["result_reason"],
                detail=row["evidence"] or "",
            )
        )
    return found
