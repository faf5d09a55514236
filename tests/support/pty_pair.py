"""Two serial ports joined by a null modem, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import tty
from collections.abc import Iterator


@contextlib.contextmanager
def pty_pair() -> Iterator[tuple[str, str]]:
    """The names of two ports; what is written to one is read from the other."""
    loop = asyncio.get_running_loop()
    ends = [pty.openpty(), pty.openpty()]
    for master, slave in ends:
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)

    def carry(source: int, target: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(target, os.read(source, 4096))

    (one, slave_one), (other, slave_other) = ends
    loop.add_reader(one, carry, one, other)
    loop.add_reader(other, carry, other, one)
    try:
        yield os.ttyname(slave_one), os.ttyname(slave_other)
    finally:
        for master, slave in ends:
            loop.remove_reader(master)
            os.close(slave)
            os.close(master)
