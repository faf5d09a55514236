"""Frames in words, and the ring that keeps the last of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import modbus
from protocols.decoding import LineDecoder, Spoilt, Station, by_line, diagnose
from protocols.device import Protocol
from protocols.frames import jbd
from protocols.trace import BYTES_MAX, Direction, Filter, Frame, Ring, lines

RTU = LineDecoder(
    Protocol.MODBUS_RTU,
    {
        1: Station.of("board-1", "waveshare-relay-d"),
        3: Station.of("charger-03", "riden-rd6006"),
        10: Station.of("meter", "eastron-sdm120"),
        20: Station.of("climate", "xy-md02"),
    },
)
PACK = LineDecoder(Protocol.JBD, {0: Station("bms-03")})


def rtu(text: str) -> bytes:
    data = bytes.fromhex(text)
    return modbus.rtu(data[0], data[1:])


def told(decoder: LineDecoder, data: bytes, asked: bytes | None = None) -> str:
    """A request when nothing was asked before it, else an answer."""
    direction = Direction.OUT if asked is None else Direction.IN
    return decoder.tell(Frame(1, 0, 0, "line", direction, data, asked or b""))


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("01 02 00 00 00 08", "board-1: read inputs 0 to 7"),
        ("01 05 02 00 00 07", "board-1: relay 0 on for 700 ms"),
        ("01 05 04 03 00 07", "board-1: relay 3 off for 700 ms"),
        ("01 05 00 FF 00 00", "board-1: all relays off"),
        ("01 05 00 02 FF 00", "board-1: relay 2 on"),
        ("01 05 00 02 55 00", "board-1: relay 2 turn over"),
        ("01 03 10 00 00 08", "board-1: read mode_0 to mode_7"),
        ("03 06 00 08 15 54", "charger-03: write voltage_set_v = 54.6"),
        ("03 06 00 12 00 01", "charger-03: write output_on = 1"),
        ("14 04 00 01 00 02", "climate: read temperature_c to humidity_pct"),
        ("63 03 00 07 00 02", "unit 99: read holding 0x0007 to 0x0008"),
        ("63 10 00 07 00 01 02 12 34", "unit 99: write 0x0007 = 1234"),
        ("00 06 40 00 00 01", "everybody: write 0x4000 = 0001"),
        ("01 07", "board-1: function 7 is not served"),
        ("0A 10 00 0C 00 02 04 7F C0 00 00", "meter: write relay_pulse_ms = nan"),
    ],
)
def test_requests(frame: str, text: str) -> None:
    assert told(RTU, rtu(frame)) == text


@pytest.mark.parametrize(
    ("asked", "answer", "text"),
    [
        ("01 02 00 00 00 08", "01 02 01 A1", "board-1: inputs 0 to 7 = 10000101"),
        ("01 05 02 00 00 07", "01 05 02 00 00 07", "board-1: done"),
        ("01 05 02 00 00 07", "01 05 02 01 00 07", "board-1: another write confirmed"),
        ("01 05 00 00 12 34", "01 85 03", "board-1: refused, illegal value (3)"),
        ("14 04 00 01 00 02", "14 04 04 01 31 02 22", "climate: temperature_c 30.5, humidity_pct 54.6"),
        ("63 03 00 07 00 02", "63 03 04 00 01 00 02", "unit 99: 0x0007: 0001 0002"),
        ("01 02 00 00 00 08", "02 02 01 A1", "unit 2: function 2, not what was asked"),
        ("01 02 00 00 00 08", "01 03 02 00 C8", "board-1: function 3, not what was asked"),
    ],
)  # fmt: skip
def test_answers(asked: str, answer: str, text: str) -> None:
    assert told(RTU, rtu(answer), rtu(asked)) == text


def test_spoilt_answers_say_how() -> None:
    asked, answer = rtu("01 02 00 00 00 08"), rtu("01 02 01 A1")
    torn = answer[:-1] + bytes([answer[-1] ^ 1])
    assert told(RTU, torn, asked) == "wrong checksum, 6 bytes"
    assert told(RTU, answer[:4], asked) == "breaks off, 4 bytes"
    assert told(RTU, b"\xaa\xbb\xcc", asked) == "noise, 3 bytes"
    assert told(RTU, b"\xaa" + answer + b"\xbb", asked).endswith("10000101 (and 2 more bytes)")
    assert told(RTU, asked, asked) == "echo of the request"
    assert "not a frame" in told(RTU, asked[:5])


def test_the_reason_why_bytes_are_no_answer() -> None:
    asked, answer = rtu("01 02 00 00 00 08"), rtu("01 02 01 A1")
    protocol = Protocol.MODBUS_RTU
    assert diagnose(protocol, asked, answer[:2] + b"\x01\xa0" + answer[4:]) is Spoilt.CHECKSUM
    assert diagnose(protocol, asked, b"\x01" + b"\x00" * 5) is Spoilt.CHECKSUM
    assert diagnose(protocol, asked, rtu("07 02 01 A1")) is Spoilt.FOREIGN
    assert diagnose(protocol, asked, answer[:3]) is Spoilt.SHORT
    assert diagnose(protocol, asked, b"\x55" * 3) is Spoilt.NOISE
    ask, said = jbd.read_request(3), jbd.reply(3, b"\x01\x02")
    assert diagnose(Protocol.JBD, ask, said[:-3] + b"\x00\x00\x77") is Spoilt.CHECKSUM
    assert diagnose(Protocol.JBD, ask, jbd.reply(4, b"\x01\x02")) is Spoilt.FOREIGN
    assert diagnose(Protocol.JBD, ask, said[:5]) is Spoilt.SHORT
    assert diagnose(Protocol.JBD, ask, b"\x00\x01") is Spoilt.NOISE


def test_modbus_tcp() -> None:
    decoder = LineDecoder(Protocol.MODBUS_TCP, RTU.stations)
    asked = modbus.mbap(7, 1, bytes.fromhex("0200000008"))
    assert told(decoder, asked) == "board-1: read inputs 0 to 7"
    answer = modbus.mbap(7, 1, bytes.fromhex("0201A1"))
    assert told(decoder, answer, asked) == "board-1: inputs 0 to 7 = 10000101"
    other = modbus.mbap(8, 1, bytes.fromhex("0201A1"))
    assert "not what was asked" in told(decoder, other, asked)
    assert "not a frame" in told(decoder, b"GET / HTTP/1.1")


def test_packs() -> None:
    basic = "DD 03 00 1B 17 00 00 00 02 D0 03 E8 00 00 20 78 00 00 00 00 00 00 10 48 03 0F 02 0B 76 0B 82 FB FF 77"
    asked = jbd.read_request(jbd.REG_BASIC)
    assert told(PACK, asked) == "bms-03: read basic"
    assert told(PACK, bytes.fromhex(basic), asked) == "bms-03: 58.88 V, 0 A, 72 %, 20.3 21.5 °C"
    cells = jbd.reply(jbd.REG_CELLS, jbd.encode_cells([3.7, 3.712]))
    assert told(PACK, cells, asked) == "bms-03: 2 cells 3.700 to 3.712 V"
    serial = jbd.reply(jbd.REG_BARCODE, jbd.encode_barcode("YZ48-000003"))
    assert told(PACK, serial, asked) == "bms-03: serial YZ48-000003"
    assert (
        told(PACK, jbd.write_request(jbd.REG_FET, b"\x00\x01")) == "bms-03: write 00 01 to switches"
    )
    assert told(PACK, jbd.reply(jbd.REG_FET), asked) == "bms-03: done"
    assert "refused" in told(PACK, jbd.reply(3, status=jbd.STATUS_ERROR), asked)


@given(
    st.sampled_from(sorted(Protocol)),
    st.sampled_from(sorted(Direction)),
    st.binary(max_size=60),
    st.binary(max_size=20),
)
def test_no_bytes_break_the_decoder(
    protocol: Protocol, direction: Direction, data: bytes, asked: bytes
) -> None:
    decoder = LineDecoder(protocol, {**RTU.stations, 0: Station("x")})
    assert decoder.tell(Frame(1, 0, 0, "line", direction, data, asked))
    diagnose(protocol, asked, data)


@given(st.integers(0, 255), st.binary(max_size=30), st.integers(0, 255), st.binary(max_size=12))
def test_no_sound_frame_breaks_the_decoder(
    unit: int, pdu: bytes, asked_unit: int, asked: bytes
) -> None:
    data, before = modbus.rtu(unit, pdu), modbus.rtu(asked_unit, asked)
    for direction in Direction:
        assert RTU.tell(Frame(1, 0, 0, "line", direction, data, before))


def ring(*adds: tuple[str, Direction, bytes], frames_max: int = 100) -> Ring:
    made = Ring(frames_max)
    for n, (line, direction, data) in enumerate(adds):
        made.add(line, direction, data, wall_ms=n * 1_000, mono_ms=n)
    return made


def test_the_ring_keeps_the_newest_and_pairs_answers_with_requests() -> None:
    kept = ring(*[("a", Direction.OUT, bytes([n])) for n in range(10)], frames_max=4)
    assert [frame.seq for frame in kept.since(0)] == [7, 8, 9, 10]
    assert [frame.seq for frame in kept.since(8)] == [9, 10]
    assert kept.since(10) == []
    assert (kept.first_seq, kept.seq) == (7, 10)
    kept.add("b", Direction.IN, b"?", wall_ms=0, mono_ms=0)
    kept.add("a", Direction.IN, b"x" * 2_000, wall_ms=0, mono_ms=0)
    lone, paired = kept.since(10)
    assert (lone.asked, paired.asked) == (b"", bytes([9]))
    assert len(paired.data) == BYTES_MAX


@given(st.integers(1, 8), st.integers(0, 20), st.integers(0, 30))
def test_since_is_what_was_kept_after_a_number(size: int, count: int, since: int) -> None:
    kept = ring(*[("a", Direction.OUT, b"\x01")] * count, frames_max=size)
    expected = [n for n in range(1, count + 1) if n > max(since, count - size)]
    assert [frame.seq for frame in kept.since(since)] == expected


def test_filters_and_text_lines() -> None:
    asked, answer = rtu("01 02 00 00 00 08"), rtu("01 02 01 A1")
    made = ring(
        ("bus-a", Direction.OUT, asked),
        ("bus-a", Direction.IN, answer),
        ("slot-03", Direction.OUT, jbd.read_request(3)),
    )
    decode = by_line({"bus-a": RTU, "slot-03": PACK}.get)

    def seqs(wanted: Filter, limit: int = 10) -> list[int]:
        return [frame.seq for frame, _ in made.select(0, limit, wanted, decode)]

    assert seqs(Filter()) == [1, 2, 3]
    assert seqs(Filter(), limit=2) == [2, 3]
    assert seqs(Filter(line="bus-a")) == [1, 2]
    assert seqs(Filter(direction=Direction.IN)) == [2]
    assert seqs(Filter(contains="INPUTS 0 to 7 =")) == [2]
    assert seqs(Filter(contains="dd a5")) == [3]
    (line,) = lines(made.select(0, 1, Filter(line="slot-03"), decode))
    assert line == "00:00:02.000 slot-03      > dd a5 03 00 ff fd 77  bms-03: read basic"
    assert by_line({}.get)(made.since(0)[0]) == "8 bytes"
