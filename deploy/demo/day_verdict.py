"""What a played day comes to: every interval held against its limit, and the sums. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

HOUR_MS: Final = 3_600_000

#: An interval of the fleet's curve, as REST gives it.
Point = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """The simulator's own meter at a moment of the day: the truth that nobody reported."""

    day_ms: int
    import_kwh: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The whole day."""

    intervals: int
    violations: tuple[str, ...]
    energy_kwh: float
    cost: float
    peak_w: float


def judge(
    points: Mapping[int, Point],
    readings: Sequence[Reading],
    begin_ms: int,
    count: int,
    step_ms: int,
) -> Verdict:
    """Hold plan, measured power and the meter's truth of each interval against its limit.

    What is not known of an interval is a violation: silence proves nothing.
    """
    violations: list[str] = []
    energy = cost = peak = 0.0
    for start in range(begin_ms, begin_ms + count * step_ms, step_ms):
        point = points.get(start)
        kwh = consumed_kwh(readings, start, start + step_ms)
        if point is None or kwh is None:
            violations.append(f"{start}: the fleet or the meter has nothing of this interval")
            continue
        true_w = kwh * 1_000 * HOUR_MS / step_ms
        violations += _wrong(point, true_w)
        energy += kwh
        cost += kwh * point["price"]
        peak = max(peak, true_w)
    return Verdict(count, tuple(violations), energy, cost, peak)


def consumed_kwh(readings: Sequence[Reading], begin_ms: int, end_ms: int) -> float | None:
    """What the meter counted between two moments; None where it was not read on both sides."""
    ends = [_at(readings, moment) for moment in (begin_ms, end_ms)]
    first, last = ends
    return None if first is None or last is None else last - first


def _at(readings: Sequence[Reading], moment_ms: int) -> float | None:
    place = bisect_left(readings, moment_ms, key=lambda reading: reading.day_ms)
    if place == len(readings) or (place == 0 and readings[0].day_ms > moment_ms):
        return None
    after = readings[place]
    if after.day_ms == moment_ms:
        return after.import_kwh
    before = readings[place - 1]
    share = (moment_ms - before.day_ms) / (after.day_ms - before.day_ms)
    return before.import_kwh + share * (after.import_kwh - before.import_kwh)


def _wrong(point: Point, true_w: float) -> list[str]:
    limit_w, where = point["limit_w"], f"{point['start_ms']}"
    found = []
    for name, watts in (
        ("plan", point["plan_w"]),
        ("measured", point["actual_w"]),
        ("meter", true_w),
    ):
        if watts is None:
            found.append(f"{where}: {name} is not known")
        elif limit_w is not None and watts > limit_w:
            found.append(f"{where}: {name} {watts:.0f} W is above the limit of {limit_w} W")
    return found
