"""What an external broker is told of revocations, where it goes by the fleet's own authority.

It reads the list by itself once it was handed over (``fleetd broker-files``), but lets a connection
live that stood already. A client of the same name takes such a connection's place: the broker derives
the client id from the certificate's name. What was pushed off comes back, and is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from fleet.adapters.mqtt import BrokerAddress, knock
from fleet.adapters.pki import Authority
from fleet.ports import Clock

#: The list is handed over within two seconds of a change, and read at once.
HANDED_OVER_WITHIN_S: Final = 10.0


class Revocations:
    """Keeps the list up to date; ``run`` ends the connections of those that are new in it."""

    def __init__(self, authority: Authority, clock: Clock, address: BrokerAddress) -> None:
        self._authority = authority
        self._clock = clock
        self._address = address
        self._known: frozenset[str] | None = None
        self._due: set[str] = set()
        self._news = asyncio.Event()

    def publish(self, number: int, serials: Mapping[str, str]) -> None:
        """Write the list of revoked certificates, serial to cabinet; ``number`` rises with it."""
        self._authority.write_crl(serials, number, self._clock.now_utc())
        if self._known is not None:  # what was revoked before our start was dropped then
            self._due |= {
                cabinet for serial, cabinet in serials.items() if serial not in self._known
            }
        self._known = frozenset(serials)
        if self._due:
            self._news.set()

    async def run(self) -> None:
        """Drop what is due until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._clock.sleep(HANDED_OVER_WITHIN_S)
            due, self._due = self._due, set()
            for cabinet in sorted(due):
                context = self._authority.client_context(cabinet, self._clock.now_utc())
                place = BrokerAddress(self._address.host, self._address.port, tls=context)
                await knock(place, cabinet)
