"""Changes to a grid: one table at a time, written out again as the file that ``parse_grid`` reads.

What a form says becomes the value of a key, and the whole is parsed as any grid: whoever makes a
mistake here is told the same key, value and expectation as in the file.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fleet.core.balance.grid import Grid, GridRegion, parse_grid
from fleet.errors import InvalidError

LINES_MAX: Final = 200
DIFFERENCES_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class RegionEdit:
    """A region's tariff and limits, as typed: a line each, ``08:00 1.10`` and ``18:00-20:00 400``."""

    name: str
    tariff: str
    limit_kw: str
    peak_price_per_kw: str
    windows: str


@dataclass(frozen=True, slots=True)
class FeederEdit:
    """A feeder's region and limit; a new one where there is none of this name."""

    name: str
    region: str
    limit_kw: str


@dataclass(frozen=True, slots=True)
class CabinetEdit:
    """On which feeder a cabinet hangs; an empty one takes it out of the grid."""

    cabinet: str
    feeder: str


@dataclass(frozen=True, slots=True)
class PriceEdit:
    """What a kilowatt-hour that comes too late costs, and a rider who is turned away."""

    shortfall_price_per_kwh: str
    lost_swap_price: str


Edit: TypeAlias = RegionEdit | FeederEdit | CabinetEdit | PriceEdit


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs between two grids; empty where there is none."""

    where: str
    before: str
    after: str


def edited(text: str, edit: Edit) -> str:
    """The grid with one change, as a file; raise InvalidError."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidError(f"grid: is not TOML: {error}") from error
    _apply(document, edit)
    written = grid_text(document)
    parse_grid(written)
    return written


def grid_text(document: Mapping[str, Any]) -> str:
    """A document of plain values, as TOML."""
    plain = {key: value for key, value in document.items() if not _is_nested(value)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in document.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{_key(key)}]", *_rows(value)]
        elif _is_nested(value):
            for each in value:
                lines += ["", f"[[{_key(key)}]]", *_rows(each)]
    return "\n".join(lines).lstrip("\n") + "\n"


def differences(before: Grid, after: Grid) -> list[Difference]:
    """What is another value, at most ``DIFFERENCES_MAX`` of them."""
    old, new = _flat(before), _flat(after)
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    return [Difference(key, old.get(key, ""), new.get(key, "")) for key in keys[:DIFFERENCES_MAX]]


def tariff_lines(region: GridRegion) -> str:
    """A region's prices, as ``RegionEdit.tariff`` takes them."""
    return "\n".join(f"{clock(start)} {price:g}" for start, price in region.prices)


def window_lines(region: GridRegion) -> str:
    """A region's stricter limits, as ``RegionEdit.windows`` takes them."""
    return "\n".join(
        f"{clock(each.from_min)}-{clock(each.to_min)} {each.limit_w / 1_000:g}"
        for each in region.windows
    )


def clock(minute: int) -> str:
    """A minute of the day, as HH:MM."""
    return f"{minute // 60:02}:{minute % 60:02}"


def _apply(document: dict[str, Any], edit: Edit) -> None:
    match edit:
        case RegionEdit():
            _edit_region(document, edit)
        case FeederEdit():
            feeder = _named(document, "feeder", edit.name)
            if feeder is None:
                feeder = {"name": edit.name}
                document["feeder"] = [*document.get("feeder", []), feeder]
            feeder["region"] = edit.region
            feeder["limit_w"] = _watts("limit", edit.limit_kw)
        case CabinetEdit():
            cabinets = document.setdefault("cabinets", {})
            if edit.feeder:
                cabinets[edit.cabinet] = edit.feeder
            elif cabinets.pop(edit.cabinet, None) is None:
                raise InvalidError(f"cabinets: {edit.cabinet!r} is not in the grid")
        case PriceEdit():
            for key in ("shortfall_price_per_kwh", "lost_swap_price"):
                document[key] = _number(key, getattr(edit, key))


def _edit_region(document: dict[str, Any], edit: RegionEdit) -> None:
    region = _named(document, "region", edit.name)
    if region is None:
        region = {"name": edit.name}
        document["region"] = [*document.get("region", []), region]
    region["tariff"] = _lines("tariff", edit.tariff, _price_line)
    region["peak_price_per_kw"] = _number("peak_price_per_kw", edit.peak_price_per_kw or "0")
    region.pop("limit_w", None)
    if edit.limit_kw:
        region["limit_w"] = _watts("limit", edit.limit_kw)
    region.pop("window", None)
    if windows := _lines("window", edit.windows, _window_line):
        region["window"] = windows


def _named(document: Mapping[str, Any], key: str, name: str) -> dict[str, Any] | None:
    rows: list[dict[str, Any]] = document.get(key, [])
    return next((row for row in rows if row.get("name") == name), None)


def _lines(
    what: str, text: str, parse: Callable[[str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > LINES_MAX:
        raise InvalidError(f"{what}: has {len(lines)} lines, expected at most {LINES_MAX}")
    return [parse(f"{what} line {number}", line) for number, line in enumerate(lines, start=1)]


def _price_line(where: str, line: str) -> dict[str, Any]:
    start, _, price = line.partition(" ")
    return {"from": start, "price": _number(where, price.strip(), "such as 08:00 1.10")}


def _window_line(where: str, line: str) -> dict[str, Any]:
    span, _, limit = line.partition(" ")
    start, _, end = span.partition("-")
    return {"from": start, "to": end, "limit_w": _watts(where, limit.strip(), "18:00-20:00 400")}


def _number(where: str, text: str, example: str = "a number") -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidError(f"{where}: is {text[:40]!r}, expected {example}")
    return value


def _watts(where: str, text: str, example: str = "a number of kW") -> int:
    return round(_number(where, text, example) * 1_000)


def _is_nested(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, Sequence) and not isinstance(value, str) and bool(value)


def _rows(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items()]


def _key(key: str) -> str:
    plain = key and all(each.isascii() and (each.isalnum() or each in "-_") for each in key)
    return key if plain else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_rows(value)) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(str(value))


def _flat(grid: Grid) -> dict[str, str]:
    names = [feeder.name for feeder in grid.feeders]
    found = {
        "shortfall_price_per_kwh": f"{grid.shortfall_price_per_kwh:g}",
        "lost_swap_price": f"{grid.lost_swap_price:g}",
    }
    for region in grid.regions:
        at = f"region {region.name}"
        limit = "" if region.limit_w is None else f"{region.limit_w / 1_000:g} kW"
        found[f"{at}: limit"] = limit
        found[f"{at}: peak price"] = f"{region.peak_price_per_kw:g}"
        found[f"{at}: tariff"] = tariff_lines(region).replace("\n", ", ")
        found[f"{at}: windows"] = window_lines(region).replace("\n", ", ")
    for feeder in grid.feeders:
        where = grid.regions[feeder.region].name
        found[f"feeder {feeder.name}"] = f"{where}, {feeder.limit_w / 1_000:g} kW"
    for name in ("pack", "power"):
        values = getattr(grid, name)
        found |= {f"{name}.{key}": str(getattr(values, key)) for key in values.__slots__}
    return found | {f"cabinet {cabinet}": names[place] for cabinet, place in grid.cabinets}
