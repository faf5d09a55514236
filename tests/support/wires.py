"""A scripted peer on a real pty, and the small things around it."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
import tty
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cabinet.adapters.clock import SystemClock
from cabinet.adapters.devices import DRIVERS
from cabinet.adapters.devices.modbus import Modbus
from cabinet.calls import Place, Urgency
from cabinet.config import PackConfig, parse
from cabinet.config_devices import Protocol
from cabinet.config_example import example_config
from cabinet.core.model import Output, SetOutput, SetSlotAc
from cabinet.runtime.bus import Bus, Station
from cabinet.runtime.line import ECHO_PROBE, Line
from cabinet.runtime.poller import Wires
from protocols.modbus import crc16
from protocols.registers import Space
from protocols.trace import Direction

#: What the peer does with a request: bytes to send, each after a delay in seconds.
Script = Callable[[bytes], list[tuple[float, bytes]]]

DEADLINE_S = 60.0


def rtu(*payload: int) -> bytes:
    """A frame with its CRC."""
    data = bytes(payload)
    return data + crc16(data).to_bytes(2, "little")


class PtyPeer:
    """The device side of a serial line; ``requests`` is what it was sent, with loop times."""

    def __init__(self, link: Path, script: Script) -> None:
        self.link = link
        self.script = script
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self.hears_probe = False
        self._master = self._slave = -1
        self._timers: list[asyncio.TimerHandle] = []

    def plug(self) -> None:
        """Make the port appear."""
        self._master, self._slave = pty.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.link.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._readable)

    def unplug(self) -> None:
        """Pull the adapter out."""
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        for timer in self._timers:
            timer.cancel()
        self.link.unlink()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def send(self, data: bytes) -> None:
        """Say something unasked."""
        if self._master >= 0:
            os.write(self._master, data)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, 4096)
        except (BlockingIOError, OSError):
            return
        if data == ECHO_PROBE and not self.hears_probe:
            return  # its unit is a reserved one: no device answers
        loop = asyncio.get_running_loop()
        self.requests.append(data)
        self.times.append(loop.time())
        for delay_s, answer in self.script(data):
            if delay_s:
                self._timers.append(loop.call_later(delay_s, self.send, answer))
            else:
                self.send(answer)


def words(unit: int, *values: int) -> bytes:
    """An answer to FC03."""
    return rtu(unit, 3, 2 * len(values), *(b for v in values for b in v.to_bytes(2)))


def answering(request: bytes) -> list[tuple[float, bytes]]:
    """Answers FC03 with the address asked for, and writes with their echo."""
    if request[1] == 3:
        count = request[5]
        return [(0, words(request[0], *[int.from_bytes(request[2:4])] * count))]
    return [(0, request)]


def silent(_request: bytes) -> list[tuple[float, bytes]]:
    """Answers nothing."""
    return []


class BusBench:
    """A bus on a pty with a scripted peer, running inside ``async with``."""

    def __init__(self, directory: Path, script: Script, *, baud: int = 115_200) -> None:
        self.peer = PtyPeer(directory / "port", script)
        self.clock = SystemClock()
        self.trace: list[tuple[Direction, bytes, bool]] = []
        self.line = Line(
            str(self.peer.link),
            baud=baud,
            reopen_max_s=0.3,
            tap=lambda *told: self.trace.append(told),
        )
        self.bus = Bus("bench", self.line, self.clock)
        self._group = asyncio.TaskGroup()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> BusBench:
        self.peer.plug()
        await self._group.__aenter__()
        self._task = self._group.create_task(self.bus.run())
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        assert self._task
        self._task.cancel()
        await self._group.__aexit__(None, None, None)
        self.peer.unplug()


PACK = PackConfig(voltage_max_v=54.6, current_max_a=6.0, current_min_a=0.5, capacity_wh=960.0)
PROCESSING_MS = 60


#: Where an answer must come in time, also on a busy machine.
PATIENT_MS = 500


def modbus_device(
    bench: BusBench, address: int, processing_ms: int = PROCESSING_MS
) -> tuple[Modbus, Station]:
    """A device on the bench's bus."""
    station = bench.bus.station(f"device-{address}", processing_ms=processing_ms)
    place = Place(station, address, Protocol.MODBUS_RTU, PACK, bench.clock)
    return Modbus(place), station


async def read_words(modbus: Modbus, address: int = 0, count: int = 1) -> tuple[int, ...]:
    """Holding registers, at the pace of a reading."""
    return await modbus.read_words(Space.HOLDING, address, count, Urgency.READING)


async def until(condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait for a condition, polled; fail by name."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not condition():
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        await asyncio.sleep(0.005)


async def gather_errors(*work: Awaitable[object]) -> list[object]:
    """Results and errors, in order."""
    return list(await asyncio.gather(*work, return_exceptions=True))


class CabinetBench:
    """A simulated cabinet as a process, and our wires on its ports, inside ``async with``."""

    def __init__(self, directory: Path, sockets: int = 0) -> None:
        self.sockets = sockets
        self.run_dir = directory / "run"
        self.run_dir.mkdir()
        self.clock = SystemClock()
        text = example_config(
            run_dir=self.run_dir,
            data_dir=directory / "data",
            credentials_dir=None,
            sockets=sockets,
        )
        self.config = parse(text, directory / "cabinet.toml", {})
        self.wires = Wires(self.config, self.clock, DRIVERS)
        self._process: subprocess.Popen[bytes] | None = None
        self._group = asyncio.TaskGroup()
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> CabinetBench:
        self._process = _start_simulator(self.run_dir, self.sockets)
        await until((self.run_dir / "ready.json").exists, "the simulator's ports")
        await self._group.__aenter__()
        self.task = self._group.create_task(self.wires.run())
        async with asyncio.timeout(DEADLINE_S):
            await self.wires.ready.wait()
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        assert self.task
        assert self._process
        self.task.cancel()
        try:
            await self._group.__aexit__(None, None, None)
        finally:
            self._process.terminate()
            self._process.wait(30)

    async def power(self) -> None:
        """Contactor and every slot's AC on; waits until every charger has answered."""
        await self.wires.apply(SetOutput(Output.CONTACTOR, on=True))
        for slot in self.config.slots:
            await self.wires.apply(SetSlotAc(slot.number, on=True))
        await until(lambda: all(slot.charger for slot in self.wires.image().slots), "chargers")

    async def post(self, path: str, **body: object) -> Any:
        """Use the simulator's control API."""
        return await asyncio.to_thread(self._call, "POST", path, body)

    async def truth(self) -> Any:
        """The simulator's state."""
        return await asyncio.to_thread(self._call, "GET", "/state", None)

    async def get(self, path: str) -> Any:
        """Read from the simulator's control API."""
        return await asyncio.to_thread(self._call, "GET", path, None)

    @property
    def url(self) -> str:
        """The simulator's control API."""
        return str(json.loads((self.run_dir / "ready.json").read_text())["http"])

    def _call(self, method: str, path: str, body: object) -> Any:
        url = self.url
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            url.rstrip("/") + path,
            data=data,
            method=method,
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.loads(reply.read() or b"null")


def _start_simulator(run_dir: Path, sockets: int) -> subprocess.Popen[bytes]:
    program = "from simulator.main import app; app()"
    config = run_dir.parent / "simulator.toml"
    config.write_text(f"[cabinet]\nsockets = {sockets}\n", encoding="utf-8")
    arguments = ("cabinet", "--run-dir", str(run_dir), "--http", "0", "--config", str(config))
    return subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)


async def until_truth(
    bench: CabinetBench,
    condition: Callable[[Any], object],
    what: str,
    deadline_s: float = DEADLINE_S,
) -> None:
    """Wait for a condition on the simulator's state."""
    end = asyncio.get_running_loop().time() + deadline_s
    while not condition(await bench.truth()):
        if asyncio.get_running_loop().time() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        await asyncio.sleep(0.05)
