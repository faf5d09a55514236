"""Cabinets join by token and certificate."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.add_column("cabinet", sa.Column("enrolled_epoch", sa.BigInteger(), nullable=True))
    op.add_column(
        "cabinet", sa.Column("secrets_id", sa.String(16), nullable=False, server_default="")
    )
    op.create_table(
        "enrol_token",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("cabinet", sa.String(64), nullable=False),
        sa.Column("secret_hash", sa.String(64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_enrol_token_cabinet"),
        sa.PrimaryKeyConstraint("id", name="pk_enrol_token"),
    )
    op.create_index("ix_enrol_token_cabinet", "enrol_token", ["cabinet"], unique=False)
    op.create_table(
        "device_cert",
        sa.Column("serial", sa.String(40), nullable=False),
        sa.Column("cabinet", sa.String(64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("issued_ms", sa.BigInteger(), nullable=False),
        sa.Column("not_after_ms", sa.BigInteger(), nullable=False),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_device_cert_cabinet"),
        sa.PrimaryKeyConstraint("serial", name="pk_device_cert"),
    )
    op.create_index("ix_device_cert_cabinet", "device_cert", ["cabinet"], unique=False)


def downgrade() -> None:
    """Back to passwords."""
    op.drop_table("device_cert")
    op.drop_table("enrol_token")
    op.drop_column("cabinet", "secrets_id")
    op.drop_column("cabinet", "enrolled_epoch")
