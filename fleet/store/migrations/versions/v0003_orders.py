"""The log of what staff ordered and decided becomes a hash chain; its old rows begin the chain."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from fleet.core.audit_log import DONE, Head, LogRow, digest

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_HEAD = "audit-head"


def upgrade() -> None:
    """To this version."""
    query = "SELECT at_ms, actor, action, subject, detail FROM audit_log ORDER BY id"
    old = op.get_bind().execute(sa.text(query)).all()
    op.drop_table("audit_log")
    log = op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("cabinet", sa.String(length=64), nullable=False),
        sa.Column("command_id", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=True),
        sa.Column("swap_id", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("result", sa.String(length=64), nullable=True),
        sa.Column("evidence", sa.String(length=500), nullable=False),
        sa.Column("prev", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_log"),
    )
    op.create_index("ix_audit_log_cabinet", "audit_log", ["cabinet"], unique=False)
    op.create_index("ix_audit_log_command_id", "audit_log", ["command_id"], unique=False)
    op.create_index("ix_audit_log_subject", "audit_log", ["subject"], unique=False)
    rows, head = _chain(old)
    op.bulk_insert(log, rows)
    meta = sa.table("meta", sa.column("name", sa.String()), sa.column("value", sa.String()))
    op.execute(sa.insert(meta).values(name=_HEAD, value=head.text))


def _chain(old: Any) -> tuple[list[dict[str, Any]], Head]:
    rows: list[dict[str, Any]] = []
    head = Head()
    for each in old:
        bare = LogRow(
            id=head.id + 1,
            at_ms=each.at_ms,
            actor=each.actor,
            action=each.action,
            outcome=DONE,
            subject=each.subject,
            reason=each.detail[:500],
            prev=head.hash,
        )
        head = Head(bare.id, digest(bare))
        rows.append({name: getattr(bare, name) for name in bare.__slots__} | {"hash": head.hash})
    return rows, head


def downgrade() -> None:
    """Back to the table of the first version, empty."""
    op.execute(sa.text("DELETE FROM meta WHERE name = :name").bindparams(name=_HEAD))
    op.drop_table("audit_log")
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
