"""Indexes for lists that are read page by page, and for what is looked for on every overview."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.create_index("ix_swap_created_ms", "swap", ["created_ms", "id"], unique=False)
    flagged = sa.text("flags != ''")
    op.create_index(
        "ix_swap_flagged",
        "swap",
        ["created_ms", "id"],
        unique=False,
        sqlite_where=flagged,
        postgresql_where=flagged,
    )
    op.create_index("ix_socket_session_created_ms", "socket_session", ["created_ms"], unique=False)


def downgrade() -> None:
    """Without them."""
    op.drop_index("ix_socket_session_created_ms", table_name="socket_session")
    for name in ("ix_swap_flagged", "ix_swap_created_ms"):
        op.drop_index(name, table_name="swap")
