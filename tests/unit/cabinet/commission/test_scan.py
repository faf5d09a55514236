"""What a scan asks, in which order, and what it makes of the bytes that come back."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cabinet.core.commission.findings import Cause
from cabinet.core.commission.scan_plan import (
    ADDRESSES_DEFAULT,
    BAUDS,
    Setting,
    Wish,
    estimate_s,
    parse_addresses,
    plan,
    probe_addresses,
    setting_of,
)
from cabinet.core.commission.sweep import (
    Sound,
    Sweep,
    Weight,
    best,
    question,
    sound,
    units_in,
    weighed,
)
from protocols import modbus
from protocols.device import Raw, RefusedError, Where, Words, WriteWords
from protocols.devices import DEVICES
from protocols.registers import Space

TYPES = tuple(DEVICES.values())


def answer(unit: int) -> bytes:
    return modbus.rtu(unit, bytes([3, 2, 0, 7]))


def refusal(unit: int) -> bytes:
    return modbus.rtu(unit, bytes([0x83, 2]))


def test_every_type_is_looked_for_at_the_setting_it_is_delivered_with() -> None:
    rounds = {round_.setting: round_ for round_ in plan(TYPES, Wish())}
    for device in TYPES:
        round_ = rounds[setting_of(device)]
        if device in round_.modbus:
            assert device.address in round_.addresses, device.type
        else:
            assert device in round_.singles, device.type


def test_the_most_common_setting_comes_first_and_sweeps_every_address() -> None:
    first = plan(TYPES, Wish())[0]
    assert first.setting == Setting(9_600)
    assert first.addresses == ADDRESSES_DEFAULT


def test_thorough_tries_every_speed_and_parity_and_nothing_twice() -> None:
    found = [round_.setting for round_ in plan(TYPES, Wish(thorough=True))]
    assert len(found) == len(set(found))
    assert {(s.baud, s.parity) for s in found} >= {(b, p) for b in BAUDS for p in ("N", "E")}


def test_named_speeds_are_the_only_ones() -> None:
    assert [r.setting.baud for r in plan(TYPES, Wish(bauds=(57_600,)))] == [57_600]


def test_a_gateway_is_asked_once_and_only_for_modbus() -> None:
    (only,) = plan(TYPES, Wish(), over_tcp=True)
    assert not only.singles
    assert only.addresses == ADDRESSES_DEFAULT


def test_the_usual_scan_of_a_silent_port_ends_soon() -> None:
    assert estimate_s(plan(TYPES, Wish()), Wish()) < 60


def test_a_longer_list_of_addresses_is_told_to_take_longer() -> None:
    short, long = Wish((1, 2)), Wish(tuple(range(1, 248)))
    assert estimate_s(plan(TYPES, short), short) < estimate_s(plan(TYPES, long), long)


@pytest.mark.parametrize("device", TYPES, ids=lambda device: device.type)
def test_a_device_is_asked_first_where_it_is_delivered(device: Any) -> None:
    usual, every = probe_addresses(device, Wish()), probe_addresses(device, Wish(thorough=True))
    assert usual == (device.address,)
    assert every[0] == device.address
    assert len(every) == len(set(every)) == (len(device.addresses) if device.addresses else 1)


@pytest.mark.parametrize(
    ("text", "found"),
    [("1-3", (1, 2, 3)), ("5", (5,)), ("2,1-3", (2, 1, 3)), (" 7 , 9-9 ", (7, 9))],
)
def test_addresses_are_read(text: str, found: tuple[int, ...]) -> None:
    assert parse_addresses(text) == found


@pytest.mark.parametrize("text", ["", "0", "248", "3-1", "x", "1-", "1--2", "1;2"])
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"address"):
        parse_addresses(text)


# --- safety of the questions -------------------------------------------------------------------


@pytest.mark.parametrize("over_tcp", [False, True])
def test_the_sweep_only_reads(over_tcp: bool) -> None:
    for unit in range(1, 248):
        frame = question(unit, over_tcp=over_tcp)
        pdu = frame[7:] if over_tcp else modbus.parse_rtu(frame)[1]
        assert modbus.parse_request(pdu).function == modbus.READ_HOLDING


def test_no_question_of_the_sweep_opens_a_lock_of_another_protocol() -> None:
    """A KERONG, 8A or WKLY board on the line hears the same bytes; none may be its open command."""
    for unit in range(1, 248):
        frame = question(unit, over_tcp=False)
        for start in range(len(frame) - 4):
            head = frame[start : start + 5]
            kerong = head[0] == 2 and head[3] == 3 and head[4] == sum(head[:4]) & 0xFF
            assert not kerong, unit
            green = head[0] == 0x8A and head[3] == 0x11
            assert not green, unit
        assert not re.search(rb"WKLY", frame)


@pytest.mark.parametrize("device", TYPES, ids=lambda device: device.type)
def test_recognising_a_type_only_reads(device: Any) -> None:
    """Whatever comes back, as long as the dialogue goes on, each of its questions is a read."""
    for reply in (0, 1, 2_300, 60_061, 0xFFFF):
        dialogue = device.identify(Where(device.address))
        try:
            ask = next(dialogue)
            for _ in range(50):
                assert not isinstance(ask, WriteWords)
                if isinstance(ask, Raw):
                    assert ask.is_read
                    ask = dialogue.throw(RefusedError("no"))
                else:
                    ask = dialogue.send((reply,) * ask.count)
        except Exception:  # noqa: BLE001 - nonsense may end it in any way
            continue


def test_a_recognition_that_would_write_is_stopped() -> None:
    def writes() -> Generator[Any, Any, str]:
        yield WriteWords(1, (1,))
        return "never"

    with pytest.raises(AssertionError, match="must not write"):
        next(weighed(writes(), Weight()))


def test_weight_counts_what_was_read_and_refusals_pass_through() -> None:
    def reads() -> Generator[Any, Any, str]:
        yield Words(Space.INPUT, 0, 6)
        try:
            yield Words(Space.HOLDING, 0, 2)
        except RefusedError:
            return "known"
        return "else"

    weight = Weight()
    dialogue = weighed(reads(), weight)
    next(dialogue)
    dialogue.send((0,) * 6)
    with pytest.raises(StopIteration) as ended:
        dialogue.throw(RefusedError("no"))
    assert ended.value.value == "known"
    assert weight.values == 8
    assert best({"eastron-sdm120": 4, "eastron-sdm630": 8}) == "eastron-sdm630"
    assert best({}) is None


# --- what the bytes mean -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "heard"),
    [
        (b"", Sound.SILENCE),
        (answer(5), Sound.ANSWER),
        (refusal(5), Sound.ANSWER),
        (b"\x00\xff" + answer(5), Sound.ANSWER),
        (question(5, over_tcp=False), Sound.ECHO),
        (question(5, over_tcp=False) + answer(5), Sound.ANSWER),
        (answer(4), Sound.SILENCE),
        (answer(5)[:-1] + b"\x00", Sound.GARBAGE),
        (b"\x55\xaa", Sound.GARBAGE),
    ],
    ids=["nothing", "answer", "refusal", "noise-before", "echo", "echo-and-answer", "late-other",
         "bad-sum", "noise"],
)  # fmt: skip
def test_a_sound(received: bytes, heard: Sound) -> None:
    assert sound(5, question(5, over_tcp=False), received, over_tcp=False) is heard


def test_a_late_answer_counts_for_whom_it_is_from() -> None:
    sweep = Sweep()
    sweep.note(4, question(4, over_tcp=False), b"", over_tcp=False)
    sweep.note(5, question(5, over_tcp=False), answer(4), over_tcp=False)
    assert sweep.answered == (4,)
    assert sweep.trouble is None


def swept(received: dict[int, bytes]) -> Sweep:
    sweep = Sweep()
    for unit in range(1, 17):
        sent = question(unit, over_tcp=False)
        data = received.get(unit, b"").replace(b"<sent>", sent)
        sweep.note(unit, sent, data, over_tcp=False)
    return sweep


@pytest.mark.parametrize(
    ("received", "trouble"),
    [
        ({}, None),
        ({3: answer(3)}, None),
        ({3: b"\x03\x83\x55\x55\x55", 4: answer(4)}, Cause.COLLISION),
        (dict.fromkeys(range(1, 17), b"\x55"), Cause.NOISE),
        (dict.fromkeys(range(1, 17), b"<sent>"), Cause.ECHO),
    ],
    ids=["silence", "fine", "two-at-one-address", "noise", "echo"],
)
def test_the_line_s_trouble(received: dict[int, bytes], trouble: Cause | None) -> None:
    assert swept(received).trouble is trouble


def test_a_gateway_that_answers_for_the_dead_has_found_nobody() -> None:
    failed = modbus.mbap(5, 5, bytes([0x83, 0x0B]))
    assert units_in(failed, over_tcp=True) == frozenset()
    assert units_in(modbus.mbap(5, 5, bytes([0x83, 2])), over_tcp=True) == {5}


@settings(max_examples=50)
@given(st.binary(max_size=64), st.booleans())
def test_any_bytes_are_borne(data: bytes, over_tcp: bool) -> None:
    units_in(data, over_tcp=over_tcp)
    sound(1, question(1, over_tcp=over_tcp), data, over_tcp=over_tcp)
