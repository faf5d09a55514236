"""Packs in quarantine by order of a person, wherever they are."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from fleet.core.audit_log import DONE
from fleet.core.quarantine import Quarantine
from fleet.errors import NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.engine import Database
from fleet.store.tables_orders import pack_quarantine

_COLUMNS = pack_quarantine.c


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
            there = select(_COLUMNS.serial).where(_COLUMNS.serial == wanted.serial)
            if (await connection.execute(there)).first() is not None:
                text = f"battery {wanted.serial}: is in quarantine already"
                raise RefusedError(text, code="quarantined-already")
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
        """End it; raise RefusedError ``not-quarantined``."""
        async with self._database.write() as connection:
            gone = delete(pack_quarantine).where(_COLUMNS.serial == serial)
            if (await connection.execute(gone)).rowcount == 0:
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

    async def all(self) -> list[Quarantine]:
        """Every pack in quarantine with its holder, by serial."""
        query = (
            select(pack_quarantine, t.battery.c.holder)
            .join(t.battery, t.battery.c.serial == _COLUMNS.serial)
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
            .outerjoin(pack_quarantine, t.battery.c.serial == _COLUMNS.serial)
            .where(t.battery.c.serial == serial)
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFoundError(f"no battery {serial}")
        return Quarantine(serial, row.actor or "", row.reason or "", row.since_ms or 0, row.holder)
