"""Virtual time: a heap of things to do, and nothing in between."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class Timeline:
    """The order of two things at the same moment is the order in which they were asked for."""

    __slots__ = ("_count", "_heap", "now_ms")

    def __init__(self) -> None:
        self.now_ms = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay_ms: int, work: Callable[..., None], *args: Any) -> None:
        """Do this ``delay_ms`` from now."""
        self._count += 1
        heapq.heappush(self._heap, (self.now_ms + max(0, delay_ms), self._count, work, args))

    def step(self) -> bool:
        """Jump to the next thing and do it; False when there is none."""
        if not self._heap:
            return False
        self.now_ms, _, work, args = heapq.heappop(self._heap)
        work(*args)
        return True

    def run_until(self, done: Callable[[], bool], limit_ms: int) -> bool:
        """Go on until ``done``; False when that did not come within ``limit_ms``."""
        end_ms = self.now_ms + limit_ms
        while not done():
            if self.now_ms > end_ms or not self.step():
                return done()
        return True
