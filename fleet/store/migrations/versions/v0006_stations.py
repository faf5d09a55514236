"""Stations, their sockets and amenities, and riders' reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _text(name: str, length: int) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=False, server_default="")


def upgrade() -> None:
    """To this version."""
    _stations()
    _sessions()
    _reports()


def _stations() -> None:
    op.create_table(
        "station",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        _text("address", 300),
        _text("hours", 200),
        _text("notice", 500),
        sa.Column("lat", sa.Float(), nullable=True),
        sa.Column("lon", sa.Float(), nullable=True),
        sa.Column("price_kwh_minor", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("price_hour_minor", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("photo", sa.String(64), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_station"),
    )
    op.create_table(
        "station_cabinet",
        sa.Column("cabinet", sa.String(32), nullable=False),
        sa.Column("station", sa.String(32), nullable=False),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_station_cabinet_cabinet"),
        sa.ForeignKeyConstraint(["station"], ["station.id"], name="fk_station_cabinet_station"),
        sa.PrimaryKeyConstraint("cabinet", name="pk_station_cabinet"),
    )
    op.create_index("ix_station_cabinet_station", "station_cabinet", ["station"], unique=False)
    op.create_table(
        "amenity",
        sa.Column("id", _ROW_ID, nullable=False, autoincrement=True),
        sa.Column("station", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        _text("note", 300),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["station"], ["station.id"], name="fk_amenity_station"),
        sa.PrimaryKeyConstraint("id", name="pk_amenity"),
    )
    op.create_index("ix_amenity_station", "amenity", ["station"], unique=False)


def _sessions() -> None:
    op.create_table(
        "socket_session",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("cabinet", sa.String(64), nullable=False),
        sa.Column("socket", sa.Integer(), nullable=False),
        sa.Column("rider", sa.String(64), nullable=False),
        sa.Column("idempotency_key", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("limit_wh", sa.Integer(), nullable=False),
        sa.Column("limit_s", sa.Integer(), nullable=False),
        sa.Column("energy_wh", sa.BigInteger(), nullable=False),
        sa.Column("duration_s", sa.BigInteger(), nullable=False),
        sa.Column("price_kwh_minor", sa.Integer(), nullable=False),
        sa.Column("price_hour_minor", sa.Integer(), nullable=False),
        sa.Column("amount_minor", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(64), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_socket_session"),
        sa.UniqueConstraint(
            "rider", "idempotency_key", name="uq_socket_session_rider_idempotency_key"
        ),
    )
    op.create_index(
        "ix_socket_session_cabinet_socket", "socket_session", ["cabinet", "socket", "state"]
    )
    op.create_index("ix_socket_session_rider_created_ms", "socket_session", ["rider", "created_ms"])


def _reports() -> None:
    op.create_table(
        "report",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("rider", sa.String(64), nullable=False),
        sa.Column("topic", sa.String(16), nullable=False),
        sa.Column("station", sa.String(32), nullable=True),
        sa.Column("cabinet", sa.String(64), nullable=True),
        sa.Column("swap_id", sa.String(64), nullable=True),
        sa.Column("amenity", sa.BigInteger(), nullable=True),
        sa.Column("place", sa.String(200), nullable=False),
        sa.Column("text", sa.String(2000), nullable=False),
        sa.Column("photo", sa.String(64), nullable=True),
        sa.Column("state", sa.String(16), nullable=False),
        _text("answer", 2000),
        _text("answered_by", 64),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
    )
    op.create_index("ix_report_rider_created_ms", "report", ["rider", "created_ms"])
    op.create_index("ix_report_state_created_ms", "report", ["state", "created_ms"])
    op.create_table(
        "photo",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("media_type", sa.String(32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_photo"),
    )


def downgrade() -> None:
    """Without stations."""
    for table in ("photo", "report", "socket_session", "amenity", "station_cabinet", "station"):
        op.drop_table(table)
