"""When a device counts as gone, and how often it is asked whether it came back. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

MISSES_SUSPECT: Final = 2
MISSES_OFFLINE: Final = 3
PROBE_FIRST_MS: Final = 1_000
PROBE_MAX_MS: Final = 30_000


class State(StrEnum):
    """How a device is doing."""

    GOOD = "good"
    SUSPECT = "suspect"
    OFFLINE = "offline"


class Health:
    """Counts misses of one device; offline it admits one probe after a growing pause."""

    __slots__ = ("_misses", "_pause_ms", "_probe_at_ms")

    def __init__(self) -> None:
        self._misses = 0
        self._pause_ms = 0
        self._probe_at_ms = 0

    @property
    def state(self) -> State:
        """Good until two misses in a row, offline from three."""
        if self._misses >= MISSES_OFFLINE:
            return State.OFFLINE
        return State.SUSPECT if self._misses >= MISSES_SUSPECT else State.GOOD

    def good(self) -> None:
        """It answered, be it with an exception."""
        self._misses = 0
        self._pause_ms = 0

    def miss(self, now_ms: int) -> None:
        """It did not answer, or answered nonsense."""
        self._misses = min(self._misses + 1, MISSES_OFFLINE)
        if self._misses == MISSES_OFFLINE:
            self._pause_ms = min(max(PROBE_FIRST_MS, 2 * self._pause_ms), PROBE_MAX_MS)
            self._probe_at_ms = now_ms + self._pause_ms

    def revive(self) -> None:
        """There is reason to think that it is back: ask it at once, count from a fresh start."""
        self._misses = 0
        self._pause_ms = 0

    def admits(self, now_ms: int, *, is_read: bool) -> bool:
        """Whether to ask it now: always while it is not offline, else a read when a probe is due."""
        return self.state is not State.OFFLINE or (is_read and now_ms >= self._probe_at_ms)
