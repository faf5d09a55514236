"""The server side of Modbus: requests in, replies out, RTU and TCP framing."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer.rtu import FramerRTU

from protocols import modbus
from protocols.errors import FrameError
from protocols.modbus import ExceptionCode, Request, RequestError

WORD = st.integers(0, 0xFFFF)


def pack(request: Request) -> bytes:
    """The PDU of a request, as a master builds it."""
    function, address, count = request.function, request.address, request.count
    if function <= 4:
        return struct.pack(">BHH", function, address, count)
    if function in (5, 6):
        return struct.pack(">BHH", function, address, request.value)
    if function == 16:
        data = struct.pack(f">{count}H", *request.values)
    else:
        number = sum(bit << n for n, bit in enumerate(request.values))
        data = number.to_bytes((count + 7) // 8, "little")
    return struct.pack(">BHHB", function, address, count, len(data)) + data


@st.composite
def requests(draw: st.DrawFn) -> Request:
    function = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 15, 16]))
    if function in (5, 6):
        return Request(function, draw(WORD), 1, (draw(WORD),))
    most = {1: 2000, 2: 2000, 3: 125, 4: 125, 15: 1968, 16: 123}[function]
    count = draw(st.sampled_from([1, most]) | st.integers(1, most))
    address = draw(st.integers(0, 0x10000 - count))
    item = st.integers(0, 1) if function == 15 else WORD
    values = draw(st.lists(item, min_size=count, max_size=count)) if function > 4 else []
    return Request(function, address, count, tuple(values))


@given(requests())
def test_every_request_is_understood(request_: Request) -> None:
    pdu = pack(request_)
    assert modbus.parse_request(pdu) == request_
    frame = modbus.rtu(7, pdu)
    assert modbus.request_length(frame) == len(frame)
    assert modbus.parse_rtu(frame) == (7, pdu)


@given(requests(), st.integers(0, 300))
def test_length_is_known_before_the_frame_is_whole_and_never_wrong(
    request_: Request, size: int
) -> None:
    frame = modbus.rtu(7, pack(request_))
    assert modbus.request_length(frame[:size]) in (None, len(frame))
    assert modbus.request_length(frame + b"\x00\x01") == len(frame)


@given(st.binary(max_size=300))
def test_rubbish_never_raises_anything_but_frame_errors(data: bytes) -> None:
    for read in (
        modbus.parse_request,
        modbus.parse_rtu,
        modbus.request_length,
        modbus.parse_mbap,
    ):
        try:
            read(data)
        except FrameError:
            continue


@given(st.binary(min_size=1, max_size=60))
def test_checksum_agrees_with_pymodbus(data: bytes) -> None:
    assert struct.pack("<H", modbus.crc16(data)) == struct.pack(">H", FramerRTU.compute_CRC(data))


@given(frame=st.binary(min_size=2, max_size=60), bit=st.integers(0, 7), data=st.data())
def test_one_flipped_bit_is_found(frame: bytes, bit: int, data: st.DataObject) -> None:
    whole = bytearray(modbus.rtu(1, frame))
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << bit
    with pytest.raises(FrameError, match="checksum"):
        modbus.parse_rtu(bytes(whole))


ILLEGAL = [
    ("", None, "PDU of 0 bytes"),
    ("00" * 254, None, "PDU of 254 bytes"),
    ("07", ExceptionCode.ILLEGAL_FUNCTION, "function 7"),
    ("81 00 00 00 01", ExceptionCode.ILLEGAL_FUNCTION, "function 129"),
    ("03 00 00 00 00", ExceptionCode.ILLEGAL_VALUE, "count 0"),
    ("03 00 00 00 7E", ExceptionCode.ILLEGAL_VALUE, "count 126"),
    ("01 00 00 07 D1", ExceptionCode.ILLEGAL_VALUE, "count 2001"),
    ("03 00 00 00", ExceptionCode.ILLEGAL_VALUE, "PDU of 4 bytes"),
    ("06 00 00 00 01 00", ExceptionCode.ILLEGAL_VALUE, "PDU of 6 bytes"),
    ("03 FF FF 00 02", ExceptionCode.ILLEGAL_ADDRESS, "past 0xFFFF"),
    ("10 00 00 00 01", ExceptionCode.ILLEGAL_VALUE, "PDU of 5 bytes"),
    ("10 00 00 00 01 03 00 01 02", ExceptionCode.ILLEGAL_VALUE, "count 1 with 3"),
    ("10 00 00 00 02 04 00 01", ExceptionCode.ILLEGAL_VALUE, "PDU of 8 bytes"),
    ("10 00 00 00 7C F8" + "00" * 247, ExceptionCode.ILLEGAL_VALUE, "count 124"),
    ("0F 00 00 00 09 01 FF", ExceptionCode.ILLEGAL_VALUE, "count 9 with 1"),
    ("0F 00 00 07 B1 F7" + "00" * 247, ExceptionCode.ILLEGAL_VALUE, "count 1969"),
]


@pytest.mark.parametrize(("pdu", "code", "text"), ILLEGAL)
def test_illegal_requests(pdu: str, code: ExceptionCode | None, text: str) -> None:
    with pytest.raises(FrameError, match=text) as caught:
        modbus.parse_request(bytes.fromhex(pdu))
    assert getattr(caught.value, "code", None) == code
    if isinstance(caught.value, RequestError):
        assert caught.value.function == bytes.fromhex(pdu)[0]


@pytest.mark.parametrize(
    ("start", "length"),
    [
        ("", None),
        ("01", None),
        ("01 03", 8),
        ("01 07", 4),
        ("01 11", 4),
        ("01 16", 10),
        ("01 10 00 00 00 02", None),
        ("01 10 00 00 00 02 04", 13),
        ("01 0F 00 00 00 09 02", 11),
        ("01 17" + "00" * 8, None),
        ("01 17" + "00" * 8 + "02", 15),
    ],
)
def test_request_length(start: str, length: int | None) -> None:
    assert modbus.request_length(bytes.fromhex(start)) == length


@pytest.mark.parametrize("function", [0, 0x41, 0x83])
def test_unknown_functions_have_no_length(function: int) -> None:
    with pytest.raises(FrameError, match="no known request length"):
        modbus.request_length(bytes([1, function]))


@pytest.mark.parametrize("size", [0, 3, 257])
def test_rtu_frames_have_a_length(size: int) -> None:
    with pytest.raises(FrameError, match=f"RTU frame of {size} bytes"):
        modbus.parse_rtu(bytes(size))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (modbus.reply_bits(2, [1, 0, 1, 0, 0, 0, 0, 1, 1]), "02 02 85 01"),
        (modbus.reply_words(3, [0x1234, 0xFFFF]), "03 04 12 34 FF FF"),
        (modbus.reply_echo(Request(5, 0x0200, 1, (7,))), "05 02 00 00 07"),
        (modbus.reply_echo(Request(6, 8, 1, (5460,))), "06 00 08 15 54"),
        (modbus.reply_echo(Request(15, 3, 2, (1, 0))), "0F 00 03 00 02"),
        (modbus.reply_echo(Request(16, 8, 2, (1, 2))), "10 00 08 00 02"),
        (modbus.exception(5, ExceptionCode.ILLEGAL_VALUE), "85 03"),
    ],
)
def test_replies(reply: bytes, expected: str) -> None:
    assert reply == bytes.fromhex(expected)


@given(
    transaction=WORD,
    unit=st.integers(0, 255),
    pdu=st.binary(min_size=1, max_size=253),
    rest=st.binary(max_size=9),
)
def test_tcp_frames(transaction: int, unit: int, pdu: bytes, rest: bytes) -> None:
    frame = modbus.mbap(transaction, unit, pdu)
    for size in range(len(frame)):
        assert modbus.parse_mbap(frame[:size]) is None
    assert modbus.parse_mbap(frame + rest) == modbus.TcpFrame(transaction, unit, pdu, len(frame))


@pytest.mark.parametrize(
    "header", ["00 01 00 01 00 06 01", "00 01 00 00 00 01 01", "00 01 00 00 00 FF 01"]
)
def test_a_stream_that_is_not_modbus_tcp(header: str) -> None:
    with pytest.raises(FrameError, match="MBAP header"):
        modbus.parse_mbap(bytes.fromhex(header))
