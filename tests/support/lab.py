"""A simulated cabinet's wires and our own bus worker on them, in one loop, over real ptys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from cabinet.adapters.clock import SystemClock
from cabinet.calls import Place
from cabinet.config import PackConfig
from cabinet.config_devices import Protocol
from cabinet.runtime.bus import Bus
from cabinet.runtime.line import Line
from simulator.clock import SystemClock as SimulatorClock
from simulator.config import Config
from simulator.devices.rack import Rack
from simulator.models.cabinet import Cabinet
from simulator.serve import build
from simulator.wires.panel import Panel, connectors

PATIENCE_MS = 20_000
SILENCE_MS = 50
PACK = PackConfig(voltage_max_v=54.6, current_max_a=6.0, current_min_a=0.5, capacity_wh=960.0)


class Lab:
    """The simulated cabinet behind the ptys, and a bus on any of them."""

    def __init__(self, run_dir: Path, config: Config) -> None:
        self.run_dir = run_dir
        self.config = config
        self.clock = SystemClock()
        self.ticker = build(config, SimulatorClock())
        self.cabinet: Cabinet = self.ticker.now()
        self.rack = Rack.of(self.cabinet, self.ticker.catch_up, reserved=config.wire.meter_reserved)
        self.bauds: dict[str, int] = {}
        self.buses: dict[str, Bus] = {}
        self.group = asyncio.TaskGroup()

    def place(
        self,
        line: str,
        address: int,
        protocol: Protocol,
        device: Any = None,
        number: str = "",
        *,
        silent: bool = False,
    ) -> Place:
        """Where a driver works on one of the lines; the station is made for this one call.

        Whoever expects an answer waits for it as long as a busy machine may need; ``silent``: none
        is expected.
        """
        bus = self.buses.get(line)
        if bus is None:
            port = Line(str(self.run_dir / line), baud=self.bauds[line])
            bus = self.buses[line] = Bus(line, port, self.clock)
            self.group.create_task(bus.run(), name=line)
        station = bus.station(
            f"{line}-{len(tuple(bus.stations))}",
            processing_ms=SILENCE_MS if silent else PATIENCE_MS,
            turnaround_ms=device.turnaround_ms if device else 0,
        )
        return Place(station, address, protocol, PACK, self.clock, number)


@contextlib.asynccontextmanager
async def laboratory(run_dir: Path, config: Config) -> AsyncIterator[Lab]:
    """Open every pty; close everything at the end."""
    lab = Lab(run_dir, config)
    lines = connectors(lab.rack, config.wire)
    lab.bauds = {line.name: line.baud for line in lines}
    panel = Panel()
    panel.open_ptys(lines, run_dir)
    try:
        async with lab.group:
            yield lab
            for task in tuple(lab.group._tasks):
                task.cancel()
    finally:
        panel.close()
