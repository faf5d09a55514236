"""Golden frames of the devices with a face: what they are asked is what was published."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocols import modbus
from protocols.device import Raw, Where, Words
from protocols.devices import chint_dtsu666, daly_bms, dlt645_meter, jk_bms, kerong_kr_cu16, lock_8a
from protocols.devices import mean_well_drs as drs
from protocols.registers import Space

FRAMES: dict[str, dict[str, bytes]] = {
    device: {name: bytes.fromhex(text) for name, text in frames.items()}
    for device, frames in tomllib.loads(
        Path(__file__).with_name("frames.toml").read_text(encoding="utf-8")
    ).items()
}


def first(dialogue: Any) -> Any:
    """What a dialogue asks first."""
    return next(dialogue)


def raw(dialogue: Any) -> bytes:
    ask = first(dialogue)
    assert isinstance(ask, Raw)
    return ask.request


def test_kr_cu16() -> None:
    frames, face = FRAMES["kr_cu16"], kerong_kr_cu16.FACE
    assert raw(face.read_inputs(Where(0))) == frames["status_board_0"]
    assert raw(face.pulse(Where(0), 0)) == frames["unlock_board_0_lock_1"]
    assert raw(face.pulse(Where(1), 4)) == frames["unlock_board_1_lock_5"]
    for request in frames.values():
        assert face.find(request) == (0, len(request))
    fired = [face.answer(r, 1, (False,) * 32).fired for r in frames.values()]
    assert fired == [None, None, 4]


def test_kr_cu16_status_says_hook_then_infrared() -> None:
    inputs = tuple(n in {0, 9, 16, 31} for n in range(32))
    reply = kerong_kr_cu16.FACE.answer(kerong_kr_cu16.status_request(2), 2, inputs).frame
    assert reply is not None
    assert reply[:-1] == bytes.fromhex("02 20 35 01 02 01 80 03")
    assert reply[-1] == sum(reply[:-1]) & 0xFF
    dialogue = kerong_kr_cu16.FACE.read_inputs(Where(2))
    ask = first(dialogue)
    with pytest.raises(StopIteration) as done:
        dialogue.send(ask.take(reply))
    assert done.value.value == inputs


def test_lock_8a() -> None:
    sample = FRAMES["lock_8a"]["status_8_channels"]
    board = lock_8a.Lock8a(8)
    reply = board.answer(lock_8a.query_request(1), 1, (False,) * 8).frame
    assert reply == sample
    assert board.take(1, sample) == b"\0\0\0"
    assert board.take(2, sample) is None
    assert lock_8a.unlock_request(1, 0) == bytes.fromhex("8A 01 01 11 9B")
    low = board.answer(lock_8a.query_request(1), 1, tuple(n == 0 for n in range(8))).frame
    assert low == lock_8a.frame(0x80, 1, 0, 0, 1, 0x33), "the lowest channel stands last"


def test_dlt645() -> None:
    sample = FRAMES["dlt645"]["read_energy_of_123456789012"]
    assert dlt645_meter.read_request("123456789012", dlt645_meter.ENERGY_IN) == sample
    found = dlt645_meter.find(sample)
    assert found == (4, len(sample))
    assert dlt645_meter.parse(sample[4:]) == dlt645_meter.Message(
        "123456789012", 0x11, bytes.fromhex("00000100")
    )


def test_daly() -> None:
    sample = FRAMES["daly"]["read_cells_over_bluetooth"]
    assert daly_bms.frame(0x80, daly_bms.CELLS) == sample
    assert daly_bms.DalyBms().find(sample) == (0, len(sample))


def modbus_request(address: int, ask: Words) -> bytes:
    function = {Space.HOLDING: 3, Space.INPUT: 4}[ask.space]
    body = bytes([function]) + ask.address.to_bytes(2, "big") + ask.count.to_bytes(2, "big")
    return modbus.rtu(address, body)


def test_mean_well() -> None:
    sample = FRAMES["mean_well"]["read_maker_of_slave_3"]
    assert modbus_request(drs.ADDRESSES[3], Words(Space.HOLDING, 0x80, 6)) == sample
    model = first(drs.identify(Where(drs.ADDRESSES[3])))
    assert (model.address, model.count) == (0x86, 6), "the model stands behind the maker"


def test_chint() -> None:
    ask = first(chint_dtsu666.identify(Where(1)))
    assert modbus_request(1, ask) == FRAMES["chint"]["read_voltage_l1"]


def test_jk_answers_what_jkctl_asks() -> None:
    sample = FRAMES["jk"]["read_info"]
    assert modbus.rtu(*modbus.parse_rtu(sample)) == sample
    assert jk_bms.JkBms().find(sample) == (0, len(sample))


def xor_of(frame: bytes) -> bytes:
    return lock_8a.frame(*frame[:-1])


def sum_of(frame: bytes) -> bytes:
    return frame[:-1] + bytes([sum(frame[:-1]) & 0xFF])


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("kerong_cu48_status", sum_of),
        ("kerong_cu48_open", sum_of),
        ("wkly_open", xor_of),
        ("wkly_opened", xor_of),
    ],
)
def test_checksums_of_boards_that_we_do_not_drive(
    name: str, rule: Callable[[bytes], bytes]
) -> None:
    frame = FRAMES["not_driven"][name]
    assert rule(frame) == frame
