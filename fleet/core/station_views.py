"""What the fleet shows of sessions at sockets."""

from __future__ import annotations

from msgspec import Struct


class SessionView(Struct, frozen=True, kw_only=True):
    """Power from a socket for a rider.

    ``state``: asked (the cabinet has not answered yet), on, ended, refused. ``amount_minor`` is in
    the currency's smallest unit and stands once the session has ended.
    """

    id: str
    cabinet_id: str
    socket: int
    rider_id: str
    state: str
    limit_wh: int
    limit_s: int
    energy_wh: int = 0
    duration_s: int = 0
    left_s: int = 0
    power_w: float | None = None
    paused: bool = False
    price_kwh_minor: int = 0
    price_hour_minor: int = 0
    amount_minor: int | None = None
    included: bool = False  # its energy is in the rider's plan
    reason: str | None = None
    created_ms: int = 0
