"""``fleet.ports.Riders``: accounts by phone, of which hash and tail are kept."""

from __future__ import annotations

import secrets
from typing import Protocol

from fleet.core.ids import rider_id
from fleet.core.phones import phone_hash, phone_tail
from fleet.core.views import RiderView
from fleet.errors import NotFoundError
from fleet.ports import Clock


class RiderRows(Protocol):
    """What the service needs of the store."""

    async def get(self, rider: str) -> RiderView | None:
        """The rider of this id."""
        ...

    async def by_hash(self, phone_hash: str) -> RiderView | None:
        """The rider of this phone."""
        ...

    async def add(self, rider: str, phone_hash: str, tail: str, now_ms: int) -> bool:
        """Register; False when the phone is registered meanwhile."""
        ...


class RiderService:
    """Implements ``fleet.ports.Riders``."""

    def __init__(self, *, rows: RiderRows, key: bytes, clock: Clock) -> None:
        self._rows = rows
        self._key = key
        self._clock = clock

    async def get(self, rider_id: str) -> RiderView:
        """Raise NotFoundError."""
        rider = await self._rows.get(rider_id)
        if rider is None:
            raise NotFoundError(f"no rider {rider_id}")
        return rider

    async def by_phone(self, phone: str, *, create: bool) -> RiderView | None:
        """The rider of this E.164 phone; registers one when ``create``."""
        hidden = phone_hash(self._key, phone)
        rider = await self._rows.by_hash(hidden)
        if rider is None and create:
            fresh = rider_id(secrets.token_bytes(8))
            await self._rows.add(fresh, hidden, phone_tail(phone), self._clock.wall_ms())
            rider = await self._rows.by_hash(hidden)
        return rider
