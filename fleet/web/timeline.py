"""Pictures of the grid: a region's day of prices and limits, and the line of its versions. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from fleet.core.balance.grid import DAY_MIN, GridRegion
from fleet.core.balance.versions import GridVersion, standing

WIDTH: Final = 720
LEFT: Final = 70
RIGHT: Final = 10
PRICE_TOP, PRICE_H = 28, 60
LIMIT_TOP, LIMIT_H = 126, 60
DAY_HEIGHT: Final = 210
HISTORY_HEIGHT: Final = 74
SHOWN_MAX: Final = 12
STEP_MIN: Final = 15


@dataclass(frozen=True, slots=True)
class DayPicture:
    """A region's day, as it is and as it would be; an empty path has nothing to show."""

    price: str
    limit: str
    price_then: str
    limit_then: str
    marks: tuple[tuple[float, float, str, str], ...]  # x, y, text, anchor


@dataclass(frozen=True, slots=True)
class Span:
    """One version on the line."""

    version: GridVersion
    x: float
    width: float
    state: str  # past, now or next


@dataclass(frozen=True, slots=True)
class HistoryPicture:
    """The last versions by time."""

    spans: tuple[Span, ...]
    now_x: float
    marks: tuple[tuple[float, float, str, str], ...]


def day_picture(now: GridRegion | None, then: GridRegion | None) -> DayPicture:
    """Prices above, limits below; ``then`` is drawn beside where it differs."""
    both = [each for each in (now, then) if each is not None]
    minutes = range(0, DAY_MIN, STEP_MIN)
    prices = [price for each in both for _, price in each.prices] or [0.0]
    limits = [
        most_w for each in both for minute in minutes if (most_w := each.limit(minute, STEP_MIN))
    ]
    low, high = min(0.0, *prices), max(*prices, 0.0)
    top_w = max(limits, default=0)

    def price_y(price: float) -> float:
        return PRICE_TOP + PRICE_H * (1 - (price - low) / max(high - low, 1e-9))

    def limit_y(watts: float) -> float:
        return LIMIT_TOP + LIMIT_H * (1 - watts / max(top_w, 1))

    def prices_of(region: GridRegion | None) -> str:
        return "" if region is None else _steps(region.price, price_y)

    def limits_of(region: GridRegion | None) -> str:
        if region is None:
            return ""
        return _steps(lambda minute: region.limit(minute, STEP_MIN), limit_y)

    price, limit = prices_of(now), limits_of(now)
    price_then, limit_then = prices_of(then), limits_of(then)
    marks = [
        (LEFT - 6.0, PRICE_TOP + 8.0, f"{high:g}", "end"),
        (LEFT - 6.0, PRICE_TOP + float(PRICE_H), f"{low:g}", "end"),
    ]
    if limits:
        marks.append((LEFT - 6.0, LIMIT_TOP + 8.0, f"{top_w / 1_000:g} kW", "end"))
    marks += [
        (_x(hour * 60), DAY_HEIGHT - 4.0, f"{hour:02d}:00", "middle") for hour in range(3, 24, 6)
    ]
    return DayPicture(
        price=price,
        limit=limit,
        price_then="" if price_then == price else price_then,
        limit_then="" if limit_then == limit else limit_then,
        marks=tuple(marks),
    )


def history_picture(
    versions: Sequence[GridVersion], now_ms: int, zone: tzinfo
) -> HistoryPicture | None:
    """The last versions that stand, from when to when each counts; None without any."""
    shown = standing(versions)[-SHOWN_MAX:]
    if not shown:
        return None
    begin = min(shown[0].valid_from_ms, now_ms)
    latest = max(shown[-1].valid_from_ms, now_ms)
    end = latest + max((latest - begin) // 8, 3_600_000)

    def x(at_ms: int) -> float:
        return round(RIGHT + (WIDTH - 2 * RIGHT) * (at_ms - begin) / (end - begin), 1)

    spans = []
    for place, each in enumerate(shown):
        until = shown[place + 1].valid_from_ms if place + 1 < len(shown) else end
        counts = each.valid_from_ms <= now_ms or place == 0
        state = "next" if not counts else "now" if now_ms < until else "past"
        left = x(each.valid_from_ms)
        spans.append(Span(each, left, max(round(x(until) - left, 1), 2.0), state))

    def text(at_ms: int) -> str:
        return f"{datetime.fromtimestamp(at_ms / 1_000, zone):%m-%d %H:%M}"

    return HistoryPicture(
        spans=tuple(spans),
        now_x=x(now_ms),
        marks=(
            (float(RIGHT), HISTORY_HEIGHT - 6.0, text(begin), "start"),
            (float(WIDTH - RIGHT), HISTORY_HEIGHT - 6.0, text(end), "end"),
        ),
    )


def _x(minute: int) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * minute / DAY_MIN, 1)


def _steps(value_at: Callable[[int], float | None], y: Callable[[float], float]) -> str:
    parts = []
    pen_down = False
    for minute in range(0, DAY_MIN, STEP_MIN):
        value = value_at(minute)
        if value is None:
            pen_down = False
            continue
        parts.append(
            f"{'L' if pen_down else 'M'}{_x(minute)} {y(value):.1f}H{_x(minute + STEP_MIN)}"
        )
        pen_down = True
    return "".join(parts)
