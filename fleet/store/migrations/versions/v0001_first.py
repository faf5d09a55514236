"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = (
    "meta",
    "cabinet",
    "cabinet_latest",
    "desired",
    "battery",
    "movement",
    "transfer",
    "owed",
    "event",
    "watermark",
    "quarantine_event",
    "swap",
    "command_outbox",
    "rider",
    "login_code",
    "session",
    "audit_log",
)


def upgrade() -> None:
    """To this version."""
    _cabinet_tables()
    _custody_tables()
    _report_tables()
    _order_tables()
    _people_tables()


def downgrade() -> None:
    """Back to an empty database."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _cabinet_tables() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )
    op.create_table(
        "cabinet",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=True),
        sa.Column("lon", sa.Float(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("command_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("mqtt_pbkdf2", sa.String(length=256), nullable=False),
        sa.Column("mqtt_bcrypt", sa.String(length=128), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cabinet"),
    )
    op.create_table(
        "cabinet_latest",
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("telemetry", sa.Text(), nullable=True),
        sa.Column("received_ms", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("session", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_cabinet_latest_cabinet"),
        sa.PrimaryKeyConstraint("cabinet", name="pk_cabinet_latest"),
    )
    op.create_table(
        "desired",
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("chunks", sa.Integer(), nullable=False),
        sa.Column("doc", sa.Text(), server_default="", nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_desired_cabinet"),
        sa.PrimaryKeyConstraint("cabinet", "kind", name="pk_desired"),
    )


def _custody_tables() -> None:
    op.create_table(
        "battery",
        sa.Column("serial", sa.String(length=50), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=True),
        sa.Column("capacity_wh", sa.Integer(), nullable=True),
        sa.Column("holder", sa.String(length=96), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("disputed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("serial", name="pk_battery"),
    )
    op.create_index("ix_battery_holder", "battery", ["holder"], unique=False)
    op.create_table(
        "movement",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("serial", sa.String(length=50), nullable=False),
        sa.Column("from_holder", sa.String(length=96), nullable=False),
        sa.Column("to_holder", sa.String(length=96), nullable=False),
        sa.Column("swap_id", sa.String(length=64), nullable=True),
        sa.Column("cabinet", sa.String(length=64), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=False),
        sa.Column("flags", sa.String(length=200), server_default="", nullable=False),
        sa.Column("moves", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_movement"),
        sa.UniqueConstraint(
            "cabinet", "epoch", "seq", "serial", name="uq_movement_cabinet_epoch_seq_serial"
        ),
    )
    op.create_index("ix_movement_serial", "movement", ["serial"], unique=False)
    op.create_index("ix_movement_swap_id", "movement", ["swap_id"], unique=False)
    op.create_table(
        "transfer",
        sa.Column("swap_id", sa.String(length=64), nullable=False),
        sa.Column("leg", sa.String(length=3), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("from_holder", sa.String(length=96), nullable=True),
        sa.Column("to_holder", sa.String(length=96), nullable=True),
        sa.Column("serial", sa.String(length=50), nullable=True),
        sa.PrimaryKeyConstraint("swap_id", "leg", name="pk_transfer"),
    )
    op.create_table(
        "owed",
        sa.Column("serial", sa.String(length=50), nullable=False),
        sa.Column("holder", sa.String(length=96), nullable=False),
        sa.PrimaryKeyConstraint("serial", "holder", name="pk_owed"),
    )


def _report_tables() -> None:
    op.create_table(
        "event",
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("boot_id", sa.String(length=64), nullable=False),
        sa.Column("mono_ms", sa.BigInteger(), nullable=False),
        sa.Column("wall_ms", sa.BigInteger(), nullable=False),
        sa.Column("wall_synced", sa.Boolean(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cabinet", "epoch", "seq", name="pk_event"),
    )
    op.create_table(
        "watermark",
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cabinet", name="pk_watermark"),
    )
    op.create_table(
        "quarantine_event",
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("cabinet", "digest", name="pk_quarantine_event"),
    )
    op.create_index(
        "ix_quarantine_event_epoch_seq",
        "quarantine_event",
        ["cabinet", "epoch", "seq"],
        unique=False,
    )


def _order_tables() -> None:
    op.create_table(
        "swap",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("rider", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("idempotency_key", sa.String(length=128), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=True),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("slot_in", sa.Integer(), nullable=True),
        sa.Column("slot_out", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.String(length=500), server_default="", nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_swap"),
        sa.UniqueConstraint("rider", "idempotency_key", name="uq_swap_rider_idempotency_key"),
    )
    op.create_index("ix_swap_cabinet_open", "swap", ["cabinet", "open"], unique=False)
    op.create_index("ix_swap_updated_ms", "swap", ["updated_ms"], unique=False)
    op.create_index("ix_swap_rider_open", "swap", ["rider", "open"], unique=False)
    op.create_table(
        "command_outbox",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("precondition", sa.Text(), nullable=True),
        sa.Column("swap_id", sa.String(length=64), nullable=True),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=500), server_default="", nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("answered_ms", sa.BigInteger(), nullable=True),
        sa.Column("result_reason", sa.String(length=64), nullable=True),
        sa.Column("evidence", sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(["cabinet"], ["cabinet.id"], name="fk_command_outbox_cabinet"),
        sa.PrimaryKeyConstraint("id", name="pk_command_outbox"),
        sa.UniqueConstraint("cabinet", "seq", name="uq_command_outbox_cabinet_seq"),
    )
    op.create_index("ix_command_outbox_state", "command_outbox", ["state"], unique=False)
    op.create_index("ix_command_outbox_swap_id", "command_outbox", ["swap_id"], unique=False)


def _people_tables() -> None:
    op.create_table(
        "rider",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("phone_hash", sa.String(length=64), nullable=False),
        sa.Column("phone_tail", sa.String(length=4), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rider"),
        sa.UniqueConstraint("phone_hash", name="uq_rider_phone_hash"),
    )
    op.create_table(
        "login_code",
        sa.Column("phone_hash", sa.String(length=64), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("sent_ms", sa.BigInteger(), nullable=False),
        sa.Column("sends", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("phone_hash", name="pk_login_code"),
    )
    op.create_table(
        "session",
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("rider_id", sa.String(length=64), nullable=True),
        sa.Column("operator", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_session"),
    )
    op.create_index("ix_session_expires_ms", "session", ["expires_ms"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_subject", "audit_log", ["subject"], unique=False)
