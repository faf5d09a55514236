"""The only module of the fleet that reads a clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from protocols.fastclock import FastClock


class SystemClock:
    """The machine's clocks, as ``fleet.ports.Clock``."""

    def monotonic_ms(self) -> int:
        """For deadlines and ages."""
        return time.monotonic_ns() // 1_000_000

    def now_utc(self) -> datetime:
        """For records."""
        return datetime.now(UTC)  # noqa: TID251 - this is the clock

    def wall_ms(self) -> int:
        """Unix time in milliseconds, for records."""
        return time.time_ns() // 1_000_000

    async def sleep(self, delay_s: float) -> None:
        """Sleep on the monotonic clock."""
        await asyncio.sleep(delay_s)


class SteadyClock(SystemClock):
    """Its wall clock is set once, at the start: for how old something is.

    When the machine's is set back, what was heard before would be of the future, and a cabinet that
    has fallen silent since as fresh as ever.
    """

    def __init__(self) -> None:
        self._began_ms = super().wall_ms() - self.monotonic_ms()

    def now_utc(self) -> datetime:
        """The same as a date."""
        return datetime.fromtimestamp(self.wall_ms() / 1_000, UTC)

    def wall_ms(self) -> int:
        """Unix milliseconds by the start and the time since."""
        return self._began_ms + self.monotonic_ms()


class DayClock(SystemClock):
    """The clock of tariffs and plans: its wall clock is the day's, all else is the machine's."""

    def __init__(self, fast: FastClock) -> None:
        self._fast = fast

    def now_utc(self) -> datetime:
        """The time of the day that is shown."""
        return datetime.fromtimestamp(self.wall_ms() / 1_000, UTC)

    def wall_ms(self) -> int:
        """The same in Unix milliseconds."""
        return self._fast.day_ms(super().wall_ms())
