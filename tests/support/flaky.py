"""A TCP proxy between a phone and the fleet that resets connections, or lets them die in silence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from deploy.demo.processes import LOOPBACK

Mood = Literal["well", "resets", "silent"]
CHUNK_BYTES: Final = 65_536
#: Close with a reset instead of a farewell.
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)


class FlakyProxy:
    """Forwards to one port. A connection that has died in silence stays dead when all is well again."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._mood: Mood = "well"
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._dead: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = self._start()
        self._server = asyncio.run_coroutine_threadsafe(start, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def url(self) -> str:
        """What the phone opens."""
        return f"http://{LOOPBACK}:{self.port}"

    def set(self, mood: Mood) -> None:
        """Change the weather, for what is connected and for what will connect."""
        asyncio.run_coroutine_threadsafe(self._set(mood), self._loop).result(10)

    def stop(self) -> None:
        """End it and everything that is connected."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)
        self._loop.close()

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._serve, LOOPBACK, 0)

    async def _set(self, mood: Mood) -> None:
        self._mood = mood
        for pair in list(self._pairs):
            if mood == "resets":
                for end in pair:
                    _reset(end)
            elif mood == "silent":
                self._dead.update(pair)

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._pair(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _pair(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mood == "resets":
            _reset(writer)
            return
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._target_port)
        pair = (writer, far_writer)
        self._pairs.add(pair)
        if self._mood == "silent":
            self._dead.update(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, far_writer))
                group.create_task(self._forward(far_reader, writer))
        finally:
            self._pairs.discard(pair)
            self._dead.difference_update(pair)
            for end in pair:
                end.close()

    async def _forward(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(CHUNK_BYTES):
                if target in self._dead:
                    continue  # swallowed: neither side learns of it
                target.write(data)
                await target.drain()
            if target not in self._dead and target.can_write_eof():
                target.write_eof()


@contextmanager
def flaky(target_port: int) -> Iterator[FlakyProxy]:
    """A running proxy."""
    proxy = FlakyProxy(target_port)
    try:
        yield proxy
    finally:
        proxy.stop()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()
