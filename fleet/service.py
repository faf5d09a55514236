"""The composition root of a running fleetd: store, broker, runtime and pages in one loop."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import uvicorn

from fleet import places
from fleet.adapters.broker import EmbeddedBroker
from fleet.adapters.clock import SystemClock
from fleet.config import FleetConfig, HttpConfig
from fleet.device import DeviceSide
from fleet.errors import FleetError
from fleet.parts import Pages, Parts
from fleet.ready import write_ready
from fleet.serving import QuietServer, listen
from fleet.stores import Stores, open_stores
from fleet.wiring import Fleet, end

log = logging.getLogger(__name__)

#: Open pages get this long to end after their streams were told to.
PAGES_STOP_S: Final = 2
#: A query of the running service that takes longer is given up: the next page would wait for it.
READ_MS_MAX: Final = 60_000


AppFactory = Callable[[FleetConfig, Parts], Pages]


async def run(
    config: FleetConfig,
    make_app: AppFactory,
    on_ready: Callable[[str], None],
    *,
    stop: asyncio.Event | None = None,
) -> None:
    """Run until SIGTERM, SIGINT or ``stop``; ``on_ready`` gets the URL of the pages.

    Raises:
        FleetError: something that it needs could not be had.
    """
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        with only_one(config.data_dir):
            async with open_stores(config.store_url, read_ms_max=READ_MS_MAX) as stores:
                await _run_with(config, stores, make_app, on_ready, stop=stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _run_with(
    config: FleetConfig,
    stores: Stores,
    make_app: AppFactory,
    on_ready: Callable[[str], None],
    *,
    stop: asyncio.Event,
) -> None:
    clock = SystemClock()
    listener = listen("http", config.http.host, config.http.port)
    broker: EmbeddedBroker | None = None
    device: DeviceSide | None = None
    try:
        if config.broker.tls:
            device = DeviceSide(config, clock)
        if config.broker.mode == "embedded":
            broker = _embedded(config, clock, device)
            await broker.start(
                await stores.cabinets.credentials(),
                await stores.enrolments.revoked(clock.wall_ms()),
            )
        fleet = await Fleet.build(config, stores, clock, broker, device)
        url = config.http.public_url or _url(config.http, listener)
        pages = make_app(config, fleet.parts(url))
        server = _server(config.http, pages.app)

        def ready() -> None:
            local = _url(config.http, listener)
            write_ready(config, local, fleet.address, broker, device)
            on_ready(local)

        async with asyncio.TaskGroup() as outer:
            beside = [outer.create_task(work) for work in fleet.beside(url)]
            await fleet.run(server, listener, stop, ready, pages.stop)
            if device is not None:
                await device.stop()
            await end(beside)
    finally:
        listener.close()
        if device is not None:
            device.close()
        if broker is not None:
            await broker.stop()


def _embedded(config: FleetConfig, clock: SystemClock, device: DeviceSide | None) -> EmbeddedBroker:
    return EmbeddedBroker(
        host=config.broker.host,
        port=config.broker.port,
        folder=config.data_dir / "broker",
        prefer=config.broker.prefer,
        clock=clock,
        authority=device.authority if device else None,
    )


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the data folder: two daemons in one would fight over broker and ready file.

    Raises:
        FleetError: a fleetd runs in it already.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(data_dir / "fleetd.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise FleetError(f"data_dir {data_dir}: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
        (data_dir / places.READY_FILE).unlink(missing_ok=True)
    except BlockingIOError as error:
        raise FleetError(f"data_dir {data_dir}: another fleetd runs here") from error
    finally:
        os.close(descriptor)


def _server(http: HttpConfig, app: Any) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=PAGES_STOP_S,
        ssl_certfile=http.tls_cert_file,
        ssl_keyfile=http.tls_key_file,
    )
    return QuietServer(config)


def _url(http: HttpConfig, listener: socket.socket) -> str:
    scheme = "https" if http.tls_cert_file else "http"
    host = places.EVERYWHERE.get(http.host, http.host)
    return f"{scheme}://{places.bracketed(host)}:{listener.getsockname()[1]}"
