"""Where each key of a TOML text stands, so that a complaint can name its line.

``tomllib`` checks the text and keeps no positions; this index is built beside it. It never raises:
on a text that it does not follow it simply knows fewer lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Path = tuple[str | int, ...]

BLANK: Final = " \t"
SPACE: Final = " \t\r\n"
BARE_END: Final = ",]}#\r\n"
BARE_KEY_END: Final = " \t\r\n.=]#\"'"
#: Deeper nesting than this is not a configuration; the scanner recurses per level.
DEPTH_MAX: Final = 32


def index_lines(text: str) -> Mapping[Path, int]:
    """The 1-based line of every table and key, by its path: ``("bus", 0, "port") -> 12``."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    """One pass over the text; every step moves forward, so it ends."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {}
        self._text = text
        self._at = 0
        self._line = 1
        self._counts: dict[Path, int] = {}  # array of tables -> entries seen

    def document(self) -> None:
        base: Path = ()
        while self._skip(SPACE):
            if self._text[self._at] == "[":
                base = self._header()
                continue
            if not self._pair(base, 0):
                self._to_line_end()

    def _header(self) -> Path:
        line = self._line
        twice = self._text.startswith("[[", self._at)
        self._advance(2 if twice else 1)
        keys = self._keys()
        self._to_line_end()
        path = self._resolve(keys[:-1])
        if not keys:
            return path
        path = (*path, keys[-1])
        if twice:
            number = self._counts.get(path, 0)
            self._counts[path] = number + 1
            self.lines.setdefault(path, line)
            path = (*path, number)
        self.lines.setdefault(path, line)
        return path

    def _resolve(self, keys: tuple[str, ...]) -> Path:
        """A dotted header runs through the newest entry of each array of tables."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self._counts:
                path = (*path, self._counts[path] - 1)
        return path

    def _pair(self, base: Path, depth: int) -> bool:
        """Read ``key = value``; False when there is none here."""
        line = self._line
        keys = self._keys()
        self._skip(BLANK)
        if not keys or self._peek() != "=":
            return False
        self._advance(1)
        for count in range(1, len(keys) + 1):
            self.lines.setdefault((*base, *keys[:count]), line)
        self._skip(BLANK)
        self._value((*base, *keys), depth)
        return True

    def _keys(self) -> tuple[str, ...]:
        keys: list[str] = []
        while self._skip(BLANK):
            if self._peek() in "\"'":
                keys.append(self._string())
            else:
                start = self._at
                while self._peek() and self._peek() not in BARE_KEY_END:
                    self._advance(1)
                if start == self._at:
                    break
                keys.append(self._text[start : self._at])
            self._skip(BLANK)
            if self._peek() != ".":
                break
            self._advance(1)
        return tuple(keys)

    def _value(self, path: Path, depth: int) -> None:
        char = self._peek()
        if depth > DEPTH_MAX or not char:
            self._to_line_end()
        elif char in "\"'":
            self._string()
        elif char == "[":
            self._array(path, depth)
        elif char == "{":
            self._inline(path, depth)
        else:
            while self._peek() and self._peek() not in BARE_END:
                self._advance(1)

    def _array(self, path: Path, depth: int) -> None:
        self._advance(1)
        number = 0
        while self._skip(SPACE + ","):
            if self._peek() == "]":
                self._advance(1)
                return
            start = self._at
            self.lines.setdefault((*path, number), self._line)
            self._value((*path, number), depth + 1)
            number += 1
            if self._at == start:
                return

    def _inline(self, path: Path, depth: int) -> None:
        self._advance(1)
        while self._skip(SPACE + ","):
            if self._peek() == "}":
                self._advance(1)
                return
            if not self._pair(path, depth + 1):
                return

    def _string(self) -> str:
        quote = self._peek()
        fence = quote * 3 if self._text.startswith(quote * 3, self._at) else quote
        self._advance(len(fence))
        start = self._at
        while self._peek() and not self._text.startswith(fence, self._at):
            if len(fence) == 1 and self._peek() == "\n":
                break
            self._advance(2 if quote == '"' and self._peek() == "\\" else 1)
        end = self._at
        self._advance(len(fence))
        return self._text[start:end]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _advance(self, count: int) -> None:
        self._line += self._text.count("\n", self._at, self._at + count)
        self._at = min(self._at + count, len(self._text))

    def _skip(self, chars: str) -> bool:
        """Move over these characters and, where lines may end, comments; False at the end."""
        while char := self._peek():
            if char == "#" and "\n" in chars:
                self._to_line_end()
            elif char in chars:
                self._advance(1)
            else:
                return True
        return False

    def _to_line_end(self) -> None:
        end = self._text.find("\n", self._at)
        self._advance((len(self._text) if end < 0 else end + 1) - self._at)
