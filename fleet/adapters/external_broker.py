"""What an external broker is told of revocations, where it goes by the fleet's own authority.

It reads the list by itself once it was handed over (``fleetd broker-files``), but lets a connection
live that stood already. A client of the same name takes such a connection's place: the broker derives
the client id from the certificate's name. What was pushed off comes back, and is refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

from fleet.adapters.mqtt import BrokerAddress, knock
from fleet.adapters.pki import Authority
from fleet.errors import FleetError
from fleet.ports import Clock

log = logging.getLogger(__name__)

#: The list is handed over within two seconds of a change, and read at once.
HANDED_OVER_WITHIN_S: Final = 10.0


class Revocations:
    """Keeps the list up to date; ``run`` ends the connections of those that are new in it."""

    def __init__(
        self,
        authority: Authority,
        clock: Clock,
        address: BrokerAddress,
        drop: Callable[[BrokerAddress, str], Awaitable[bool]] = knock,
    ) -> None:
        self._drop = drop
        self._authority = authority
        self._clock = clock
        self._address = address
        self._known: frozenset[str] | None = None
        self._due: set[str] = set()
        self._news = asyncio.Event()

    def publish(
        self, number: int, serials: Mapping[str, str], shut_out: Collection[str] = ()
    ) -> None:
        """Write the list of revoked certificates, serial to cabinet; ``number`` rises with it.

        ``shut_out`` are the cabinets that have none in force. They are dropped at the first call: the
        broker outlives us, and what was revoked while we were down has a connection still. Whoever was
        enrolled anew since has taken the place of his old connection himself.
        """
        self._authority.write_crl(serials, number, self._clock.now_utc())
        if self._known is None:
            self._due |= set(serials.values()) & set(shut_out)
        else:
            self._due |= {
                cabinet for serial, cabinet in serials.items() if serial not in self._known
            }
        self._known = frozenset(serials)
        if self._due:
            self._news.set()

    async def run(self) -> None:
        """Drop what is due until cancelled; what could not be dropped stays due."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._clock.sleep(HANDED_OVER_WITHIN_S)
            for cabinet in sorted(self._due):
                if await self._dropped(cabinet):
                    self._due.discard(cabinet)
            if self._due:
                self._news.set()

    async def _dropped(self, cabinet: str) -> bool:
        try:
            context = self._authority.client_context(cabinet, self._clock.now_utc())
        except (FleetError, OSError) as error:
            log.warning("broker: %s could not be dropped: %s", cabinet, error)
            return False
        place = BrokerAddress(self._address.host, self._address.port, tls=context)
        return await self._drop(place, cabinet)
