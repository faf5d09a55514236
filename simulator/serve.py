"""Run one virtual cabinet: physics, wires and control API in one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from protocols.trace import Ring
from simulator.clock import Clock, SystemClock
from simulator.config import Config
from simulator.control.app import create_app
from simulator.control.trace import WireTrace, recorder
from simulator.devices.rack import Rack
from simulator.errors import SimulatorError
from simulator.models.cabinet import Cabinet
from simulator.models.truth import TruthLog
from simulator.ticker import Ticker
from simulator.wires.panel import Panel, connectors

READY_FILE: Final = "ready.json"
HTTP_BACKLOG: Final = 128
#: Some two and a half minutes of a full cabinet.
TRACE_FRAMES_MAX: Final = 20_000
#: Open requests get this long when the simulator ends.
HTTP_GRACE_S: Final = 1


@dataclass(frozen=True, slots=True)
class Options:
    """Where to show the cabinet."""

    run_dir: Path
    http_port: int
    http_host: str = "127.0.0.1"
    tcp_port: int | None = None


def build(config: Config, clock: Clock) -> Ticker:
    """The cabinet that a configuration describes, and what drives its time."""
    cabinet = Cabinet(
        cabinet_id=config.cabinet.id,
        slots_count=config.cabinet.slots,
        sockets_count=config.cabinet.sockets,
        seed=config.physics.seed,
        ambient_c=config.physics.ambient_c,
        pace=config.physics.speed,
        clock_rate=config.physics.clock_rate,
        outfit=config.devices.outfit,
        log=TruthLog(wall_ms=clock.wall_ms),
    )
    for pack in config.packs:
        cabinet.stock(pack.slot, pack.order)
    return Ticker(cabinet, clock, config.physics.tick_ms / 1_000.0)


async def serve(config: Config, options: Options, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; ``say`` gets one line when everything listens.

    Raises:
        SimulatorError: a port cannot be opened.
    """
    clock = SystemClock()
    ticker = build(config, clock)
    stop = _stop_on_signal()
    rack = Rack.of(ticker.now(), ticker.catch_up, reserved=config.wire.meter_reserved)
    trace = WireTrace(Ring(TRACE_FRAMES_MAX), rack)
    listener = recorder(trace.ring, clock.wall_ms, clock.monotonic_s)
    lines = connectors(rack, config.wire, ticker.mishaps.table, listener)
    panel = Panel()
    try:
        options.run_dir.mkdir(parents=True, exist_ok=True)
        with _listen(options.http_host, options.http_port) as control:
            panel.open_ptys(lines, options.run_dir)
            scanner = panel.open_scanner(options.run_dir)
            if options.tcp_port is not None:
                await panel.open_tcp(lines, options.tcp_port)

            def announce(url: str) -> None:
                _announce(options.run_dir, url, panel)
                say(f"ready {url} page {url}/ docs {url}/docs wires {options.run_dir}")

            app = create_app(ticker, scanner.scan, trace, stop)
            await _serve_http(app, control, stop, announce, ticker)
    except OSError as error:
        raise SimulatorError(f"cannot open a port: {error}") from error
    finally:
        panel.close()
        _withdraw(options.run_dir)


class _HttpServer(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _serve_http(
    app: FastAPI,
    control: socket.socket,
    stop: asyncio.Event,
    announce: Callable[[str], None],
    ticker: Ticker,
) -> None:
    server = _HttpServer(
        uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=HTTP_GRACE_S,
        )
    )
    async with asyncio.TaskGroup() as group:
        ticking = group.create_task(ticker.run(), name="ticker")
        serving = group.create_task(server.serve(sockets=[control]), name="control")
        host, port = control.getsockname()
        announce(f"http://{host}:{port}")
        await stop.wait()
        server.should_exit = True
        await serving
        ticking.cancel()


def _stop_on_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def _listen(host: str, port: int) -> socket.socket:
    control = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    control.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        control.bind((host, port))
        control.listen(HTTP_BACKLOG)
    except OSError:
        control.close()
        raise
    return control


def _announce(run_dir: Path, url: str, panel: Panel) -> None:
    ready: dict[str, object] = {
        "http": url,
        "ports": panel.ptys,
        "tcp": panel.tcp,
        "pid": os.getpid(),
    }
    if panel.scanner is not None:
        ready["scanner"] = panel.scanner.path
    staged = run_dir / f".{READY_FILE}.{os.getpid()}"
    staged.write_text(json.dumps(ready, indent=2) + "\n", encoding="utf-8")
    staged.replace(run_dir / READY_FILE)


def _withdraw(run_dir: Path) -> None:
    """Remove the ready file, unless a newer simulator has taken it over."""
    path = run_dir / READY_FILE
    with contextlib.suppress(OSError, ValueError):
        if json.loads(path.read_text(encoding="utf-8")).get("pid") == os.getpid():
            path.unlink()
