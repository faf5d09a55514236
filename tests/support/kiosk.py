"""The kiosk page of a toy cabinet, served for a real browser: real engine, pump, desk and pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import uvicorn

from cabinet.runtime.kiosk import KioskDesk
from cabinet.web.app import create_app
from cabinet.web.kiosk import KioskPages
from tests.support.offline_rig import ANN, OfflineRig, code_of, stocked
from tests.support.pumping import Bench

#: The toy's time runs this much faster than the test's.
PACE = 4
TURN_S = 0.01


@dataclass
class Gun:
    """A scanner in the test's hand."""

    texts: asyncio.Queue[str]
    connected: bool = True

    async def next(self) -> str:
        return await self.texts.get()


class KioskSite:
    """One toy cabinet of twelve doors with its page at ``url``."""

    def __init__(self) -> None:
        self.rig: OfflineRig = stocked(12, 7)
        self.bench = Bench(self.rig)
        self.gun = Gun(asyncio.Queue())
        self.network = False
        self.url = ""
        self.desk = KioskDesk(
            cabinet="DH-0001",
            name="Drum Tower 鼓楼",
            columns=0,
            codes=True,
            tickets=True,
            running=lambda: self.rig.engine.running(self.rig.state),
            pump=self.bench.pump,
            clock=self.bench.clock,
            network=lambda: self.network,
            scanner=self.gun,
        )

    @property
    def wall_ms(self) -> int:
        return self.bench.pump.now().wall_ms

    def code(self, number: str = ANN) -> str:
        return code_of(number, self.wall_ms)

    async def until(self, key: str, within_s: float = 60) -> None:
        """Wait for a prompt."""
        async with asyncio.timeout(within_s):
            while self.desk.view().prompt.key != key:
                await asyncio.sleep(TURN_S)

    async def _live(self) -> None:
        while True:
            self.bench.hands.changed.set()
            self.bench.clock.move(int(PACE * TURN_S * 1000))
            await asyncio.sleep(TURN_S)


@contextlib.asynccontextmanager
async def kiosk_site() -> AsyncIterator[KioskSite]:
    """A running one."""
    site = KioskSite()
    pages = KioskPages(site.desk, host="127.0.0.1", page_url="https://swap.example/c/DH-0001")
    app = create_app(lambda: None, lambda: b"", pages.routes())  # type: ignore[arg-type, return-value]
    server = uvicorn.Server(
        uvicorn.Config(
            app, port=0, log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )
    )
    work = [site.bench.pump.run(), site.desk.run(), site._live(), server.serve()]
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        while not server.started:
            await asyncio.sleep(TURN_S)
        port = server.servers[0].sockets[0].getsockname()[1]
        site.url = f"http://127.0.0.1:{port}/kiosk"
        await site.until("welcome-offline")
        yield site
    finally:
        server.should_exit = True
        await asyncio.wait({tasks[-1]}, timeout=60)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
