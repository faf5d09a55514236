"""Packs in quarantine by order of a person, wherever they are."""

from __future__ import annotations

from sqlalchemy import delete, insert, select, update

from fleet.core.audit_log import DONE
from fleet.core.quarantine import Quarantine
from fleet.errors import NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.engine import Database
from fleet.store.tables_orders import pack_quarantine

_COLUMNS = pack_quarantine.c
_STANDS = _COLUMNS.lifted_ms.is_(None)


class QuarantineStore:
    """Access to ``pack_quarantine``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, wanted: Quarantine) -> None:
        """Quarantine a pack; raise NotFoundError, or RefusedError ``quarantined-already``."""
        async with self._database.write() as connection:
            known = select(t.battery.c.serial).where(t.battery.c.serial == wanted.serial)
            # Locked, so that of two who put it there at once the second is told so.
            if (await connection.execute(known.with_for_update(key_share=True))).first() is None:
                raise NotFoundError(f"no battery {wanted.serial}")
            there = select(_COLUMNS.serial).where(_STANDS, _COLUMNS.serial == wanted.serial)
            if (await connection.execute(there)).first() is not None:
                text = f"battery {wanted.serial}: is in quarantine already"
                raise RefusedError(text, code="quarantined-already")
            await connection.execute(
                delete(pack_quarantine).where(_COLUMNS.serial == wanted.serial)
            )
            await connection.execute(
                insert(pack_quarantine).values(
                    serial=wanted.serial,
                    actor=wanted.actor,
                    reason=wanted.reason,
                    since_ms=wanted.since_ms,
                )
            )
            await append(
                connection,
                at_ms=wanted.since_ms,
                actor=wanted.actor,
                action="battery.quarantine",
                outcome=DONE,
                subject=wanted.serial,
                reason=wanted.reason,
            )

    async def lift(self, serial: str, actor: str, reason: str, now_ms: int) -> None:
        """End it, which its slot is still to be told; raise RefusedError ``not-quarantined``."""
        async with self._database.write() as connection:
            over = update(pack_quarantine).where(_STANDS, _COLUMNS.serial == serial)
            over = over.values(lifted_ms=now_ms, actor=actor, reason=reason)
            if (await connection.execute(over)).rowcount == 0:
                text = f"battery {serial}: is not in quarantine"
                raise RefusedError(text, code="not-quarantined")
            await append(
                connection,
                at_ms=now_ms,
                actor=actor,
                action="battery.release",
                outcome=DONE,
                subject=serial,
                reason=reason,
            )

    async def lifted(self) -> list[Quarantine]:
        """Those that are over while the slot is not known to know it, by serial."""
        order = t.command_outbox.c
        query = (
            select(pack_quarantine, t.battery.c.holder, order.state, order.result_reason)
            .join(t.battery, t.battery.c.serial == _COLUMNS.serial)
            .outerjoin(t.command_outbox, order.id == _COLUMNS.told)
            .where(_COLUMNS.lifted_ms.is_not(None))
            .order_by(_COLUMNS.serial)
        )
        async with self._database.read() as connection:
            return [
                Quarantine(
                    row.serial,
                    row.actor,
                    row.reason,
                    row.since_ms,
                    row.holder,
                    row.lifted_ms,
                    row.state or "",
                    row.result_reason or "",
                )
                for row in await connection.execute(query)
            ]

    async def told(self, serial: str, command_id: str) -> None:
        """By this order its slot was told of the end."""
        mine = update(pack_quarantine).where(_COLUMNS.serial == serial)
        async with self._database.write() as connection:
            over = mine.where(_COLUMNS.lifted_ms.is_not(None))
            await connection.execute(over.values(told=command_id))

    async def settle(self, serial: str, lifted_ms: int) -> None:
        """Forget an end that is known everywhere, unless the pack is in quarantine anew."""
        mine = _COLUMNS.serial == serial
        async with self._database.write() as connection:
            gone = delete(pack_quarantine).where(mine, _COLUMNS.lifted_ms == lifted_ms)
            await connection.execute(gone)

    async def all(self) -> list[Quarantine]:
        """Every pack in quarantine with its holder, by serial."""
        query = (
            select(pack_quarantine, t.battery.c.holder)
            .join(t.battery, t.battery.c.serial == _COLUMNS.serial)
            .where(_STANDS)
            .order_by(_COLUMNS.serial)
        )
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return [
                Quarantine(row.serial, row.actor, row.reason, row.since_ms, row.holder)
                for row in rows
            ]

    async def get(self, serial: str) -> Quarantine:
        """One battery; ``since_ms`` 0 when it is not in quarantine. Raise NotFoundError."""
        query = (
            select(t.battery.c.holder, _COLUMNS.actor, _COLUMNS.reason, _COLUMNS.since_ms)
            .outerjoin(pack_quarantine, (t.battery.c.serial == _COLUMNS.serial) & _STANDS)
            .where(t.battery.c.serial == serial)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError(f"no battery {serial}")
        return Quarantine(serial, row.actor or "", row.reason or "", row.since_ms or 0, row.holder)
