"""A POST to a partner: bounded in time, and never led elsewhere by a redirect."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0  # of one wait
#: Of the whole answer: byte by byte it could take for ever, and other partners wait for this turn.
ANSWER_S: Final = 15.0


async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
    """The answer's status; None when there was none."""
    return await asyncio.to_thread(_post, url, body, headers)


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with contextlib.closing(_connection(parts.scheme, host, parts.port)) as connection:
            connection.connect()
            with _hung_up_after(ANSWER_S, connection.sock) as late:
                connection.request("POST", path, body, dict(headers))
                status = connection.getresponse().status
                return None if late.is_set() else status
    # A name or a path that no wire takes is a ValueError: of this partner, and of nobody else.
    except (OSError, http.client.HTTPException, ValueError) as error:
        log.info("webhook %s: %s", host, error)
        return None


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    return http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)


@contextlib.contextmanager
def _hung_up_after(seconds: float, line: socket.socket) -> Iterator[threading.Event]:
    """End the connection at that time, whatever is being waited for; yields whether it was."""
    late = threading.Event()

    def hang_up() -> None:
        late.set()
        with contextlib.suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, hang_up)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
