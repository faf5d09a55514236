"""The only place of the simulator that reads a clock."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Real time, as the shell hands it to the model."""

    def monotonic_s(self) -> float:
        """For durations."""
        ...

    def wall_ms(self) -> int:
        """For records only."""
        ...


class SystemClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()  # noqa: TID251 - this is the clock

    def wall_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000
