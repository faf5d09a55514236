"""The command outbox: what cabinets are to do, until they answered or it is too late."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit_log import ORDERED
from fleet.core.batch import Pending
from fleet.core.commands import QUEUE_MAX, QueuedCommand, next_seq
from fleet.core.ledger import Book, SwapState
from fleet.core.operations import by_staff
from fleet.core.records import NewCommand
from fleet.core.swaps import end_unstarted
from fleet.errors import NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.custody import swap_of, transfer_of, write_pending
from fleet.store.engine import Database
from fleet.store.holds import settle_hold, use_hold
from fleet.store.sessions import settle_session
from protocols.messages import Kind, Precondition, Result, Step

QUEUED: Final = "queued"
ACCEPTED: Final = "accepted"
#: What may still become of a command: a late "done" or "failed" follows "accepted".
_BEFORE: Final = {"done": (QUEUED, ACCEPTED), "failed": (QUEUED, ACCEPTED)}


class CommandStore:
    """Access to ``command_outbox``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, new: NewCommand) -> QueuedCommand:
        """Queue a command; raise RefusedError ``busy`` when the cabinet's queue is full."""
        async with self._database.write() as connection:
            return await add_command(connection, new)

    async def add_once(self, new: NewCommand) -> QueuedCommand | None:
        """Queue a command unless one of this id was queued before."""
        async with self._database.write() as connection:
            await hold_cabinet(connection, new.cabinet)
            query = select(t.command_outbox.c.id).where(t.command_outbox.c.id == new.id)
            if (await connection.execute(query)).first() is not None:
                return None
            return await add_command(connection, new)

    async def waiting(self) -> list[QueuedCommand]:
        """What is neither answered nor expired, in order."""
        outbox = t.command_outbox
        query = select(outbox).where(outbox.c.state == QUEUED)
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(outbox.c.cabinet, outbox.c.seq))
            return [
                QueuedCommand(
                    id=row.id,
                    cabinet=row.cabinet,
                    seq=row.seq,
                    type=row.type,
                    args=msgspec.json.decode(row.args),
                    actor=row.actor,
                    created_ms=row.created_ms,
                    expires_ms=row.expires_ms,
                    swap_id=row.swap_id,
                    reason=row.reason,
                    precondition=row.precondition
                    and msgspec.json.decode(row.precondition, type=Precondition),
                )
                for row in rows
            ]

    async def finish(self, cabinet: str, result: Result, now_ms: int) -> bool:
        """Record the last word on an accepted command; False when it says nothing new."""
        async with self._database.write() as connection:
            values = {
                "result_reason": result.reason,
                "evidence": result.evidence,
                "answered_ms": now_ms,
            }
            row = await _answer(connection, cabinet, result.id, result.outcome, values)
            if row is not None:
                await _follow(connection, row)
            return row is not None

    async def settle(
        self,
        command: QueuedCommand,
        state: str,
        now_ms: int,
        *,
        reason: str | None = None,
        evidence: str = "",
        verdict: Step | None = None,
    ) -> SwapState | None:
        """Record how a command ended.

        ``verdict`` ends its swap, provisionally: it stands until the cabinet reports a step of
        that swap. The swap that it ended is returned, or None.
        """
        async with self._database.write() as connection:
            values = {"result_reason": reason, "evidence": evidence, "answered_ms": now_ms}
            row = await _answer(connection, command.cabinet, command.id, state, values)
            if row is not None:
                await _follow(connection, row)
            if verdict is None or command.swap_id is None:
                return None
            return await _end_swap(
                connection,
                command.swap_id,
                verdict,
                reason=reason,
                detail=evidence,
                now_ms=now_ms,
            )


async def _answer(
    connection: AsyncConnection, cabinet: str, command: str, state: str, values: dict[str, Any]
) -> RowMapping | None:
    """Record an answer; the row as it is now, or None when it was answered already."""
    outbox = t.command_outbox
    query = (
        update(outbox)
        .where(
            outbox.c.id == command,
            outbox.c.cabinet == cabinet,  # nobody answers for another cabinet
            outbox.c.state.in_(_BEFORE.get(state, (QUEUED,))),
        )
        .values(state=state, **values)
        .returning(outbox)
    )
    answered: RowMapping | None = (await connection.execute(query)).mappings().first()
    return answered


async def _follow(connection: AsyncConnection, row: RowMapping) -> None:
    """What an answer entails: the log, and the reservation that was asked for or used."""
    if by_staff(row["actor"]):
        await log_answer(connection, row)
    elif row["type"] == "pack.hold":
        answer = (row["state"], row["result_reason"], row["evidence"] or "")
        await settle_hold(connection, row["id"], *answer)
    elif row["type"] == "socket.start":
        await settle_session(connection, row)
    elif row["type"] == "swap.start" and row["state"] == ACCEPTED and _takes(row):
        await use_hold(connection, row["actor"], row["cabinet"])


def _takes(row: RowMapping) -> bool:
    return bool(msgspec.json.decode(row["args"]).get("kind") != Kind.RETURN.value)


async def log_order(connection: AsyncConnection, new: NewCommand) -> None:
    """Write an order of a person into the log, before it is sent."""
    await append(
        connection,
        at_ms=new.now_ms,
        actor=new.actor,
        action=_action(new.type, new.args),
        cabinet=new.cabinet,
        command_id=new.id,
        outcome=ORDERED,
        slot=new.args.get("slot"),
        swap_id=new.swap_id,
        reason=new.reason,
    )


async def log_answer(connection: AsyncConnection, row: RowMapping) -> None:
    """Write what became of it into the log."""
    args = msgspec.json.decode(row["args"])
    await append(
        connection,
        at_ms=row["answered_ms"],
        actor=row["actor"],
        action=_action(row["type"], args),
        cabinet=row["cabinet"],
        command_id=row["id"],
        outcome=row["state"],
        slot=args.get("slot"),
        swap_id=row["swap_id"],
        reason=row["reason"],
        result=row["result_reason"],
        evidence=row["evidence"] or "",
    )


def _action(type_: str, args: dict[str, Any]) -> str:
    """What was ordered, in one word: the type, with the alarm or the kind where there is one."""
    more = args.get("code") or args.get("kind")
    return f"{type_}:{more}"[:64] if more else type_


async def hold_cabinet(connection: AsyncConnection, cabinet: str) -> int:
    """Its last sequence number; no other order for it is queued until this transaction ends.

    Rows that name the cabinet may still be written meanwhile.

    Raises:
        NotFoundError: no such cabinet.
    """
    query = select(t.cabinet.c.command_seq).where(t.cabinet.c.id == cabinet)
    query = query.with_for_update(key_share=True)
    last: int | None = (await connection.execute(query)).scalar_one_or_none()
    if last is None:
        raise NotFoundError(f"no cabinet {cabinet}")
    return last


async def add_command(connection: AsyncConnection, new: NewCommand) -> QueuedCommand:
    """Queue a command within a transaction; its sequence number rises per cabinet.

    A person's order goes into the log with it.
    """
    where = t.cabinet.c.id == new.cabinet
    seq = next_seq(await hold_cabinet(connection, new.cabinet), new.now_ms)
    await connection.execute(update(t.cabinet).where(where).values(command_seq=seq))
    outbox = t.command_outbox
    ahead = select(outbox.c.id).where(outbox.c.cabinet == new.cabinet, outbox.c.state == QUEUED)
    if len((await connection.execute(ahead.limit(QUEUE_MAX))).all()) >= QUEUE_MAX:
        raise RefusedError(f"cabinet {new.cabinet}: {QUEUE_MAX} commands wait", code="busy")
    await connection.execute(
        insert(outbox).values(
            id=new.id,
            cabinet=new.cabinet,
            seq=seq,
            type=new.type,
            args=msgspec.json.encode(new.args).decode(),
            precondition=new.precondition and msgspec.json.encode(new.precondition).decode(),
            swap_id=new.swap_id,
            actor=new.actor,
            reason=new.reason,
            state=QUEUED,
            created_ms=new.now_ms,
            expires_ms=new.expires_ms,
        )
    )
    if by_staff(new.actor):
        await log_order(connection, new)
    return QueuedCommand(
        id=new.id,
        cabinet=new.cabinet,
        seq=seq,
        type=new.type,
        args=new.args,
        actor=new.actor,
        created_ms=new.now_ms,
        expires_ms=new.expires_ms,
        swap_id=new.swap_id,
        reason=new.reason,
        precondition=new.precondition,
    )


async def _end_swap(
    connection: AsyncConnection,
    swap_id: str,
    verdict: Step,
    *,
    reason: str | None,
    detail: str,
    now_ms: int,
) -> SwapState | None:
    query = select(t.swap).where(t.swap.c.id == swap_id).with_for_update()
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        return None
    swap = swap_of(row)
    where = t.transfer.c.swap_id == swap_id
    rows = (await connection.execute(select(t.transfer).where(where))).mappings()
    legs = {(leg.swap_id, leg.leg): leg for leg in map(transfer_of, rows)}
    changes = end_unstarted(swap, legs.values(), verdict, reason, detail)
    if changes is None:
        return None
    pending = Pending()
    pending.add(changes)
    await write_pending(connection, Book({}, {swap_id: swap}, legs), pending, now_ms)
    return changes.swap
