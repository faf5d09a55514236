"""A scripted peer on a real pty, and the small things around it."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path

from cabinet.adapters.clock import SystemClock
from cabinet.runtime.bus import Bus
from cabinet.runtime.line import Line
from protocols.modbus import crc16

#: What the peer does with a request: bytes to send, each after a delay in seconds.
Script = Callable[[bytes], list[tuple[float, bytes]]]

DEADLINE_S = 5.0


def rtu(*payload: int) -> bytes:
    """A frame with its CRC."""
    data = bytes(payload)
    return data + crc16(data).to_bytes(2, "little")


class PtyPeer:
    """The device side of a serial line; ``requests`` is what it was sent, with loop times."""

    def __init__(self, link: Path, script: Script) -> None:
        self.link = link
        self.script = script
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self._master = self._slave = -1
        self._timers: list[asyncio.TimerHandle] = []

    def plug(self) -> None:
        """Make the port appear."""
        self._master, self._slave = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.link.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    def unplug(self) -> None:
        """Pull the adapter out."""
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        for timer in self._timers:
            timer.cancel()
        self.link.unlink()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def send(self, data: bytes) -> None:
        """Say something unasked."""
        if self._master >= 0:
            os.write(self._master, data)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except (BlockingIOError, OSError):
            return
        loop = asyncio.get_running_loop()
        self.requests.append(data)
        self.times.append(loop.time())
        for delay_s, answer in self.script(data):
            if delay_s:
                self._timers.append(loop.call_later(delay_s, self.send, answer))
            else:
                self.send(answer)


class BusBench:
    """A bus on a pty with a scripted peer, running inside ``async with``."""

    def __init__(self, directory: Path, script: Script, *, baud: int = 115_200) -> None:
        self.peer = PtyPeer(directory / "port", script)
        self.clock = SystemClock()
        self.line = Line(str(self.peer.link), baud=baud, reopen_max_s=0.3)
        self.bus = Bus("bench", self.line, self.clock)
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> BusBench:
        self.peer.plug()
        await self._group.__aenter__()
        self._task = self._group.create_task(self.bus.run())
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        assert self._task
        self._task.cancel()
        await self._group.__aexit__(None, None, None)
        self.peer.unplug()


async def until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, polled; fail by name."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not condition():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        await asyncio.sleep(0.005)


async def gather_errors(*work: Awaitable[object]) -> list[object]:
    """Results and errors, in order."""
    return list(await asyncio.gather(*work, return_exceptions=True))
