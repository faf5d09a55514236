"""How long bytes take on a wire, and when a half frame has gone stale."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

BITS_PER_CHAR: Final = 10  # 8N1
#: Above this baud Modbus RTU fixes its silent interval.
FAST_BAUD: Final = 19_200
FAST_SILENCE_S: Final = 0.001_75
SILENCE_CHARS: Final = 3.5 * 11 / BITS_PER_CHAR
#: Bytes of one frame never lie this far apart; what is older than this is a torn frame.
IDLE_S: Final = 0.1
#: Replies that may wait for a busy line; a master that asks faster is not heard.
PENDING_MAX: Final = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to put on the wire, all at once, when the last of them would have arrived."""

    at_s: float
    data: bytes


class Session(Protocol):
    """One end of a line."""

    def feed(self, data: bytes, now_s: float) -> list[Reply]:
        """Take bytes that arrived now; return what to send and when, in order."""
        ...

    def reset(self) -> None:
        """Forget a half frame."""
        ...


@dataclass(slots=True)
class Line:
    """The half-duplex wire: every request and reply takes its time, one after the other."""

    baud: int
    processing_s: float
    realistic: bool = True
    heard_baud: int | None = None  # at which the master talks, as far as the port can tell
    _free_s: float = 0.0
    _pending: deque[float] = field(default_factory=deque)

    def busy(self, now_s: float) -> bool:
        """Whether so many replies wait that another request goes unheard."""
        while self._pending and self._pending[0] <= now_s:
            self._pending.popleft()
        return len(self._pending) >= PENDING_MAX

    def is_heard(self, baud: float) -> bool:
        """Whether a device that listens at this baud rate understands the master."""
        return baud == (self.heard_baud or self.baud)

    def schedule(self, first_s: float, now_s: float, request_len: int, reply: bytes) -> Reply:
        """When the reply to a request of this length, begun at ``first_s``, has arrived."""
        if not self.realistic:
            return Reply(now_s, reply)
        char_s = BITS_PER_CHAR / self.baud
        heard_s = max(now_s, max(first_s, self._free_s) + request_len * char_s)
        at_s = heard_s + self.silence_s + self.processing_s + len(reply) * char_s
        self._free_s = at_s
        self._pending.append(at_s)
        return Reply(at_s, reply)

    @property
    def silence_s(self) -> float:
        """The gap that ends a Modbus RTU frame (t3.5)."""
        slow_s = SILENCE_CHARS * BITS_PER_CHAR / self.baud
        return slow_s if self.baud <= FAST_BAUD else FAST_SILENCE_S


@dataclass(slots=True)
class Inbox:
    """Bytes of a frame still coming in; forgets them when the line has been idle."""

    bytes_max: int
    data: bytearray = field(default_factory=bytearray)
    first_s: float = 0.0
    _last_s: float = 0.0

    def add(self, data: bytes, now_s: float) -> None:
        """Take bytes that arrived now."""
        if now_s - self._last_s > IDLE_S:
            self.data.clear()
        if not self.data:
            self.first_s = now_s
        self._last_s = now_s
        self.data += data
        del self.data[: -self.bytes_max]

    def clear(self) -> None:
        """Forget everything."""
        self.data.clear()
