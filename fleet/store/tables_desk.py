"""Tables of the operator's desk: versions of the grid, and who has taken note of an alarm."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from fleet.store.tables import event, metadata

_ID = String(64)

#: Append-only, but for the withdrawal of a version that has not begun.
grid_version = Table(
    "grid_version",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("valid_from_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("actor", _ID, nullable=False),
    Column("reason", String(300), nullable=False),
    Column("source", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("withdrawn_ms", BigInteger),
    Column("withdrawn_by", _ID, nullable=False, server_default=""),
)

#: Of one raising of an alarm, named by the cabinet's event; raised again, it is new.
alarm_note = Table(
    "alarm_note",
    metadata,
    Column("cabinet", _ID, primary_key=True),
    Column("code", _ID, primary_key=True),
    Column("slot", Integer, primary_key=True, autoincrement=False),  # 0: of the whole cabinet
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("actor", _ID, nullable=False),
    Column("reason", String(300), nullable=False),
)

#: Alarms are a small part of all events, and are looked for by cabinet.
alarm_events = Index(
    "ix_event_alarms",
    event.c.cabinet,
    event.c.epoch,
    event.c.seq,
    sqlite_where=event.c.type == "alarm",
    postgresql_where=event.c.type == "alarm",
)
