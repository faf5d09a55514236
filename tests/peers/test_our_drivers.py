"""Our drivers against simulators that others wrote: jkctl's own, pymodbus's server, dlt645's meter."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import dlt645
import pytest
import serial
from jkctl.simulator import Sim
from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

from cabinet.adapters.clock import SystemClock
from cabinet.adapters.devices import DRIVERS
from cabinet.adapters.devices.dialogue import identify
from cabinet.calls import Place
from cabinet.config_devices import MODBUS, Protocol
from cabinet.runtime.bus import Bus
from cabinet.runtime.line import Line
from protocols.devices import DEVICES
from tests.support.lab import PACK, PATIENCE_MS
from tests.support.pty_pair import pty_pair


@contextlib.asynccontextmanager
async def place(port: str, type_: str, address: int, number: str = "") -> AsyncIterator[Place]:
    """Our bus worker on a port."""
    device = DEVICES[type_]
    bus = Bus("bus", Line(port, baud=device.baud), SystemClock())
    station = bus.station(type_, processing_ms=PATIENCE_MS, turnaround_ms=device.turnaround_ms)
    modbus = device.protocols & MODBUS
    protocol = Protocol.MODBUS_RTU if modbus else min(device.protocols)
    running = asyncio.create_task(bus.run())
    try:
        yield Place(station, address, protocol, PACK, SystemClock(), number)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


@contextlib.contextmanager
def jk_board(port: str) -> Iterator[Sim]:
    """jkctl's simulated board, served by a thread."""
    stop = threading.Event()
    with serial.Serial(port, 115_200, timeout=0.02) as link:
        board = Sim(port, link=link, log=lambda _: None)

        def serve() -> None:
            while not stop.is_set():
                if data := link.read(4_096):
                    board.feed(data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield board
        finally:
            stop.set()
            thread.join()


@pytest.mark.peer("jkctl's simulator", "jk-bms")
async def test_driver_reads_and_switches() -> None:
    with pty_pair() as (ours, theirs), jk_board(theirs) as board:
        async with place(ours, "jk-bms", 1) as where:
            assert "serial JK-SIM-0001" in str(await identify(DEVICES["jk-bms"], where))
            bms = DRIVERS["jk-bms"](where)
            reading = await bms.read()
            assert reading.serial == "JK-SIM-0001"
            assert len(reading.cell_v) == 16
            assert sum(reading.cell_v) == pytest.approx(reading.voltage_v, abs=0.05)
            assert 0 < reading.soc_pct <= 100
            assert len(reading.temps_c) == 2
            assert not reading.protection
            enable = board.tables[0x000]
            assert enable[0x70:0x74] == bytes([0, 0, 0, 1])
            await bms.set_charge_fet(on=False)
            assert enable[0x70:0x78] == bytes([0, 0, 0, 0, 0, 0, 0, 1])


def floats(values: dict[int, float], size: int) -> list[int]:
    """Registers with floats at these addresses, zeros elsewhere."""
    words = [0] * size
    for address, value in values.items():
        words[address : address + 2] = struct.unpack(">2H", struct.pack(">f", value))
    return words


def device(unit: int, *, holding: list[int] | None = None, inputs: list[int] | None = None) -> Any:
    """Four blocks from address 0."""
    block = {"count": 1, "values": 0}
    return SimDevice(
        id=unit,
        simdata=(
            [SimData(0, datatype=DataType.BITS, **block)],
            [SimData(0, datatype=DataType.BITS, **block)],
            [SimData(0, values=holding or [0], datatype=DataType.REGISTERS)],
            [SimData(0, values=inputs or [0], datatype=DataType.REGISTERS)],
        ),
    )


@contextlib.asynccontextmanager
async def served(port: str, baud: int, *devices: Any) -> AsyncIterator[ModbusSerialServer]:
    server = ModbusSerialServer(list(devices), port=port, baudrate=baud)
    await server.serve_forever(background=True)
    try:
        yield server
    finally:
        await server.shutdown()


METERS = {
    "eastron-sdm120": ("inputs", {0x00: 229.5, 0x0C: 1_500.0, 0x46: 50.0, 0x48: 321.5}, 0x160),
    "eastron-sdm630": ("inputs", {0x00: 229.5, 0x34: 1_500.0, 0x46: 50.0, 0x48: 321.5}, 0x160),
    "chint-dtsu666": (
        "holding",
        {0x2006: 2_295.0, 0x2012: 15_000.0, 0x2044: 5_000.0, 0x101E: 321.5},
        0x2060,
    ),
}


@pytest.mark.parametrize(
    "type_", [pytest.param(t, marks=pytest.mark.peer("pymodbus's server", t)) for t in METERS]
)
async def test_driver_reads_the_meter(type_: str) -> None:
    block, values, size = METERS[type_]
    twin = device(7, **{block: floats(values, size)})
    with pty_pair() as (ours, theirs):
        async with served(theirs, 9_600, twin), place(ours, type_, 7) as where:
            reading = await DRIVERS[type_](where).read()
            assert reading.voltage_v == pytest.approx(229.5)
            assert reading.power_w == pytest.approx(1_500.0)
            assert reading.energy_wh == pytest.approx(321_500.0)


@pytest.mark.peer("pymodbus's server", "xy-md02")
async def test_driver_reads_the_climate() -> None:
    with pty_pair() as (ours, theirs):
        twin = device(20, inputs=[0, 0x0131, 0x0222])
        async with served(theirs, 9_600, twin), place(ours, "xy-md02", 20) as where:
            reading = await DRIVERS["xy-md02"](where).read()
            assert (reading.temp_c, reading.humidity_pct) == (30.5, 54.6)


@pytest.mark.peer("pymodbus's server", "riden-rd6012")
async def test_driver_makes_safe_sets_and_reads() -> None:
    holding = [0] * 128
    holding[0], holding[18], holding[34:36] = 60_120, 1, [1, 7]
    with pty_pair() as (ours, theirs):
        twin = device(3, holding=holding)
        async with served(theirs, 115_200, twin) as server, place(ours, "riden-rd6012", 3) as where:
            charger = DRIVERS["riden-rd6012"](where)
            await charger.make_safe()
            assert (await server.async_getValues(3, 3, 18, 1)) == [0]
            assert (await server.async_getValues(3, 3, 82, 2)) == [5_560, 620]
            await charger.set(on=True, voltage_v=54.6, current_a=2.5)
            assert (await server.async_getValues(3, 3, 8, 2)) == [5_460, 250]
            reading = await charger.read()
            assert (reading.output_on, reading.voltage_set_v) == (True, 54.6)
            assert (reading.current_set_a, reading.air_temp_c) == (2.5, -7.0)


@pytest.mark.peer("pymodbus's server", "mean-well-drs-480-48")
async def test_driver_orders_the_curve() -> None:
    holding, inputs = [0] * 0xD0, [0] * 0xE0
    holding[0x86:0x8C] = struct.unpack(">6H", b"DRS-480-48  ")
    inputs[0xD3:0xD6] = [5_010, 240, 253]
    with pty_pair() as (ours, theirs):
        twin = device(0x81, holding=holding, inputs=inputs)
        type_ = "mean-well-drs-480-48"
        async with served(theirs, 115_200, twin) as server, place(ours, type_, 0x81) as where:
            charger = DRIVERS[type_](where)
            await charger.make_safe()
            await charger.set(on=True, voltage_v=54.6, current_a=2.4)
            assert (await server.async_getValues(0x81, 3, 0xB0, 4)) == [240, 5_460, 5_460, 12]
            reading = await charger.read()
            assert (reading.output_on, reading.voltage_v, reading.current_a) == (True, 50.1, 2.4)
            assert reading.air_temp_c == 25.3


@pytest.mark.peer("dlt645's meter", "dlt645-meter")
async def test_driver_reads_energy() -> None:
    number = "000000000042"
    with pty_pair() as (ours, theirs):
        meter = dlt645.MeterServerService.new_rtu_server(theirs, 8, 1, 2_400, "N", 1.0)
        meter.set_address(bytes.fromhex(number)[::-1])  # as they are sent
        meter.set_00(0x0001_0000, 1_234.56)
        meter.set_02(0x0201_0100, 229.5)
        meter.set_02(0x0203_0000, 1.2345)
        assert await asyncio.to_thread(meter.server.start)
        try:
            async with place(ours, "dlt645-meter", 0, number) as where:
                reading = await DRIVERS["dlt645-meter"](where).read()
        finally:
            await asyncio.to_thread(meter.server.stop)
    assert reading.energy_wh == pytest.approx(1_234_560)
    assert reading.voltage_v == pytest.approx(229.5)
    assert reading.power_w == pytest.approx(1_234.5)
