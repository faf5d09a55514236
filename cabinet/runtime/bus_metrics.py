"""What a bus counts about itself; plain numbers that an exporter reads."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from protocols.decoding import Spoilt

#: Upper bounds in milliseconds; one more bucket counts what is above the last.
BUCKETS_MS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)
#: Utilisation is told over this time.
USAGE_S: Final = 10


class Result(StrEnum):
    """How a transaction ended."""

    OK = "ok"
    REFUSED = "refused"  # exception reply
    TIMEOUT = "timeout"  # silence
    GARBAGE = "garbage"  # bytes, but no valid reply
    LINE_DOWN = "line-down"


@dataclass(slots=True)
class Histogram:
    """Counts per bucket, not cumulated."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_MS) + 1))
    sum_ms: float = 0.0
    max_ms: float = 0.0

    def add(self, value_ms: float) -> None:
        """Count one value."""
        self.counts[bisect_left(BUCKETS_MS, value_ms)] += 1
        self.sum_ms += value_ms
        self.max_ms = max(self.max_ms, value_ms)

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts)


@dataclass(slots=True)
class Usage:
    """How much of the last seconds a line was in use."""

    _seconds: deque[list[float]] = field(default_factory=lambda: deque(maxlen=USAGE_S))

    def add(self, ended_s: float, busy_s: float) -> None:
        """A transaction that ended now took this long."""
        second = int(ended_s)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0.0])
        self._seconds[-1][1] += busy_s

    def share(self, now_s: float) -> float:
        """From 0 to 1, over the last ten whole seconds."""
        since = int(now_s) - USAGE_S
        busy_s = sum(busy for second, busy in self._seconds if since <= second < int(now_s))
        return min(1.0, busy_s / USAGE_S)


@dataclass(slots=True)
class BusMetrics:
    """One bus. Utilisation over a time is the growth of ``busy_ms`` over it."""

    requests: Counter[tuple[str, Result]] = field(default_factory=Counter)  # by device
    latency: dict[str, Histogram] = field(default_factory=dict)  # by device, good replies
    queue_wait: Histogram = field(default_factory=Histogram)
    busy_ms: float = 0.0
    skipped: Counter[str] = field(default_factory=Counter)  # by device: offline, not asked
    opens: int = 0  # times the port was opened
    spoilt: Counter[tuple[str, Spoilt]] = field(default_factory=Counter)  # garbage, by device
    retries: Counter[str] = field(default_factory=Counter)  # by device: asked once more
    probes: Counter[str] = field(default_factory=Counter)  # by device: asked though offline
    late: Counter[str] = field(default_factory=Counter)  # by device: came after its time-out
    strays: int = 0  # times bytes came that nobody waited for
    usage: Usage = field(default_factory=Usage)

    def good(self, device: str, latency_ms: float) -> None:
        """A reply came."""
        self.requests[device, Result.OK] += 1
        self.latency.setdefault(device, Histogram()).add(latency_ms)
