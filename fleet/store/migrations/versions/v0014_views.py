"""Addresses that staff keep under a name; swaps by the time they began, for their list."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "saved_view",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("staff", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("page", sa.String(length=16), nullable=False),
        sa.Column("query", sa.String(length=500), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_saved_view"),
    )
    op.create_index("ix_saved_view_staff_name", "saved_view", ["staff", "name"], unique=True)
    op.create_index("ix_swap_created_ms_id", "swap", ["created_ms", "id"])


def downgrade() -> None:
    """Without it."""
    op.drop_index("ix_swap_created_ms_id", "swap")
    op.drop_table("saved_view")
