"""Clients that others wrote for one make of device, against our simulated ones over ptys."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dalybms
import dlt645
import pydalybms
import pytest
import serial

from simulator.config import Config, DevicesSection, WireSection
from simulator.models.pack import Pack
from tests.support.lab import Lab, laboratory
from tests.support.riden import riden

SLOT = 3
FAST = WireSection(realistic_timing=False, processing_ms=0)
#: For a whole program to start and ask, on a busy machine.
WITHIN_S = 60.0


def config(**devices: str) -> Config:
    return Config(wire=FAST, devices=DevicesSection(**devices))


def pack_of(lab: Lab) -> Pack:
    pack = lab.cabinet.slot(SLOT).pack
    assert pack is not None
    lab.cabinet.freeze(frozen=True)
    return pack


async def jkctl(port: Path, command: str, *more: str) -> Any:
    """The program itself, as a user runs it."""
    arguments = (command, *more, "--port", str(port), "--id", "1", "--timeout", "5")
    json_too = () if more else ("--json",)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "jkctl", *arguments, *json_too,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(WITHIN_S):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode() if more else json.loads(out)


@pytest.mark.peer("jkctl", "jk-bms")
async def test_info_status_cells_and_switch(tmp_path: Path) -> None:
    async with laboratory(tmp_path, config(bms="jk-bms")) as lab:
        pack, port = pack_of(lab), tmp_path / f"slot-{SLOT:02d}"
        info, status, cells = await asyncio.gather(
            *(jkctl_alone(port, command) for command in ("info", "status", "cells"))
        )
        assert pack.serial in json.dumps(info)
        told = json.dumps(status)
        assert f"{pack.soc_pct}" in told
        assert f"{pack.voltage_v:.2f}"[:4] in told
        for volt in pack.cell_v:
            assert f"{volt:.3f}".rstrip("0") in json.dumps(cells)
        await jkctl(port, "charge", "off")
        assert (pack.charge_switch_on, pack.discharge_switch_on) == (False, True)
        await jkctl(port, "charge", "on")
        assert pack.charge_switch_on


_ONE_AT_A_TIME = asyncio.Lock()


async def jkctl_alone(port: Path, command: str) -> Any:
    async with _ONE_AT_A_TIME:
        return await jkctl(port, command)


@pytest.mark.peer("dalybms", "daly-bms")
async def test_reads_and_switches(tmp_path: Path) -> None:
    async with laboratory(tmp_path, config(bms="daly-bms")) as lab:
        pack = pack_of(lab)
        bms = dalybms.DalyBMS(request_retries=5)

        def ask() -> dict[str, Any]:
            bms.connect(str(tmp_path / f"slot-{SLOT:02d}"))
            try:
                told = {
                    "soc": bms.get_soc(),
                    "cells": bms.get_cell_voltages(),
                    "range": bms.get_cell_voltage_range(),
                    "temps": bms.get_temperatures(),
                    "mos": bms.get_mosfet_status(),
                    "status": bms.get_status(),
                    "errors": bms.get_errors(),
                }
                bms.set_charge_mosfet(on=False)
            finally:
                bms.disconnect()
            return told

        told = await asyncio.to_thread(ask)
        assert told["soc"]["total_voltage"] == pytest.approx(pack.voltage_v, abs=0.06)
        assert told["soc"]["soc_percent"] == pack.soc_pct
        assert list(told["cells"].values()) == pytest.approx(list(pack.cell_v), abs=6e-4)
        assert told["range"]["highest_voltage"] == pytest.approx(max(pack.cell_v), abs=6e-4)
        assert list(told["temps"].values()) == pytest.approx(list(pack.temps_c), abs=0.6)
        assert told["mos"]["charging_mosfet"]
        assert told["mos"]["capacity_ah"] == pytest.approx(pack.remaining_ah, abs=0.001)
        assert told["status"]["cycles"] == pack.cycles
        assert told["errors"] == []
        assert (pack.charge_switch_on, pack.discharge_switch_on) == (False, True)


@pytest.mark.peer("pydalybms", "daly-bms")
async def test_reads(tmp_path: Path) -> None:
    async with laboratory(tmp_path, config(bms="daly-bms")) as lab:
        pack = pack_of(lab)

        def ask() -> tuple[Any, Any, Any]:
            bms = pydalybms.DalyBMS(str(tmp_path / f"slot-{SLOT:02d}"), timeout=20)
            with contextlib.closing(bms._serial):
                status = bms.get_status_information()
                return bms.get_soc(), status, bms.get_cell_voltages(len(pack.cell_v))

        soc, status, cells = await asyncio.to_thread(ask)
        assert f"{pack.soc_pct}" in str(soc)
        assert f"{len(pack.cell_v)}" in str(status)
        assert f"{round(1_000 * pack.cell_v[-1])}" in str(cells) or (
            f"{pack.cell_v[-1]:.3f}" in str(cells)
        )


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        pytest.param(f"riden-rd{kind}", kind, marks=pytest.mark.peer("rd6006", f"riden-rd{kind}"))
        for kind in (6006, 6012, 6018)
    ],
)
async def test_reads_and_writes(tmp_path: Path, type_: str, kind: int) -> None:
    async with laboratory(tmp_path, config(chargers=type_)) as lab:
        slot = lab.cabinet.slot(SLOT)
        slot.charger.set_power(powered=True)
        lab.cabinet.freeze(frozen=True)

        def ask() -> tuple[float, float, float]:
            supply = riden(tmp_path / "bus-chargers", SLOT)
            supply.instrument.serial.timeout = 20
            try:
                assert supply.type == kind
                supply.voltage = 53.2
                supply.current = 2.5
                supply.enable = True
                return supply.voltage, supply.current, supply.measvoltage
            finally:
                supply.instrument.serial.close()

        volts, amps, measured = await asyncio.to_thread(ask)
        assert (volts, amps) == (pytest.approx(53.2), pytest.approx(2.5))
        charger = slot.charger
        assert charger.output_on
        assert (charger.voltage_set_v, charger.current_set_a) == (53.2, 2.5)
        assert measured == pytest.approx(charger.voltage_v, abs=0.011)


@contextlib.contextmanager
def meter_client(port: Path) -> Iterator[Any]:
    client = dlt645.MeterClientService.new_rtu_client(
        str(port), 2_400, 8, 1, serial.PARITY_NONE, 20.0
    )
    assert client.connect()
    try:
        yield client
    finally:
        client.disconnect()


@pytest.mark.peer("dlt645", "dlt645-meter")
async def test_reads_address_energy_and_power(tmp_path: Path) -> None:
    async with laboratory(tmp_path, config(meter="dlt645-meter")) as lab:
        meter = lab.cabinet.meter
        meter.import_kwh, meter.power_w = 1_234.56, 2_345.6
        lab.cabinet.freeze(frozen=True)

        def ask() -> list[Any]:
            with meter_client(tmp_path / "bus-meter") as client:
                found = [client.read_address()]
                client.set_address("010000112620")  # it takes the bytes as they are sent
                found += [client.read_00(0x0001_0000)]
                found += [client.read_02(di) for di in (0x0201_0100, 0x0203_0000)]
                return found

        address, energy, volts, power = await asyncio.to_thread(ask)
        assert str(address.value) in {"202611000001", "010000112620"}
        assert float(energy.value) == 1_234.56
        assert float(volts.value) == pytest.approx(meter.voltage_v, abs=0.06)
        assert float(power.value) == pytest.approx(2.3456)
