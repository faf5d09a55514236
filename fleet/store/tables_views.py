"""Table of the addresses that staff keep under a name."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, String, Table

from fleet.store.tables import metadata

_ID = String(64)

saved_view = Table(
    "saved_view",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("staff", _ID, nullable=False),
    Column("name", String(60), nullable=False),
    Column("page", String(16), nullable=False),
    Column("query", String(500), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Index("ix_saved_view_staff_name", "staff", "name", unique=True),
)
