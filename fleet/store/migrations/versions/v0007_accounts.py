"""Plans, charges and partners."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    op.create_table(
        "rider_plan",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name_zh", sa.String(length=60), nullable=False),
        sa.Column("name_en", sa.String(length=60), nullable=False),
        sa.Column("per", sa.String(length=8), nullable=False),
        sa.Column("price_minor", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("quota", sa.Integer(), nullable=True),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rider_plan"),
    )
    op.create_table(
        "subscription",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("rider", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.String(length=32), nullable=False),
        sa.Column("partner", sa.String(length=32), nullable=True),
        sa.Column("from_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_subscription"),
    )
    op.create_index("ix_subscription_rider", "subscription", ["rider"], unique=False)
    op.create_index("ix_subscription_partner", "subscription", ["partner"], unique=False)
    _charges()
    _partners()


def _charges() -> None:
    op.create_table(
        "charge",
        sa.Column("swap_id", sa.String(length=64), nullable=False),
        sa.Column("rider", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.String(length=32), nullable=False),
        sa.Column("partner", sa.String(length=32), nullable=True),
        sa.Column("amount_minor", sa.Integer(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("tell_ms", sa.BigInteger(), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("swap_id", name="pk_charge"),
    )
    op.create_index("ix_charge_tell_ms", "charge", ["tell_ms"], unique=False)
    op.create_index("ix_charge_rider_created_ms", "charge", ["rider", "created_ms"], unique=False)
    op.create_index(
        "ix_charge_partner_created_ms", "charge", ["partner", "created_ms"], unique=False
    )


def _partners() -> None:
    op.create_table(
        "partner",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("link_key", sa.String(length=64), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.String(length=32), nullable=True),
        sa.Column("quota_day", sa.Integer(), nullable=True),
        sa.Column("webhook_url", sa.String(length=300), server_default="", nullable=False),
        sa.Column("support_phone", sa.String(length=32), server_default="", nullable=False),
        sa.Column("colour", sa.String(length=7), server_default="", nullable=False),
        sa.Column("off", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_partner"),
        sa.UniqueConstraint("token_hash", name="uq_partner_token_hash"),
    )
    op.create_table(
        "partner_link",
        sa.Column("partner", sa.String(length=32), nullable=False),
        sa.Column("jti", sa.String(length=64), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("partner", "jti", name="pk_partner_link"),
    )
    op.create_index("ix_partner_link_expires_ms", "partner_link", ["expires_ms"], unique=False)
    op.create_table(
        "partner_rider",
        sa.Column("partner", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("rider", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("partner", "subject", name="pk_partner_rider"),
        sa.UniqueConstraint("rider", name="uq_partner_rider_rider"),
    )


def downgrade() -> None:
    """Without them."""
    for name in ("partner_rider", "partner_link", "partner", "charge", "subscription"):
        op.drop_table(name)
    op.drop_table("rider_plan")
