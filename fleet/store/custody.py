"""Reading facts into a ``Book`` and writing its changes back, guarded by holder and version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, bindparam, delete, insert, or_, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.batch import Keys, Pending
from fleet.core.ledger import Battery, Book, Movement, SwapState, Transfer
from fleet.errors import FleetError
from fleet.store import tables as t
from protocols.messages import Kind, Step


class StaleFactsError(FleetError):
    """A battery moved between our read and our write; read again and repeat."""

    code = "stale-facts"


async def load_book(connection: AsyncConnection, keys: Keys) -> Book:
    """The facts for these keys, locked against other writers until the transaction ends."""
    where = or_(t.battery.c.serial.in_(keys.serials), t.battery.c.holder.in_(keys.holders))
    batteries = {
        row["serial"]: battery_of(row) for row in await _rows(connection, t.battery, where)
    }
    where = or_(
        t.swap.c.id.in_(keys.swaps),
        t.swap.c.cabinet.in_(keys.inventories) & t.swap.c.open,
    )
    swaps = {row["id"]: swap_of(row) for row in await _rows(connection, t.swap, where)}
    where = t.transfer.c.swap_id.in_(swaps)
    transfers = [transfer_of(row) for row in await _rows(connection, t.transfer, where)]
    where = t.owed.c.serial.in_(batteries)
    owed = {(row["serial"], row["holder"]) for row in await _rows(connection, t.owed, where)}
    blocked = await _rows(connection, t.rider, t.rider.c.id.in_(keys.riders) & t.rider.c.denied)
    return Book(
        batteries,
        swaps,
        {(leg.swap_id, leg.leg): leg for leg in transfers},
        owed,
        frozenset(row["id"] for row in blocked),
    )


async def _rows(connection: AsyncConnection, table: Any, where: ColumnElement[bool]) -> list[Any]:
    query = select(table).where(where).with_for_update()
    return list((await connection.execute(query)).mappings().all())


def battery_of(row: RowMapping) -> Battery:
    """A row of ``battery`` as the core knows it."""
    return Battery(
        row["serial"],
        row["holder"],
        row["version"],
        row["state"],
        row["disputed"],
        row["since_ms"],
    )


def swap_of(row: RowMapping) -> SwapState:
    """A row of ``swap`` as the core knows it."""
    return SwapState(
        id=row["id"],
        cabinet=row["cabinet"],
        rider=row["rider"],
        kind=Kind(row["kind"]),
        step=None if row["step"] is None else Step(row["step"]),
        rank=row["rank"],
        slot_in=row["slot_in"],
        slot_out=row["slot_out"],
        reason=row["reason"],
        detail=row["detail"],
        created_ms=row["created_ms"],
        authority=row["authority"],
        flags=split_flags(row["flags"]),
    )


def split_flags(text: str) -> tuple[str, ...]:
    """Flags as they stand in a column."""
    return tuple(flag for flag in text.split(",") if flag)


def transfer_of(row: RowMapping) -> Transfer:
    """A row of ``transfer`` as the core knows it."""
    return Transfer(
        swap_id=row["swap_id"],
        leg=row["leg"],
        state=row["state"],
        from_holder=row["from_holder"],
        to_holder=row["to_holder"],
        serial=row["serial"],
    )


async def write_pending(
    connection: AsyncConnection, before: Book, pending: Pending, now_ms: int
) -> None:
    """Write a folded batch; ``before`` holds the facts as they were read.

    Raises:
        StaleFactsError: a battery is no longer where it was read; roll back.
    """
    await insert_movements(connection, pending.movements)
    await _write_batteries(connection, before, pending.batteries.values())
    await _write_swaps(connection, before, pending.swaps.values(), now_ms)
    await _write_transfers(connection, before, pending.transfers.values())
    if pending.settled:
        gone = [{"s": serial, "h": holder} for serial, holder in sorted(pending.settled)]
        where = (t.owed.c.serial == bindparam("s")) & (t.owed.c.holder == bindparam("h"))
        await connection.execute(delete(t.owed).where(where), gone)
    if new := sorted(pending.owed - before.owed):
        await connection.execute(
            insert(t.owed), [{"serial": serial, "holder": holder} for serial, holder in new]
        )


async def insert_movements(connection: AsyncConnection, movements: Iterable[Movement]) -> None:
    """Append rows to the ledger."""
    rows = [
        {
            "serial": row.serial,
            "from_holder": row.from_holder,
            "to_holder": row.to_holder,
            "swap_id": row.swap_id,
            "cabinet": row.origin.cabinet if row.origin else None,
            "epoch": row.origin.epoch if row.origin else None,
            "seq": row.origin.seq if row.origin else None,
            "at_ms": row.at_ms,
            "cause": row.cause,
            "flags": ",".join(row.flags),
            "moves": row.moves,
        }
        for row in movements
    ]
    if rows:
        await connection.execute(insert(t.movement), rows)


async def _write_batteries(
    connection: AsyncConnection, before: Book, batteries: Iterable[Battery]
) -> None:
    new: list[dict[str, Any]] = []
    for battery in batteries:
        values = {
            "holder": battery.holder,
            "version": battery.version,
            "state": battery.state,
            "disputed": battery.disputed,
            "since_ms": battery.since_ms,
        }
        known = before.batteries.get(battery.serial)
        if known is None:
            new.append({"serial": battery.serial, **values})
            continue
        guard = (
            (t.battery.c.serial == battery.serial)
            & (t.battery.c.holder == known.holder)
            & (t.battery.c.version == known.version)
        )
        result = await connection.execute(update(t.battery).where(guard).values(**values))
        if result.rowcount != 1:
            raise StaleFactsError(f"battery {battery.serial} is no longer at {known.holder}")
    if new:
        await connection.execute(insert(t.battery), new)


async def _write_swaps(
    connection: AsyncConnection, before: Book, swaps: Iterable[SwapState], now_ms: int
) -> None:
    for swap in swaps:
        values = swap_values(swap, now_ms)
        if swap.id in before.swaps:
            guard = (t.swap.c.id == swap.id) & (t.swap.c.rank <= swap.rank)
            await connection.execute(update(t.swap).where(guard).values(**values))
        else:
            key = f"cabinet:{swap.id}"  # authorised without us
            at_ms = now_ms if swap.created_ms is None else swap.created_ms
            row = insert(t.swap).values(id=swap.id, created_ms=at_ms, idempotency_key=key, **values)
            await connection.execute(row)


def swap_values(swap: SwapState, now_ms: int) -> dict[str, Any]:
    """The columns of ``swap`` that its state decides."""
    return {
        "cabinet": swap.cabinet,
        "rider": swap.rider,
        "kind": swap.kind.value,
        "step": None if swap.step is None else swap.step.value,
        "rank": swap.rank,
        "open": swap.open,
        "slot_in": swap.slot_in,
        "slot_out": swap.slot_out,
        "reason": swap.reason,
        "detail": swap.detail,
        "updated_ms": now_ms,
        "authority": swap.authority,
        "flags": ",".join(swap.flags),
    }


async def _write_transfers(
    connection: AsyncConnection, before: Book, transfers: Iterable[Transfer]
) -> None:
    new: list[Transfer] = []
    for leg in transfers:
        if (leg.swap_id, leg.leg) not in before.transfers:
            new.append(leg)
            continue
        guard = (t.transfer.c.swap_id == leg.swap_id) & (t.transfer.c.leg == leg.leg)
        values = transfer_values(leg)
        await connection.execute(update(t.transfer).where(guard).values(**values))
    await insert_transfers(connection, new)


async def insert_transfers(connection: AsyncConnection, transfers: Iterable[Transfer]) -> None:
    """Add new legs."""
    rows = [{"swap_id": leg.swap_id, "leg": leg.leg, **transfer_values(leg)} for leg in transfers]
    if rows:
        await connection.execute(insert(t.transfer), rows)


def transfer_values(leg: Transfer) -> dict[str, Any]:
    """The columns of ``transfer`` that may change."""
    return {
        "state": leg.state,
        "from_holder": leg.from_holder,
        "to_holder": leg.to_holder,
        "serial": leg.serial,
    }
