"""Tables of plans, charges and partners. Money is in the currency's smallest unit (``*_minor``)."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, false

from fleet.store.tables import metadata

_ID = String(64)
_NAME = String(32)

rider_plan = Table(
    "rider_plan",
    metadata,
    Column("id", _NAME, primary_key=True),
    Column("name_zh", String(60), nullable=False),
    Column("name_en", String(60), nullable=False),
    Column("per", String(8), nullable=False),  # "swap" or "period"
    Column("price_minor", Integer, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("quota", Integer),
    Column("days", Integer, nullable=False),
    Column("is_default", Boolean, nullable=False, server_default=false()),
    Column("created_ms", BigInteger, nullable=False),
    Column("quota_wh", Integer),
)

subscription = Table(
    "subscription",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("rider", _ID, nullable=False, index=True),
    Column("plan", _NAME, nullable=False),
    Column("partner", _NAME, index=True),
    Column("from_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
)

#: What a transaction costs if it hands a full pack out; whether it did is for the ledger to say.
charge = Table(
    "charge",
    metadata,
    Column("swap_id", _ID, primary_key=True),
    Column("rider", _ID, nullable=False),
    Column("plan", _NAME, nullable=False),
    Column("partner", _NAME),
    Column("amount_minor", Integer, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    # Telling the partner: when next, after how many tries; none when it is told or there is nobody.
    Column("tell_ms", BigInteger),
    Column("tries", Integer, nullable=False, server_default="0"),
    # By partner: those of one that is never told stay, and nobody else's are looked for among them.
    Index("ix_charge_partner_tell_ms", "partner", "tell_ms"),
    Index("ix_charge_rider_created_ms", "rider", "created_ms"),
    Index("ix_charge_partner_created_ms", "partner", "created_ms"),
)

partner = Table(
    "partner",
    metadata,
    Column("id", _NAME, primary_key=True),
    Column("name", String(60), nullable=False),
    Column("link_key", String(64), nullable=False),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("plan", _NAME),
    Column("quota_day", Integer),
    Column("webhook_url", String(300), nullable=False, server_default=""),
    Column("support_phone", String(32), nullable=False, server_default=""),
    Column("colour", String(7), nullable=False, server_default=""),
    Column("off", Boolean, nullable=False, server_default=false()),
    Column("created_ms", BigInteger, nullable=False),
)

#: Links that were used; kept until they would have expired.
partner_link = Table(
    "partner_link",
    metadata,
    Column("partner", _NAME, primary_key=True),
    Column("jti", _ID, primary_key=True),
    Column("expires_ms", BigInteger, nullable=False, index=True),
)

#: A partner's pseudonym of a rider.
partner_rider = Table(
    "partner_rider",
    metadata,
    Column("partner", _NAME, primary_key=True),
    Column("subject", String(128), primary_key=True),
    Column("rider", _ID, nullable=False, unique=True),
)
