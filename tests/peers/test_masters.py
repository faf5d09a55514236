"""mbpoll and libmodbus against every simulated Modbus device; they must see what is true.

Addresses, scales and meanings are written out here on purpose: nothing of our register maps takes
part, and no code of ours stands on the master's side of the line.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protocols.device import Protocol
from protocols.devices import DEVICES
from simulator.config import Config, DevicesSection, WireSection
from tests.support.lab import Lab, laboratory
from tests.support.libmodbus import Libmodbus, libmodbus
from tests.support.mbpoll import Mbpoll

SLOT = 7


def bits(lab: Lab, unit: int, count: int, inputs: int) -> tuple[str, dict[str, Any]]:
    board = lab.cabinet.boards[unit]
    board.set(count - 1, on=True)
    board.set(0, on=True)
    return "bus-a", {
        "coils": (unit, 0, count, [n in {0, count - 1} for n in range(count)]),
        "inputs": (unit, 0, inputs, list(board.inputs)),
    }


def meter(lab: Lab, table: str, values: dict[int, float]) -> tuple[str, dict[str, Any]]:
    return "bus-a", {f"{table} {at:#x}": (10, at, value) for at, value in values.items()}


def sdm120(lab: Lab) -> tuple[str, dict[str, Any]]:
    m = lab.cabinet.meter
    values = {0x0000: m.voltage_v, 0x000C: m.power_w, 0x0046: 50.0, 0x0048: m.import_kwh}
    return meter(lab, "float input", values)


def sdm630(lab: Lab) -> tuple[str, dict[str, Any]]:
    m = lab.cabinet.meter
    values = {
        0x0000: m.voltage_v,
        0x0004: m.voltage_v,
        0x000C: m.power_w,
        0x000E: 0.0,
        0x0034: m.power_w,
        0x0048: m.import_kwh,
    }
    return meter(lab, "float input", values)


def dtsu666(lab: Lab) -> tuple[str, dict[str, Any]]:
    m = lab.cabinet.meter
    values = {
        0x2006: 10 * m.voltage_v,
        0x2012: 10 * m.power_w,
        0x200C: 1_000 * m.current_a,
        0x2044: 5_000.0,
        0x101E: m.import_kwh,
    }
    return meter(lab, "float holding", values)


def climate(lab: Lab) -> tuple[str, dict[str, Any]]:
    c = lab.cabinet.climate
    words = [round(10 * c.temp_c), round(10 * c.humidity_pct)]
    return "bus-a", {"words input": (20, 1, 2, words)}


def riden(model: int, volts: int, amps: int) -> Callable[[Lab], tuple[str, dict[str, Any]]]:
    def expected(lab: Lab) -> tuple[str, dict[str, Any]]:
        charger = lab.cabinet.slot(SLOT).charger
        charger.voltage_set_v, charger.current_set_a = 54.6, 2.5
        charger.set_output(on=True)
        lab.cabinet.slot(SLOT).settle()
        shown = [round(charger.voltage_v * volts), round(charger.current_a * amps)]
        return "bus-chargers", {
            "words holding": (SLOT, 0, 1, [model]),
            "words holding set": (SLOT, 8, 4, [round(54.6 * volts), round(2.5 * amps), *shown]),
            "words holding on": (SLOT, 18, 1, [1]),
        }

    return expected


def mean_well(lab: Lab) -> tuple[str, dict[str, Any]]:
    charger = lab.cabinet.slot(SLOT).charger
    charger.voltage_set_v, charger.current_set_a = 54.6, 2.5
    charger.set_output(on=True)
    lab.cabinet.slot(SLOT).settle()
    unit = 0x80 + SLOT - 1
    shown = [round(charger.voltage_v * 100), round(charger.current_a * 100)]
    model = list(struct.unpack(">5H", b"DRS-480-48"))
    return "bus-chargers", {
        "words holding": (unit, 0xB0, 2, [250, 5460]),
        "words holding on": (unit, 0x00, 1, [1]),
        "words holding model": (unit, 0x86, 5, model),
        "words input": (unit, 0x60, 2, shown),
    }


def jk(lab: Lab) -> tuple[str, dict[str, Any]]:
    pack = lab.cabinet.slot(SLOT).pack
    assert pack is not None
    millivolts = round(1_000 * pack.voltage_v)
    cells = [round(1_000 * volt) for volt in pack.cell_v]
    return f"slot-{SLOT:02d}", {
        "words holding": (1, 0x1290, 2, [millivolts >> 16, millivolts & 0xFFFF]),
        "words holding cells": (1, 0x1200, 13, cells),
        "words holding soc": (1, 0x12A6, 1, [pack.soc_pct]),
    }


Expected = Callable[[Lab], tuple[str, dict[str, Any]]]
#: For every Modbus device: how the cabinet is built, and what must be read where.
CASES: dict[str, tuple[dict[str, str], Expected]] = {
    "waveshare-relay-d": ({}, lambda lab: bits(lab, 2, 8, 8)),
    "waveshare-io-8": ({"lights": "waveshare-io-8"}, lambda lab: bits(lab, 6, 8, 8)),
    "waveshare-relay-8": ({"lights": "waveshare-relay-8"}, lambda lab: bits(lab, 6, 8, 0)),
    "waveshare-relay-16": ({"lights": "waveshare-relay-16"}, lambda lab: bits(lab, 6, 16, 0)),
    "waveshare-relay-32": ({"lights": "waveshare-relay-32"}, lambda lab: bits(lab, 6, 32, 0)),
    "eastron-sdm120": ({}, sdm120),
    "eastron-sdm630": ({"meter": "eastron-sdm630"}, sdm630),
    "chint-dtsu666": ({"meter": "chint-dtsu666"}, dtsu666),
    "xy-md02": ({}, climate),
    "riden-rd6006": ({}, riden(60061, 100, 1_000)),
    "riden-rd6006p": ({"chargers": "riden-rd6006p"}, riden(60065, 1_000, 10_000)),
    "riden-rd6012": ({"chargers": "riden-rd6012"}, riden(60120, 100, 100)),
    "riden-rd6018": ({"chargers": "riden-rd6018"}, riden(60180, 100, 100)),
    "mean-well-drs-480-48": ({"chargers": "mean-well-drs-480-48"}, mean_well),
    "jk-bms": ({"bms": "jk-bms"}, jk),
}


def cases(peer: str) -> list[Any]:
    return [
        pytest.param(*case, id=type_, marks=pytest.mark.peer(peer, type_))
        for type_, case in CASES.items()
    ]


def config(devices: dict[str, str]) -> Config:
    wire = WireSection(realistic_timing=False)
    return Config(wire=wire, devices=DevicesSection(**devices))


def stand_still(lab: Lab) -> None:
    lab.cabinet.slot(SLOT).charger.set_power(powered=True)
    lab.cabinet.meter.import_kwh = 1_234.5
    lab.cabinet.freeze(frozen=True)


@pytest.mark.parametrize(("devices", "expected"), cases("mbpoll"))
async def test_reads_what_is_true(
    tmp_path: Path, devices: dict[str, str], expected: Expected
) -> None:
    async with laboratory(tmp_path, config(devices)) as lab:
        stand_still(lab)
        line, truths = expected(lab)
        bus = Mbpoll(str(tmp_path / line), baud=lab.bauds[line], patience_s=10)
        for what, truth in truths.items():
            await asyncio.to_thread(ask_mbpoll, bus, what, truth)


def ask_mbpoll(bus: Mbpoll, what: str, truth: tuple[Any, ...]) -> None:
    unit, address, *rest = truth
    if what in {"coils", "inputs"}:
        count, levels = rest
        if count:
            assert getattr(bus, what)(unit, address, count) == levels
    elif what.startswith("float"):
        holding = "holding" in what
        (found,) = bus.floats(unit, address, 1, holding=holding)
        assert float(found) == pytest.approx(rest[0], rel=1e-5), what
    else:
        read = bus.holding if "holding" in what else bus.input_words
        assert read(unit, address, rest[0]) == rest[1], what


@pytest.mark.parametrize(("devices", "expected"), cases("libmodbus"))
async def test_reads_it_through_c(
    tmp_path: Path, devices: dict[str, str], expected: Expected
) -> None:
    async with laboratory(tmp_path, config(devices)) as lab:
        stand_still(lab)
        line, truths = expected(lab)
        with libmodbus(str(tmp_path / line), lab.bauds[line]) as master:
            for what, truth in truths.items():
                await asyncio.to_thread(ask_libmodbus, master, what, truth)


def ask_libmodbus(master: Libmodbus, what: str, truth: tuple[Any, ...]) -> None:
    unit, address, *rest = truth
    if what in {"coils", "inputs"}:
        count, levels = rest
        if count:
            assert getattr(master, what)(unit, address, count) == levels
        return
    read = master.holding if "holding" in what else master.input_words
    if what.startswith("float"):
        (found,) = struct.unpack(">f", struct.pack(">2H", *read(unit, address, 2)))
        assert found == pytest.approx(rest[0], rel=1e-6), what
    else:
        assert read(unit, address, rest[0]) == rest[1], what


@pytest.mark.peer("libmodbus", "waveshare-relay-d")
async def test_pulses_a_lock(tmp_path: Path) -> None:
    async with laboratory(tmp_path, config({})) as lab:
        with libmodbus(str(tmp_path / "bus-a"), 9_600) as master:
            said = await asyncio.to_thread(master.raw, 1, 5, 2, 3, 0, 7)
        assert said[:6] == bytes([1, 5, 2, 3, 0, 7])
        lab.cabinet.advance(1.0)
        assert lab.cabinet.slot(4).door.open


@pytest.mark.peer("libmodbus", "riden-rd6012")
async def test_writes_set_points(tmp_path: Path) -> None:
    async with laboratory(tmp_path, config({"chargers": "riden-rd6012"})) as lab:
        stand_still(lab)
        with libmodbus(str(tmp_path / "bus-chargers"), 115_200) as master:
            await asyncio.to_thread(master.write_words, SLOT, 8, [5_250, 1_050])
        charger = lab.cabinet.slot(SLOT).charger
        assert (charger.voltage_set_v, charger.current_set_a) == (52.5, 10.5)


def test_every_modbus_device_has_met_them() -> None:
    modbus = {t for t, device in DEVICES.items() if Protocol.MODBUS_RTU in device.protocols}
    assert set(CASES) == modbus
