"""Tables of staff: accounts, sessions, one-time links, recovery codes, API tokens."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text, false

from fleet.store.tables import metadata

_ID = String(64)
_HASH = String(64)
_NAME = String(32)

staff = Table(
    "staff",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", _NAME, nullable=False),
    Column("name_key", _NAME, nullable=False, unique=True),  # no two that differ in case only
    Column("role", String(16), nullable=False),
    Column("stations", Text),  # a JSON list; none: all
    Column("partners", Text),
    Column("off", Boolean, nullable=False, server_default=false()),
    Column("password_hash", String(200)),
    Column("totp_sealed", String(200)),
    Column("totp_on", Boolean, nullable=False, server_default=false()),
    Column("totp_step", BigInteger, nullable=False, server_default="-1"),
    Column("issuer", String(300)),
    Column("subject", String(255)),
    Column("created_ms", BigInteger, nullable=False),
    Column("last_login_ms", BigInteger),
    Index("ix_staff_issuer_subject", "issuer", "subject", unique=True),
)

staff_recovery = Table(
    "staff_recovery",
    metadata,
    Column("staff", _ID, primary_key=True),
    Column("code_hash", _HASH, primary_key=True),
)

staff_session = Table(
    "staff_session",
    metadata,
    Column("token_hash", _HASH, primary_key=True),
    Column("id", _ID, nullable=False, unique=True),
    Column("staff", _ID, nullable=False, index=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("seen_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False, index=True),
    Column("address", String(64), nullable=False),
    Column("agent", String(200), nullable=False),
    Column("proven_ms", BigInteger, nullable=False, server_default="0"),
)

staff_link = Table(
    "staff_link",
    metadata,
    Column("token_hash", _HASH, primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("staff", _ID, index=True),  # none: there is nobody yet
    Column("expires_ms", BigInteger, nullable=False),
)

api_token = Table(
    "api_token",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("token_hash", _HASH, nullable=False, unique=True),
    Column("prefix", String(16), nullable=False),
    Column("name", _NAME, nullable=False),
    Column("role", String(16), nullable=False),
    Column("stations", Text),
    Column("partners", Text),
    Column("grants", Text),  # a JSON list of permissions; none: all of the role's
    Column("made_by", _NAME, nullable=False),
    Column("maker", _ID, index=True),  # the account; none: made on the machine
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger),
    Column("off", Boolean, nullable=False, server_default=false()),
)
