"""The battery port of one slot, from the pack's side of the line."""

from __future__ import annotations

from typing import Protocol

from protocols.frames import jbd
from simulator.models.faults import FaultTable
from simulator.wires.bus import hears
from simulator.wires.mangle import spoil
from simulator.wires.timing import IDLE_S, Line, Reply


class Battery(Protocol):
    """Whoever answers at this port now."""

    def answer(self, request: jbd.Request) -> bytes | None:
        """Act on one request; the reply frame, or None for silence."""
        ...


class BmsSession:
    """Finds requests in a stream of bytes and lets the pack answer.

    A torn frame is forgotten when the line goes idle.
    """

    def __init__(
        self,
        battery: Battery,
        line: Line,
        name: str = "slot",
        device: str = "bms",
        faults: FaultTable | None = None,
    ) -> None:
        self._battery, self._line = battery, line
        self._name, self._device = name, device
        self._faults = faults or FaultTable({}, 0)
        self._parser = jbd.Parser()
        self._last_s = 0.0

    def feed(self, data: bytes, now_s: float) -> list[Reply]:
        """Take bytes that arrived now; return what to send and when."""
        if now_s - self._last_s > IDLE_S:
            self.reset()
        self._last_s = now_s
        replies: list[Reply] = []
        for request in self._parser.feed(data):
            if not isinstance(request, jbd.Request) or self._line.busy(now_s):
                continue
            if not hears(self._faults, self._name, self._device, self._line):
                continue
            frame = self._battery.answer(request)
            if frame is not None:
                replies += self._replies(request, frame, now_s)
        return replies

    def _replies(self, request: jbd.Request, frame: bytes, now_s: float) -> list[Reply]:
        length = jbd.FRAME_OVERHEAD_BYTES + len(request.data)
        whole = self._line.schedule(now_s, now_s, length, frame)

        def misnamed(away: int) -> bytes:
            said = next(one for one in jbd.Parser().feed(frame) if isinstance(one, jbd.Frame))
            return jbd.reply((said.register + away) % 0x100, said.data, said.status)

        return spoil(self._faults, self._name, self._device, whole, misnamed)

    def reset(self) -> None:
        """Forget a half frame."""
        self._parser.reset()
