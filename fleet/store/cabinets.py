"""Cabinets: registration, broker credentials, the latest they told, desired documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from fleet.core.records import CabinetRecord, Credential, LatestRow, ListsState
from fleet.errors import InvalidError, RefusedError
from fleet.store import tables as t
from fleet.store.engine import Database
from fleet.store.meta import CABINETS, PLANS, bump

FIRST_EPOCH: Final = 1
_LISTS: Final = "lists"
_PLAN: Final = "plan"


class CabinetStore:
    """Access to ``cabinet``, ``cabinet_latest`` and ``desired``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._insert = sqlite.insert if database.dialect == "sqlite" else postgresql.insert

    async def add(self, record: CabinetRecord, credential: Credential, now_ms: int) -> None:
        """Register a cabinet; raise InvalidError when its id is taken."""
        async with self._database.write() as connection:
            taken = select(t.cabinet.c.id).where(t.cabinet.c.id == record.id)
            if (await connection.execute(taken)).first() is not None:
                raise InvalidError(f"cabinet {record.id}: is registered already")
            await connection.execute(
                insert(t.cabinet).values(
                    id=record.id,
                    name=record.name,
                    slots=record.slots,
                    lat=record.lat,
                    lon=record.lon,
                    epoch=record.epoch,
                    mqtt_pbkdf2=credential.pbkdf2,
                    mqtt_bcrypt=credential.bcrypt,
                    created_ms=now_ms,
                )
            )
            await connection.execute(insert(t.watermark).values(cabinet=record.id, epoch=0, seq=0))
            await connection.execute(insert(t.cabinet_latest).values(cabinet=record.id))
            await bump(connection, CABINETS)

    async def all(self) -> list[CabinetRecord]:
        """Every cabinet, by id."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(t.cabinet).order_by(t.cabinet.c.id))
            return [
                CabinetRecord(row.id, row.name, row.slots, row.lat, row.lon, row.epoch)
                for row in rows
            ]

    async def credentials(self) -> list[Credential]:
        """What the embedded broker must know."""
        columns = select(
            t.cabinet.c.id,
            t.cabinet.c.mqtt_pbkdf2,
            t.cabinet.c.mqtt_bcrypt,
            t.cabinet.c.enrolled_epoch,
        )
        async with self._database.read() as connection:
            rows = await connection.execute(columns.order_by(t.cabinet.c.id))
            return [
                Credential(row.id, row.mqtt_pbkdf2, row.mqtt_bcrypt, row.enrolled_epoch)
                for row in rows
            ]

    async def latest(self) -> list[LatestRow]:
        """The last that every cabinet told, for a start."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(t.cabinet_latest))
            return [
                LatestRow(row.cabinet, row.telemetry, row.received_ms, row.status, row.session)
                for row in rows
            ]

    async def save_latest(self, rows: Sequence[LatestRow]) -> None:
        """Keep the latest of some cabinets, in one transaction."""
        async with self._database.write() as connection:
            for row in rows:
                values: dict[str, Any] = {}
                if row.telemetry is not None:
                    values.update(telemetry=row.telemetry, received_ms=row.received_ms)
                if row.status is not None:
                    values.update(status=row.status, session=row.session)
                if values:
                    query = update(t.cabinet_latest).where(
                        t.cabinet_latest.c.cabinet == row.cabinet
                    )
                    await connection.execute(query.values(**values))

    async def lists_state(self) -> dict[str, ListsState]:
        """What was last published as ``desired/lists``, by cabinet."""
        query = select(t.desired).where(t.desired.c.kind == _LISTS)
        async with self._database.read() as connection:
            rows = await connection.execute(query)
            return {row.cabinet: ListsState(row.cabinet, row.version, row.chunks) for row in rows}

    async def save_lists_state(self, states: Sequence[ListsState], now_ms: int) -> None:
        """Remember what was published."""
        rows = [
            {
                "cabinet": state.cabinet,
                "kind": _LISTS,
                "version": state.version,
                "chunks": state.chunks,
                "updated_ms": now_ms,
            }
            for state in states
        ]
        if not rows:
            return
        query = self._insert(t.desired)
        query = query.on_conflict_do_update(
            index_elements=["cabinet", "kind"],
            set_={name: query.excluded[name] for name in ("version", "chunks", "updated_ms")},
        )
        async with self._database.write() as connection:
            await connection.execute(query, rows)

    async def plans(self) -> dict[str, str]:
        """The desired plans that exist, as JSON text, by cabinet."""
        query = select(t.desired.c.cabinet, t.desired.c.doc).where(t.desired.c.kind == _PLAN)
        async with self._database.read() as connection:
            return {row.cabinet: row.doc for row in await connection.execute(query)}

    async def save_plans(self, plans: Mapping[str, tuple[int, str]], now_ms: int) -> None:
        """Keep the plans, version and JSON text by cabinet; of cabinets that are not registered, none.

        Raises:
            RefusedError: ``plan-overtaken``: one that is kept is of this version or a later one.
        """
        if not plans:
            return
        query = self._insert(t.desired)
        query = query.on_conflict_do_update(
            index_elements=["cabinet", "kind"],
            set_={name: query.excluded[name] for name in ("version", "doc", "updated_ms")},
        )
        async with self._database.write() as connection:
            await bump(connection, PLANS)
            newest = select(func.max(t.desired.c.version)).where(t.desired.c.kind == _PLAN)
            last = int((await connection.execute(newest)).scalar_one() or 0)
            if (version := min(given for given, _ in plans.values())) <= last:
                text = f"plan {version}: another fleetd has published plan {last}"
                raise RefusedError(text, code="plan-overtaken")
            known = set((await connection.execute(select(t.cabinet.c.id))).scalars())
            rows = [
                {
                    "cabinet": cabinet,
                    "kind": _PLAN,
                    "version": version,
                    "chunks": 1,
                    "doc": doc,
                    "updated_ms": now_ms,
                }
                for cabinet, (version, doc) in sorted(plans.items())
                if cabinet in known
            ]
            if rows:
                await connection.execute(query, rows)

    async def registered_ms(self) -> dict[str, int]:
        """When each cabinet was registered."""
        query = select(t.cabinet.c.id, t.cabinet.c.created_ms)
        async with self._database.read() as connection:
            return {row.id: row.created_ms for row in await connection.execute(query)}

    async def count(self) -> int:
        """How many are registered."""
        async with self._database.read() as connection:
            total = await connection.execute(select(func.count()).select_from(t.cabinet))
            return int(total.scalar_one())
