"""A USB barcode scanner: a serial port that only talks, a text at a time."""

from __future__ import annotations

import os
import tty
from contextlib import suppress
from pathlib import Path
from typing import Final

from simulator.errors import HandsError
from simulator.wires.pty import publish

END: Final = b"\r\n"


class ScannerPort:
    """One pseudo terminal with a stable name; any baud rate will do, as on a USB port."""

    def __init__(self, link: Path) -> None:
        """Open the terminal and publish ``link``, replacing what stood there."""
        self._link = link
        self._master, self._slave = os.openpty()
        for end in (self._master, self._slave):
            tty.setraw(end)
        os.set_blocking(self._master, False)
        self._path = os.ttyname(self._slave)
        publish(self._path, link)

    @property
    def path(self) -> str:
        """The stable name."""
        return str(self._link)

    def scan(self, text: str) -> None:
        """Tell a text; raise HandsError when nobody has read the last ones."""
        data = text.encode("ascii", "replace") + END
        try:
            sent = os.write(self._master, data)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            raise HandsError("scanner: nobody reads the port; is cabinetd running?")

    def close(self) -> None:
        """Close, and remove the name unless another simulator has taken it over."""
        with suppress(OSError):
            if self._link.readlink() == Path(self._path):
                self._link.unlink()
        os.close(self._slave)
        os.close(self._master)
