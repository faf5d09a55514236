"""The same Modbus round by plain pymodbus calls with its defaults, as a first version would do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pymodbus.client import AsyncModbusSerialClient
from pymodbus.exceptions import ModbusException

from tests.bench.bus_rig import Simulator

CHARGERS: Final = 12
GAP_A_S: Final = 3.5 * 11 / 9_600
COMMANDS: Final = 60

Read = Callable[[], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """What plain calls need, in seconds."""

    round_s: dict[str, float]
    dead_round_s: float  # one round of bus-a with a dead board in it; 0 when nothing came back
    command_s: list[float]
    gaps_kept: str


async def peer_figures(simulator: Simulator, count: int) -> PeerFigures:
    """Measure; our own lines must be closed, for a port has one master."""
    bus_a = AsyncModbusSerialClient(str(simulator.run_dir / "bus-a"), baudrate=9_600)
    chargers = AsyncModbusSerialClient(str(simulator.run_dir / "bus-chargers"), baudrate=115_200)
    assert await bus_a.connect()
    assert await chargers.connect()
    try:
        both = {"bus-a": _reads_a(bus_a), "bus-chargers": _reads_chargers(chargers)}
        took_s = {name: await _rounds(reads, count) for name, reads in both.items()}
        command_s = await _commands(bus_a, both["bus-a"])
        gaps = await _gaps(simulator, both["bus-a"])
        simulator.ask("POST", "/faults", target="board-4", kind="deaf")
        dead_s = await _rounds(both["bus-a"], 1)
        simulator.ask("DELETE", "/faults")
    finally:
        bus_a.close()
        chargers.close()
    return PeerFigures(took_s, dead_s, command_s, gaps)


def _reads_a(client: AsyncModbusSerialClient) -> list[Read]:
    boards = [
        lambda unit=unit: client.read_discrete_inputs(0, count=8, device_id=unit)
        for unit in (1, 2, 3, 4)
    ]
    return [
        *boards,
        lambda: client.read_input_registers(0, count=14, device_id=10),
        lambda: client.read_input_registers(0x48, count=2, device_id=10),
        lambda: client.read_input_registers(1, count=2, device_id=20),
    ]


def _reads_chargers(client: AsyncModbusSerialClient) -> list[Read]:
    return [
        lambda unit=unit: client.read_holding_registers(0, count=42, device_id=unit)
        for unit in range(1, CHARGERS + 1)
    ]


async def _rounds(reads: list[Read], count: int) -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for _ in range(count):
        for read in reads:
            try:
                await read()
            except ModbusException:
                continue
    return (loop.time() - began_s) / count


async def _commands(client: AsyncModbusSerialClient, reads: list[Read]) -> list[float]:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    async def poll(read: Read) -> None:
        while not stop.is_set():
            await read()

    async with asyncio.TaskGroup() as group:
        for read in reads:
            group.create_task(poll(read))
        took: list[float] = []
        for n in range(COMMANDS):
            await asyncio.sleep(0.05 + 0.0137 * (n % 7))
            asked_s = loop.time()
            await client.write_coil(n % 8, False, device_id=1)
            took.append(loop.time() - asked_s)
        stop.set()
    return took


async def _gaps(simulator: Simulator, reads: list[Read]) -> str:
    """How many requests came after the silence that the line needs, by the simulator's trace."""
    since = simulator.ask("GET", "/trace?limit=1")["next"]
    await _rounds(reads, 10)
    frames = simulator.ask("GET", f"/trace?since={since}&line=bus-a&limit=5000")["frames"]
    pairs = [
        after["mono_ms"] - before["mono_ms"]
        for before, after in itertools.pairwise(frames)
        if (before["direction"], after["direction"]) == ("in", "out")
    ]
    kept = sum(gap_ms >= 1_000 * GAP_A_S for gap_ms in pairs)
    return f"{kept} of {len(pairs)}"
