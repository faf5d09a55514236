"""Any bytes at all before, in and behind a device's frames: nothing raises, nothing wrong is taken."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.decoding import LineDecoder
from protocols.device import Protocol, Raw, RefusedError, Where
from protocols.devices import DEVICES, daly_bms, dlt645_meter, jk_bms, lock_8a
from protocols.devices import kerong_kr_cu16 as kerong
from protocols.faces import MeterFacts, PackFacts
from protocols.trace import Direction

PACK = PackFacts(
    soc_pct=77,
    voltage_v=48.3,
    current_a=-3.4,
    cell_v=tuple(3.6 + n / 1_000 for n in range(13)),
    temps_c=(21.0, 22.0),
    protection=frozenset(),
    charge_fet_on=True,
    discharge_fet_on=True,
    remaining_ah=18.5,
    capacity_ah=24.0,
    cycles=42,
    serial="YZ48-000042",
)
METER = MeterFacts(voltage_v=230.1, power_w=1_234.5, import_kwh=98_765.43)
LEVELS = tuple(n % 3 == 0 for n in range(64))


def twins() -> dict[str, tuple[Any, Any]]:
    """Dialogue and answering side of every device with frames of its own."""
    daly, meter = daly_bms.DalyBms(), dlt645_meter.FACE
    found: dict[str, tuple[Any, Any]] = {
        "daly": (lambda: daly.read(Where()), lambda r: daly.answer(r, PACK).frame),
        "daly serial": (lambda: daly.serial(Where()), lambda r: daly.answer(r, PACK).frame),
        "dlt645": (
            lambda: meter.read(Where(0, "000000000042")),
            lambda r: meter.answer(r[4:], "000000000042", METER),
        ),
    }
    for type_, device in DEVICES.items():
        face = device.locks_face
        if face is not None:
            where = Where(device.address)
            found[type_] = (
                lambda face=face, where=where: face.read_inputs(where),
                lambda r, face=face, where=where: face.answer(r, where.address, LEVELS).frame,
            )
    return found


TWINS = twins()


def replies(name: str) -> list[tuple[Raw, bytes]]:
    """Every question of a dialogue with the twin's answer."""
    dialogue, answer = TWINS[name]
    asked, pairs = dialogue(), []
    ask = next(asked)
    while True:
        reply = answer(ask.request)
        assert reply is not None
        pairs.append((ask, reply))
        try:
            ask = asked.send(ask.take(reply))
        except StopIteration:
            return pairs


@pytest.mark.parametrize("name", sorted(TWINS))
def test_a_part_is_never_taken_and_a_flipped_bit_neither(name: str) -> None:
    for ask, reply in replies(name):
        good = ask.take(reply)
        assert good is not None
        for length in range(len(reply)):
            assert ask.take(reply[:length]) is None
        for at in range(8 * len(reply)):
            torn = bytearray(reply)
            torn[at // 8] ^= 1 << at % 8
            try:
                taken = ask.take(bytes(torn))
            except RefusedError:
                pytest.fail("a flipped bit passed for a refusal")
            assert taken in {None, good}, f"bit {at} of {reply.hex(' ')}"


@pytest.mark.parametrize("name", sorted(TWINS))
@given(before=st.binary(max_size=40), behind=st.binary(max_size=20))
def test_noise_around_a_reply_is_passed_over(name: str, before: bytes, behind: bytes) -> None:
    for ask, reply in replies(name):
        noisy = before + reply + behind
        try:
            taken = ask.take(noisy)
        except RefusedError:
            continue
        assert taken is None or taken == ask.take(reply) or len(before) > 3


@given(heard=st.binary(max_size=120))
def test_nothing_raises_on_any_bytes(heard: bytes) -> None:
    faces = [daly_bms.DalyBms(), jk_bms.JkBms(), dlt645_meter.FACE, kerong.FACE]
    faces += [device.locks_face for device in DEVICES.values() if device.locks_face]
    for face in faces:
        found = face.find(heard)
        assert found is None or 0 <= found[0] < found[1] <= len(heard)
    for name in TWINS:
        for ask, _ in replies(name):
            try:
                ask.take(heard)
            except RefusedError:
                continue


@given(data=st.binary(min_size=0x100, max_size=0x104))
def test_jk_readings_of_any_bytes_are_facts_or_an_error(data: bytes) -> None:
    try:
        facts = jk_bms.decode(data)
    except jk_bms.FrameError:
        return
    assert 1 <= len(facts.cell_v) <= jk_bms.CELLS_MAX
    assert facts.temps_c


def test_jk_both_ways() -> None:
    table = jk_bms.tables(PACK)[jk_bms.RUNTIME]
    facts = jk_bms.decode(table)
    assert facts.cell_v == pytest.approx(PACK.cell_v, abs=5e-4)
    assert (facts.soc_pct, facts.temps_c, facts.cycles) == (77, (21.0, 22.0), 42)
    assert facts.protection == frozenset()


@given(
    value=st.floats(-79, 79, allow_nan=False),
    form=st.sampled_from(sorted(dlt645_meter.FORMS.values())),
)
def test_bcd_both_ways(value: float, form: tuple[int, int]) -> None:
    size, decimals = form
    value = max(-0.79, min(0.79, value)) if size == 2 else value
    back = dlt645_meter.bcd(dlt645_meter.to_bcd(value, size, decimals), decimals)
    assert back == pytest.approx(value, abs=0.51 / 10**decimals)


@pytest.mark.parametrize("bits", range(64))
def test_no_daly_fault_bit_is_dropped(bits: int) -> None:
    data = bytearray(8)
    data[bits // 8] = 1 << bits % 8
    names = daly_bms.decode_faults(bytes(data))
    full_or_empty = 20 <= bits <= 23
    assert bool(names) is not full_or_empty


def test_the_template_is_a_whole_device() -> None:
    template = importlib.import_module("protocols.devices._template").DEVICE
    assert template.type not in DEVICES
    dialogue = template.meter.read(Where(5))
    ask = next(dialogue)
    ask = dialogue.send((2301, 0xFFFF, 0xFF9C))
    assert (ask.address, ask.count) == (0x10, 2)
    with pytest.raises(StopIteration) as done:
        dialogue.send((1, 0))
    assert done.value.value == MeterFacts(voltage_v=230.1, power_w=-100, import_kwh=655.36)


def told(protocol: Protocol, direction: Direction, data: bytes) -> str:
    """The words of a frame, without a name before them."""
    return LineDecoder(protocol)._tell(direction, data, b"")


WORDS = [
    (Protocol.KERONG, kerong.unlock_request(1, 4), "board 1: unlock lock 4"),
    (Protocol.KERONG, kerong.status_request(2), "board 2: status"),
    (Protocol.LOCK_8A, lock_8a.unlock_request(3, 0), "board 3: unlock channel 1"),
    (Protocol.LOCK_8A, lock_8a.query_request(1), "board 1: levels"),
    (Protocol.DALY, daly_bms.frame(0x40, 0x95), "read cells"),
    (Protocol.DALY, daly_bms.frame(0x40, 0xDA, b"\0"), "charge switch off"),
    (
        Protocol.DLT645,
        dlt645_meter.read_request("000000000042", dlt645_meter.POWER),
        "meter 000000000042: read power, kW",
    ),
]
ANSWERS = [
    (Protocol.KERONG, kerong.status_request(0), "board 0: shut 1001001001001001, inside 0010010"),
    (Protocol.LOCK_8A, lock_8a.query_request(1), "board 1: levels 100100100100000000000000"),
    (Protocol.DALY, daly_bms.frame(0x40, 0x90), "voltage, current, charge: 48.3 V, -3.4 A, 77 %"),
    (Protocol.DALY, daly_bms.frame(0x40, 0x98), "faults: none"),
    (
        Protocol.DLT645,
        dlt645_meter.read_request("000000000042", dlt645_meter.ENERGY_IN),
        "meter 000000000042: imported energy, kWh 98765.4",
    ),
]
SAYS = {
    Protocol.KERONG: lambda r: kerong.FACE.answer(r, r[1] >> 4, LEVELS).frame,
    Protocol.LOCK_8A: lambda r: lock_8a.Lock8a(12).answer(r, r[1], LEVELS).frame,
    Protocol.DALY: lambda r: daly_bms.DalyBms().answer(r, PACK).frame,
    Protocol.DLT645: lambda r: dlt645_meter.FACE.answer(r[4:], "000000000042", METER),
}


@pytest.mark.parametrize(("protocol", "request_", "words"), WORDS)
def test_requests_in_words(protocol: Protocol, request_: bytes, words: str) -> None:
    assert told(protocol, Direction.OUT, request_) == words
    assert told(protocol, Direction.OUT, request_[:-1]).startswith("not a frame")


@pytest.mark.parametrize(("protocol", "request_", "words"), ANSWERS)
def test_answers_in_words(protocol: Protocol, request_: bytes, words: str) -> None:
    assert told(protocol, Direction.IN, SAYS[protocol](request_)).startswith(words)


@given(
    data=st.binary(max_size=60),
    protocol=st.sampled_from(sorted(SAYS)),
    direction=st.sampled_from(list(Direction)),
)
def test_no_bytes_break_the_words(data: bytes, protocol: Protocol, direction: Direction) -> None:
    assert told(protocol, direction, data)


@pytest.mark.parametrize("count", range(1, 6))
def test_jk_tells_of_every_sensor_that_is_fitted(count: int) -> None:
    temps = (21.0, 22.0, 23.0, 24.0, 58.5)[:count]
    table = jk_bms.tables(replace(PACK, temps_c=temps))[jk_bms.RUNTIME]
    assert jk_bms.decode(table).temps_c == temps


def test_jk_without_sensor_bits_has_the_two_of_every_board() -> None:
    table = bytearray(jk_bms.tables(replace(PACK, temps_c=(21.0, 58.5)))[jk_bms.RUNTIME])
    table[jk_bms.SENSORS_AT] = 0
    assert jk_bms.decode(bytes(table)).temps_c == (21.0, 58.5)


@pytest.mark.parametrize("bit", range(24))
def test_no_jk_alarm_is_dropped_but_those_that_say_nothing(bit: int) -> None:
    table = bytearray(jk_bms.tables(PACK)[jk_bms.RUNTIME])
    table[0xA0:0xA4] = (1 << bit).to_bytes(4, "big")
    assert bool(jk_bms.decode(bytes(table)).protection) is (bit not in {18, 19})
