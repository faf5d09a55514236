"""The sockets' wires: a leased relay and a meter each, and the probes that they share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from cabinet.config import SocketConfig
from cabinet.core.model import ClimateReading, MeterReading, SetSocket
from cabinet.errors import CabinetError
from cabinet.runtime.wires_board import Lease
from cabinet.runtime.wires_keeper import Keeper
from cabinet.runtime.wires_picture import Picture
from cabinet.runtime.wires_poll import Poll

log = logging.getLogger(__name__)

#: A socket that gives power is watched closely: what is wrong with it must be over in two seconds.
LIVE_PERIOD_S: Final = 0.4
IDLE_PERIOD_S: Final = 2.0
PROBE_PERIOD_S: Final = 5.0


class SocketWires:
    """Owns the traffic of all sockets. ``drivers`` are the meters and probes, by device."""

    def __init__(
        self,
        sockets: tuple[SocketConfig, ...],
        leases: Mapping[int, Lease],
        drivers: Mapping[str, Any],
        picture: Picture,
        on_news: Callable[[], None],
    ) -> None:
        self._sockets = {each.number: each for each in sockets}
        self._leases = leases
        self._drivers = drivers
        self._picture = picture
        self._on_news = on_news
        self._wanted: set[int] = set()
        self._polls = {number: self._meter_poll(number) for number in self._sockets}

    @property
    def keepers(self) -> list[Keeper[bool]]:
        """Of every relay."""
        return [lease.keeper for lease in self._leases.values()]

    def want(self, order: SetSocket) -> None:
        """Hold or drop a relay from now on."""
        (self._wanted.add if order.on else self._wanted.discard)(order.socket)
        self._leases[order.socket].keeper.want(order.on)
        self._polls[order.socket].now()

    def drop(self) -> None:
        """All off, and kept so."""
        for number in self._sockets:
            self.want(SetSocket(number, on=False))

    def watch(self) -> None:
        """Take in which relays are held: a lease ends without anything being read."""
        for number, lease in self._leases.items():
            if self._picture.socket(number, live=lease.is_live):
                self._on_news()

    def works(self) -> dict[str, Coroutine[Any, Any, None]]:
        """What to run, by name."""
        probes = sorted({each.probe for each in self._sockets.values() if each.probe})
        works: dict[str, Coroutine[Any, Any, None]] = {
            f"socket {number}": poll.run() for number, poll in self._polls.items()
        }
        works.update({f"probe {name}": self._probe_poll(name).run() for name in probes})
        return works

    def _meter_poll(self, number: int) -> Poll:
        driver = self._drivers[self._sockets[number].meter]

        async def read() -> None:
            try:
                reading: MeterReading = await driver.read()
            except CabinetError as error:
                log.debug("%s", error)
                return
            self._picture.socket(number, meter=reading, live=self._leases[number].is_live)
            if number in self._wanted:
                self._on_news()

        def period_s() -> float:
            busy = number in self._wanted or self._leases[number].is_live
            return LIVE_PERIOD_S if busy else IDLE_PERIOD_S

        return Poll(read, period_s)

    def _probe_poll(self, name: str) -> Poll:
        users = [number for number, each in self._sockets.items() if each.probe == name]

        async def read() -> None:
            try:
                reading: ClimateReading = await self._drivers[name].read()
            except CabinetError as error:
                log.debug("%s", error)
                return
            for number in users:
                self._picture.socket(number, probe=reading)

        return Poll(read, lambda: PROBE_PERIOD_S)
