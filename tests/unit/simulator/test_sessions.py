"""Framing and timing of the wires, without a terminal: bytes and times in, bytes and times out."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols import modbus
from protocols.frames import jbd
from simulator.wires.bus import Answer, BusDevice, ModbusBus
from simulator.wires.mbap import MbapSession
from simulator.wires.rtu import RtuSession, collide
from simulator.wires.serial_bms import BmsSession
from simulator.wires.timing import IDLE_S, PENDING_MAX, Line, Session

READ = bytes([3, 0, 0, 0, 2])
SAID = modbus.reply_words(3, [7, 8])
PROCESSING_S = 0.005


@dataclass
class Parrot:
    """A device that counts what it is asked and says one thing."""

    unit: int
    said: bytes = SAID
    name: str = "parrot"
    type: str = "parrot"
    asked: list[bytes] = field(default_factory=list)

    def hears(self, unit: int) -> bool:
        return unit == self.unit

    def answer(self, unit: int, pdu: bytes) -> Answer | None:
        self.asked.append(pdu)
        return Answer(unit, self.said)


def rtu_session(*devices: BusDevice, line: Line | None = None) -> RtuSession:
    bus = ModbusBus(devices, set(), lambda: None)
    return RtuSession(bus, line or Line(9_600, PROCESSING_S, realistic=False))


def sent(session: Session, *chunks: bytes, gap_s: float = 0.0) -> list[bytes]:
    replies = []
    for index, chunk in enumerate(chunks):
        replies += session.feed(chunk, 10.0 + index * gap_s)
    return [reply.data for reply in replies]


FRAME = modbus.rtu(7, READ)
REPLY = modbus.rtu(7, SAID)


@given(st.lists(st.integers(0, len(FRAME)), max_size=7))
def test_a_frame_in_any_pieces(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(FRAME)]
    chunks = [FRAME[a:b] for a, b in pairwise(edges)]
    assert sent(rtu_session(Parrot(7)), *chunks, gap_s=0.01) == [REPLY]


@given(st.binary(max_size=80))
def test_garbage_then_silence_then_a_good_frame(garbage: bytes) -> None:
    session = rtu_session(Parrot(7))
    sent(session, garbage)
    assert [r.data for r in session.feed(FRAME, 10.0 + 2 * IDLE_S)] == [REPLY]


@given(st.binary(max_size=40))
def test_garbage_right_before_a_good_frame(garbage: bytes) -> None:
    assert REPLY in sent(rtu_session(Parrot(7)), garbage + FRAME)


def test_a_half_frame_then_silence_does_not_eat_the_next() -> None:
    session = rtu_session(Parrot(7))
    assert sent(session, FRAME[:5]) == []
    assert [r.data for r in session.feed(FRAME, 10.0 + 2 * IDLE_S)] == [REPLY]


def test_a_half_frame_completed_after_the_silence_is_not_heard() -> None:
    session = rtu_session(Parrot(7))
    assert sent(session, FRAME[:5], FRAME[5:], gap_s=2 * IDLE_S) == []


@given(st.integers(0, len(FRAME) * 8 - 1))
def test_any_flipped_bit_is_silence(bit: int) -> None:
    torn = bytearray(FRAME)
    torn[bit // 8] ^= 1 << bit % 8
    assert sent(rtu_session(Parrot(7)), bytes(torn)) == []


def test_unknown_unit_and_silenced_device_are_silence() -> None:
    parrot = Parrot(7)
    bus = ModbusBus([parrot], {"parrot"}, lambda: None)
    assert sent(rtu_session(parrot), modbus.rtu(8, READ)) == []
    assert sent(RtuSession(bus, Line(9_600, 0.0)), FRAME) == []
    assert parrot.asked == []


@given(st.integers(1, 12))
def test_glued_requests_are_all_answered_in_order(count: int) -> None:
    parrot = Parrot(7)
    frames = [modbus.rtu(7, bytes([3, 0, n, 0, 2])) for n in range(count)]
    assert sent(rtu_session(parrot), b"".join(frames)) == [REPLY] * count
    assert [pdu[2] for pdu in parrot.asked] == list(range(count))


def test_an_unknown_function_reaches_the_device_by_its_checksum() -> None:
    parrot = Parrot(7)
    sent(rtu_session(parrot), modbus.rtu(7, bytes([0x41, 1, 2])))
    assert parrot.asked == [bytes([0x41, 1, 2])]


def test_two_answers_collide() -> None:
    one, other = Parrot(7), Parrot(7, said=modbus.reply_words(3, [1, 9]))
    (heard,) = sent(rtu_session(one, other), FRAME)
    assert heard not in {REPLY, modbus.rtu(7, other.said)}
    assert modbus.rtu(heard[0], heard[1:-2]) != heard
    assert collide(b"\x0f\xff", b"\xf3") == b"\x03\xff"


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("baud", "silence_s"),
    [(9_600, 3.5 * 11 / 9_600), (19_200, 3.5 * 11 / 19_200), (115_200, 0.00175)],
)
def test_a_reply_takes_its_time_on_the_wire(baud: int, silence_s: float) -> None:
    session = rtu_session(Parrot(7), line=Line(baud, PROCESSING_S))
    (reply,) = session.feed(FRAME, 100.0)
    wire_s = (len(FRAME) + len(REPLY)) * 10 / baud
    assert reply.at_s - 100.0 == pytest.approx(wire_s + silence_s + PROCESSING_S)


def test_a_frame_in_pieces_is_timed_from_its_first_byte_and_never_before_its_last() -> None:
    whole = rtu_session(Parrot(7), line=Line(9_600, 0.0))
    (reply,) = whole.feed(FRAME, 1.0)
    quick = rtu_session(Parrot(7), line=Line(9_600, 0.0))
    quick.feed(FRAME[:4], 1.0)
    (same,) = quick.feed(FRAME[4:], 1.002)
    assert same.at_s == reply.at_s
    slow = rtu_session(Parrot(7), line=Line(9_600, 0.0))
    slow.feed(FRAME[:4], 1.0)
    (later,) = slow.feed(FRAME[4:], 1.05)
    assert later.at_s == pytest.approx(reply.at_s - 1.0 - len(FRAME) * 10 / 9_600 + 1.05)


def test_a_second_request_waits_for_the_line() -> None:
    session = rtu_session(Parrot(7), line=Line(9_600, PROCESSING_S))
    first, second = session.feed(FRAME + FRAME, 1.0)
    turn_s = first.at_s - 1.0
    assert second.at_s == pytest.approx(first.at_s + turn_s)


def test_a_flood_is_not_heard_beyond_the_queue() -> None:
    parrot = Parrot(7)
    session = rtu_session(parrot, line=Line(9_600, PROCESSING_S))
    for _ in range(PENDING_MAX):
        assert session.feed(FRAME, 1.0)
    assert session.feed(FRAME, 1.0) == []
    assert len(parrot.asked) == PENDING_MAX
    assert session.feed(FRAME, 1_000.0)


# --- Modbus TCP ---------------------------------------------------------------------------------


def mbap_session(*devices: BusDevice) -> MbapSession:
    return MbapSession(ModbusBus(devices, set(), lambda: None), Line(9_600, 0.0, realistic=False))


@given(st.lists(st.integers(1, 24), max_size=6))
def test_tcp_frames_in_any_pieces(cuts: list[int]) -> None:
    stream = modbus.mbap(1, 7, READ) + modbus.mbap(2, 7, READ)
    edges = [0, *sorted(cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    expected = [modbus.mbap(1, 7, SAID), modbus.mbap(2, 7, SAID)]
    assert sent(mbap_session(Parrot(7)), *chunks) == expected


def test_tcp_silence_for_unknown_units_and_for_collisions() -> None:
    assert sent(mbap_session(Parrot(7)), modbus.mbap(1, 8, READ)) == []
    assert sent(mbap_session(Parrot(7), Parrot(7)), modbus.mbap(1, 7, READ)) == []


def test_tcp_nonsense_is_dropped_and_the_next_frame_heard() -> None:
    session = mbap_session(Parrot(7))
    assert sent(session, b"GET / HTTP/1.1\r\n\r\n") == []
    assert sent(session, modbus.mbap(3, 7, READ)) == [modbus.mbap(3, 7, SAID)]


# --- batteries ----------------------------------------------------------------------------------


@dataclass
class Cell:
    """A battery that says yes to everything."""

    asked: list[jbd.Request] = field(default_factory=list)

    def answer(self, request: jbd.Request) -> bytes | None:
        self.asked.append(request)
        return jbd.reply(request.register, b"\x01\x02")


ASK = bytes.fromhex("DD A5 03 00 FF FD 77")


def bms_session(line: Line | None = None) -> BmsSession:
    return BmsSession(Cell(), line or Line(9_600, 0.0, realistic=False))


@given(st.lists(st.integers(0, len(ASK)), max_size=5), st.binary(max_size=20))
def test_battery_requests_in_pieces_after_noise(cuts: list[int], noise: bytes) -> None:
    session = bms_session()
    sent(session, noise)
    edges = [0, *sorted(cuts), len(ASK)]
    replies = []
    for a, b in pairwise(edges):
        replies += session.feed(ASK[a:b], 20.0)
    assert [reply.data for reply in replies] == [jbd.reply(3, b"\x01\x02")]


def test_a_torn_battery_request_is_forgotten() -> None:
    session = bms_session()
    assert sent(session, ASK[:4], ASK[4:], gap_s=2 * IDLE_S) == []
    assert [r.data for r in session.feed(ASK, 20.0)] == [jbd.reply(3, b"\x01\x02")]


def test_battery_timing() -> None:
    line = Line(9_600, PROCESSING_S)
    (reply,) = bms_session(line).feed(ASK, 5.0)
    wire_s = (len(ASK) + len(reply.data)) * 10 / 9_600
    assert reply.at_s - 5.0 == pytest.approx(wire_s + line.silence_s + PROCESSING_S)
