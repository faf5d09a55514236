"""Tables of two-person orders, of packs in quarantine, and of settings and their roll-outs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Table, Text

from fleet.store.tables import metadata

_ID = String(64)
_MODEL = String(32)

#: Orders that wait for a second person (``fleet.core.two_person``).
order_ask = Table(
    "order_ask",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("cabinet", _ID, ForeignKey("cabinet.id"), nullable=False, index=True),
    Column("type", _ID, nullable=False),
    Column("reason", String(500), nullable=False),
    Column("asked_by", _ID, nullable=False),
    Column("asked_name", _ID, nullable=False),
    Column("asked_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("admitted_by", _ID),
    Column("admitted_name", _ID),
    Column("command_id", _ID, index=True),
)

#: Packs that are to be in quarantine wherever they turn up.
pack_quarantine = Table(
    "pack_quarantine",
    metadata,
    Column("serial", String(50), ForeignKey("battery.serial"), primary_key=True),
    Column("actor", _ID, nullable=False),
    Column("reason", String(500), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("lifted_ms", BigInteger),  # it is over; the row stays until the slot knows
    Column("told", _ID),  # the order by which the slot was told so
)

#: What cabinets of one model are to be set to.
config_template = Table(
    "config_template",
    metadata,
    Column("model", _MODEL, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("breaker_w", Integer, nullable=False),
    Column("settings", Text, nullable=False),
    Column("actor", _ID, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

cabinet_model = Table(
    "cabinet_model",
    metadata,
    Column("cabinet", _ID, ForeignKey("cabinet.id"), primary_key=True),
    Column("model", _MODEL, nullable=False, index=True),
)

#: Every version of a cabinet's settings; the highest is what it is to have.
config_version = Table(
    "config_version",
    metadata,
    Column("cabinet", _ID, ForeignKey("cabinet.id"), primary_key=True),
    Column("version", BigInteger, primary_key=True, autoincrement=False),
    Column("settings", Text, nullable=False),
    Column("actor", _ID, nullable=False),
    Column("rollout", _ID),
    Column("at_ms", BigInteger, nullable=False),
)

rollout = Table(
    "rollout",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("model", _MODEL, nullable=False),
    Column("phase", String(16), nullable=False, index=True),
    Column("doc", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)
