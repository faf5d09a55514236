"""Two-person orders, packs in quarantine, settings and their roll-outs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """To this version."""
    _orders()
    _settings()


def _orders() -> None:
    op.create_table(
        "order_ask",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("asked_by", sa.String(length=64), nullable=False),
        sa.Column("asked_name", sa.String(length=64), nullable=False),
        sa.Column("asked_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("admitted_by", sa.String(length=64), nullable=True),
        sa.Column("admitted_name", sa.String(length=64), nullable=True),
        sa.Column("command_id", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_order_ask_cabinet"),
        sa.PrimaryKeyConstraint("id", name="pk_order_ask"),
    )
    op.create_index("ix_order_ask_cabinet", "order_ask", ["cabinet"], unique=False)
    op.create_index("ix_order_ask_command_id", "order_ask", ["command_id"], unique=False)
    op.create_table(
        "pack_quarantine",
        sa.Column("serial", sa.String(length=50), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["serial"], ["battery.serial"], name="fk_pack_quarantine_serial"),
        sa.PrimaryKeyConstraint("serial", name="pk_pack_quarantine"),
    )


def _settings() -> None:
    op.create_table(
        "config_template",
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("breaker_w", sa.Integer(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_config_template"),
    )
    op.create_table(
        "cabinet_model",
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_cabinet_model_cabinet"),
        sa.PrimaryKeyConstraint("cabinet", name="pk_cabinet_model"),
    )
    op.create_index("ix_cabinet_model_model", "cabinet_model", ["model"], unique=False)
    op.create_table(
        "config_version",
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("rollout", sa.String(length=64), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_config_version_cabinet"),
        sa.PrimaryKeyConstraint("cabinet", "version", name="pk_config_version"),
    )
    op.create_table(
        "rollout",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("model", sa.String(length=32), nullable=False),
        sa.Column("phase", sa.String(length=16), nullable=False),
        sa.Column("doc", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollout"),
    )
    op.create_index("ix_rollout_phase", "rollout", ["phase"], unique=False)


def downgrade() -> None:
    """Without them."""
    for name in (
        "rollout",
        "config_version",
        "cabinet_model",
        "config_template",
        "pack_quarantine",
        "order_ask",
    ):
        op.drop_table(name)
