"""Real time drives the model: in ticks, and once more before anybody looks."""

from __future__ import annotations

import asyncio
from typing import Final

from simulator.clock import Clock
from simulator.models.cabinet import Cabinet
from simulator.models.faults import Fault, FaultOrder
from simulator.models.mishaps import Mishaps

#: A shorter time than this is not worth a step of the physics.
STEP_MIN_S: Final = 0.005
#: After a stopped machine or a debugger, time lost beyond this stays lost.
CATCH_UP_MAX_S: Final = 10.0


class Ticker:
    """Advances one cabinet by the time that has really passed."""

    def __init__(self, cabinet: Cabinet, clock: Clock, tick_s: float) -> None:
        self._cabinet, self._clock, self._tick_s = cabinet, clock, tick_s
        self._last_s = clock.monotonic_s()
        self.mishaps = Mishaps(cabinet)

    def now(self) -> Cabinet:
        """The cabinet as of now."""
        self.catch_up()
        return self._cabinet

    def catch_up(self) -> None:
        """Bring the cabinet to the present."""
        now_s = self._clock.monotonic_s()
        passed_s = now_s - self._last_s
        if passed_s >= STEP_MIN_S:
            self._last_s = now_s
            self._cabinet.advance(min(passed_s, CATCH_UP_MAX_S))
            self.mishaps.expire(now_s)

    def begin(self, order: FaultOrder) -> Fault:
        """Let a fault stand from now on; raises as ``Mishaps.begin``."""
        self.catch_up()
        return self.mishaps.begin(order, self._clock.monotonic_s())

    def left_s(self, fault: Fault) -> float | None:
        """How long a fault will stand; None: until its count is used up or it is cleared."""
        if fault.until_s is None:
            return None
        return max(0.0, fault.until_s - self._clock.monotonic_s())

    def wall_ms(self) -> int:
        """For records."""
        return self._clock.wall_ms()

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            self.catch_up()
            await asyncio.sleep(self._tick_s)
