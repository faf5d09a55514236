"""Plan against fact: the last day of every cabinet by interval, in a ring of fixed size."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.instance import Floats

HOURS_KEPT: Final = 24


class CurvePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One interval. None is not known (nothing measured, nothing planned) or not limited."""

    start_ms: int
    plan_w: int | None
    actual_w: int | None
    limit_w: int | None
    price: float
    swaps: float | None = None  # expected to be handed out
    shortfall_wh: int | None = None  # of the energy that was needed by then


class PlanNote(msgspec.Struct, frozen=True, kw_only=True):
    """The plan that holds now."""

    version: int
    made_ms: int
    gap: float
    cost: float
    shortfall_wh: int
    planned: int  # cabinets that it orders
    acknowledged: int  # of them, those that say they have it
    reserved: int  # cabinets that are silent or do not follow, counted at their worst


class ServiceNote(msgspec.Struct, frozen=True, kw_only=True):
    """The service that the plan is held to: counts of the last 24 hours, or since ``since_ms``."""

    lost_swap_price: float  # what losing a rider is taken to cost now
    usual_price: float  # the grid's own
    riders: int  # who came, served or not
    lost: int  # found no full battery
    lost_at_once: int  # would have found none had every battery been charged as soon as it was back
    since_ms: int | None
    counted: bool = True  # False: so few are counted as lost that the count is not believed


class CurveView(msgspec.Struct, frozen=True, kw_only=True):
    """The day behind and the day ahead of one scope."""

    scope: str
    interval_s: int
    now_ms: int
    plan: PlanNote | None
    alarms: tuple[str, ...]
    service: ServiceNote | None = None
    clock_rate: int = 1  # of a demonstration: how much faster than real time the day runs
    points: tuple[CurvePoint, ...]


class ScopesView(msgspec.Struct, frozen=True, kw_only=True):
    """What there is a curve of, besides the fleet."""

    regions: tuple[str, ...]
    feeders: tuple[str, ...]
    cabinets: int


class Ring:
    """Means of planned and measured power by cabinet and interval."""

    def __init__(self, cabinets: int, interval_ms: int) -> None:
        self.interval_ms = interval_ms
        self._kept = max(HOURS_KEPT * 3_600_000 // interval_ms, 1) + 1
        self._start = np.full(self._kept, -1, np.int64)
        self._plan = np.zeros((self._kept, cabinets), np.float32)
        self._actual = np.zeros((self._kept, cabinets), np.float32)
        self._samples = np.zeros((self._kept, cabinets), np.int32)
        self._turns = np.zeros(self._kept, np.int64)

    def add(self, now_ms: int, plan_w: NDArray[np.int64], actual_w: Floats) -> None:
        """Take in one look at everything; NaN is not known."""
        start = now_ms - now_ms % self.interval_ms
        row = (start // self.interval_ms) % self._kept
        if self._start[row] != start:
            self._start[row] = start
            self._plan[row] = self._actual[row] = 0.0
            self._samples[row] = self._turns[row] = 0
        known = np.isfinite(actual_w)
        self._turns[row] += 1
        self._plan[row] += (plan_w - self._plan[row]) / self._turns[row]
        self._samples[row] += known
        change = np.where(known, actual_w - self._actual[row], 0.0)
        self._actual[row] += change / np.maximum(self._samples[row], 1)

    def means(self, rows: NDArray[np.int64], now_ms: int) -> list[tuple[int, int, int | None]]:
        """(start, plan, actual) of some cabinets together, oldest first, this interval included."""
        oldest = now_ms - now_ms % self.interval_ms - (self._kept - 1) * self.interval_ms
        found: list[tuple[int, int, int | None]] = []
        for row in np.argsort(self._start):
            start = int(self._start[row])
            if not oldest <= start <= now_ms:
                continue
            measured = bool(self._samples[row, rows].any())
            actual = round(float(self._actual[row, rows].sum())) if measured else None
            found.append((start, round(float(self._plan[row, rows].sum())), actual))
        return found
