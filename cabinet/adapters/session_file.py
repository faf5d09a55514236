"""The number of the last connection, so that the next one is greater whatever the wall clock says."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


class SessionFile:
    """A file with one number."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = self._read()

    def next(self, wall_ms: int) -> int:
        """The wall clock, or one more than last time when that clock stands or went back."""
        self._last = max(wall_ms, self._last + 1)
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("w") as out:
                out.write(str(self._last))
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(self._path)
        except OSError as error:
            log.warning("cannot remember the session number: %s", error)
        return self._last

    def _read(self) -> int:
        try:
            text = self._path.read_text().strip()
        except OSError:
            return 0
        return int(text) if text.isascii() and text.isdigit() else 0
