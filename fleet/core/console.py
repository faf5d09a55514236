"""What the operator's console shows of many cabinets: one short row each, its mark, lists of them. Pure.

A cabinet's whole view holds every slot; at tens of thousands of cabinets lists and the map are made
from these rows instead, which are worked out once per report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from msgspec import Struct

from fleet.core.records import CabinetRecord
from fleet.core.swaps import TELEMETRY_AGE_MAX_MS, is_free_full, keep_shut
from fleet.errors import InvalidError
from protocols.messages import SlotState, Status, Telemetry

T = TypeVar("T")
PAGE_ROWS: Final = 50
PAGES_MAX: Final = 100_000
TEXT_MAX: Final = 60
AGE_MIN_MAX: Final = 525_600  # a year
_BROKEN: Final = frozenset({SlotState.FAULTED, SlotState.QUARANTINE, SlotState.OUT_OF_SERVICE})


class Mark(StrEnum):
    """How a cabinet stands, the worst first. What is not known is never "ok"."""

    ALARM = "alarm"  # no rider door may open
    FAULT = "fault"  # another alarm, or slots that are out of use
    OFFLINE = "offline"  # the broker says so
    STALE = "stale"  # connected, but its report is old
    NEVER = "never"  # nothing was ever received
    SHORT = "short"  # no full pack, or no slot to take one
    OK = "ok"


MARKS: Final = tuple(Mark)
PLACE_OF_MARK: Final = {mark: place for place, mark in enumerate(MARKS)}
#: What stands on the page of alarms.
UNWELL: Final = frozenset(MARKS) - {Mark.OK, Mark.SHORT}
#: What may be asked for beside single marks.
GROUPS: Final[Mapping[str, frozenset[Mark]]] = {
    "trouble": frozenset({Mark.ALARM, Mark.FAULT}),
    "online": frozenset({Mark.ALARM, Mark.FAULT, Mark.SHORT, Mark.OK}),
    "silent": frozenset({Mark.OFFLINE, Mark.STALE, Mark.NEVER}),
    **{mark.value: frozenset({mark}) for mark in MARKS},
}


class Brief(Struct, frozen=True, kw_only=True, gc=False):
    """One cabinet in a line. ``received_ms`` is when its report came; None: not known."""

    id: str
    name: str
    key: str  # what a typed text is looked for in
    station: str = ""
    station_name: str = ""
    lat: float | None = None
    lon: float | None = None
    online: bool = False
    received_ms: int | None = None
    full: int = 0
    empty: int = 0
    slots: int = 0
    power_w: float | None = None
    limit_w: int | None = None
    temp_c: float | None = None
    alarms: tuple[str, ...] = ()
    broken: int = 0  # slots out of use
    doors_shut: bool = False  # an alarm keeps them shut


def brief_of(
    record: CabinetRecord,
    status: Status | None,
    seen: Telemetry | None,
    received_ms: int | None,
    station: tuple[str, str] = ("", ""),
) -> Brief:
    """The row of a cabinet by its latest status and telemetry."""
    full = empty = broken = 0
    for slot in () if seen is None else seen.slots:
        if slot.state is SlotState.READY:
            full += is_free_full(slot)
        elif slot.state is SlotState.EMPTY:
            empty += 1
        elif slot.state in _BROKEN:
            broken += 1
    alarms = () if seen is None else seen.alarms
    return Brief(
        id=record.id,
        name=record.name,
        key=f"{record.id} {record.name} {station[0]} {station[1]}".casefold(),
        station=station[0],
        station_name=station[1],
        lat=record.lat,
        lon=record.lon,
        online=status is not None and status.online,
        received_ms=None if seen is None else received_ms,
        full=full,
        empty=empty,
        slots=record.slots,
        power_w=None if seen is None else seen.power_w,
        limit_w=None if seen is None else seen.power_limit_w,
        temp_c=None if seen is None else seen.temp_c,
        alarms=alarms,
        broken=broken,
        doors_shut=keep_shut(alarms),
    )


def mark_of(brief: Brief, now_ms: int) -> Mark:
    """How it stands now. An old report proves nothing, neither health nor a fault that lasts."""
    if brief.received_ms is None:
        return Mark.NEVER
    if not brief.online:
        return Mark.OFFLINE
    if now_ms - brief.received_ms > TELEMETRY_AGE_MAX_MS:
        return Mark.STALE
    if brief.doors_shut:
        return Mark.ALARM
    if brief.alarms or brief.broken:
        return Mark.FAULT
    if not brief.full or not brief.empty:
        return Mark.SHORT
    return Mark.OK


@dataclass(frozen=True, slots=True)
class Row:
    """A cabinet in a list: its row and its mark."""

    brief: Brief
    mark: Mark
    age_ms: int | None


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list, and how much there is."""

    rows: tuple[Row, ...]
    total: int
    page: int
    pages: int


@dataclass(frozen=True, slots=True)
class Query:
    """What a list shows. It stands in the URL, so that a link is a saved view."""

    q: str = ""
    state: str = ""
    station: str = ""
    #: Minutes since the last report, at least; a cabinet never heard of is older than any.
    age: int = 0
    sort: str = "id"
    page: int = 1

    def params(self, **changed: str | int) -> dict[str, str]:
        """As the parameters of a URL; what is as usual is left out."""
        values = {name: getattr(self, name) for name in self.__slots__} | changed
        usual = Query()
        return {k: str(v) for k, v in values.items() if v != getattr(usual, k)}


#: What a list may be sorted by. Figures that are not known stand last in either direction.
SORTS: Final[Mapping[str, Callable[[Brief], Any]]] = {
    "id": lambda b: b.id,
    "name": lambda b: b.name,
    "station": lambda b: b.station or None,
    "state": lambda _: None,  # by the mark, see below
    "full": lambda b: None if b.received_ms is None else b.full,
    "empty": lambda b: None if b.received_ms is None else b.empty,
    "power": lambda b: b.power_w,
    "temp": lambda b: b.temp_c,
    "age": lambda b: None if b.received_ms is None else -b.received_ms,
}


def read_query(params: Mapping[str, str]) -> Query:
    """A query from the parameters of a URL; raise InvalidError."""
    state, sort = params.get("state", ""), params.get("sort", "") or "id"
    if state and state not in GROUPS:
        raise InvalidError(f"state {state[:40]!r}: expected one of {', '.join(GROUPS)}")
    if sort.removeprefix("-") not in SORTS:
        names = ", ".join(SORTS)
        raise InvalidError(
            f"sort {sort[:40]!r}: expected one of {names}, with a - before it for down"
        )
    return Query(
        q=_short(params, "q"),
        state=state,
        station=_short(params, "station"),
        age=_count(params, "age", 0, AGE_MIN_MAX),
        sort=sort,
        page=_count(params, "page", 1, PAGES_MAX),
    )


def _short(params: Mapping[str, str], name: str) -> str:
    text = params.get(name, "").strip()
    if len(text) > TEXT_MAX:
        raise InvalidError(f"{name}: has {len(text)} characters; at most {TEXT_MAX} are looked for")
    return text


def _count(params: Mapping[str, str], name: str, low: int, high: int) -> int:
    text = params.get(name, "").strip()
    if not text:
        return low
    if not text.isascii() or not text.isdigit() or not low <= int(text[:9]) <= high:
        raise InvalidError(f"{name} {text[:20]!r}: expected a whole number from {low} to {high}")
    return int(text[:9])


def chosen(
    briefs: Sequence[Brief],
    marks: Sequence[int],
    query: Query,
    now_ms: int,
    bound: frozenset[str] | None = None,
) -> list[int]:
    """The places of the rows that a query asks for, in its order. ``briefs`` stand by id.

    ``bound``: at these stations only; None for everywhere.
    """
    places: Iterable[int] = range(len(briefs))
    if bound is not None:
        places = [place for place in places if briefs[place].station in bound]
    if query.state:
        wanted = {PLACE_OF_MARK[mark] for mark in GROUPS[query.state]}
        places = [place for place in places if marks[place] in wanted]
    if query.station:
        places = [place for place in places if briefs[place].station == query.station]
    if query.q:
        word = query.q.casefold()
        places = [place for place in places if word in briefs[place].key]
    if query.age:
        before_ms = now_ms - query.age * 60_000
        places = [
            place
            for place in places
            if (heard := briefs[place].received_ms) is None or heard <= before_ms
        ]
    return _sorted(list(places), briefs, marks, query.sort)


def _sorted(
    places: list[int], briefs: Sequence[Brief], marks: Sequence[int], sort: str
) -> list[int]:
    name, down = sort.removeprefix("-"), sort.startswith("-")
    if name == "id":
        return places[::-1] if down else places
    if name == "state":
        return sorted(places, key=marks.__getitem__, reverse=down)
    value = SORTS[name]
    known = [(value(briefs[place]), place) for place in places]
    unknown = [place for found, place in known if found is None]
    told = [pair for pair in known if pair[0] is not None]
    told.sort(key=lambda pair: pair[0], reverse=down)
    return [place for _, place in told] + unknown


def one_page(places: Sequence[T], page: int) -> tuple[Sequence[T], int, int]:
    """What stands on one page, its number (the last one when there are fewer), and how many there are."""
    pages = max(1, -(-len(places) // PAGE_ROWS))
    page = min(page, pages)
    return places[(page - 1) * PAGE_ROWS : page * PAGE_ROWS], page, pages


@dataclass(frozen=True, slots=True)
class Counts:
    """The fleet in figures. Power is of those that told it lately; None: none did."""

    total: int
    by_mark: Mapping[Mark, int]
    full: int
    empty: int
    power_w: float | None

    def of(self, group: str) -> int:
        """How many have a mark of this group."""
        return sum(self.by_mark[mark] for mark in GROUPS[group])


def count(briefs: Sequence[Brief], marks: Sequence[int]) -> Counts:
    """The figures of these rows; packs and power of those that are online."""
    online = {PLACE_OF_MARK[mark] for mark in GROUPS["online"]}
    live = [brief for brief, mark in zip(briefs, marks, strict=True) if mark in online]
    powers = [brief.power_w for brief in live if brief.power_w is not None]
    tally = [0] * len(MARKS)
    for mark in marks:
        tally[mark] += 1
    return Counts(
        total=len(briefs),
        by_mark={mark: tally[place] for place, mark in enumerate(MARKS)},
        full=sum(brief.full for brief in live),
        empty=sum(brief.empty for brief in live),
        power_w=sum(powers) if powers else None,
    )
