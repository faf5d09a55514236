"""Modbus calls for one device; pymodbus is the codec, used without its client.

Requests are built and replies decoded by pymodbus' framers and PDUs. What its client does not do is
done here: a reply counts only when unit, function, length and, for writes, the echoed address and
value are those of the request.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Sequence
from typing import Final

from pymodbus.exceptions import ModbusException
from pymodbus.framer.rtu import FramerRTU
from pymodbus.framer.socket import FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from cabinet.calls import Call, Place, Urgency
from cabinet.config_devices import Protocol
from cabinet.errors import DeviceRefusedError, LinkError
from protocols.errors import ProtocolError
from protocols.registers import RegisterMap, Space, Span

READ_TRIES: Final = 2
#: Function codes 1 to 4 read.
READ_FUNCTION_MAX: Final = 4

#: Bytes around a PDU: unit and CRC, or the MBAP header.
RTU_EXTRA: Final = 3
MBAP_EXTRA: Final = 7
EXCEPTIONS: Final = {1: "function", 2: "address", 3: "value", 4: "device failure", 6: "busy"}

Check = Callable[[ModbusPDU], bool]
Take = Callable[[bytes], ModbusPDU | None]


class RawCoil(ModbusPDU):
    """FC05 with its value as sent: relay boards give values besides on and off a meaning."""

    function_code = 5
    rtu_frame_size = 8

    def __init__(self, address: int = 0, value: int = 0, dev_id: int = 1) -> None:
        super().__init__(dev_id=dev_id, address=address)
        self.value = value

    def encode(self) -> bytes:
        """Address and value."""
        return struct.pack(">HH", self.address, self.value)

    def decode(self, data: bytes) -> None:
        """The echo of the request."""
        self.address, self.value = struct.unpack(">HH", data[:4])


class Modbus:
    """One device on a Modbus line or socket. Every method raises as ``cabinet.calls.Wire.ask``."""

    def __init__(self, place: Place) -> None:
        self._wire = place.wire
        self._unit = place.address
        self._decoder = DecodePDU(False)  # noqa: FBT003 - the client's side
        self._decoder.register(RawCoil)
        self._over_tcp = place.protocol is Protocol.MODBUS_TCP
        self._framer = (FramerSocket if self._over_tcp else FramerRTU)(self._decoder)
        self._numbers = itertools.cycle(range(1, 0x1_0000))

    async def read_bits(
        self, space: Space, address: int, count: int, urgency: Urgency, *, tries: int = 1
    ) -> tuple[bool, ...]:
        """Coils or discrete inputs."""
        cls = ReadCoilsRequest if space is Space.COIL else ReadDiscreteInputsRequest
        padded = -(-count // 8) * 8
        pdu = cls(address=address, count=count, dev_id=self._unit)
        size = 2 + padded // 8
        reply = await self._ask(pdu, size, urgency, lambda r: len(r.bits) == padded, tries)
        return tuple(bool(bit) for bit in reply.bits[:count])

    async def read_words(
        self, space: Space, address: int, count: int, urgency: Urgency, *, tries: int = 1
    ) -> tuple[int, ...]:
        """Holding or input registers."""
        holding = space is Space.HOLDING
        cls = ReadHoldingRegistersRequest if holding else ReadInputRegistersRequest
        pdu = cls(address=address, count=count, dev_id=self._unit)
        size = 2 + 2 * count
        reply = await self._ask(pdu, size, urgency, lambda r: len(r.registers) == count, tries)
        return tuple(reply.registers)

    async def read_span(
        self, registers: RegisterMap, span: Span, urgency: Urgency, *, tries: int = 1
    ) -> dict[str, int | float | bool]:
        """A block of registers, by name."""
        words = await self.read_words(span.space, span.address, span.count, urgency, tries=tries)
        try:
            return dict(registers.decode_span(span, words))
        except ProtocolError as error:
            raise LinkError(self._wire.name, f"impossible reading: {error}") from error

    async def write_coil(self, address: int, value: int, urgency: Urgency) -> None:
        """FC05; the value goes out as it is."""

        def echoed(reply: ModbusPDU) -> bool:
            return isinstance(reply, RawCoil) and (reply.address, reply.value) == (address, value)

        await self._ask(RawCoil(address, value, self._unit), 5, urgency, echoed)

    async def write_word(self, address: int, value: int, urgency: Urgency) -> None:
        """FC06."""
        pdu = WriteSingleRegisterRequest(address=address, registers=[value], dev_id=self._unit)

        def echoed(reply: ModbusPDU) -> bool:
            return reply.address == address and list(reply.registers) == [value]

        await self._ask(pdu, 5, urgency, echoed)

    async def write_words(self, address: int, values: Sequence[int], urgency: Urgency) -> None:
        """FC16."""
        pdu = WriteMultipleRegistersRequest(
            address=address, registers=list(values), dev_id=self._unit
        )

        def echoed(reply: ModbusPDU) -> bool:
            return reply.address == address and reply.count == len(values)

        await self._ask(pdu, 5, urgency, echoed)

    async def _ask(
        self, pdu: ModbusPDU, reply_size: int, urgency: Urgency, good: Check, tries: int = 1
    ) -> ModbusPDU:
        pdu.transaction_id = next(self._numbers) if self._over_tcp else 0
        take = self._take_tcp(pdu, good) if self._over_tcp else self._take_rtu(pdu, good)
        call = Call(
            request=self._framer.buildFrame(pdu),
            take=take,
            reply_bytes=reply_size + (MBAP_EXTRA if self._over_tcp else RTU_EXTRA),
            urgency=urgency,
            is_read=pdu.function_code <= READ_FUNCTION_MAX,
            tries=tries,
        )
        return await self._wire.ask(call)

    def _take_rtu(self, request: ModbusPDU, good: Check) -> Take:
        """Find the reply anywhere in what came: noise and other frames may stand before it."""

        def take(received: bytes) -> ModbusPDU | None:
            for start in range(len(received) - FramerRTU.MIN_SIZE):
                if received[start] != self._unit:
                    continue
                if received[start + 1] & 0x7F != request.function_code:
                    continue
                frame = received[start:]
                kind = self._decoder.lookupPduClass(frame)
                size = kind.calculateRtuFrameSize(frame) if kind else 0
                if not size or len(frame) < size:
                    continue
                reply = self._judge(frame[:size], request, good)
                if reply is not None:
                    return reply
            return None

        return take

    def _take_tcp(self, request: ModbusPDU, good: Check) -> Take:
        def take(received: bytes) -> ModbusPDU | None:
            return self._judge(received, request, good)

        return take

    def _judge(self, data: bytes, request: ModbusPDU, good: Check) -> ModbusPDU | None:
        try:
            _, reply = self._framer.handleFrame(data, self._unit, request.transaction_id)
        except ModbusException:
            return None
        if reply is None or reply.function_code & 0x7F != request.function_code:
            return None
        if reply.transaction_id != request.transaction_id:
            return None  # pymodbus lets a reply with number 0 pass for any
        if reply.isError():
            code = reply.exception_code
            raise DeviceRefusedError(
                self._wire.name, f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})"
            )
        return reply if good(reply) else None
