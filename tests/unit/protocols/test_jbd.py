"""JBD frames: the parser under any bytes and chunks, and every field both ways."""

from __future__ import annotations

import dataclasses
import datetime
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import FrameError
from protocols.frames import jbd

Item = jbd.Frame | jbd.Request

BYTES = st.binary(max_size=40)
#: Bytes that look like starts and ends of frames more often than chance gives.
GARBAGE = st.lists(
    st.sampled_from([0xDD, 0xA5, 0x5A, 0x77, 0x00, 0x03, 0xFF]) | st.integers(0, 255), max_size=60
).map(bytes)


@st.composite
def items(draw: st.DrawFn) -> tuple[Item, bytes]:
    """An item and its bytes. A reply of register A5 or 5A would be a request, so there is none."""
    register = draw(st.integers(0, 255).filter(lambda n: n not in (jbd.READ, jbd.WRITE)))
    data = draw(BYTES | GARBAGE | st.just(bytes(255)))
    match draw(st.sampled_from(["read", "write", "reply"])):
        case "read":
            return jbd.Request(write=False, register=register), jbd.read_request(register)
        case "write":
            item = jbd.Request(write=True, register=register, data=data)
            return item, jbd.write_request(register, data)
        case _:
            status = draw(st.sampled_from([jbd.STATUS_OK, jbd.STATUS_ERROR]))
            return jbd.Frame(register, status, data), jbd.reply(register, data, status)


def feed_in(parser: jbd.Parser, data: bytes, cuts: list[int]) -> list[Item]:
    """Feed in chunks that end at the cuts."""
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    found: list[Item] = []
    for start, end in itertools.pairwise(edges):
        found += parser.feed(data[start:end])
    return found


CUTS = st.lists(st.integers(0, 400), max_size=8)


@given(st.lists(GARBAGE | st.binary(max_size=600), max_size=5))
def test_any_bytes_in_any_chunks_never_raise_and_never_pile_up(chunks: list[bytes]) -> None:
    parser = jbd.Parser()
    for chunk in chunks:
        parser.feed(chunk)
        assert parser.pending < jbd.FRAME_BYTES_MAX


@given(st.lists(items(), min_size=1, max_size=4), CUTS)
def test_clean_frames_in_any_chunks(sent: list[tuple[Item, bytes]], cuts: list[int]) -> None:
    parser = jbd.Parser()
    stream = b"".join(data for _, data in sent)
    assert feed_in(parser, stream, cuts) == [item for item, _ in sent]
    assert parser.pending == 0


@given(GARBAGE, items(), CUTS)
def test_a_good_frame_after_garbage_is_found_at_once(
    garbage: bytes, sent: tuple[Item, bytes], cuts: list[int]
) -> None:
    item, data = sent
    assert feed_in(jbd.Parser(), garbage + data, cuts)[-1] == item


@given(items(), GARBAGE, items())
def test_garbage_between_frames(
    first: tuple[Item, bytes], garbage: bytes, second: tuple[Item, bytes]
) -> None:
    found = jbd.Parser().feed(first[1] + garbage + second[1])
    assert (found[0], found[-1]) == (first[0], second[0])


@given(items(), st.data())
def test_a_damaged_frame_is_not_believed(sent: tuple[Item, bytes], data: st.DataObject) -> None:
    item, frame = sent
    at = data.draw(st.integers(0, len(frame) - 1))
    damaged = bytearray(frame)
    damaged[at] ^= data.draw(st.integers(1, 255))
    # The second byte of a frame (the register of a reply) is outside its checksum.
    if at != 1:
        assert item not in jbd.Parser().feed(bytes(damaged))


def test_a_start_byte_in_noise_does_not_hold_back_the_reply() -> None:
    reply = jbd.reply(jbd.REG_CELLS, jbd.encode_cells([3.3]))
    noise = bytes([0xDD, 0x03, 0x00, 0xFF])  # announces 262 bytes
    parser = jbd.Parser()
    assert parser.feed(noise + reply) == [jbd.Frame(jbd.REG_CELLS, 0, jbd.encode_cells([3.3]))]
    assert parser.pending == 0
    assert parser.feed(jbd.read_request(3)) == [jbd.Request(write=False, register=3)]


def test_start_bytes_inside_a_frame_do_not_break_it() -> None:
    data = bytes([0xDD, 0xA5, 0x03, 0x40]) * 4
    frame = jbd.reply(jbd.REG_MODEL, data)
    parser = jbd.Parser()
    found = [item for byte in frame for item in parser.feed(bytes([byte]))]
    assert found == [jbd.Frame(jbd.REG_MODEL, 0, data)]
    assert parser.pending == 0


def test_reset_forgets_half_a_frame() -> None:
    parser = jbd.Parser()
    frame = jbd.reply(jbd.REG_BASIC, b"abc")
    assert parser.feed(frame[:6]) == []
    assert parser.pending == 6
    parser.reset()
    assert parser.pending == 0
    assert parser.feed(frame[6:]) == []


def test_status() -> None:
    assert jbd.Frame(3, jbd.STATUS_OK).ok
    assert not jbd.Frame(3, jbd.STATUS_ERROR).ok
    (frame,) = jbd.Parser().feed(bytes.fromhex("DD 03 80 00 FF 80 77"))
    assert frame == jbd.Frame(3, jbd.STATUS_ERROR)
    assert jbd.reply(3, status=jbd.STATUS_ERROR) == bytes.fromhex("DD 03 80 00 FF 80 77")


@pytest.mark.parametrize("build", [jbd.write_request, jbd.reply])
def test_data_that_does_not_fit_a_frame(build: object) -> None:
    assert callable(build)
    with pytest.raises(FrameError, match="JBD data of 256 bytes"):
        build(3, bytes(256))


CENTI = st.integers(0, 0xFFFF).map(lambda raw: raw / 100)
INFOS = st.builds(
    jbd.BasicInfo,
    voltage_v=CENTI,
    current_a=st.integers(-0x8000, 0x7FFF).map(lambda raw: raw / 100),
    remaining_ah=CENTI,
    nominal_ah=CENTI,
    cycles=st.integers(0, 0xFFFF),
    production_date=st.none() | st.dates(datetime.date(2000, 1, 1), datetime.date(2127, 12, 31)),
    balance_bits=st.integers(0, 0xFFFF_FFFF),
    protection=st.frozensets(st.sampled_from(jbd.PROTECTIONS)),
    software_version=st.builds("{}.{}".format, st.integers(0, 15), st.integers(0, 15)),
    soc_pct=st.integers(0, 255),
    charge_fet_on=st.booleans(),
    discharge_fet_on=st.booleans(),
    cells=st.integers(0, 255),
    temps_c=st.lists(st.integers(-2731, 0xFFFF - 2731).map(lambda raw: raw / 10), max_size=116).map(
        tuple
    ),
)


@given(INFOS)
def test_basic_info_both_ways(info: jbd.BasicInfo) -> None:
    assert jbd.decode_basic(jbd.encode_basic(info)) == info


@given(st.binary(max_size=120))
def test_basic_info_of_any_bytes(data: bytes) -> None:
    try:
        info = jbd.decode_basic(data)
    except FrameError:
        return
    used = 23 + 2 * len(info.temps_c)
    if info.production_date is not None:
        again = jbd.encode_basic(info)
        assert again[:20] == data[:20]
        assert again[21:] == data[21:used]
        assert again[20] == data[20] & 3


PLAIN = jbd.BasicInfo(
    voltage_v=50.0,
    current_a=-1.5,
    remaining_ah=10.0,
    nominal_ah=20.0,
    cycles=3,
    production_date=None,
    balance_bits=0,
    protection=frozenset(),
    software_version="2.1",
    soc_pct=50,
    charge_fet_on=True,
    discharge_fet_on=False,
    cells=14,
    temps_c=(25.0, -10.0),
)


def test_layout_of_basic_info() -> None:
    data = jbd.encode_basic(PLAIN)
    assert data.hex(" ") == (
        "13 88 ff 6a 03 e8 07 d0 00 03 00 00 00 00 00 00 00 00 21 32 01 0e 02 0b a5 0a 47"
    )


@pytest.mark.parametrize(("bit", "name"), list(enumerate(jbd.PROTECTIONS)))
def test_every_protection_bit_has_its_name(bit: int, name: str) -> None:
    data = bytearray(jbd.encode_basic(PLAIN))
    data[16:18] = (1 << bit).to_bytes(2, "big")
    assert jbd.decode_basic(bytes(data)).protection == {name}


def test_longer_basic_info_of_newer_firmware_is_read() -> None:
    assert jbd.decode_basic(jbd.encode_basic(PLAIN) + b"\x01\x02\x03") == PLAIN


@pytest.mark.parametrize(("size", "text"), [(0, "0 bytes"), (22, "22 bytes"), (26, "2 sensors")])
def test_short_basic_info_is_refused(size: int, text: str) -> None:
    with pytest.raises(FrameError, match=text):
        jbd.decode_basic(jbd.encode_basic(PLAIN)[:size])


@pytest.mark.parametrize(
    "change",
    [
        {"voltage_v": 655.36},
        {"voltage_v": -0.01},
        {"current_a": 327.68},
        {"cycles": 65536},
        {"soc_pct": 256},
        {"cells": 256},
        {"balance_bits": 1 << 32},
        {"software_version": "16.0"},
        {"software_version": "x"},
        {"software_version": "1.16"},
        {"software_version": "1.2.3"},
        {"protection": frozenset({"no-such"})},
        {"temps_c": (float("nan"),)},
        {"temps_c": (-300.0,)},
        {"production_date": datetime.date(2128, 1, 1)},
        {"production_date": datetime.date(1999, 12, 31)},
    ],
)
def test_values_that_do_not_fit_are_refused(change: dict[str, object]) -> None:
    info = dataclasses.replace(PLAIN, **change)  # type: ignore[arg-type]
    with pytest.raises(FrameError, match="does not fit"):
        jbd.encode_basic(info)


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=32))
def test_cells_both_ways(millivolts: list[int]) -> None:
    volts = tuple(raw / 1000 for raw in millivolts)
    assert jbd.decode_cells(jbd.encode_cells(volts)) == volts


@pytest.mark.parametrize("size", [0, 1, 29, 66])
def test_cell_data_of_impossible_length(size: int) -> None:
    with pytest.raises(FrameError, match=f"{size} bytes"):
        jbd.decode_cells(bytes(size))


@pytest.mark.parametrize("volts", [[-0.001], [65.536], [float("nan")]])
def test_cell_voltages_that_do_not_fit(volts: list[float]) -> None:
    with pytest.raises(FrameError, match="do not fit"):
        jbd.encode_cells(volts)


SERIALS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=50)


@given(SERIALS)
def test_barcodes_both_ways(serial: str) -> None:
    assert jbd.decode_barcode(jbd.encode_barcode(serial)) == serial


@pytest.mark.parametrize(
    ("data", "serial"),
    [
        (b"\x0bYZ48-000001", "YZ48-000001"),
        (b"\x0eYZ48-000001\x00\x00 ", "YZ48-000001"),
        (b"\x04ABCDEFGH", "ABCD"),
        (b"\x00", ""),
        (b"\x02\x00\x00", ""),
    ],
)
def test_barcodes_as_boards_send_them(data: bytes, serial: str) -> None:
    assert jbd.decode_barcode(data) == serial


@pytest.mark.parametrize("data", [b"", b"\x05ABCD", b"\x02A\x01", b"\x01\xff", b"\x03A\x00B"])
def test_unreadable_barcodes(data: bytes) -> None:
    with pytest.raises(FrameError, match="JBD barcode"):
        jbd.decode_barcode(data)


@pytest.mark.parametrize("serial", ["x" * 51, "电池", "tab\t"])
def test_barcodes_that_no_board_can_hold(serial: str) -> None:
    with pytest.raises(FrameError, match="JBD barcode"):
        jbd.encode_barcode(serial)


@pytest.mark.parametrize("charge_on", [True, False])
@pytest.mark.parametrize("discharge_on", [True, False])
def test_fets_both_ways(charge_on: bool, discharge_on: bool) -> None:
    data = jbd.fet_data(charge_on=charge_on, discharge_on=discharge_on)
    assert jbd.decode_fet(data) == (charge_on, discharge_on)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x01\x00", b"\x00\x04", b"\x00\x00\x00"])
def test_fet_data_out_of_range(data: bytes) -> None:
    with pytest.raises(FrameError, match="JBD FET data"):
        jbd.decode_fet(data)
