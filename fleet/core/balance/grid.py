"""What the fleet hangs on: regions with tariff and limits, feeders, which cabinet stands where.

Read from one TOML text, strictly: every mistake names key, value and what was expected. Times of day
are wall times of the place; no zone is in here.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from fleet.core.balance.rush import EARLY_SOC
from fleet.errors import InvalidError

DAY_MIN: Final = 1_440
TEXT_CHARS_MAX: Final = 20_000_000  # 75,000 cabinets are two million characters
POWER_MAX_W: Final = 2_000_000_000
CABINET_POWER_MAX_W: Final = 1_000_000
PRICE_MAX: Final = 1e6
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True)
class Window:
    """A stricter limit at some time of the day, such as for demand response; may pass midnight."""

    from_min: int
    to_min: int
    limit_w: int


@dataclass(frozen=True, slots=True)
class GridRegion:
    """One billing area. ``prices`` are (minute of the day, price per kWh), the first at midnight."""

    name: str
    prices: tuple[tuple[int, float], ...]
    peak_price_per_kw: float
    peak_so_far_w: int
    limit_w: int | None
    windows: tuple[Window, ...]

    def price(self, minute: int) -> float:
        """Per kWh at this minute of the day."""
        return next(price for start, price in reversed(self.prices) if start <= minute)

    def limit(self, minute: int, length_min: float) -> int | None:
        """The strictest limit that holds at some time of an interval; None when there is none."""
        limits = [] if self.limit_w is None else [self.limit_w]
        for window in self.windows:
            long = (window.to_min - window.from_min) % DAY_MIN or DAY_MIN
            since = (minute - window.from_min) % DAY_MIN
            if since < long or since + length_min > DAY_MIN:
                limits.append(window.limit_w)
        return min(limits, default=None)


@dataclass(frozen=True, slots=True)
class GridFeeder:
    """A line that must never carry more than its limit."""

    name: str
    region: int
    limit_w: int


@dataclass(frozen=True, slots=True)
class PackType:
    """The batteries, and the charger of a slot. Powers and energies at the mains but for the pack."""

    capacity_wh: int
    charger_w: int
    efficiency: float
    ready_pct: int  # at which a pack is charged
    back_pct: int  # of a returned pack, on the mean
    early_pct: int  # from which packs are handed out where few are ready


@dataclass(frozen=True, slots=True)
class CabinetPower:
    """What any cabinet takes."""

    breaker_w: int  # for charging
    default_w: int  # for charging, on its own without a valid plan
    base_w: int  # for everything else


@dataclass(frozen=True)
class Grid:
    """All of it. ``cabinets`` are (id, feeder), by id."""

    regions: tuple[GridRegion, ...]
    feeders: tuple[GridFeeder, ...]
    cabinets: tuple[tuple[str, int], ...]
    pack: PackType
    power: CabinetPower
    shortfall_price_per_kwh: float
    lost_swap_price: float

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """The cabinets' ids, in their order."""
        return tuple(cabinet for cabinet, _ in self.cabinets)

    def members(self, feeder: int) -> tuple[int, ...]:
        """The places of a feeder's cabinets."""
        return tuple(place for place, (_, own) in enumerate(self.cabinets) if own == feeder)

    def warnings(self) -> list[str]:
        """Where cabinets that are left alone could exceed a limit together."""
        alone_w = self.power.default_w + self.power.base_w
        counts = [0] * len(self.feeders)
        for _, place in self.cabinets:
            counts[place] += 1
        found = []
        by_region = [0] * len(self.regions)
        for feeder, count in zip(self.feeders, counts, strict=True):
            by_region[feeder.region] += count
            if count * alone_w > feeder.limit_w:
                found.append(_alone(f"feeder {feeder.name}", count, alone_w, feeder.limit_w))
        for region, count in zip(self.regions, by_region, strict=True):
            if region.limit_w is not None and count * alone_w > region.limit_w:
                found.append(_alone(f"region {region.name}", count, alone_w, region.limit_w))
        return found


def _alone(where: str, count: int, each_w: int, limit_w: int) -> str:
    return (
        f"{where}: {count} cabinets without a plan may take {count * each_w} W, the limit is "
        f"{limit_w} W; lower cabinet_power.default_w, and power_default_w in the cabinets"
    )


def parse_grid(text: str) -> Grid:
    """Read a grid; raise InvalidError naming key, value and what was expected."""
    if len(text) > TEXT_CHARS_MAX:
        raise InvalidError(f"grid: has {len(text)} characters, expected at most {TEXT_CHARS_MAX}")
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidError(f"grid: is not TOML: {error}") from error
    top = _Table("", document)
    regions = tuple(_region(each) for each in top.tables("region"))
    _unique("region", [region.name for region in regions])
    places = {region.name: place for place, region in enumerate(regions)}
    feeders = tuple(_feeder(each, places) for each in top.tables("feeder"))
    _unique("feeder", [feeder.name for feeder in feeders])
    grid = Grid(
        regions=regions,
        feeders=feeders,
        cabinets=_cabinets(top.table("cabinets"), feeders),
        pack=_pack(top.table("pack")),
        power=_power(top.table("cabinet_power")),
        shortfall_price_per_kwh=top.number("shortfall_price_per_kwh", 1e-6, PRICE_MAX, 30.0),
        lost_swap_price=top.number("lost_swap_price", 1e-6, PRICE_MAX, 2.0),
    )
    top.done()
    return grid


def _region(table: _Table) -> GridRegion:
    name = table.name("name")
    prices: list[tuple[int, float]] = []
    for row in table.tables("tariff"):
        start = row.time("from")
        expected = 0 if not prices else prices[-1][0] + 1
        if (not prices and start != 0) or start < expected:
            what = "00:00, so that the day is covered" if not prices else "a later time than before"
            raise InvalidError(f"{row.path}from: is {_clock(start)}, expected {what}")
        prices.append((start, row.number("price", -PRICE_MAX, PRICE_MAX)))
        row.done()
    limit = table.whole("limit_w", 1, POWER_MAX_W, -1)
    region = GridRegion(
        name=name,
        prices=tuple(prices),
        peak_price_per_kw=table.number("peak_price_per_kw", 0.0, PRICE_MAX, 0.0),
        peak_so_far_w=table.whole("peak_so_far_w", 0, POWER_MAX_W, 0),
        limit_w=None if limit < 0 else limit,
        windows=tuple(_window(each) for each in table.tables("window", needed=False)),
    )
    table.done()
    return region


def _window(table: _Table) -> Window:
    window = Window(table.time("from"), table.time("to"), table.whole("limit_w", 0, POWER_MAX_W))
    table.done()
    return window


def _feeder(table: _Table, regions: Mapping[str, int]) -> GridFeeder:
    feeder = GridFeeder(
        name=table.name("name"),
        region=table.choice("region", regions),
        limit_w=table.whole("limit_w", 1, POWER_MAX_W),
    )
    table.done()
    return feeder


def _cabinets(table: _Table, feeders: Sequence[GridFeeder]) -> tuple[tuple[str, int], ...]:
    places = {feeder.name: place for place, feeder in enumerate(feeders)}
    rows = []
    for cabinet in table.left():
        if not _NAME.fullmatch(cabinet):
            raise InvalidError(f"cabinets: {cabinet!r}, expected the id of a cabinet")
        rows.append((cabinet, table.choice(cabinet, places)))
    if not rows:
        raise InvalidError('cabinets: is empty, expected lines such as DH-0001 = "feeder"')
    return tuple(sorted(rows))


def _pack(table: _Table) -> PackType:
    ready_pct = table.whole("ready_pct", 50, 100, 95)
    pack = PackType(
        capacity_wh=table.whole("capacity_wh", 50, 100_000),
        charger_w=table.whole("charger_w", 10, 100_000),
        efficiency=table.number("efficiency", 0.5, 1.0),
        ready_pct=ready_pct,
        back_pct=table.whole("back_pct", 0, 49, 22),
        early_pct=table.whole("early_pct", 50, ready_pct, min(round(EARLY_SOC * 100), ready_pct)),
    )
    table.done()
    return pack


def _power(table: _Table) -> CabinetPower:
    breaker = table.whole("breaker_w", 1, CABINET_POWER_MAX_W)
    power = CabinetPower(
        breaker_w=breaker,
        default_w=table.whole("default_w", 0, breaker),
        base_w=table.whole("base_w", 0, CABINET_POWER_MAX_W, 0),
    )
    table.done()
    return power


def _unique(what: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InvalidError(f"{what}.name: {name!r} is there twice, expected each name once")


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


class _Table:
    """One TOML table: every key is taken once, and what is left over is a mistake."""

    def __init__(self, path: str, values: Mapping[str, Any]) -> None:
        self.path = path
        self._values = dict(values)

    def left(self) -> list[str]:
        return sorted(self._values)

    def done(self) -> None:
        if self._values:
            key = next(iter(self._values))
            raise InvalidError(f"{self.path}{key}: is not a key here; remove it")

    def tables(self, key: str, *, needed: bool = True) -> list[_Table]:
        rows = self._values.pop(key, [])
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise InvalidError(f"{self.path}{key}: is {_short(rows)}, expected a list of tables")
        if needed and not rows:
            raise InvalidError(f"{self.path}{key}: is missing, expected at least one")
        return [_Table(f"{self.path}{key}[{place}].", row) for place, row in enumerate(rows)]

    def table(self, key: str) -> _Table:
        found = self._values.pop(key, None)
        if not isinstance(found, dict):
            what = "is missing" if found is None else f"is {_short(found)}"
            raise InvalidError(f"{self.path}{key}: {what}, expected a table [{key}]")
        return _Table(f"{self.path}{key}.", found)

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        value = self._take(key, default, f"a number from {low:g} to {high:g}")
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or not low <= value <= high:
            self._refuse(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def whole(self, key: str, low: int, high: int, default: int | None = None) -> int:
        wanted = f"a whole number from {low} to {high}"
        if key not in self._values and default is not None:
            return default
        value = self._take(key, None, wanted)
        if type(value) is not int or not low <= value <= high:
            self._refuse(key, value, wanted)
        return int(value)

    def name(self, key: str) -> str:
        value = self._take(key, None, "a name")
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            self._refuse(key, value, "1 to 64 letters, digits, dots, dashes or underscores")
        return str(value)

    def time(self, key: str) -> int:
        value = self._take(key, None, '"HH:MM"')
        match = _TIME.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            self._refuse(key, value, '"HH:MM" from 00:00 to 23:59')
            raise AssertionError
        return int(match[1]) * 60 + int(match[2])

    def choice(self, key: str, known: Mapping[str, int]) -> int:
        value = self._take(key, None, "a name")
        if not isinstance(value, str) or value not in known:
            names = ", ".join(sorted(known)[:10])
            self._refuse(key, value, f"one of {names}")
        return known[str(value)]

    def _take(self, key: str, default: Any, wanted: str) -> Any:
        if key in self._values:
            return self._values.pop(key)
        if default is None:
            raise InvalidError(f"{self.path}{key}: is missing, expected {wanted}")
        return default

    def _refuse(self, key: str, value: Any, wanted: str) -> None:
        raise InvalidError(f"{self.path}{key}: is {_short(value)}, expected {wanted}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
