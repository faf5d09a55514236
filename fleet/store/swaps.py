"""Swaps: beginning one in a single transaction, and reading them as views."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.commands import QueuedCommand
from fleet.core.ids import rider_holder
from fleet.core.ledger import SwapState, actor_holder, reserve
from fleet.core.operations import TECHNICIAN_KINDS
from fleet.core.plans import Entitlement, refuse_plan
from fleet.core.records import NewCommand, NewSwap
from fleet.core.swaps import REFUSALS, LedgerFacts
from fleet.core.views import AskedView, MovementView, SwapView
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.commands import add_command, hold_cabinet
from fleet.store.custody import insert_transfers, split_flags, swap_of, swap_values
from fleet.store.engine import Database
from fleet.store.entitlements import entitlement_of, keep_charge
from fleet.store.hand_over import telling, told_of
from fleet.store.holds import live_of
from protocols.messages import Kind, Step

ASKED_TYPES: Final = ("swap.resume", "swap.cancel", "swap.give-back")


class SwapStore:
    """Access to ``swap``, with its transfers, command and movements."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(
        self, new: NewSwap, decide: Callable[[LedgerFacts], str | None]
    ) -> QueuedCommand | str:
        """Authorise a swap: row, reserved transfers and command in one transaction.

        Returns the queued command, or the id of the swap that this key began earlier.

        Raises:
            NotFoundError: no such cabinet or rider.
            InvalidError: the key began another transaction.
            RefusedError: ``decide`` returned a code.
        """
        swap = SwapState(new.id, new.cabinet, new.rider, new.kind)
        async with self._database.write() as connection:
            of_staff = new.kind in TECHNICIAN_KINDS
            if of_staff:  # who is no rider has no row of his own to wait at
                await hold_cabinet(connection, new.cabinet)
            denied = False if of_staff else await _lock_rider(connection, new.rider)
            if (known := await _by_key(connection, new)) is not None:
                return known
            held = (
                Entitlement()
                if of_staff
                else await entitlement_of(connection, new.rider, new.now_ms)
            )
            facts = await _facts(connection, new, actor_holder(swap), rider_denied=denied)
            facts = replace(facts, plan_refusal=refuse_plan(held))
            if (code := decide(facts)) is not None:
                raise RefusedError(REFUSALS[code], code=code)
            serial = facts.rider_serials[0] if len(facts.rider_serials) == 1 else None
            command = await add_command(connection, _start(new, serial))
            values = swap_values(swap, new.now_ms)
            await connection.execute(
                insert(t.swap).values(
                    id=new.id, idempotency_key=new.key, created_ms=new.now_ms, **values
                )
            )
            await insert_transfers(connection, reserve(swap, serial))
            await keep_charge(connection, new, held)
            return command

    async def view(self, swap_id: str) -> SwapView:
        """One swap with its movements; raise NotFoundError."""
        async with self._database.read() as connection:
            views = await _views(connection, select(t.swap).where(t.swap.c.id == swap_id))
        if not views:
            raise NotFoundError(f"no swap {swap_id}")
        return views[0]

    async def taken_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        """Full packs handed out: (cabinet, interval since ``since_ms``, count), completed ones."""
        place = ((t.swap.c.updated_ms - since_ms) // interval_ms).label("place")
        query = (
            select(t.swap.c.cabinet, place, func.count())
            .where(
                t.swap.c.step == Step.COMPLETED.value,
                t.swap.c.kind.in_((Kind.SWAP.value, Kind.PICKUP.value)),
                t.swap.c.updated_ms >= since_ms,
                t.swap.c.updated_ms < until_ms,
            )
            .group_by(t.swap.c.cabinet, place)
        )
        async with self._database.read() as connection:
            return [(row[0], int(row[1]), int(row[2])) for row in await connection.execute(query)]

    async def of_rider(self, rider: str, limit: int) -> list[SwapView]:
        """A rider's swaps, newest first."""
        query = select(t.swap).where(t.swap.c.rider == rider)
        query = query.order_by(t.swap.c.created_ms.desc(), t.swap.c.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return await _views(connection, query)

    async def flagged(self, limit: int) -> list[SwapView]:
        """Swaps that an operator should look into, newest first."""
        query = select(t.swap).where(t.FLAGGED)
        query = query.order_by(t.swap.c.created_ms.desc(), t.swap.c.id.desc()).limit(limit)
        async with self._database.read() as connection:
            return await _views(connection, query)


async def _lock_rider(connection: AsyncConnection, rider: str) -> bool:
    """Whether the rider is denied; raise NotFoundError."""
    query = select(t.rider.c.denied).where(t.rider.c.id == rider).with_for_update()
    denied: bool | None = (await connection.execute(query)).scalar_one_or_none()
    if denied is None:
        raise NotFoundError(f"no rider {rider}")
    return denied


def _start(new: NewSwap, serial: str | None) -> NewCommand:
    args: dict[str, Any] = {"kind": new.kind.value, "rider_id": new.rider}
    if serial is not None:
        args["expected_serial"] = serial
    if new.slot is not None:
        args["slot"] = new.slot
    return NewCommand(
        id=new.command_id,
        cabinet=new.cabinet,
        type="swap.start",
        args=args,
        actor=new.actor or new.rider,
        now_ms=new.now_ms,
        expires_ms=new.expires_ms,
        swap_id=new.id,
        reason=new.reason,
        precondition=new.precondition,
    )


async def _by_key(connection: AsyncConnection, new: NewSwap) -> str | None:
    query = select(t.swap).where(t.swap.c.rider == new.rider, t.swap.c.idempotency_key == new.key)
    row = (await connection.execute(query)).first()
    if row is None:
        return None
    # Who is owed a full pack and asks for a swap gets a pick-up; the same key is the same wish.
    owed = (row.kind, new.kind) == (Kind.PICKUP.value, Kind.SWAP)
    if row.cabinet != new.cabinet or not (owed or row.kind == new.kind.value):
        text = f"idempotency key {new.key!r} belongs to a {row.kind} at {row.cabinet}"
        raise InvalidError(text, code="key-reused")
    return str(row.id)


async def _facts(
    connection: AsyncConnection, new: NewSwap, holder: str, *, rider_denied: bool
) -> LedgerFacts:
    # One row per cabinet is locked here, so that two riders at once queue up behind it.
    await hold_cabinet(connection, new.cabinet)
    is_open = select(t.swap.c.id).where(t.swap.c.open).limit(1)
    of_rider = is_open.where(t.swap.c.rider == new.rider)
    at_cabinet = is_open.where(t.swap.c.cabinet == new.cabinet, t.swap.c.rider != new.rider)
    held = await live_of(connection, new.rider, new.now_ms)
    return LedgerFacts(
        rider_serials=await serials_at(connection, holder),
        rider_open_swap=(await connection.execute(of_rider)).scalar_one_or_none(),
        cabinet_open_swap=(await connection.execute(at_cabinet)).scalar_one_or_none(),
        rider_denied=rider_denied,
        reserved=held is not None and held.cabinet == new.cabinet,
    )


async def serials_of(connection: AsyncConnection, rider: str) -> tuple[str, ...]:
    """The packs that the ledger says a rider holds."""
    return await serials_at(connection, rider_holder(rider))


async def serials_at(connection: AsyncConnection, holder: str) -> tuple[str, ...]:
    """The packs that the ledger has at one holder."""
    query = select(t.battery.c.serial).where(t.battery.c.holder == holder)
    return tuple((await connection.execute(query.order_by(t.battery.c.serial))).scalars())


async def _views(connection: AsyncConnection, query: Any) -> list[SwapView]:
    rows = list((await connection.execute(query)).mappings())
    ids = [row["id"] for row in rows]
    moves = select(t.movement, t.event.c.body).outerjoin(t.event, telling())
    moves = moves.where(t.movement.c.swap_id.in_(ids)).order_by(t.movement.c.id)
    by_swap: dict[str, list[MovementView]] = {}
    for move in movement_views((await connection.execute(moves)).mappings()):
        by_swap.setdefault(move.swap_id or "", []).append(move)
    asked = await _asked(connection, rows)
    return [_view(row, tuple(by_swap.get(row["id"], ())), asked.get(row["id"])) for row in rows]


async def _asked(connection: AsyncConnection, swaps: Iterable[RowMapping]) -> dict[str, AskedView]:
    """What was last asked of the cabinet, by swap; a later step has overtaken it."""
    updated = {row["id"]: row["updated_ms"] for row in swaps if row["open"]}
    outbox = t.command_outbox.c
    query = select(
        outbox.swap_id, outbox.type, outbox.state, outbox.result_reason, outbox.created_ms,
        outbox.answered_ms,
    ).where(outbox.swap_id.in_(updated), outbox.type.in_(ASKED_TYPES))  # fmt: skip
    return {
        row.swap_id: AskedView(type=row.type, outcome=row.state, reason=row.result_reason)
        for row in await connection.execute(query.order_by(outbox.seq))
        if (row.answered_ms or row.created_ms) >= updated[row.swap_id]
    }


def movement_views(rows: Iterable[RowMapping]) -> list[MovementView]:
    """Rows of ``movement`` as they are shown; with the event's ``body``, what it told of the pack."""
    return [
        MovementView(
            id=row["id"],
            serial=row["serial"],
            from_holder=row["from_holder"],
            to_holder=row["to_holder"],
            at_ms=row["at_ms"],
            swap_id=row["swap_id"],
            flags=split_flags(row["flags"]),
            soc_pct=told_of(row["serial"], row.get("body")).soc_pct,
        )
        for row in rows
    ]


def _view(
    row: RowMapping, movements: tuple[MovementView, ...], asked: AskedView | None
) -> SwapView:
    swap = swap_of(row)
    step: Step | None = swap.step
    return SwapView(
        id=swap.id,
        cabinet_id=swap.cabinet,
        rider_id=swap.rider,
        kind=swap.kind,
        step=step,
        rank=swap.rank,
        done=not swap.open,
        slot_in=swap.slot_in,
        slot_out=swap.slot_out,
        reason=swap.reason,
        detail=swap.detail,
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        movements=movements,
        asked=asked,
        authority=swap.authority,
        flags=swap.flags,
    )
