"""Pictures of a pack's life and of a swap's steps, as paths of SVG. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fleet.core.desk import SwapEvent
from fleet.core.views import LifeView

WIDTH: Final = 720
LEFT: Final = 184
LANE_H: Final = 34
TOP: Final = 10
MOVES_MAX: Final = 40
#: The lanes of a life, from the rider's hands down.
LANES: Final = ("rider", "slot", "transit", "depot", "workshop", "unknown")
BAR_MIN: Final = 2.0


@dataclass(frozen=True, slots=True)
class Lifeline:
    """Where a pack was, as one line over lanes; ``ends_ms`` are the edges of the picture."""

    path: str
    dots: tuple[tuple[float, float], ...]
    lanes: tuple[tuple[str, int], ...]  # name, y
    height: int
    ends_ms: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fall:
    """One row of a waterfall: from when after the first, for how long, and its bar."""

    event: SwapEvent
    after_ms: int
    took_ms: int | None  # None: the last, or its clock jumped
    x: float
    width: float
    y: int


def lifeline(life: Sequence[LifeView], now_ms: int) -> Lifeline | None:
    """The last movements of a pack; None before it has moved."""
    moves = sorted((each for each in life if each.moves), key=lambda each: each.id)[-MOVES_MAX:]
    if not moves:
        return None
    begin = min(each.at_ms for each in moves)
    end = max(now_ms, begin + 1, *(each.at_ms for each in moves))
    used = [
        lane
        for lane in LANES
        if any(lane in (_lane(each.from_holder), _lane(each.to_holder)) for each in moves)
    ]
    y_of = {lane: TOP + LANE_H * place + LANE_H // 2 for place, lane in enumerate(used)}

    def x(at_ms: int) -> float:
        return LEFT + (WIDTH - LEFT - 8) * (at_ms - begin) / (end - begin)

    path = f"M{x(begin):.1f} {y_of[_lane(moves[0].from_holder)]}"
    dots = []
    for each in moves:
        at, y = x(max(each.at_ms, begin)), y_of[_lane(each.to_holder)]
        path += f"H{at:.1f}V{y}"
        dots.append((round(at, 1), float(y)))
    path += f"H{x(end):.1f}"
    return Lifeline(
        path=path,
        dots=tuple(dots),
        lanes=tuple(y_of.items()),
        height=TOP * 2 + LANE_H * len(used),
        ends_ms=(begin, end),
    )


def waterfall(events: Sequence[SwapEvent]) -> tuple[Fall, ...]:
    """The steps one below the other; durations go by the cabinet's monotonic clock within a boot."""
    told = [each for each in events if each.what in ("step", "in", "out")]
    starts: list[int] = []
    for place, each in enumerate(told):
        passed = 0 if place == 0 else max(_between(told[place - 1], each), 0)
        starts.append(passed + (starts[-1] if starts else 0))
    whole = max(starts[-1] if starts else 0, 1)
    found = []
    for place, each in enumerate(told):
        last = place + 1 == len(told)
        took = None if last else starts[place + 1] - starts[place]
        found.append(
            Fall(
                event=each,
                after_ms=starts[place],
                took_ms=took,
                x=round(LEFT + (WIDTH - LEFT - 8) * starts[place] / whole, 1),
                width=max(round((WIDTH - LEFT - 8) * (took or 0) / whole, 1), BAR_MIN),
                y=TOP + 22 * place,
            )
        )
    return tuple(found)


def _between(one: SwapEvent, other: SwapEvent) -> int:
    same_boot = one.boot_id is not None and one.boot_id == other.boot_id
    if same_boot and one.mono_ms is not None and other.mono_ms is not None:
        return other.mono_ms - one.mono_ms
    return other.at_ms - one.at_ms


def _lane(holder: str) -> str:
    kind = holder.partition(":")[0]
    return kind if kind in LANES else "unknown"
