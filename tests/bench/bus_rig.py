"""A full simulated cabinet, our buses and drivers on its ports, and every frame timed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cabinet.adapters.clock import SystemClock
from cabinet.adapters.devices import DRIVERS
from cabinet.calls import Place
from cabinet.config import Config, parse
from cabinet.config_devices import Role
from cabinet.config_example import example_config
from cabinet.core.model import Output
from cabinet.errors import CabinetError
from cabinet.runtime.bus import Bus
from cabinet.runtime.line import Line
from protocols.trace import Direction
from simulator.control.client import call

BITS_PER_CHAR: Final = 10
#: Longer than any measurement: the chargers keep their mains.
LEASE_MS: Final = 600_000
START_WITHIN_S: Final = 20.0
SERIALS: Final = 12
#: A device on a shared line that is not asked again at once after it failed.
FAILED_PAUSE_S: Final = 0.05


def simulator_config() -> str:
    """Twelve packs, the wires' own time, and devices that answer at once."""
    packs = "".join(
        f'[[pack]]\nslot = {n}\nserial = "YZ48-{n:06d}"\nsoc_pct = 60.0\n'
        for n in range(1, SERIALS + 1)
    )
    return f"[wire]\nprocessing_ms = 0.0\n{packs}"


@dataclass
class Simulator:
    """`swapsim cabinet` as a process."""

    run_dir: Path
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, directory: Path) -> Simulator:
        """Start it and wait until everything listens."""
        run_dir = directory / "run"
        run_dir.mkdir(parents=True)
        (directory / "simulator.toml").write_text(simulator_config(), encoding="utf-8")
        program = "from simulator.main import app; app()"
        command = [sys.executable, "-c", program, "cabinet", "--run-dir", str(run_dir)]
        command += ["--config", str(directory / "simulator.toml"), "--http", "0"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.perf_counter() + START_WITHIN_S
        while not (run_dir / "ready.json").exists():
            if process.poll() is not None or time.perf_counter() > deadline:
                raise RuntimeError("the simulator does not start")
            time.sleep(0.05)
        return cls(run_dir, process)

    def ask(self, method: str, path: str, **body: object) -> Any:
        """Use the control API."""
        url = json.loads((self.run_dir / "ready.json").read_text(encoding="utf-8"))["http"]
        return call(url, method, path, body or None)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(5)


@dataclass(slots=True)
class Exchange:
    """One transaction as the wire saw it; times by the event loop's clock."""

    asked_s: float
    request: bytes
    answer: bytes = b""
    answered_s: float = 0.0


@dataclass
class Wire:
    """A line, its bus, and the time that its transactions need at least."""

    name: str
    baud: int
    bus: Bus
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def gap_s(self) -> float:
        """The silence that ends a frame (t3.5)."""
        return 0.001_75 if self.baud > 19_200 else 3.5 * 11 / self.baud

    def least_s(self, exchange: Exchange) -> float:
        """Bytes both ways, the silence before the answer and the one after it."""
        size = len(exchange.request) + len(exchange.answer)
        return size * BITS_PER_CHAR / self.baud + 2 * self.gap_s


@dataclass
class Rig:
    """All lines and drivers of one configuration, without the daemon's own pollers."""

    config: Config
    wires: dict[str, Wire]
    drivers: dict[str, Any]

    @property
    def boards(self) -> list[Any]:
        """Drivers of the relay boards."""
        return [self.drivers[d.name] for d in self.config.devices if d.traits.role is Role.BOARD]

    def reads(self, wire: str) -> dict[str, Callable[[], Awaitable[Any]]]:
        """What a poll round asks on one line, by device."""
        return {
            device.name: getattr(
                self.drivers[device.name],
                "read_inputs" if device.traits.role is Role.BOARD else "read",
            )
            for device in self.config.devices
            if device.bus == wire
        }

    async def power(self) -> None:
        """Mains for every charger; afterwards every device answers."""
        channels = [self.config.outputs[Output.CONTACTOR], *(s.ac for s in self.config.slots)]
        for channel in channels:
            await self.drivers[channel.board].lease(channel.channel, LEASE_MS)
        for name in self.wires:
            for read in self.reads(name).values():
                await read()


@contextlib.asynccontextmanager
async def rig(simulator: Simulator) -> AsyncIterator[Rig]:
    """Our side, running."""
    text = example_config(
        run_dir=simulator.run_dir, data_dir=simulator.run_dir / "data", credentials_dir=None
    )
    config = parse(text, simulator.run_dir / "cabinet.toml", {})
    clock = SystemClock()
    wires = {bus.name: _wire(bus, clock) for bus in config.buses}
    protocols = {bus.name: bus.protocol for bus in config.buses}
    drivers = {}
    for device in config.devices:
        station = wires[device.bus].bus.station(
            device.name,
            processing_ms=device.processing_ms,
            turnaround_ms=device.turnaround_ms,
        )
        place = Place(station, device.address, protocols[device.bus], config.pack, clock)
        drivers[device.name] = DRIVERS[device.type](place)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wire.bus.run()) for wire in wires.values()]
        try:
            yield Rig(config, wires, drivers)
        finally:
            for task in tasks:
                task.cancel()


def _wire(bus: Any, clock: SystemClock) -> Wire:
    exchanges: list[Exchange] = []

    def tap(direction: Direction, data: bytes, stray: bool) -> None:
        now_s = asyncio.get_running_loop().time()
        if direction is Direction.OUT:
            exchanges.append(Exchange(now_s, data))
        elif not stray and exchanges:
            exchanges[-1].answer, exchanges[-1].answered_s = data, now_s

    line = Line(bus.port, baud=bus.baud, tap=tap)
    made = Bus(bus.name, line, clock, turnaround_ms=bus.turnaround_ms, protocol=bus.protocol)
    return Wire(bus.name, bus.baud, made, exchanges)


async def loop_reads(
    reads: dict[str, Callable[[], Awaitable[Any]]], seconds: float
) -> dict[str, int]:
    """Every device read again and again, all side by side; how often each answered."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    counts = dict.fromkeys(reads, 0)

    async def one(name: str, read: Callable[[], Awaitable[Any]]) -> None:
        while loop.time() < end:
            try:
                await read()
            except CabinetError:
                await asyncio.sleep(FAILED_PAUSE_S)
            else:
                counts[name] += 1

    async with asyncio.TaskGroup() as group:
        for name, read in reads.items():
            group.create_task(one(name, read))
    return counts
