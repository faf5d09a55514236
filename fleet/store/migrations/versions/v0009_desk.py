"""Versions of the grid, and notes on alarms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "grid_version",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("valid_from_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("withdrawn_ms", sa.BigInteger(), nullable=True),
        sa.Column("withdrawn_by", sa.String(length=64), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_grid_version"),
    )
    op.create_table(
        "alarm_note",
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("code", sa.String(length=64), nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.PrimaryKeyConstraint("cabinet", "code", "slot", "epoch", "seq", name="pk_alarm_note"),
    )
    op.create_index("ix_alarm_note_at_ms", "alarm_note", ["at_ms"], unique=False)
    is_alarm = sa.text("type = 'alarm'")
    op.create_index(
        "ix_event_alarms",
        "event",
        ["cabinet", "epoch", "seq"],
        unique=False,
        sqlite_where=is_alarm,
        postgresql_where=is_alarm,
    )
    # A row to lock: who makes a version waits for who is making one.
    op.execute("INSERT INTO meta (name, value) VALUES ('grids-revision', '0')")


def downgrade() -> None:
    """Without them."""
    op.execute("DELETE FROM meta WHERE name = 'grids-revision'")
    op.drop_index("ix_event_alarms", table_name="event")
    op.drop_table("alarm_note")
    op.drop_table("grid_version")
