"""From the bytes of a barcode scanner to texts: bounded, and deaf to garbage."""

from __future__ import annotations

from typing import Final

from protocols.offline import TICKET_CHARS_MAX

#: Longer lines than this are no ticket and are not kept.
SCAN_CHARS_MAX: Final = TICKET_CHARS_MAX
_ENDS: Final = b"\r\n"
_FIRST: Final = 0x20
_LAST: Final = 0x7E


class Lines:
    """Cuts a stream of bytes at CR or LF. A line that is too long or not printable is dropped."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._bad = False

    def reset(self) -> None:
        """The scanner went away: what it had begun to tell is void."""
        self._line.clear()
        self._bad = False

    def feed(self, data: bytes) -> tuple[str, ...]:
        """The texts that these bytes finish."""
        texts = []
        for byte in data:
            if byte in _ENDS:
                text = self._line.decode("ascii").strip()
                if text and not self._bad:
                    texts.append(text)
                self.reset()
            elif not _FIRST <= byte <= _LAST or len(self._line) >= SCAN_CHARS_MAX:
                self._bad = True
                self._line.clear()
            elif not self._bad:
                self._line.append(byte)
        return tuple(texts)
