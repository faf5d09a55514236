"""Do something again and again, at a pace, or at once when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Poll:
    """Calls ``work`` every ``period_s`` (start to start); ``now`` cuts the present wait short."""

    def __init__(self, work: Callable[[], Awaitable[None]], period_s: Callable[[], float]) -> None:
        self._work = work
        self._period_s = period_s
        self._wake = asyncio.Event()

    def now(self) -> None:
        """Do it at once."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            start = loop.time()
            await self._work()
            wait_s = max(0.0, start + self._period_s() - loop.time())
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue
