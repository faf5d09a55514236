"""Small facts of any length: the peaks of many regions are more than 128 characters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    with op.batch_alter_table("meta") as table:
        table.alter_column("value", type_=sa.Text(), existing_type=sa.String(128))


def downgrade() -> None:
    """Without it; what is too long is made anew."""
    op.execute("DELETE FROM meta WHERE length(value) > 128")
    with op.batch_alter_table("meta") as table:
        table.alter_column("value", type_=sa.String(128), existing_type=sa.Text())
