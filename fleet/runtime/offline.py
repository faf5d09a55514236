"""``fleet.ports.Offline``: what a rider's phone keeps for the time without a network."""

from __future__ import annotations

import base64
from collections.abc import Callable

from fleet.core.offline import months, ticket_for
from fleet.core.swaps import REFUSALS
from fleet.core.views import OfflineView
from fleet.errors import RefusedError
from fleet.ports import Clock, Riders
from protocols.offline import Ticket, rider_secret, ticket_text


class OfflineService:
    """Implements ``fleet.ports.Offline``. ``codes_key`` is asked anew each time: it may be rotated."""

    def __init__(
        self,
        *,
        riders: Riders,
        codes_key: Callable[[], bytes],
        sign: Callable[[Ticket], Ticket],
        clock: Clock,
    ) -> None:
        self._riders = riders
        self._codes_key = codes_key
        self._sign = sign
        self._clock = clock

    async def passes(self, rider_id: str, cabinet_id: str | None = None) -> OfflineView:
        """Number, secrets of the month and ticket of a rider.

        Raises:
            NotFoundError: no such rider.
            RefusedError: ``denied-rider``.
            FleetError: the group key can't be read.
        """
        rider = await self._riders.get(rider_id)
        if rider.denied:
            raise RefusedError(REFUSALS["denied-rider"], code="denied-rider")
        now_ms = self._clock.wall_ms()
        key = self._codes_key()
        ticket = self._sign(ticket_for(rider, now_ms, cabinet_id))
        return OfflineView(
            rider_id=rider.id,
            number=rider.number,
            now_ms=now_ms,
            secrets={
                month: base64.b64encode(rider_secret(key, rider.number, month)).decode()
                for month in months(now_ms)
            },
            ticket=ticket_text(ticket),
            ticket_kind=ticket.kind,
            ticket_expires_ms=ticket.expires_ms,
        )
