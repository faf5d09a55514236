"""What a port holds: a session, the faults of its line as a whole, and who listens in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols.trace import Direction
from simulator.models.faults import FaultKind, FaultTable
from simulator.wires.timing import BITS_PER_CHAR, Line, Reply, Session

#: A line's frames through a socket are not those on its terminal; listeners tell them apart.
OVER_TCP: Final = "/tcp"

#: Gets the line's name, which way the bytes go, and the bytes.
Listener = Callable[[str, Direction, bytes], None]


def nobody(_line: str, _direction: Direction, _data: bytes) -> None:
    """Does not listen."""


@dataclass(slots=True)
class LineEnd:
    """One master's connection to a line."""

    name: str
    session: Session
    line: Line
    faults: FaultTable
    listener: Listener = nobody
    heard_as: str = ""

    def feed(self, data: bytes, now_s: float, baud: int | None = None) -> list[Reply]:
        """Take bytes that arrived now, sent at this baud rate; what to send and when."""
        self.listener(self.heard_as or self.name, Direction.OUT, data)
        if baud != self.line.heard_baud:
            self.session.reset()
            self.line.heard_baud = baud
        replies = []
        if self.faults.strike(FaultKind.ECHO, self.name):
            took_s = len(data) * BITS_PER_CHAR / self.line.baud if self.line.realistic else 0.0
            replies.append(Reply(now_s + took_s, data))
        answers = self.session.feed(data, now_s)
        noise = None if answers else self.faults.strike(FaultKind.NOISE, self.name)
        if noise is not None:
            replies.append(Reply(now_s, noise.chance.randbytes(int(noise.value))))
        return replies + answers

    def sent(self, data: bytes) -> None:
        """These bytes are on the wire now."""
        self.listener(self.heard_as or self.name, Direction.IN, data)
