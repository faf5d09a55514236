"""What systemd wants to hear (sd_notify): that we are ready, and signs of life from the event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine, Mapping
from typing import Any, Final

from fleet.ports import Clock

log = logging.getLogger(__name__)

READY: Final = "READY=1"
ALIVE: Final = "WATCHDOG=1"
STOPPING: Final = "STOPPING=1"
FEEDS_PER_PERIOD: Final = 3  # one may come late


class Notifier:
    """Talks to the service manager named by the environment, if there is one."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        values = os.environ if environment is None else environment
        self._address = values.get("NOTIFY_SOCKET", "")
        self._watchdog_s = _watchdog_s(values)

    def tell(self, message: str) -> None:
        """Send one message; a manager that does not listen is no fault."""
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):
            address = "\0" + address[1:]  # an abstract socket
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as out:
                out.sendto(message.encode(), address)
        except OSError as error:
            log.warning("cannot notify the service manager: %s", error)

    async def watch(self, work: Coroutine[Any, Any, None], clock: Clock) -> None:
        """Await the work; while the loop turns the watchdog is fed, and when it stands it is not."""
        feeder = asyncio.create_task(self._feed(clock), name="watchdog")
        try:
            await work
        finally:
            self.tell(STOPPING)
            feeder.cancel()

    async def _feed(self, clock: Clock) -> None:
        while self._watchdog_s is not None:
            self.tell(ALIVE)
            await clock.sleep(self._watchdog_s / FEEDS_PER_PERIOD)


def _watchdog_s(values: Mapping[str, str]) -> float | None:
    """How long the service manager waits for a sign of life; None when it does not."""
    usec, pid = values.get("WATCHDOG_USEC", ""), values.get("WATCHDOG_PID", "")
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1_000_000
