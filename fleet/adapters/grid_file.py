"""The grid's file: read at the start, and again when it has changed."""

from __future__ import annotations

from pathlib import Path

from fleet.core.balance.grid import TEXT_CHARS_MAX, Grid, parse_grid
from fleet.errors import InvalidError


class GridFile:
    """One TOML file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def text(self) -> str:
        """What is in it; raise InvalidError naming the file."""
        try:
            self._seen = self._stamp()
            if self._seen[1] > 4 * TEXT_CHARS_MAX:
                raise InvalidError(f"{self._path}: has {self._seen[1]} bytes, which is too much")
            return self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"{self._path}: can't be read: {error}") from error

    def load(self) -> Grid:
        """The grid as the file has it; raise InvalidError naming file and mistake."""
        text = self.text()
        try:
            return parse_grid(text)
        except InvalidError as error:
            raise InvalidError(f"{self._path}: {error}") from error

    def changed(self) -> bool:
        """Whether it is another file than the one last read; a missing one is not."""
        try:
            return self._stamp() != self._seen
        except OSError:
            return False

    def _stamp(self) -> tuple[int, int]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size
