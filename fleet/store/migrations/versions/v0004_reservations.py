"""Full batteries kept for riders on the way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "reservation",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("rider", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_reservation_cabinet"),
        sa.PrimaryKeyConstraint("id", name="pk_reservation"),
    )
    op.create_index(
        "ix_reservation_rider_expires_ms", "reservation", ["rider", "expires_ms"], unique=False
    )


def downgrade() -> None:
    """Without them."""
    op.drop_table("reservation")
