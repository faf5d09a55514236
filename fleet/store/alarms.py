"""Alarms: when they were raised, by the cabinets' events, and who has taken note of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec
from sqlalchemy import insert, literal_column, select
from sqlalchemy.exc import IntegrityError

from fleet.core.audit_log import DONE
from fleet.core.desk import AlarmNote, AlarmRaised
from fleet.store import tables as t
from fleet.store.audit_log import append
from fleet.store.engine import Database, chunks
from fleet.store.tables_desk import alarm_note
from protocols.messages import AlarmBody

#: Of one cabinet, the newest first; one that flaps more often is not traced further back.
EVENTS_MAX: Final = 200


class AlarmStore:
    """Access to ``alarm_note``, and to the alarms among the events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(
        self, cabinets: Collection[str]
    ) -> dict[str, list[tuple[AlarmRaised, AlarmBody]]]:
        """The last alarms that each cabinet told of, the newest first."""
        event = t.event.c
        found: dict[str, list[tuple[AlarmRaised, AlarmBody]]] = {}
        async with self._database.read() as connection:
            for cabinet in sorted(cabinets):
                query = select(t.event).where(
                    event.cabinet == cabinet,
                    event.type == literal_column("'alarm'"),  # as the index has it
                )
                query = query.order_by(event.epoch.desc(), event.seq.desc()).limit(EVENTS_MAX)
                told = []
                for row in await connection.execute(query):
                    try:
                        body = msgspec.json.decode(row.body, type=AlarmBody)
                    except msgspec.MsgspecError:
                        continue
                    raised = AlarmRaised(
                        epoch=row.epoch,
                        seq=row.seq,
                        at_ms=row.wall_ms if row.wall_synced else row.received_ms,
                        severity=body.severity,
                        detail=body.detail,
                    )
                    told.append((raised, body))
                found[cabinet] = told
        return found

    async def notes(self, cabinets: Collection[str]) -> list[AlarmNote]:
        """What was noted on alarms of these cabinets."""
        found: list[AlarmNote] = []
        async with self._database.read() as connection:
            for part in chunks(cabinets):
                query = select(alarm_note).where(alarm_note.c.cabinet.in_(part))
                rows = (await connection.execute(query)).mappings()
                found += [AlarmNote(**dict(row)) for row in rows]
        return found

    async def note(self, new: AlarmNote) -> bool:
        """Take note of an alarm; False when somebody has already."""
        values = {name: getattr(new, name) for name in AlarmNote.__struct_fields__}
        try:
            async with self._database.write() as connection:
                await connection.execute(insert(alarm_note).values(**values))
                await append(
                    connection,
                    at_ms=new.at_ms,
                    actor=new.actor,
                    action="alarm.note",
                    outcome=DONE,
                    cabinet=new.cabinet,
                    slot=new.slot or None,
                    subject=new.code,
                    reason=new.reason,
                )
        except IntegrityError:
            return False
        return True
