"""Golden frames: what we build and read is what the makers published, byte for byte."""

from __future__ import annotations

import datetime
import tomllib
from pathlib import Path

import pytest

from protocols import modbus
from protocols.frames import jbd
from protocols.maps import eastron_sdm120, eastron_sdm630, waveshare_relay, xy_md02
from protocols.modbus import Request
from protocols.registers import RegisterMap, Space

FRAMES: dict[str, dict[str, bytes]] = {
    device: {name: bytes.fromhex(text) for name, text in frames.items()}
    for device, frames in tomllib.loads(
        Path(__file__).with_name("frames.toml").read_text(encoding="utf-8")
    ).items()
}
RELAY, CLIMATE, METER, JBD = (FRAMES[n] for n in ("waveshare", "xy_md02", "sdm", "jbd"))

MODBUS_FRAMES = [
    pytest.param(frame, id=f"{device}-{name}")
    for device in ("waveshare", "xy_md02", "sdm")
    for name, frame in FRAMES[device].items()
]

#: Frame, device, request: each is parsed from the frame.
REQUESTS = [
    ("flash_relay_0_for_700_ms", 1, Request(5, waveshare_relay.FLASH_ON_BASE, 1, (7,))),
    ("flash_relay_1_for_800_ms", 1, Request(5, waveshare_relay.FLASH_ON_BASE + 1, 1, (8,))),
    ("all_on", 1, Request(5, waveshare_relay.ALL_RELAYS, 1, (waveshare_relay.ON,))),
    ("read_relays", 1, Request(1, waveshare_relay.COIL_BASE, 8)),
    ("read_inputs", 1, Request(2, waveshare_relay.INPUT_BASE, 8)),
    ("read_modes", 1, Request(3, waveshare_relay.MODE_BASE, 8)),
    ("set_address", 0, Request(6, waveshare_relay.DEVICE_ADDRESS, 1, (1,))),
    ("read_address", 0, Request(3, waveshare_relay.DEVICE_ADDRESS, 1)),
    ("read_version", 0, Request(3, waveshare_relay.VERSION, 1)),
]


@pytest.mark.parametrize("frame", MODBUS_FRAMES)
def test_every_modbus_frame_has_its_checksum(frame: bytes) -> None:
    assert modbus.crc16(frame[:-2]).to_bytes(2, "little") == frame[-2:]
    address, pdu = modbus.parse_rtu(frame)
    assert modbus.rtu(address, pdu) == frame


@pytest.mark.parametrize(("name", "device", "request_"), REQUESTS)
def test_waveshare_requests(name: str, device: int, request_: Request) -> None:
    frame = RELAY[name]
    assert modbus.request_length(frame) == len(frame)
    address, pdu = modbus.parse_rtu(frame)
    assert (address, modbus.parse_request(pdu)) == (device, request_)


def test_waveshare_replies() -> None:
    flash = RELAY["flash_relay_0_for_700_ms"]
    echo = modbus.reply_echo(modbus.parse_request(modbus.parse_rtu(flash)[1]))
    assert modbus.rtu(1, echo) == flash
    assert modbus.rtu(1, modbus.reply_bits(1, [False] * 8)) == RELAY["read_relays_reply"]
    assert modbus.rtu(1, modbus.reply_bits(2, [False] * 8)) == RELAY["read_inputs_reply"]
    assert modbus.rtu(1, modbus.reply_words(3, [1])) == RELAY["read_address_reply"]
    assert modbus.rtu(1, modbus.exception(5, 3)) == RELAY["bad_value"]


@pytest.mark.parametrize(
    ("name", "duration_ms"), [("flash_relay_0_for_700_ms", 700), ("flash_relay_1_for_800_ms", 800)]
)
def test_waveshare_flash_counts_100_ms_steps(name: str, duration_ms: int) -> None:
    request = modbus.parse_request(modbus.parse_rtu(RELAY[name])[1])
    assert waveshare_relay.flash_steps(duration_ms) == request.value


def test_xy_md02_sample_is_30_5_degrees_and_54_6_percent() -> None:
    request = modbus.parse_request(modbus.parse_rtu(CLIMATE["read"])[1])
    span = xy_md02.MAP.span("temperature_c", "humidity_pct")
    assert request == Request(4, span.address, span.count)
    values = {"temperature_c": 30.5, "humidity_pct": 54.6}
    words = [word for name, value in values.items() for word in xy_md02.MAP[name].encode(value)]
    assert modbus.rtu(1, modbus.reply_words(4, words)) == CLIMATE["reply"]
    assert xy_md02.MAP.decode_span(span, words) == values


@pytest.mark.parametrize(
    ("table", "name"), [(eastron_sdm120.MAP, "voltage_v"), (eastron_sdm630.MAP, "voltage_l1_v")]
)
def test_sdm_sample_is_230_2_volts(table: RegisterMap, name: str) -> None:
    span = table.span(name)
    request = modbus.parse_request(modbus.parse_rtu(METER["read_voltage"])[1])
    assert (span.space, request) == (Space.INPUT, Request(4, span.address, span.count))
    words = table[name].encode(230.2)
    reply = modbus.rtu(1, modbus.reply_words(4, words))
    # The meter's own float is one step above the nearest one to 230.2.
    recorded = modbus.parse_rtu(METER["read_voltage_reply"])[1]
    assert reply[:6] == METER["read_voltage_reply"][:6]
    raw = (recorded[2] << 8 | recorded[3], recorded[4] << 8 | recorded[5])
    assert table[name].decode(raw) == pytest.approx(230.2, abs=1e-4)
    assert (
        modbus.rtu(1, modbus.reply_words(4, table[name].encode(table[name].decode(raw))))
        == (METER["read_voltage_reply"])
    )


def test_jbd_requests() -> None:
    assert jbd.read_request(jbd.REG_BASIC) == JBD["read_basic"]
    assert jbd.read_request(jbd.REG_CELLS) == JBD["read_cells"]
    parsed = jbd.Parser().feed(JBD["read_basic"] + JBD["read_cells"])
    assert parsed == [
        jbd.Request(write=False, register=jbd.REG_BASIC),
        jbd.Request(write=False, register=jbd.REG_CELLS),
    ]


BASIC = jbd.BasicInfo(
    voltage_v=58.88,
    current_a=0.0,
    remaining_ah=7.2,
    nominal_ah=10.0,
    cycles=0,
    production_date=datetime.date(2016, 3, 24),
    balance_bits=0,
    protection=frozenset(),
    software_version="1.0",
    soc_pct=72,
    charge_fet_on=True,
    discharge_fet_on=True,
    cells=15,
    temps_c=(20.3, 21.5),
)
CELLS_MV = (3942, 3939, 3939, 3940, 3902, 3939, 3895, 3931, 3941, 3899, 3939, 3939, 3900, 3942, 3901)  # fmt: skip


def test_jbd_basic_sample_both_ways() -> None:
    (frame,) = jbd.Parser().feed(JBD["basic"])
    assert isinstance(frame, jbd.Frame)
    assert (frame.register, frame.ok) == (jbd.REG_BASIC, True)
    assert jbd.decode_basic(frame.data) == BASIC
    assert jbd.reply(jbd.REG_BASIC, jbd.encode_basic(BASIC)) == JBD["basic"]


def test_jbd_cells_sample_both_ways() -> None:
    volts = tuple(millivolts / 1000 for millivolts in CELLS_MV)
    (frame,) = jbd.Parser().feed(JBD["cells"])
    assert isinstance(frame, jbd.Frame)
    assert jbd.decode_cells(frame.data) == volts
    assert jbd.reply(jbd.REG_CELLS, jbd.encode_cells(volts)) == JBD["cells"]


@pytest.mark.parametrize(
    ("name", "charge_on", "discharge_on"),
    [
        ("charge_off", False, True),
        ("both_off", False, False),
        ("both_on", True, True),
    ],
)
def test_jbd_fet_frames(name: str, charge_on: bool, discharge_on: bool) -> None:
    data = jbd.fet_data(charge_on=charge_on, discharge_on=discharge_on)
    assert jbd.write_request(jbd.REG_FET, data) == JBD[name]
    (request,) = jbd.Parser().feed(JBD[name])
    assert request == jbd.Request(write=True, register=jbd.REG_FET, data=data)
    assert jbd.decode_fet(data) == (charge_on, discharge_on)


def test_jbd_fet_answer() -> None:
    assert jbd.reply(jbd.REG_FET) == JBD["fet_done"]
    assert jbd.Parser().feed(JBD["fet_done"]) == [jbd.Frame(jbd.REG_FET, jbd.STATUS_OK)]
