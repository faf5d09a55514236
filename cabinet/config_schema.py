"""A small strict schema for TOML tables: every key known, typed and in range, all faults at once."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cabinet.config_lines import Path

#: More complaints than this hide the first one.
PROBLEMS_MAX: Final = 50


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: where it stands, what is wrong and what to do."""

    where: str  # "cabinet.toml:12" or the name of an environment variable
    key: str
    what: str
    remedy: str

    def __str__(self) -> str:
        key = f" {self.key}:" if self.key else ""
        return f"{self.where}:{key} {self.what}; {self.remedy}"


@dataclass(slots=True)
class Report:
    """Collects problems; knows the line of every key."""

    file: str
    lines: Mapping[Path, int]
    environment: Mapping[Path, str] = field(default_factory=dict)  # overridden key -> variable
    problems: list[Problem] = field(default_factory=list)

    def add(self, path: Path, what: str, remedy: str) -> None:
        """Complain about the key at this path."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(self.where(path), dotted(path), what, remedy))

    def where(self, path: Path) -> str:
        """The variable or ``file:line`` that a key comes from; its table's when it is absent."""
        for end in range(len(path), 0, -1):
            if (variable := self.environment.get(path[:end])) is not None:
                return variable
            if (line := self.lines.get(path[:end])) is not None:
                return f"{self.file}:{line}"
        return self.file

    def line(self, path: Path) -> str:
        """The same in brief, for pointing at a second place."""
        return self.where(path).rpartition(":")[2]


def dotted(path: Path) -> str:
    """``("bus", 0, "port")`` as ``bus[1].port``: people count from one."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(frozen=True, slots=True)
class Text:
    """A string; empty only when ``empty`` says so."""

    default: str | None = None
    pattern: str = ""
    says: str = ""  # the pattern in words
    choices: tuple[str, ...] = ()
    empty: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """An integer, or a float when ``whole`` is off, within bounds (both included)."""

    low: float
    high: float
    default: float | None = None
    whole: bool = True
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    default: bool | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table of known keys. An absent optional table reads as None or as all its defaults."""

    keys: Mapping[str, Item]
    required: bool = True
    empty_default: bool = False  # absent: read as if it stood there empty


@dataclass(frozen=True, slots=True)
class Tables:
    """An array of tables."""

    table: Table
    least: int = 0


Item = Text | Number | Flag | Table | Tables


def read_table(raw: object, table: Table, path: Path, report: Report) -> dict[str, Any]:
    """The table with every known key present: its value, its default, or None where it is wrong."""
    if not isinstance(raw, dict):
        report.add(path, f"must be a table, not {_kind(raw)}", f"write [{dotted(path)}]")
        raw = {}
    meant: set[str] = set()  # keys that a misspelt one stands for: not missing as well
    for key in raw:
        if key not in table.keys:
            report.add((*path, key), "unknown key", nearest(key, table.keys))
            meant.update(_close(key, table.keys))
    quiet = Report(report.file, report.lines)
    return {
        key: _read(raw, key, item, path, quiet if key in meant - raw.keys() else report)
        for key, item in table.keys.items()
    }


def nearest(word: str, known: Iterable[str]) -> str:
    """The remedy for a word that is not among the known ones."""
    names = sorted(map(str, known))  # plain text, also of enums
    if close := _close(word, names):
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there is none to name yet"
    return f"known here: {', '.join(names)}"


def _close(word: str, known: Iterable[str]) -> list[str]:
    return difflib.get_close_matches(word.lower(), sorted(known), n=1, cutoff=0.6)


def _read(raw: Mapping[str, object], key: str, item: Item, path: Path, report: Report) -> Any:
    here = (*path, key)
    if isinstance(item, Tables):
        return _read_tables(raw.get(key, []), item, here, report)
    if isinstance(item, Table):
        if key in raw:
            return read_table(raw[key], item, here, report)
        if item.required:
            report.add(here, "is missing", f"add the table {dotted(here)!r}")
        if item.required or item.empty_default:
            quiet = Report(report.file, report.lines)
            return read_table({}, item, here, quiet)
        return None
    if key not in raw:
        if item.default is None:
            report.add(here, "is missing", f"add {key} = {_sample(item)}")
        return item.default
    value = raw[key]
    match item:
        case Text():
            return _text(value, item, here, report)
        case Number():
            return _number(value, item, here, report)
        case Flag():
            if isinstance(value, bool):
                return value
            report.add(here, f"must be true or false, not {_kind(value)}", "write true or false")
            return item.default


def _read_tables(raw: object, item: Tables, path: Path, report: Report) -> list[dict[str, Any]]:
    if not isinstance(raw, list):
        report.add(path, f"must be an array of tables, not {_kind(raw)}", f"write [[{path[-1]}]]")
        return []
    if len(raw) < item.least:
        report.add(path, "is missing", f"add a [[{path[-1]}]] table")
    return [read_table(entry, item.table, (*path, n), report) for n, entry in enumerate(raw)]


def _text(value: object, item: Text, path: Path, report: Report) -> str | None:
    if not isinstance(value, str):
        report.add(path, f"must be text, not {_kind(value)}", f'write {path[-1]} = "{value}"')
        return item.default
    if item.choices and value not in item.choices:
        report.add(path, f"{value!r} is not known", nearest(value, item.choices))
        return item.default
    if item.pattern and not re.fullmatch(item.pattern, value):
        report.add(path, f"{value!r} is not {item.says}", f"give {item.says}")
        return item.default
    if not value and not item.empty and not item.pattern:
        report.add(path, "must not be empty", "give a value or remove the key")
        return item.default
    return value


def _number(value: object, item: Number, path: Path, report: Report) -> float | None:
    good = isinstance(value, int) if item.whole else isinstance(value, int | float)
    if not good or isinstance(value, bool):
        kind = "a whole number" if item.whole else "a number"
        report.add(
            path, f"must be {kind}, not {_kind(value)}", f"write {path[-1]} = {_sample(item)}"
        )
        return item.default
    assert isinstance(value, int | float)
    if not (math.isfinite(value) and item.low <= value <= item.high):
        unit = f" {item.unit}" if item.unit else ""
        report.add(
            path,
            f"{value} is out of range",
            f"give a value from {item.low:g} to {item.high:g}{unit}",
        )
        return item.default
    return value if item.whole else float(value)


def _sample(item: Text | Number | Flag) -> str:
    match item:
        case Text():
            return f'"{item.choices[0]}"' if item.choices else '"…"'
        case Number():
            return f"{item.low if item.default is None else item.default:g}"
        case Flag():
            return "true"


def _kind(value: object) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number with a point",
        str: "text",
        list: "an array",
        dict: "a table",
    }
    return names.get(type(value), "a date or time")
