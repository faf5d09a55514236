"""The fleet's tables, as SQLAlchemy Core. Times are milliseconds of Unix time (``*_ms``).

The schema is built by the migrations; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: SQLite counts rows up only in a column called INTEGER, which holds 64 bits there anyway.
_ROW_ID = BigInteger().with_variant(Integer(), "sqlite")
_HOLDER = String(96)
_ID = String(64)

#: ``incarnation`` of the ledger, and revisions that a running fleetd watches.
meta = Table(
    "meta",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)

cabinet = Table(
    "cabinet",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("slots", Integer, nullable=False),
    Column("lat", Float),
    Column("lon", Float),
    Column("epoch", BigInteger, nullable=False),  # minted at registration
    Column("command_seq", BigInteger, nullable=False, server_default="0"),
    Column("enrolled_epoch", BigInteger),  # of the enrolment that counts; none: it may not connect
    Column("secrets_id", String(16), nullable=False, server_default=""),  # what it was given last
    # Passwords of a broker without TLS; empty where certificates count.
    Column("mqtt_pbkdf2", String(256), nullable=False),  # mosquitto's format
    Column("mqtt_bcrypt", String(128)),  # NATS's format
    Column("created_ms", BigInteger, nullable=False),
)

#: One-time tokens by which a cabinet joins; the secret is kept as a hash.
enrol_token = Table(
    "enrol_token",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("cabinet", _ID, ForeignKey("cabinet.id"), nullable=False, index=True),
    Column("secret_hash", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
)

#: Client certificates of cabinets.
device_cert = Table(
    "device_cert",
    metadata,
    Column("serial", String(40), primary_key=True),
    Column("cabinet", _ID, ForeignKey("cabinet.id"), nullable=False, index=True),
    Column("epoch", BigInteger, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("not_after_ms", BigInteger, nullable=False),
    Column("revoked_ms", BigInteger),
)

cabinet_latest = Table(
    "cabinet_latest",
    metadata,
    Column("cabinet", _ID, ForeignKey("cabinet.id"), primary_key=True),
    Column("telemetry", Text),
    Column("received_ms", BigInteger),
    Column("status", Text),
    Column("session", BigInteger, nullable=False, server_default="0"),
)

battery = Table(
    "battery",
    metadata,
    Column("serial", String(50), primary_key=True),
    Column("model", String(100)),
    Column("capacity_wh", Integer),
    Column("holder", _HOLDER, nullable=False, index=True),
    Column("version", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("disputed", Boolean, nullable=False, server_default=false()),
    Column("since_ms", BigInteger, nullable=False),
)

movement = Table(
    "movement",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("serial", String(50), nullable=False, index=True),
    Column("from_holder", _HOLDER, nullable=False),
    Column("to_holder", _HOLDER, nullable=False),
    Column("swap_id", _ID, index=True),
    Column("cabinet", _ID),
    Column("epoch", BigInteger),
    Column("seq", BigInteger),
    Column("at_ms", BigInteger, nullable=False),
    Column("cause", String(32), nullable=False),
    Column("flags", String(200), nullable=False, server_default=""),
    Column("moves", Boolean, nullable=False),
    UniqueConstraint("cabinet", "epoch", "seq", "serial"),
)

transfer = Table(
    "transfer",
    metadata,
    Column("swap_id", _ID, primary_key=True),
    Column("leg", String(3), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("from_holder", _HOLDER),
    Column("to_holder", _HOLDER),
    Column("serial", String(50)),
)

#: Departures that another cabinet's report implied and that are yet to be told.
owed = Table(
    "owed",
    metadata,
    Column("serial", String(50), primary_key=True),
    Column("holder", _HOLDER, primary_key=True),
)

event = Table(
    "event",
    metadata,
    Column("cabinet", _ID, primary_key=True),
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("boot_id", _ID, nullable=False),
    Column("mono_ms", BigInteger, nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("wall_synced", Boolean, nullable=False),
    Column("type", _ID, nullable=False),
    Column("body", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
)

watermark = Table(
    "watermark",
    metadata,
    Column("cabinet", _ID, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)

#: Events that could not be understood; the digest keeps a repeat from filling the disk.
quarantine_event = Table(
    "quarantine_event",
    metadata,
    Column("cabinet", _ID, primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("epoch", BigInteger),
    Column("seq", BigInteger),
    Column("payload", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Index("ix_quarantine_event_epoch_seq", "cabinet", "epoch", "seq"),
)

swap = Table(
    "swap",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("cabinet", _ID, nullable=False),
    Column("rider", _ID, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("idempotency_key", String(128), nullable=False),
    Column("step", String(32)),
    Column("rank", Integer, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("slot_in", Integer),
    Column("slot_out", Integer),
    Column("reason", _ID),
    Column("detail", String(500), nullable=False, server_default=""),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("authority", String(16), nullable=False, server_default="fleet"),
    Column("flags", String(200), nullable=False, server_default=""),
    UniqueConstraint("rider", "idempotency_key"),
    Index("ix_swap_cabinet_open", "cabinet", "open"),
    Index("ix_swap_updated_ms", "updated_ms"),
    Index("ix_swap_rider_open", "rider", "open"),
    # The last ones of a rider, or at a cabinet, without reading and sorting all of theirs.
    Index("ix_swap_rider_created_ms", "rider", "created_ms", "id"),
    Index("ix_swap_cabinet_created_ms", "cabinet", "created_ms", "id"),
    Index("ix_swap_created_ms", "created_ms", "id"),  # lists go by it, page by page
)

#: Swaps that want a look: few, and looked for on every overview. The queries name '' as it stands here.
FLAGGED: Final = swap.c.flags != literal_column("''")
swap_flagged = Index(
    "ix_swap_flagged",
    swap.c.created_ms,
    swap.c.id,
    sqlite_where=FLAGGED,
    postgresql_where=FLAGGED,
)

command_outbox = Table(
    "command_outbox",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("cabinet", _ID, ForeignKey("cabinet.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("type", _ID, nullable=False),
    Column("args", Text, nullable=False),
    Column("precondition", Text),
    Column("swap_id", _ID, index=True),
    Column("actor", _ID, nullable=False),
    Column("reason", String(500), nullable=False, server_default=""),
    Column("state", String(16), nullable=False, index=True),  # queued, or how it ended
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("answered_ms", BigInteger),
    Column("result_reason", _ID),
    Column("evidence", String(500)),
    UniqueConstraint("cabinet", "seq"),
)

rider = Table(
    "rider",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("phone_hash", String(64), nullable=False, unique=True),
    Column("phone_tail", String(4), nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("number", String(8), nullable=False),  # names the rider to a cabinet without a network
    Column("denied", Boolean, nullable=False, server_default=false()),
    Column("denied_reason", String(500), nullable=False, server_default=""),
    UniqueConstraint("number"),
)

login_code = Table(
    "login_code",
    metadata,
    Column("phone_hash", String(64), primary_key=True),
    Column("code_hash", String(64), nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("sent_ms", BigInteger, nullable=False),
    Column("sends", Integer, nullable=False),
)

session = Table(
    "session",
    metadata,
    Column("token_hash", String(64), primary_key=True),
    Column("rider_id", _ID, index=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False, index=True),
)

#: Desired documents of a cabinet: what was last published, or what is to be (a plan).
desired = Table(
    "desired",
    metadata,
    Column("cabinet", _ID, ForeignKey("cabinet.id"), primary_key=True),
    Column("kind", String(16), primary_key=True),  # "plan", "config" or "lists"
    Column("version", BigInteger, nullable=False),
    Column("chunks", Integer, nullable=False),
    Column("doc", Text, nullable=False, server_default=""),
    Column("updated_ms", BigInteger, nullable=False),
)

#: Full packs kept for riders on the way; the id is that of the order to the cabinet.
reservation = Table(
    "reservation",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("cabinet", _ID, ForeignKey("cabinet.id"), nullable=False),
    Column("rider", _ID, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("slot", Integer),
    Column("reason", _ID),
    Index("ix_reservation_rider_expires_ms", "rider", "expires_ms"),
)

#: What staff ordered and decided, in a hash chain; ``meta`` holds its head.
audit_log = Table(
    "audit_log",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("actor", _ID, nullable=False),
    Column("action", _ID, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("cabinet", _ID, nullable=False, index=True),
    Column("command_id", _ID, nullable=False, index=True),
    Column("subject", String(128), nullable=False, index=True),
    Column("slot", Integer),
    Column("swap_id", _ID),
    Column("reason", String(500), nullable=False),
    Column("result", _ID),
    Column("evidence", String(500), nullable=False),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

#: Where riders rest: cabinets, a charging area and amenities under one name.
station = Table(
    "station",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("address", String(300), nullable=False, server_default=""),
    Column("hours", String(200), nullable=False, server_default=""),
    Column("notice", String(500), nullable=False, server_default=""),
    Column("lat", Float),
    Column("lon", Float),
    Column("price_kwh_minor", Integer, nullable=False, server_default="0"),
    Column("price_hour_minor", Integer, nullable=False, server_default="0"),
    Column("photo", _ID, index=True),
    Column("created_ms", BigInteger, nullable=False),
)

station_cabinet = Table(
    "station_cabinet",
    metadata,
    Column("cabinet", String(32), ForeignKey("cabinet.id"), primary_key=True),
    Column("station", String(32), ForeignKey("station.id"), nullable=False, index=True),
)

amenity = Table(
    "amenity",
    metadata,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("station", String(32), ForeignKey("station.id"), nullable=False, index=True),
    Column("kind", String(32), nullable=False),
    Column("note", String(300), nullable=False, server_default=""),
    Column("state", String(16), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
)

#: Power from a socket for one rider; energy and duration are what the cabinet told.
socket_session = Table(
    "socket_session",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("cabinet", _ID, nullable=False),
    Column("socket", Integer, nullable=False),
    Column("rider", _ID, nullable=False),
    Column("idempotency_key", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("limit_wh", Integer, nullable=False),
    Column("limit_s", Integer, nullable=False),
    Column("energy_wh", BigInteger, nullable=False),
    Column("duration_s", BigInteger, nullable=False),
    Column("price_kwh_minor", Integer, nullable=False),
    Column("price_hour_minor", Integer, nullable=False),
    Column("amount_minor", BigInteger),
    Column("reason", _ID),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("plan", String(32)),
    Column("partner", String(32)),
    Column("included", Boolean, nullable=False, server_default=false()),
    # Telling the partner: when next, after how many tries; none when it is told or there is nobody.
    Column("tell_ms", BigInteger),
    Column("tries", Integer, nullable=False, server_default="0"),
    UniqueConstraint("rider", "idempotency_key"),
    Index("ix_socket_session_cabinet_socket", "cabinet", "socket", "state"),
    Index("ix_socket_session_partner_tell_ms", "partner", "tell_ms"),
    Index("ix_socket_session_partner_created_ms", "partner", "created_ms"),
    Index("ix_socket_session_rider_created_ms", "rider", "created_ms"),
    Index("ix_socket_session_created_ms", "created_ms"),
)

#: What riders report (随手报), and what became of it.
report = Table(
    "report",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("rider", _ID, nullable=False),
    Column("topic", String(16), nullable=False),
    Column("station", String(32)),
    Column("cabinet", _ID),
    Column("swap_id", _ID),
    Column("amenity", BigInteger),
    Column("place", String(200), nullable=False),
    Column("text", String(2000), nullable=False),
    Column("photo", _ID),
    Column("state", String(16), nullable=False),
    Column("answer", String(2000), nullable=False, server_default=""),
    Column("answered_by", String(64), nullable=False, server_default=""),
    Column("answered_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_report_rider_created_ms", "rider", "created_ms"),
    Index("ix_report_state_created_ms", "state", "created_ms"),
)

#: Pictures, stripped of everything but the picture; never bytes as they came.
photo = Table(
    "photo",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("media_type", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

#: Riders who were shown that a cabinet can't serve them, by quarter of an hour; nobody is named.
turned_away = Table(
    "turned_away",
    metadata,
    Column("at_ms", BigInteger, primary_key=True, autoincrement=False),
    Column("cabinet", _ID, primary_key=True),
    Column("reason", _ID, primary_key=True),
    Column("riders", Integer, nullable=False),
)
