"""Alarms: when they were raised, by the cabinets' events, and who has taken note of them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec
from sqlalchemy import Select, and_, insert, literal_column, or_, select, union_all
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
#: Notes are looked through as far back; older ones are of alarms that have long ended.
NOTED_MAX: Final = 2_000
LATER_MAX: Final = 20_000  # events that came after those notes
TOGETHER_MAX: Final = 50  # cabinets that are asked for in one statement
#: As the index has it.
_IS_ALARM: Final = t.event.c.type == literal_column("'alarm'")


class AlarmStore:
    """Access to ``alarm_note``, and to the alarms among the events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def events(
        self, cabinets: Collection[str], most: int = EVENTS_MAX
    ) -> dict[str, list[tuple[AlarmRaised, AlarmBody]]]:
        """The last alarms that each cabinet told of, at most so many each, the newest first."""
        found: dict[str, list[tuple[AlarmRaised, AlarmBody]]] = {each: [] for each in cabinets}
        async with self._database.read() as connection:
            asked = sorted(cabinets)
            for start in range(0, len(asked), TOGETHER_MAX):
                part = asked[start : start + TOGETHER_MAX]
                query = union_all(*(_last(cabinet, most) for cabinet in part))
                for row in await connection.execute(query):
                    if (told := _told(row)) is not None:
                        found[row.cabinet].append(told)
        for each in found.values():
            each.sort(key=lambda told: (-told[0].epoch, -told[0].seq))
        return found

    async def noted(self) -> list[AlarmNote]:
        """The last ``NOTED_MAX`` notes but those after which the alarm has ended; the newest first."""
        own, event = alarm_note.c, t.event.c
        later = or_(event.epoch > own.epoch, and_(event.epoch == own.epoch, event.seq > own.seq))
        recent = select(alarm_note).order_by(own.at_ms.desc()).limit(NOTED_MAX)
        async with self._database.read() as connection:
            rows = (await connection.execute(recent)).mappings()
            notes = [AlarmNote(**dict(row)) for row in rows]
            if not notes:
                return []
            after = (
                select(own.cabinet, own.code, own.slot, own.epoch, own.seq, event.body)
                .select_from(alarm_note)
                .join(t.event, and_(event.cabinet == own.cabinet, _IS_ALARM, later))
                .where(own.at_ms >= notes[-1].at_ms, own.epoch > 0)
                .limit(LATER_MAX)
            )
            ended = {
                tuple(row[:5])
                for row in await connection.execute(after)
                if _ends(row.body, row.code, row.slot)
            }
        keys = (
            (each, (each.cabinet, each.code, each.slot, each.epoch, each.seq)) for each in notes
        )
        return [each for each, key in keys if key not in ended]

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


def _last(cabinet: str, most: int) -> Select[Any]:
    event = t.event.c
    query = select(t.event).where(event.cabinet == cabinet, _IS_ALARM)
    query = query.order_by(event.epoch.desc(), event.seq.desc()).limit(most)
    return select(query.subquery())


def _told(row: Any) -> tuple[AlarmRaised, AlarmBody] | None:
    body = _body(row.body)
    if body is None:
        return None
    raised = AlarmRaised(
        epoch=row.epoch,
        seq=row.seq,
        at_ms=row.wall_ms if row.wall_synced else row.received_ms,
        severity=body.severity,
        detail=body.detail,
    )
    return raised, body


def _ends(text: str, code: str, slot: int) -> bool:
    body = _body(text)
    return body is not None and not body.active and (body.code, body.slot or 0) == (code, slot)


def _body(text: str) -> AlarmBody | None:
    try:
        return msgspec.json.decode(text, type=AlarmBody)
    except msgspec.MsgspecError:
        return None
