"""The frame server on real pseudo terminals and real sockets."""

from __future__ import annotations

import asyncio
import select
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocols import modbus
from simulator.config import WireSection
from simulator.devices.rack import Rack
from simulator.models.cabinet import Cabinet, PackOrder
from simulator.wires.panel import Panel, connectors
from tests.support.simulator import SerialClient

DOORS = modbus.rtu(1, bytes.fromhex("0200000008"))
DOORS_CLOSED = modbus.rtu(1, bytes.fromhex("0201FF"))
BMS_ASK = bytes.fromhex("DD A5 03 00 FF FD 77")
SILENCE_S = 0.25


@pytest.fixture
async def panel(tmp_path: Path) -> AsyncIterator[Panel]:
    cabinet = Cabinet()
    cabinet.stock(3, PackOrder("YZ48-000003", soc_pct=50))
    rack = Rack.of(cabinet, lambda: None, reserved="zeros")
    lines, opened = connectors(rack, WireSection()), Panel()
    opened.open_ptys(lines, tmp_path)
    await opened.open_tcp(lines, 0)
    yield opened
    opened.close()
    assert left_in(tmp_path) == []


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def on_wire(panel: Panel, name: str, *chunks: bytes, baud: int = 9_600) -> bytes:
    """Send chunks a little apart; whatever comes back until the line is silent."""

    def talk() -> bytes:
        client = SerialClient(panel.ptys[name], baud)
        try:
            for chunk in chunks:
                client.send(chunk)
                select.select([client.fd], [], [], 0.01)
            heard = b""
            while part := client.receive(SILENCE_S):
                heard += part
            return heard
        finally:
            client.close()

    return await asyncio.to_thread(talk)


async def test_a_request_is_answered(panel: Panel) -> None:
    assert await on_wire(panel, "bus-a", DOORS) == DOORS_CLOSED


async def test_split_request(panel: Panel) -> None:
    pieces = [DOORS[n : n + 1] for n in range(len(DOORS))]
    assert await on_wire(panel, "bus-a", *pieces) == DOORS_CLOSED


async def test_glued_requests(panel: Panel) -> None:
    assert await on_wire(panel, "bus-a", DOORS + DOORS) == DOORS_CLOSED * 2


async def test_garbage_before_a_request(panel: Panel) -> None:
    assert await on_wire(panel, "bus-a", b"\x00\xff\r\n\x03" + DOORS) == DOORS_CLOSED


async def test_bytes_that_a_terminal_would_touch_pass_untouched(panel: Panel) -> None:
    # 0x0D, 0x0A, 0x11, 0x13 and 0x04 inside: CR, LF, XON, XOFF, EOF.
    pdu = bytes.fromhex("0F 0000 0008 01 0D")
    assert await on_wire(panel, "bus-a", modbus.rtu(4, pdu)) == modbus.rtu(4, pdu[:5])
    read = await on_wire(panel, "bus-a", modbus.rtu(4, bytes.fromhex("0100000008")))
    assert read == modbus.rtu(4, bytes.fromhex("01010D"))


@pytest.mark.parametrize(
    "frame",
    [DOORS[:-1] + bytes([DOORS[-1] ^ 1]), modbus.rtu(77, DOORS[1:-2]), DOORS[:6], b""],
    ids=["wrong checksum", "unknown unit", "half a frame", "nothing"],
)
async def test_silence(panel: Panel, frame: bytes) -> None:
    assert await on_wire(panel, "bus-a", frame) == b""
    assert await on_wire(panel, "bus-a", DOORS) == DOORS_CLOSED


async def test_a_wrong_baud_rate_is_not_understood(panel: Panel) -> None:
    assert await on_wire(panel, "bus-a", DOORS, baud=19_200) == b""
    assert await on_wire(panel, "bus-a", DOORS, baud=9_600) == DOORS_CLOSED


async def test_a_battery_answers_at_its_slot_only(panel: Panel) -> None:
    assert (await on_wire(panel, "slot-03", BMS_ASK)).startswith(b"\xdd\x03\x00")
    assert await on_wire(panel, "slot-04", BMS_ASK) == b""


async def test_a_client_may_come_and_go(panel: Panel) -> None:
    for _ in range(3):
        assert await on_wire(panel, "bus-a", DOORS) == DOORS_CLOSED


async def test_the_wire_takes_its_time(panel: Panel) -> None:
    def ask() -> float:
        client = SerialClient(panel.ptys["bus-a"])
        started_s = time.perf_counter()
        assert client.ask(DOORS)
        took_s = time.perf_counter() - started_s
        client.close()
        return took_s

    took_s = await asyncio.to_thread(ask)
    assert took_s >= (8 + 6) * 10 / 9_600 + 3.5 * 11 / 9_600 + 0.005


async def test_a_client_that_never_reads_loses_its_replies_and_nothing_else(tmp_path: Path) -> None:
    troubles: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: troubles.append(what))
    cabinet = Cabinet()
    cabinet.stock(3, PackOrder("A"))
    at_once = WireSection(realistic_timing=False)
    panel = Panel()
    panel.open_ptys(connectors(Rack.of(cabinet, lambda: None, "zeros"), at_once), tmp_path)
    deaf = SerialClient(panel.ptys["slot-03"])
    for _ in range(1_000):  # some 34 kB of replies, far more than a terminal holds
        deaf.send(BMS_ASK)
        await asyncio.sleep(0)
    assert await on_wire(panel, "bus-a", DOORS) == DOORS_CLOSED
    assert troubles == []
    deaf.close()
    panel.close()


async def tcp(panel: Panel, name: str, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", panel.tcp[name])
    writer.write(data)
    heard = b""
    try:
        while True:
            async with asyncio.timeout(SILENCE_S):
                heard += await reader.read(4_096)
    except TimeoutError:
        return heard
    finally:
        writer.close()
        await writer.wait_closed()


async def test_modbus_tcp(panel: Panel) -> None:
    asked = modbus.mbap(9, 1, DOORS[1:-2])
    assert await tcp(panel, "bus-a", asked) == modbus.mbap(9, 1, DOORS_CLOSED[1:-2])
    assert await tcp(panel, "bus-a", modbus.mbap(9, 77, DOORS[1:-2])) == b""
    assert await tcp(panel, "bus-chargers", modbus.mbap(9, 1, bytes.fromhex("0300000001"))) == b""


async def test_raw_serial_over_tcp(panel: Panel) -> None:
    assert (await tcp(panel, "slot-03", BMS_ASK)).startswith(b"\xdd\x03\x00")
    assert await tcp(panel, "slot-04", BMS_ASK) == b""


async def test_a_newer_simulator_takes_the_name_over(panel: Panel, tmp_path: Path) -> None:
    rack = Rack.of(Cabinet(), lambda: None, reserved="zeros")
    newer = Panel()
    newer.open_ptys(connectors(rack, WireSection()), tmp_path)
    path = (tmp_path / "slot-03").readlink()
    assert await on_wire(newer, "slot-03", BMS_ASK) == b""  # its slot 3 is empty
    panel.close()
    assert (tmp_path / "slot-03").readlink() == path
    assert await on_wire(newer, "bus-a", DOORS) == DOORS_CLOSED
    newer.close()
    assert left_in(tmp_path) == []
