"""The only module of the fleet that reads a clock."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime


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
