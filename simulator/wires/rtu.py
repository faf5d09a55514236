"""Modbus RTU from the slave's side of a serial line."""

from __future__ import annotations

from functools import reduce
from itertools import zip_longest
from typing import Final

from protocols import modbus
from protocols.errors import FrameError
from simulator.wires.bus import ModbusBus
from simulator.wires.mangle import spoil
from simulator.wires.timing import Inbox, Line, Reply

#: Bytes that are enough to know a request's length.
HEAD_MAX: Final = 12


class RtuSession:
    """Finds requests in a stream of bytes and lets the bus answer.

    A frame ends where its function code says, not where the line falls silent, since a pseudo
    terminal has no timing; a frame that never completes is forgotten when the line goes idle.
    Noise before a good frame is skipped. A wrong checksum, and a unit that nobody is, get silence.
    """

    def __init__(self, bus: ModbusBus, line: Line) -> None:
        self._bus, self._line = bus, line
        self._inbox = Inbox(modbus.RTU_BYTES_MAX)

    def feed(self, data: bytes, now_s: float) -> list[Reply]:
        """Take bytes that arrived now; return what to send and when."""
        self._inbox.add(data, now_s)
        replies: list[Reply] = []
        while (frame := self._take()) is not None:
            if self._line.busy(now_s):
                continue
            said = self._bus.ask(frame[0], frame[1:-2], self._line)
            if said:
                reply = reduce(collide, [one.frame() for one in said])
                first_s = self._inbox.first_s
                whole = self._line.schedule(first_s, now_s, len(frame), reply)
                bus, one = self._bus, said[0]
                replies += spoil(bus.faults, bus.name, one.device, whole, one.frame)
        return replies

    def reset(self) -> None:
        """Forget a half frame."""
        self._inbox.clear()

    def _take(self) -> bytes | None:
        buffer = self._inbox.data
        for start in range(len(buffer) - modbus.RTU_BYTES_MIN + 1):
            length = self._length(buffer, start)
            if length is not None and _sound(frame := bytes(buffer[start : start + length])):
                del buffer[: start + length]
                return frame
        return None

    @staticmethod
    def _length(buffer: bytearray, start: int) -> int | None:
        """Of the frame that may begin here; None while it is not all there."""
        try:
            length = modbus.request_length(bytes(buffer[start : start + HEAD_MAX]))
        except FrameError:
            length = len(buffer) - start  # a function nobody knows ends where the bytes end
        return length if length is not None and start + length <= len(buffer) else None


def collide(one: bytes, other: bytes) -> bytes:
    """What a line carries when two devices talk at once: a zero bit wins over an idle one."""
    return bytes(a & b for a, b in zip_longest(one, other, fillvalue=0xFF))


def _sound(frame: bytes) -> bool:
    if len(frame) < modbus.RTU_BYTES_MIN:
        return False
    return modbus.crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")
