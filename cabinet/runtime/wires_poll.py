"""Do something again and again, at a pace, or at once when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class Poll:
    """Calls ``work`` every ``period_s``; ``now`` cuts the present wait short.

    Work that had to wait for its bus does not put the next off: turns are due at even distances,
    and one that is overdue is done at once.
    """

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
        due = loop.time()
        while True:
            self._wake.clear()
            await self._work()
            due = max(due + self._period_s(), loop.time())
            try:
                async with asyncio.timeout_at(due):
                    await self._wake.wait()
            except TimeoutError:
                continue
            due = loop.time()
