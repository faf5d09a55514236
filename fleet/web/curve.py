"""The picture of a balance: a day of plan, measured power, limit and shortage; prices; swaps. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from fleet.core.balance.curve import CurvePoint, CurveView
from fleet.core.balance.what_if import WhatIfPoint, WhatIfView

WIDTH: Final = 1_180
HEIGHT: Final = 450
LEFT: Final = 88
TOP: Final = 26
POWER_H: Final = 220  # of the power's part; the prices stand below it, and below them the swaps
PRICE_TOP: Final = 290
PRICE_H: Final = 40
SWAPS_TOP: Final = 374
SWAPS_H: Final = 36
HOURS_MARKED: Final = 6
TICKS_MAX: Final = 5  # lines across the power's part
HOUR_MS: Final = 3_600_000
#: The picture's top, above the highest of plan and measured power; a limit far above is left out.
HEADROOM: Final = 1.15


@dataclass(frozen=True, slots=True)
class Mark:
    """A text beside an axis."""

    x: int
    y: int
    text: str


@dataclass(frozen=True, slots=True)
class CurvePicture:
    """Paths of SVG; an empty one has nothing to show."""

    plan: str
    actual: str
    limit: str
    price: str
    grid: str  # lines across, at round powers
    now_x: int
    marks: tuple[Mark, ...]
    shortage: str = ""
    swaps: str = ""
    then: str = ""  # the plan under another limit, price or service level
    then_limit: str = ""


@dataclass(frozen=True, slots=True)
class Hour:
    """An hour of the picture in figures: means of powers and prices, sums of swaps and shortage."""

    start_ms: int
    plan_w: float | None
    actual_w: float | None
    limit_w: float | None
    price: float
    swaps: float | None
    shortfall_wh: float | None
    then_w: float | None = None


def picture(view: CurveView, zone: tzinfo, other: WhatIfView | None = None) -> CurvePicture | None:
    """Draw a curve, and a plan for another grid beside it; None while there is nothing to draw."""
    points = view.points
    if not points:
        return None
    step_ms = view.interval_s * 1_000
    thens = _thens(view, other)
    shorts = [_short_w(each, view.interval_s) for each in points]
    frame = _frame(points, step_ms, thens, shorts)
    y, swaps_y = frame.y, frame.swaps_y

    def steps(values: Sequence[float | None]) -> str:
        return _steps(points, values, frame.x, step_ms)

    def bars(values: Sequence[float | None], zero: float) -> str:
        return _bars(points, values, frame.x, step_ms, zero=zero)

    def limited(limits: Iterable[int | None]) -> list[float | None]:
        return [None if each is None or each > frame.top_w else y(each) for each in limits]

    ticks = _ticks(frame.top_w)
    return CurvePicture(
        grid="".join(f"M{LEFT} {y(each):.1f}H{WIDTH}" for each in ticks),
        plan=steps([_scaled(each.plan_w, y) for each in points]),
        actual=steps([_scaled(each.actual_w, y) for each in points]),
        limit=steps(limited(each.limit_w for each in points)),
        price=steps([frame.price_y(each.price) for each in points]),
        now_x=round(frame.x(view.now_ms)),
        shortage=bars([y(each) if each else None for each in shorts], y(0.0)),
        swaps=bars([swaps_y(each.swaps) if each.swaps else None for each in points], swaps_y(0.0)),
        then=steps([None if each is None else y(each.then_w) for each in thens]),
        then_limit=steps(limited(None if each is None else each.limit_w for each in thens)),
        marks=(
            *(Mark(LEFT - 8, round(y(each)) + 5, f"{each / 1_000:,g} kW") for each in ticks),
            Mark(LEFT - 8, PRICE_TOP + 8, f"{frame.price_high:g}"),
            Mark(LEFT - 8, PRICE_TOP + PRICE_H + 4, f"{frame.price_low:g}"),
            Mark(LEFT - 8, SWAPS_TOP + 8, f"{frame.swaps_most:.3g}"),
            Mark(LEFT - 8, SWAPS_TOP + SWAPS_H + 4, "0"),
            *_hours(frame.begin_ms, frame.end_ms, zone, frame.x),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a time, a power, a price and a number of swaps stand in the picture."""

    begin_ms: int
    end_ms: int
    top_w: float
    price_low: float
    price_high: float
    swaps_most: float

    def x(self, at_ms: int) -> float:
        return LEFT + (WIDTH - LEFT) * (at_ms - self.begin_ms) / (self.end_ms - self.begin_ms)

    def y(self, watts: float) -> float:
        return TOP + POWER_H * (1 - min(watts / self.top_w, 1.0))

    def price_y(self, price: float) -> float:
        span = max(self.price_high - self.price_low, 1e-9)
        return PRICE_TOP + PRICE_H * (1 - (price - self.price_low) / span)

    def swaps_y(self, swaps: float) -> float:
        return SWAPS_TOP + SWAPS_H * (1 - swaps / max(self.swaps_most, 1e-9))


def _frame(
    points: Sequence[CurvePoint],
    step_ms: int,
    thens: Sequence[WhatIfPoint | None],
    shorts: Sequence[float | None],
) -> _Frame:
    """Wide enough for all that is to be seen."""
    powers = [w for each in points for w in (each.plan_w, each.actual_w) if w is not None]
    powers += [each.then_w for each in thens if each is not None]
    powers += [round(each) for each in shorts if each is not None]
    prices = [each.price for each in points]
    return _Frame(
        begin_ms=points[0].start_ms,
        end_ms=points[-1].start_ms + step_ms,
        top_w=max(max(powers, default=0) * HEADROOM, 100.0),
        price_low=min(0.0, *prices),
        price_high=max(prices),
        swaps_most=max((each.swaps or 0.0 for each in points), default=0.0),
    )


def hourly(view: CurveView, other: WhatIfView | None = None) -> list[Hour]:
    """The picture in figures, by the hour: for those who can't see it."""
    found: dict[int, list[tuple[CurvePoint, WhatIfPoint | None]]] = {}
    for point, then in zip(view.points, _thens(view, other), strict=True):
        found.setdefault(point.start_ms - point.start_ms % HOUR_MS, []).append((point, then))
    return [
        Hour(
            start_ms=start_ms,
            plan_w=_mean([each.plan_w for each, _ in rows]),
            actual_w=_mean([each.actual_w for each, _ in rows]),
            limit_w=min((w for each, _ in rows if (w := each.limit_w) is not None), default=None),
            price=_mean([each.price for each, _ in rows]) or 0.0,
            swaps=_total([each.swaps for each, _ in rows]),
            shortfall_wh=_total([each.shortfall_wh for each, _ in rows]),
            then_w=_mean([then.then_w if then else None for _, then in rows]),
        )
        for start_ms, rows in sorted(found.items())
    ]


def _thens(view: CurveView, other: WhatIfView | None) -> list[WhatIfPoint | None]:
    at = {} if other is None else {each.start_ms: each for each in other.points}
    return [at.get(each.start_ms) for each in view.points]


def _steps(
    points: Sequence[CurvePoint],
    values: Sequence[float | None],
    x: Callable[[int], float],
    step_ms: int,
) -> str:
    parts, pen_down = [], False
    for point, value in zip(points, values, strict=True):
        if value is None:
            pen_down = False
            continue
        start = f"{x(point.start_ms):.1f} {value:.1f}"
        parts.append(f"{'L' if pen_down else 'M'}{start}H{x(point.start_ms + step_ms):.1f}")
        pen_down = True
    return "".join(parts)


def _bars(
    points: Sequence[CurvePoint],
    values: Sequence[float | None],
    x: Callable[[int], float],
    step_ms: int,
    *,
    zero: float,
) -> str:
    return "".join(
        f"M{x(point.start_ms):.1f} {zero:.1f}V{value:.1f}H{x(point.start_ms + step_ms):.1f}V{zero:.1f}Z"
        for point, value in zip(points, values, strict=True)
        if value is not None
    )


def _short_w(point: CurvePoint, interval_s: int) -> float | None:
    return None if not point.shortfall_wh else point.shortfall_wh * 3_600 / interval_s


def _mean(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) / len(known) if known else None


def _total(values: Sequence[float | None]) -> float | None:
    known = [each for each in values if each is not None]
    return sum(known) if known else None


def _scaled(watts: int | None, y: Callable[[float], float]) -> float | None:
    return None if watts is None else y(watts)


def _hours(begin: int, end: int, zone: tzinfo, x: Callable[[int], float]) -> list[Mark]:
    found = []
    for at_ms in range(begin - begin % HOUR_MS + HOUR_MS, end, HOUR_MS):
        local = datetime.fromtimestamp(at_ms / 1_000, zone)
        if local.hour % HOURS_MARKED == 0 and local.minute == 0:
            text = f"{local:%H:%M}" if local.hour else f"{local:%m-%d}"
            found.append(Mark(round(x(at_ms)), HEIGHT - 8, text))
    return found


def _ticks(top_w: float) -> list[float]:
    """Round powers from zero up to the picture's top."""
    power = 10.0 ** math.floor(math.log10(top_w / TICKS_MAX))
    step = next(n * power for n in (1, 2, 5, 10) if top_w / (n * power) <= TICKS_MAX)
    return [step * n for n in range(int(top_w / step) + 1)]
