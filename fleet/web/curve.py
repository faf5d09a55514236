"""The picture of a balance: a day of plan, measured power and limit above, prices below. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from fleet.core.balance.curve import CurvePoint, CurveView

WIDTH: Final = 720
HEIGHT: Final = 260
LEFT: Final = 70
TOP: Final = 12
POWER_H: Final = 170  # of the power's part; the prices stand below it
PRICE_TOP: Final = 200
PRICE_H: Final = 36
HOURS_MARKED: Final = 6
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
    now_x: int
    marks: tuple[Mark, ...]


def picture(view: CurveView, zone: tzinfo) -> CurvePicture | None:
    """Draw a curve; None while there is nothing to draw."""
    points = view.points
    if not points:
        return None
    step_ms = view.interval_s * 1_000
    begin, end = points[0].start_ms, points[-1].start_ms + step_ms
    powers = [w for each in points for w in (each.plan_w, each.actual_w) if w is not None]
    top_w = max(max(powers, default=0) * HEADROOM, 100.0)
    low, high = min(0.0, *(each.price for each in points)), max(each.price for each in points)

    def x(at_ms: int) -> float:
        return LEFT + (WIDTH - LEFT) * (at_ms - begin) / (end - begin)

    def y(watts: float) -> float:
        return TOP + POWER_H * (1 - min(watts / top_w, 1.0))

    def price_y(price: float) -> float:
        return PRICE_TOP + PRICE_H * (1 - (price - low) / max(high - low, 1e-9))

    def steps(values: Sequence[float | None]) -> str:
        parts, pen_down = [], False
        for point, value in zip(points, values, strict=True):
            if value is None:
                pen_down = False
                continue
            start = f"{x(point.start_ms):.1f} {value:.1f}"
            parts.append(f"{'L' if pen_down else 'M'}{start}H{x(point.start_ms + step_ms):.1f}")
            pen_down = True
        return "".join(parts)

    return CurvePicture(
        plan=steps([_scaled(each.plan_w, y) for each in points]),
        actual=steps([_scaled(each.actual_w, y) for each in points]),
        limit=steps([_within(each, top_w, y) for each in points]),
        price=steps([price_y(each.price) for each in points]),
        now_x=round(x(view.now_ms)),
        marks=(
            Mark(LEFT - 6, TOP + 8, f"{top_w / 1_000:.1f} kW"),
            Mark(LEFT - 6, TOP + POWER_H, "0"),
            Mark(LEFT - 6, PRICE_TOP + 8, f"{high:g}"),
            *_hours(begin, end, zone, x),
        ),
    )


def _scaled(watts: int | None, y: Callable[[float], float]) -> float | None:
    return None if watts is None else y(watts)


def _within(point: CurvePoint, top_w: float, y: Callable[[float], float]) -> float | None:
    limit_w = point.limit_w
    return None if limit_w is None or limit_w > top_w else _scaled(limit_w, y)


def _hours(begin: int, end: int, zone: tzinfo, x: Callable[[int], float]) -> list[Mark]:
    found = []
    for at_ms in range(begin - begin % HOUR_MS + HOUR_MS, end, HOUR_MS):
        local = datetime.fromtimestamp(at_ms / 1_000, zone)
        if local.hour % HOURS_MARKED == 0 and local.minute == 0:
            found.append(Mark(round(x(at_ms)), HEIGHT - 4, f"{local:%H:%M}"))
    return found
