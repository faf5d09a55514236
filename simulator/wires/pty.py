"""A serial port as a pseudo terminal with a name that stays the same across restarts."""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from contextlib import suppress
from pathlib import Path
from typing import Final

from simulator.wires.ends import LineEnd
from simulator.wires.timing import Reply

READ_MAX: Final = 4_096
_OSPEED: Final = 5  # index in what tcgetattr returns
#: Baud rates by what tcgetattr calls them; a client's at any other is never understood.
BAUDS: Final = {
    getattr(termios, f"B{baud}"): baud
    for baud in (1_200, 2_400, 4_800, 9_600, 19_200, 38_400, 57_600, 115_200)
}


class PtyPort:
    """One pseudo terminal that a line ends in.

    The slave stays open here: Linux gives EIO to the master while nobody holds it. A client that
    opened the port with another baud rate is not understood, as on a real line.
    """

    def __init__(self, link: Path, end: LineEnd, baud: int) -> None:
        """Open the terminal and publish ``link``, replacing what stood there."""
        self._loop = asyncio.get_running_loop()
        self._link, self._end = link, end
        self._master, self._slave = os.openpty()
        for descriptor in (self._master, self._slave):
            tty.setraw(descriptor)
        attributes = termios.tcgetattr(self._slave)
        attributes[4] = attributes[_OSPEED] = getattr(termios, f"B{baud}")
        termios.tcsetattr(self._slave, termios.TCSANOW, attributes)
        os.set_blocking(self._master, False)
        self._path = os.ttyname(self._slave)
        self._timers: set[asyncio.TimerHandle] = set()
        self._loop.add_reader(self._master, self._read)
        publish(self._path, link)

    @property
    def path(self) -> str:
        """The stable name."""
        return str(self._link)

    def close(self) -> None:
        """Close, and remove the name unless another simulator has taken it over."""
        self._loop.remove_reader(self._master)
        for timer in self._timers:
            timer.cancel()
        with suppress(OSError):
            if self._link.readlink() == Path(self._path):
                self._link.unlink()
        os.close(self._slave)
        os.close(self._master)

    def _read(self) -> None:
        try:
            data = os.read(self._master, READ_MAX)
        except BlockingIOError:
            return
        baud = BAUDS.get(termios.tcgetattr(self._master)[_OSPEED], 0)
        for reply in self._end.feed(data, self._loop.time(), baud):
            self._send_later(reply)

    def _send_later(self, reply: Reply) -> None:
        def send() -> None:
            self._timers.discard(timer)
            # A client that never reads fills the terminal; a real line would lose the bytes too.
            with suppress(BlockingIOError):
                os.write(self._master, reply.data)
                self._end.sent(reply.data)

        timer = self._loop.call_at(reply.at_s, send)
        self._timers.add(timer)


def publish(path: str, link: Path) -> None:
    """Give a terminal its stable name, in one step."""
    staged = link.with_name(f".{link.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    staged.symlink_to(path)
    staged.replace(link)
