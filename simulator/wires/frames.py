"""A line whose device has frames of its own, from the device's side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from protocols.device import Device
from simulator.models.faults import FaultTable
from simulator.wires.bus import hears
from simulator.wires.mangle import spoil
from simulator.wires.timing import Inbox, Line, Reply

HEARD_MAX: Final = 1_024
#: A device that needs a pause before it hears again is surely deaf for this part of it.
DEAF_SHARE: Final = 0.9


class FramePort(Protocol):
    """Whoever answers on this line now."""

    @property
    def device(self) -> str:
        """As the control API silences it."""
        ...

    @property
    def find(self) -> Callable[[bytes], tuple[int, int] | None]:
        """Where a whole request lies in what was heard."""
        ...

    def answer(self, request: bytes) -> bytes | None:
        """Act on one request; the reply frame, or None for silence."""
        ...


@dataclass(frozen=True, slots=True)
class FrameLine:
    """One such line: who is on it, and what concerns the whole cabinet.

    ``turnaround_s`` is how long the device is deaf after it has answered.
    """

    name: str
    type: Device
    port: FramePort
    silent: set[str]
    catch_up: Callable[[], None]
    turnaround_s: float = 0.0


class FrameSession:
    """Finds requests in a stream of bytes and lets the device answer.

    A torn frame is forgotten when the line goes idle.
    """

    def __init__(self, frames: FrameLine, line: Line, faults: FaultTable) -> None:
        self._frames, self._line, self._faults = frames, line, faults
        self._inbox = Inbox(HEARD_MAX)
        self._deaf_until_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[Reply]:
        """Take bytes that arrived now; return what to send and when."""
        if self._line.realistic and now_s < self._deaf_until_s:
            return []
        self._inbox.add(data, now_s)
        replies: list[Reply] = []
        frames = self._frames
        while (found := frames.port.find(bytes(self._inbox.data))) is not None:
            request = bytes(self._inbox.data[found[0] : found[1]])
            del self._inbox.data[: found[1]]
            name = frames.port.device
            if self._line.busy(now_s) or name in frames.silent:
                continue
            if not hears(self._faults, frames.name, name, self._line):
                continue
            frames.catch_up()
            answer = frames.port.answer(request)
            if answer is not None:
                replies += self._replies(len(request), answer, now_s)
        return replies

    def _replies(self, request_len: int, answer: bytes, now_s: float) -> list[Reply]:
        whole = self._line.schedule(self._inbox.first_s, now_s, request_len, answer)
        self._deaf_until_s = whole.at_s + DEAF_SHARE * self._frames.turnaround_s

        def misnamed(away: int) -> bytes:
            # The checksum stays: such a frame is not sound, which is how it must be taken.
            return answer[:1] + bytes([(answer[1] + away) % 0x100]) + answer[2:]

        return spoil(self._faults, self._frames.name, self._frames.port.device, whole, misnamed)

    def reset(self) -> None:
        """Forget a half frame."""
        self._inbox.clear()
