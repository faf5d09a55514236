"""Runs everything, feeds the watchdog, and ends safely.

The watchdog is fed only while every bus loop and the pump turn. A silent or missing port turns too
(its loop keeps trying): one unplugged adapter must not restart the cabinet for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from cabinet.ports import Clock

log = logging.getLogger(__name__)

#: A loop that has not turned for this long is stuck.
TURN_AGE_MAX_MS: Final = 5_000
WATCH_PERIOD_S: Final = 1.0
#: The services end first, but one that lingers must not keep the chargers on.
SERVICES_STOP_S: Final = 0.3

Turn = Callable[[], int]


class Supervisor:
    """Owner of the daemon's tasks.

    Args:
        turns: name of every loop to the time it last turned, in monotonic milliseconds.
        notify: tells the service manager.
        watchdog_s: how long the service manager waits for a sign of life; None when it does not.
    """

    def __init__(
        self,
        *,
        turns: Mapping[str, Turn],
        notify: Callable[[str], None],
        watchdog_s: float | None,
        clock: Clock,
    ) -> None:
        self._turns = turns
        self._notify = notify
        self._period_s = min(WATCH_PERIOD_S, (watchdog_s or 2 * WATCH_PERIOD_S) / 2)
        self._clock = clock
        self._lost: set[str] = set()  # services that ended though nobody had told them to

    def stuck(self) -> tuple[str, ...]:
        """Names of the loops that no longer turn, and of services that are gone."""
        now_ms = self._clock.monotonic_ms()
        still = (name for name, turn in self._turns.items() if now_ms - turn() > TURN_AGE_MAX_MS)
        return (*still, *sorted(self._lost))

    async def run(
        self,
        *,
        wires: Coroutine[Any, Any, None],
        services: Mapping[str, Coroutine[Any, Any, None]],
        ready: asyncio.Event,
        stop: asyncio.Event,
    ) -> None:
        """Run until ``stop``; the services end first, the wires last, switching off on their way."""
        async with asyncio.TaskGroup() as outer:
            wiring = outer.create_task(wires, name="wires")
            try:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(work, name=name) for name, work in services.items()]
                    for task in tasks:
                        task.add_done_callback(lambda task: self._ended(task, stop))
                    tasks.append(group.create_task(self._watch(ready), name="watchdog"))
                    await stop.wait()
                    self._notify("STOPPING=1")
                    for task in tasks:
                        task.cancel()
                    await asyncio.wait(tasks, timeout=SERVICES_STOP_S)
                    wiring.cancel()
            finally:
                wiring.cancel()

    def _ended(self, task: asyncio.Task[None], stop: asyncio.Event) -> None:
        """A task that says it was cancelled is no failure to a TaskGroup, which would go on."""
        if task.cancelled() and not stop.is_set():
            self._lost.add(task.get_name())

    async def _watch(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._notify("READY=1")
        while True:
            stuck = self.stuck()
            if stuck:
                log.error("the watchdog is not fed: %s no longer turns", ", ".join(stuck))
            else:
                self._notify("WATCHDOG=1")
            await self._clock.sleep(self._period_s)
