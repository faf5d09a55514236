"""A serial server: the same sessions over TCP, loopback only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from simulator.wires.ends import LineEnd
from simulator.wires.timing import Reply

HOST: Final = "127.0.0.1"
#: Clients of one port; a serial server has few.
CLIENTS_MAX: Final = 16


class _Connection(asyncio.Protocol):
    def __init__(self, end: LineEnd, owner: set[_Connection]) -> None:
        self._end, self._owner = end, owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timers: set[asyncio.TimerHandle] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if len(self._owner) >= CLIENTS_MAX:
            transport.abort()
            return
        self._transport = transport
        self._owner.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - protocol's signature
        self._owner.discard(self)
        for timer in self._timers:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        for reply in self._end.feed(data, self._loop.time()):
            self._send_later(reply)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _send_later(self, reply: Reply) -> None:
        def send() -> None:
            self._timers.discard(timer)
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(reply.data)
                self._end.sent(reply.data)

        timer = self._loop.call_at(reply.at_s, send)
        self._timers.add(timer)


class TcpPort:
    """One listening port; every client has a session of its own."""

    def __init__(self, server: asyncio.Server, connections: set[_Connection]) -> None:
        self._server, self._connections = server, connections

    @classmethod
    async def listen(cls, port: int, end: Callable[[], LineEnd]) -> TcpPort:
        """Listen on loopback; raise OSError when the port is taken."""
        connections: set[_Connection] = set()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(end(), connections), HOST, port)
        return cls(server, connections)

    @property
    def port(self) -> int:
        """The port it listens on."""
        name: tuple[str, int] = self._server.sockets[0].getsockname()
        return name[1]

    def close(self) -> None:
        """Drop every client and stop listening."""
        self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
