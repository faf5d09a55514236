"""Numbers of riders, riders who are blocked, and by whose authority a swap began."""

from __future__ import annotations

import secrets

import sqlalchemy as sa
from alembic import op

from protocols.offline import NUMBER_DIGITS, rider_number

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_SERIALS = 10 ** (NUMBER_DIGITS - 1)


def upgrade() -> None:
    """To this version; who is a rider already gets a number."""
    with op.batch_alter_table("swap") as table:
        table.add_column(
            sa.Column("authority", sa.String(length=16), server_default="fleet", nullable=False)
        )
        table.add_column(
            sa.Column("flags", sa.String(length=200), server_default="", nullable=False)
        )
    with op.batch_alter_table("rider") as table:
        table.add_column(sa.Column("number", sa.String(length=8), nullable=True))
        table.add_column(
            sa.Column("denied", sa.Boolean(), server_default=sa.false(), nullable=False)
        )
        table.add_column(
            sa.Column("denied_reason", sa.String(length=500), server_default="", nullable=False)
        )
    _number_riders()
    with op.batch_alter_table("rider") as table:
        table.alter_column("number", existing_type=sa.String(length=8), nullable=False)
        table.create_unique_constraint("uq_rider_number", ["number"])
    op.execute("INSERT INTO meta (name, value) VALUES ('numbers-revision', '0')")


def downgrade() -> None:
    """Back to the version before."""
    op.execute("DELETE FROM meta WHERE name = 'numbers-revision'")
    with op.batch_alter_table("rider") as table:
        table.drop_constraint("uq_rider_number", type_="unique")
        for column in ("denied_reason", "denied", "number"):
            table.drop_column(column)
    with op.batch_alter_table("swap") as table:
        table.drop_column("flags")
        table.drop_column("authority")


def _number_riders() -> None:
    connection = op.get_bind()
    ids = list(connection.execute(sa.text("SELECT id FROM rider")).scalars())
    numbers: set[str] = set()
    while len(numbers) < len(ids):
        numbers.add(rider_number(secrets.randbelow(_SERIALS)))
    rows = [{"id": rider, "number": number} for rider, number in zip(ids, numbers, strict=True)]
    if rows:
        connection.execute(sa.text("UPDATE rider SET number = :number WHERE id = :id"), rows)
