"""Indexes for what is asked every day of a ledger with a year of many cabinets in it."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

_NEW = (
    ("ix_charge_partner_tell_ms", "charge", ["partner", "tell_ms"]),
    ("ix_socket_session_partner_tell_ms", "socket_session", ["partner", "tell_ms"]),
    ("ix_swap_rider_created_ms", "swap", ["rider", "created_ms", "id"]),
    ("ix_swap_cabinet_created_ms", "swap", ["cabinet", "created_ms", "id"]),
    ("ix_session_rider_id", "session", ["rider_id"]),
    ("ix_rider_phone_tail", "rider", ["phone_tail"]),
    ("ix_station_photo", "station", ["photo"]),
)
_OLD = (
    ("ix_charge_tell_ms", "charge", ["tell_ms"]),
    ("ix_socket_session_tell_ms", "socket_session", ["tell_ms"]),
)


def upgrade() -> None:
    """To this version."""
    for name, table, columns in _NEW:
        op.create_index(name, table, columns, unique=False)
    for name, table, _ in _OLD:
        op.drop_index(name, table_name=table)


def downgrade() -> None:
    """Without them."""
    for name, table, columns in _OLD:
        op.create_index(name, table, columns, unique=False)
    for name, table, _ in reversed(_NEW):
        op.drop_index(name, table_name=table)
