"""A USB barcode scanner that shows up as a serial port and ends each text with CR or LF."""

from __future__ import annotations

import asyncio
import logging
import os
import termios
from collections import deque
from typing import Any, Final

import serial

from cabinet.core.scanning import Lines
from cabinet.ports import Clock

log = logging.getLogger(__name__)

READ_BYTES: Final = 4_096
#: Texts that nobody has taken yet; a rider shows one ticket.
TEXTS_MAX: Final = 4
REOPEN_FIRST_S: Final = 0.2
REOPEN_MAX_S: Final = 5.0


class LineScanner:
    """Implements ``cabinet.ports.Scanner``."""

    def __init__(self, port: str, baud: int, clock: Clock) -> None:
        self._path, self._baud, self._clock = port, baud, clock
        self._lines = Lines()
        self._texts: deque[str] = deque(maxlen=TEXTS_MAX)
        self._news = asyncio.Event()
        self._serial: Any = None  # pyserial has no types for what is used here
        self._pause_s = 0.0  # 0: the last attempt succeeded

    @property
    def connected(self) -> bool:
        """Whether it is there."""
        return self._serial is not None

    async def next(self) -> str:
        """The next text; waits, and opens the port again when the scanner was unplugged."""
        while True:
            if self._texts:
                return self._texts.popleft()
            if self._serial is None and not self._open():
                await self._clock.sleep(self._pause_s)
                continue
            await self._news.wait()
            self._news.clear()

    def close(self) -> None:
        """Let the port go; harmless when it is closed."""
        port, self._serial = self._serial, None
        if port is None:
            return
        asyncio.get_running_loop().remove_reader(port.fileno())
        try:
            port.close()
        except (OSError, termios.error):
            log.debug("scanner %s went away before it was closed", self._path)

    def _open(self) -> bool:
        try:
            port = _opened(self._path, self._baud)
        except (OSError, ValueError, termios.error) as error:
            self._rest(str(error))
            return False
        if self._pause_s:
            log.info("scanner %s is back", self._path)
        self._pause_s = 0.0
        self._lines.reset()
        self._serial = port
        asyncio.get_running_loop().add_reader(port.fileno(), self._readable)
        return True

    def _rest(self, why: str) -> None:
        if not self._pause_s:  # once per outage
            log.warning("scanner %s: %s", self._path, why)
        self._pause_s = min(max(REOPEN_FIRST_S, 2 * self._pause_s), REOPEN_MAX_S)

    def _readable(self) -> None:
        try:
            data = os.read(self._serial.fileno(), READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(str(error))
            return
        if data:
            self._texts.extend(self._lines.feed(data))
        else:
            self._lose("hung up")
        self._news.set()

    def _lose(self, why: str) -> None:
        self.close()
        self._rest(why)
        self._news.set()


def _opened(path: str, baud: int) -> Any:
    """An open port. What was scanned before is dropped by the opening: nobody stands there now."""
    port: Any = serial.Serial(path, baud, timeout=0, exclusive=True)
    try:
        # With VMIN 0 an empty read would look like a hang-up.
        modes = termios.tcgetattr(port.fileno())
        modes[6][termios.VMIN] = 1
        termios.tcsetattr(port.fileno(), termios.TCSANOW, modes)
    except (OSError, termios.error):
        port.close()
        raise
    return port
