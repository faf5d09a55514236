"""Partners are told of sessions at sockets, and their sessions of a day are counted by an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE = "socket_session"
BY_PARTNER = "ix_socket_session_partner_created_ms"
BY_TELL = "ix_socket_session_tell_ms"


def upgrade() -> None:
    """To this version."""
    op.add_column(TABLE, sa.Column("tell_ms", sa.BigInteger(), nullable=True))
    op.add_column(TABLE, sa.Column("tries", sa.Integer(), nullable=False, server_default="0"))
    op.create_index(BY_TELL, TABLE, ["tell_ms"])
    op.create_index(BY_PARTNER, TABLE, ["partner", "created_ms"])


def downgrade() -> None:
    """Without it."""
    op.drop_index(BY_PARTNER, TABLE)
    op.drop_index(BY_TELL, TABLE)
    op.drop_column(TABLE, "tries")
    op.drop_column(TABLE, "tell_ms")
