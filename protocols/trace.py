"""The last frames that went over the wires: a bounded ring, filters, and text lines for people.

Shared by the cabinet and the simulator; times come in, nothing here reads a clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypedDict

#: A full cabinet makes some 130 a second.
FRAMES_MAX: Final = 8_192
#: More bytes of one piece than this are kept by their head only.
BYTES_MAX: Final = 512


class Direction(StrEnum):
    """As seen from the cabinet's computer."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes that went over a line at once; ``seq`` rises by one from 1.

    ``asked`` is the request before them on the same line, without which no answer can be read;
    empty for a request. ``stray`` bytes came when nobody waited for any.
    """

    seq: int
    wall_ms: int
    mono_ms: int
    line: str
    direction: Direction
    data: bytes
    asked: bytes = b""
    stray: bool = False


#: Tells in words what a frame says.
Decoder = Callable[[Frame], str]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which frames to show; None shows all. ``contains`` looks at hex and text."""

    line: str | None = None
    direction: Direction | None = None
    contains: str = ""

    def passes(self, frame: Frame, text: str) -> bool:
        """Whether to show this one, which reads so."""
        if self.line not in {None, frame.line} or self.direction not in {None, frame.direction}:
            return False
        wanted = self.contains.lower()
        return not wanted or wanted in text.lower() or wanted in frame.data.hex(" ")


@dataclass(slots=True)
class Ring:
    """The newest frames of all lines; the oldest fall out."""

    frames_max: int = FRAMES_MAX
    seq: int = 0
    _frames: deque[Frame] = field(init=False)
    _asked: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._frames = deque(maxlen=self.frames_max)

    def add(
        self,
        line: str,
        direction: Direction,
        data: bytes,
        *,
        wall_ms: int,
        mono_ms: int,
        stray: bool = False,
    ) -> None:
        """Keep what went over a line."""
        data = data[:BYTES_MAX]
        asked = b""
        if direction is Direction.OUT:
            self._asked[line] = data
        else:
            asked = self._asked.get(line, b"")
        self.seq += 1
        frame = Frame(self.seq, wall_ms, mono_ms, line, direction, data, asked, stray)
        self._frames.append(frame)

    @property
    def first_seq(self) -> int:
        """The oldest frame still kept; one past the newest when none is."""
        return self._frames[0].seq if self._frames else self.seq + 1

    def since(self, seq: int) -> list[Frame]:
        """Kept frames after ``seq``, oldest first."""
        newer = self.seq - max(seq, self.first_seq - 1)
        if newer <= 0:
            return []
        if newer >= len(self._frames):
            return list(self._frames)
        tail = [self._frames[-n] for n in range(newer, 0, -1)]
        return [frame for frame in tail if frame.seq > seq]

    def select(
        self, seq: int, limit: int, wanted: Filter, decode: Decoder
    ) -> list[tuple[Frame, str]]:
        """The newest ``limit`` frames after ``seq`` that pass, oldest first, with their text."""
        found: list[tuple[Frame, str]] = []
        for frame in reversed(self.since(seq)):
            if wanted.line not in {None, frame.line}:
                continue
            text = decode(frame)
            if wanted.passes(frame, text):
                found.append((frame, text))
                if len(found) >= limit:
                    break
        return found[::-1]


class FrameFields(TypedDict):
    """A frame as the pages of cabinet and simulator tell it; ``hex`` are its bytes."""

    seq: int
    wall_ms: int
    mono_ms: int
    line: str
    direction: Direction
    hex: str
    text: str
    stray: bool


def frame_fields(frame: Frame, text: str) -> FrameFields:
    """For programs."""
    return FrameFields(
        seq=frame.seq,
        wall_ms=frame.wall_ms,
        mono_ms=frame.mono_ms,
        line=frame.line,
        direction=frame.direction,
        hex=frame.data.hex(" "),
        text=text,
        stray=frame.stray,
    )


def lines(frames: list[tuple[Frame, str]]) -> Iterator[str]:
    """One line a frame: time of day (UTC) in milliseconds, line, direction, bytes, meaning."""
    for frame, text in frames:
        yield one_line(frame, text)


def one_line(frame: Frame, text: str) -> str:
    """A frame for people: ``12:03:04.567 bus-a < 01 02 01 ff e1 c8  board-1: …``."""
    seconds, ms = divmod(frame.wall_ms, 1_000)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    arrow = ">" if frame.direction is Direction.OUT else "<"
    return (
        f"{hours % 24:02d}:{minute:02d}:{second:02d}.{ms:03d} {frame.line:<12} {arrow} "
        f"{frame.data.hex(' ')}  {text}"
    )
