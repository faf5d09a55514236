"""The machine's clocks; the only place that reads them."""

from __future__ import annotations

import asyncio
import ctypes
import time
from datetime import UTC, datetime
from typing import Final

#: adjtimex(2) answers this while nobody keeps the clock right.
TIME_ERROR: Final = 5
#: More than any kernel's ``struct timex``.
TIMEX_BYTES: Final = 512
SYNC_CHECK_EVERY_MS: Final = 5_000


class SystemClock:
    """Implements ``cabinet.ports.Clock``."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._synced = False
        self._checked_ms: int | None = None

    def monotonic_ms(self) -> int:
        """For deadlines and ages; never jumps."""
        return time.monotonic_ns() // 1_000_000

    def now_utc(self) -> datetime:
        """The wall clock, right or wrong."""
        return datetime.now(UTC)  # noqa: TID251 - this is the clock

    def wall_synced(self) -> bool:
        """Whether the kernel says that an NTP or RTC daemon disciplines the wall clock."""
        now_ms = self.monotonic_ms()
        if self._checked_ms is None or now_ms - self._checked_ms >= SYNC_CHECK_EVERY_MS:
            self._checked_ms = now_ms
            self._synced = self._ask_kernel()
        return self._synced

    async def sleep(self, delay_s: float) -> None:
        """Sleep on the monotonic clock."""
        await asyncio.sleep(delay_s)

    def _ask_kernel(self) -> bool:
        """An all-zero ``timex`` only reads; -1 means that it may not be asked here."""
        try:
            answer: int = self._libc.adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
        except AttributeError:
            return False
        return 0 <= answer < TIME_ERROR
