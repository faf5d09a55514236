"""Modbus TCP: a gateway in front of a serial bus."""

from __future__ import annotations

from typing import Final

from protocols import modbus
from protocols.errors import FrameError
from simulator.wires.bus import ModbusBus
from simulator.wires.mangle import spoil
from simulator.wires.timing import Line, Reply

#: Unit, checksum: what the gateway adds around a PDU on its serial side.
RTU_EXTRA: Final = 3
BUFFER_MAX: Final = 4_096


class MbapSession:
    """One client of the gateway.

    A unit that nobody is gets silence, as on the serial side; so does a collision, which no gateway
    can read.
    """

    def __init__(self, bus: ModbusBus, line: Line) -> None:
        self._bus, self._line = bus, line
        self._buffer = bytearray()

    def feed(self, data: bytes, now_s: float) -> list[Reply]:
        """Take bytes that arrived now; return what to send and when."""
        self._buffer += data
        del self._buffer[:-BUFFER_MAX]
        replies: list[Reply] = []
        try:
            while (frame := modbus.parse_mbap(bytes(self._buffer))) is not None:
                del self._buffer[: frame.length]
                replies += self._reply(frame, now_s)
        except FrameError:  # not Modbus TCP: nothing after it can be trusted
            self.reset()
        return replies

    def reset(self) -> None:
        """Forget a half frame."""
        self._buffer.clear()

    def _reply(self, frame: modbus.TcpFrame, now_s: float) -> list[Reply]:
        if self._line.busy(now_s):
            return []
        bus = self._bus
        answers = bus.ask(frame.unit, frame.pdu, self._line)
        if len(answers) != 1:
            return []
        said = answers[0]
        serial_len = len(frame.pdu) + RTU_EXTRA
        whole = self._line.schedule(now_s, now_s, serial_len, said.frame())
        pieces = spoil(bus.faults, bus.name, said.device, whole, said.frame)
        if not pieces:
            return []
        try:
            unit, pdu = modbus.parse_rtu(b"".join(piece.data for piece in pieces))
        except FrameError:  # a gateway passes on what it could read, and no more
            return []
        if unit != said.answer.unit:
            return []
        return [Reply(pieces[-1].at_s, modbus.mbap(frame.transaction, frame.unit, pdu))]
