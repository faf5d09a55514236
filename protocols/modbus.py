"""Modbus frames as seen by a server: parse a request, build the reply, RTU and TCP wrapping.

The cabinet speaks through a library of its own, so the two sides check each other.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from protocols.errors import FrameError
from protocols.registers import READ_BITS_MAX, READ_WORDS_MAX

READ_COILS: Final = 1
READ_DISCRETE: Final = 2
READ_HOLDING: Final = 3
READ_INPUT: Final = 4
WRITE_COIL: Final = 5
WRITE_REGISTER: Final = 6
WRITE_COILS: Final = 15
WRITE_REGISTERS: Final = 16

WRITE_BITS_MAX: Final = 1968
WRITE_WORDS_MAX: Final = 123
PDU_BYTES_MAX: Final = 253
RTU_BYTES_MIN: Final = 4
RTU_BYTES_MAX: Final = 256
MBAP_BYTES: Final = 7
ERROR_FLAG: Final = 0x80

_READ_MAX: Final = {
    READ_COILS: READ_BITS_MAX,
    READ_DISCRETE: READ_BITS_MAX,
    READ_HOLDING: READ_WORDS_MAX,
    READ_INPUT: READ_WORDS_MAX,
}
# Length of a whole RTU request: fixed, or a head whose last byte counts the data behind it. The
# functions we do not serve are here too, so that they get their exception reply.
_FIXED_BYTES: Final = {1: 8, 2: 8, 3: 8, 4: 8, 5: 8, 6: 8, 7: 4, 8: 8, 11: 4, 12: 4, 17: 4, 22: 10}
_HEAD_BYTES: Final = {15: 7, 16: 7, 23: 11}
_CRC_BYTES: Final = 2


class ExceptionCode(IntEnum):
    """Why a device refuses a request."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4


class RequestError(FrameError):
    """A request that a device answers with ``exception(function, code)``."""

    def __init__(self, function: int, code: ExceptionCode, message: str) -> None:
        super().__init__(message)
        self.function = function
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """A parsed request. ``values`` is empty for reads; bits are 0 or 1.

    For FC05 it is the raw word, since boards give meanings of their own to other values than
    0xFF00 and 0x0000.
    """

    function: int
    address: int
    count: int
    values: tuple[int, ...] = ()

    @property
    def value(self) -> int:
        """The one value of a single write."""
        return self.values[0]

    @property
    def end(self) -> int:
        """The first address behind the block."""
        return self.address + self.count


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS; on the wire its low byte comes first."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def rtu(address: int, pdu: bytes) -> bytes:
    """A whole RTU frame."""
    body = bytes([address]) + pdu
    return body + struct.pack("<H", crc16(body))


def parse_rtu(frame: bytes) -> tuple[int, bytes]:
    """Device address and PDU of one whole frame; raise FrameError for length or checksum."""
    if not RTU_BYTES_MIN <= len(frame) <= RTU_BYTES_MAX:
        raise FrameError(
            f"RTU frame of {len(frame)} bytes, expected {RTU_BYTES_MIN} to {RTU_BYTES_MAX}"
        )
    expected = crc16(frame[:-_CRC_BYTES])
    (found,) = struct.unpack("<H", frame[-_CRC_BYTES:])
    if found != expected:
        raise FrameError(f"RTU checksum {found:#06x}, expected {expected:#06x}")
    return frame[0], frame[1:-_CRC_BYTES]


def request_length(buffer: bytes) -> int | None:
    """Length of the RTU request that starts the buffer; None until enough bytes are here.

    Raises:
        FrameError: the function code has no known request, so only silence can end the frame.
    """
    if len(buffer) < 2:
        return None
    function = buffer[1]
    fixed = _FIXED_BYTES.get(function)
    if fixed is not None:
        return fixed
    head = _HEAD_BYTES.get(function)
    if head is None:
        raise FrameError(f"function {function} has no known request length")
    if len(buffer) < head:
        return None
    return head + buffer[head - 1] + _CRC_BYTES


def parse_request(pdu: bytes) -> Request:
    """Parse a request PDU.

    Raises:
        RequestError: unknown function, impossible count or length; carries the exception code.
        FrameError: an empty or over-long PDU.
    """
    if not 1 <= len(pdu) <= PDU_BYTES_MAX:
        raise FrameError(f"PDU of {len(pdu)} bytes, expected 1 to {PDU_BYTES_MAX}")
    function = pdu[0]
    if function in _READ_MAX:
        request = _parse_read(function, pdu)
    elif function in {WRITE_COIL, WRITE_REGISTER}:
        request = _parse_single(function, pdu)
    elif function in {WRITE_COILS, WRITE_REGISTERS}:
        request = _parse_multiple(function, pdu)
    else:
        raise RequestError(
            function, ExceptionCode.ILLEGAL_FUNCTION, f"function {function} is not served"
        )
    if request.end > 0x10000:
        raise RequestError(
            function,
            ExceptionCode.ILLEGAL_ADDRESS,
            f"{request.count} from {request.address:#06x} runs past 0xFFFF",
        )
    return request


def reply_bits(function: int, bits: Sequence[int | bool]) -> bytes:
    """Reply to FC01 or FC02; the first bit is the lowest of the first byte."""
    data = _pack_bits(bits)
    return bytes([function, len(data)]) + data


def reply_words(function: int, words: Sequence[int]) -> bytes:
    """Reply to FC03 or FC04."""
    return struct.pack(f">BB{len(words)}H", function, 2 * len(words), *words)


def reply_echo(request: Request) -> bytes:
    """Reply to a write: the value of a single one, the count of a multiple one."""
    single = request.function in {WRITE_COIL, WRITE_REGISTER}
    last = request.value if single else request.count
    return struct.pack(">BHH", request.function, request.address, last)


def exception(function: int, code: int) -> bytes:
    """The refusal of a request."""
    return bytes([function | ERROR_FLAG, code])


def mbap(transaction: int, unit: int, pdu: bytes) -> bytes:
    """A whole Modbus TCP frame."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


@dataclass(frozen=True, slots=True)
class TcpFrame:
    """A Modbus TCP frame; ``length`` is how many bytes of the buffer it took."""

    transaction: int
    unit: int
    pdu: bytes
    length: int


def parse_mbap(buffer: bytes) -> TcpFrame | None:
    """The Modbus TCP frame that starts the buffer; None until it is complete.

    Raises:
        FrameError: not Modbus TCP; the connection must be closed, since framing is lost.
    """
    if len(buffer) < MBAP_BYTES:
        return None
    transaction, protocol, length, unit = struct.unpack_from(">HHHB", buffer)
    if protocol != 0 or not 2 <= length <= PDU_BYTES_MAX + 1:
        raise FrameError(f"MBAP header: protocol {protocol}, length {length}")
    total = MBAP_BYTES - 1 + length
    if len(buffer) < total:
        return None
    return TcpFrame(transaction, unit, bytes(buffer[MBAP_BYTES:total]), total)


def _parse_read(function: int, pdu: bytes) -> Request:
    _expect_length(function, pdu, 5)
    address, count = struct.unpack_from(">HH", pdu, 1)
    if not 1 <= count <= _READ_MAX[function]:
        raise RequestError(function, ExceptionCode.ILLEGAL_VALUE, f"count {count} in a read")
    return Request(function, address, count)


def _parse_single(function: int, pdu: bytes) -> Request:
    _expect_length(function, pdu, 5)
    address, value = struct.unpack_from(">HH", pdu, 1)
    return Request(function, address, 1, (value,))


def _parse_multiple(function: int, pdu: bytes) -> Request:
    if len(pdu) < 6:
        raise RequestError(function, ExceptionCode.ILLEGAL_VALUE, f"PDU of {len(pdu)} bytes")
    address, count, size = struct.unpack_from(">HHB", pdu, 1)
    bits = function == WRITE_COILS
    expected = (count + 7) // 8 if bits else 2 * count
    most = WRITE_BITS_MAX if bits else WRITE_WORDS_MAX
    if not 1 <= count <= most or size != expected:
        raise RequestError(
            function, ExceptionCode.ILLEGAL_VALUE, f"count {count} with {size} data bytes"
        )
    _expect_length(function, pdu, 6 + size)
    data = pdu[6:]
    values = (
        tuple(data[n // 8] >> n % 8 & 1 for n in range(count))
        if bits
        else struct.unpack(f">{count}H", data)
    )
    return Request(function, address, count, values)


def _expect_length(function: int, pdu: bytes, length: int) -> None:
    if len(pdu) != length:
        raise RequestError(
            function,
            ExceptionCode.ILLEGAL_VALUE,
            f"PDU of {len(pdu)} bytes, expected {length} for function {function}",
        )


def _pack_bits(bits: Sequence[int | bool]) -> bytes:
    data = bytearray((len(bits) + 7) // 8)
    for n, bit in enumerate(bits):
        if bit:
            data[n // 8] |= 1 << n % 8
    return bytes(data)


def _crc_entry(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_CRC_TABLE: Final = tuple(_crc_entry(byte) for byte in range(256))
