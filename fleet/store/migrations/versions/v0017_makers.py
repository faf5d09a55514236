"""Tokens know whose they are, sessions when they were proven, and quarantines that a cabinet missed the end of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

#: Whoever made a token stood in it by name only; names of accounts are never used again.
_MAKERS = (
    "UPDATE api_token SET maker = "
    "(SELECT staff.id FROM staff WHERE staff.name_key = lower(api_token.made_by))"
)


def upgrade() -> None:
    """To this version."""
    op.add_column("api_token", sa.Column("maker", sa.String(64), nullable=True))
    op.create_index("ix_api_token_maker", "api_token", ["maker"])
    op.execute(_MAKERS)
    op.add_column(
        "staff_session",
        sa.Column("proven_ms", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.add_column("pack_quarantine", sa.Column("lifted_ms", sa.BigInteger(), nullable=True))
    op.add_column("pack_quarantine", sa.Column("told", sa.String(64), nullable=True))


def downgrade() -> None:
    """Without it; an end that no cabinet was told of is forgotten, as it was."""
    op.execute("DELETE FROM pack_quarantine WHERE lifted_ms IS NOT NULL")
    op.drop_column("pack_quarantine", "told")
    op.drop_column("pack_quarantine", "lifted_ms")
    op.drop_column("staff_session", "proven_ms")
    op.drop_index("ix_api_token_maker", "api_token")
    op.drop_column("api_token", "maker")
