"""What systemd wants to hear (sd_notify): one datagram per message, nothing when nobody listens."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Talks to the service manager named by the environment, if there is one."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        values = os.environ if environment is None else environment
        self._address = values.get("NOTIFY_SOCKET", "")
        self.watchdog_s = _watchdog_s(values)

    def __call__(self, message: str) -> None:
        """Send one message, such as ``READY=1``; a manager that does not listen is no fault."""
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


def _watchdog_s(values: Mapping[str, str]) -> float | None:
    """How long the service manager waits for a sign of life; None when it does not."""
    usec, pid = values.get("WATCHDOG_USEC", ""), values.get("WATCHDOG_PID", "")
    if not usec.isdigit() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 1_000_000
