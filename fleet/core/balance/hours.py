"""How many full packs a rider may expect at a cabinet in each of the next hours."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.instance import Floats

HOUR_S: Final = 3_600
HOURS: Final = 12
#: From so many expected packs on an hour is good; below one it is poor.
GOOD_PACKS: Final = 3.0
FAIR_PACKS: Final = 1.0


class HourView(msgspec.Struct, frozen=True, kw_only=True):
    """One hour. ``level``: good, fair or poor."""

    start_ms: int
    full: int  # packs, as expected at its worst moment
    level: str


def hours_ahead(
    *,
    full: int,
    slots: int,
    charged: Floats,
    taken: Floats,
    starts_ms: NDArray[np.int64],
    step_s: int,
) -> tuple[HourView, ...]:
    """The hours ahead of a cabinet with ``full`` packs now.

    Args:
        full: packs that are offered now.
        slots: the cabinet's; there are never more packs.
        charged: packs that the plan fills in each interval [T].
        taken: packs that riders are expected to take in each interval [T].
        starts_ms: when the intervals begin [T].
        step_s: how long they are.
    """
    stock, worst = float(full), float(full)
    hours: list[HourView] = []
    per_hour = max(HOUR_S // step_s, 1)
    for place, (more, less) in enumerate(zip(charged, taken, strict=True)):
        stock = min(max(stock + float(more) - float(less), 0.0), float(slots))
        worst = stock if place % per_hour == 0 else min(worst, stock)
        if place % per_hour == per_hour - 1:
            start_ms = int(starts_ms[place - per_hour + 1])
            hours.append(HourView(start_ms=start_ms, full=round(worst), level=_level(worst)))
    return tuple(hours[:HOURS])


def _level(packs: float) -> str:
    if packs >= GOOD_PACKS:
        return "good"
    return "fair" if packs >= FAIR_PACKS else "poor"
