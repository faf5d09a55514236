"""Listening sockets and servers that leave the signals to the program."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from fleet.errors import FleetError

_BACKLOG: Final = 1_024


class QuietServer(uvicorn.Server):
    """Signals are handled by ``fleet.service.run``, for the whole program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def listen(section: str, host: str, port: int) -> socket.socket:
    """A socket that listens; raise FleetError that names the section of the configuration."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - its only parameter
    except OSError as error:
        listener.close()
        raise FleetError(f"{section}: can't listen on {host}:{port}: {error}") from error
    return listener
