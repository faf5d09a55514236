"""Energy from sockets in plans; who pays for a session."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.add_column("rider_plan", sa.Column("quota_wh", sa.Integer(), nullable=True))
    op.add_column("socket_session", sa.Column("plan", sa.String(length=32), nullable=True))
    op.add_column("socket_session", sa.Column("partner", sa.String(length=32), nullable=True))
    op.add_column(
        "socket_session",
        sa.Column("included", sa.Boolean(), server_default=sa.false(), nullable=False),
    )


def downgrade() -> None:
    """To the version before."""
    with op.batch_alter_table("socket_session") as batch:
        for column in ("included", "partner", "plan"):
            batch.drop_column(column)
    with op.batch_alter_table("rider_plan") as batch:
        batch.drop_column("quota_wh")
