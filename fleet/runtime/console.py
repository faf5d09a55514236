"""``fleet.ports_console.Console`` over the live picture: a row per cabinet, and who looks at the map.

Rows are worked out when a report comes, so that a list of tens of thousands costs a look through
memory and no query. Changes are gathered for a second, encoded once, and the same bytes are handed to
every open console; one that does not keep up is shown everything anew instead of a growing queue.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from bisect import bisect_left
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

import msgspec

from fleet.core.console import (
    MARKS,
    PLACE_OF_MARK,
    UNWELL,
    Brief,
    Counts,
    Listing,
    Mark,
    Query,
    Row,
    chosen,
    count,
    mark_of,
    one_page,
)
from fleet.core.distance import distance_m
from fleet.core.geo import Point
from fleet.core.swaps import TELEMETRY_AGE_MAX_MS
from fleet.errors import FleetError
from fleet.ports import Clock
from fleet.runtime.hub import Hub

log = logging.getLogger(__name__)

TICK_S: Final = 1.0
STATIONS_S: Final = 30.0  # another process may move cabinets between stations
QUEUE_MAX: Final = 8  # ticks that a console may be behind
WATCHERS_MAX: Final = 2_000
SHOWN_MAX: Final = 60  # packs and slots beyond it are told as so many
#: Nobody rides farther for a battery; the search widens to it in steps.
REACHES_M: Final = (2_000, 10_000, 50_000, 25_000_000)
DEGREE_M: Final = 111_000.0
_ZERO: Final = 48  # "0": a count of packs is one letter from here on


@dataclass(frozen=True, slots=True)
class StationPlace:
    """A station and the cabinets that stand there."""

    id: str
    name: str
    lat: float | None
    lon: float | None
    cabinets: tuple[str, ...]


class Source(Protocol):
    """Where the cabinets are."""

    @property
    def revision(self) -> int:
        """Rises when the register was looked at."""
        ...

    def ids(self) -> list[str]:
        """Every cabinet, by id."""
        ...

    def brief(self, cabinet: str, station: tuple[str, str] = ("", "")) -> Brief:
        """One of them in a line."""
        ...


class Subscription:
    """What one open console has yet to be sent; ``fleet.ports_console.Ticks``."""

    def __init__(self) -> None:
        self.ended = False
        self._ticks: deque[tuple[bytes, frozenset[str]]] = deque()
        self._lost = False
        self._wake = asyncio.Event()

    def put(self, tick: tuple[bytes, frozenset[str]]) -> None:
        """Add one; never blocks."""
        if len(self._ticks) >= QUEUE_MAX:
            self._ticks.clear()
            self._lost = True
        if not self._lost:
            self._ticks.append(tick)
        self._wake.set()

    def lose(self) -> None:
        """Everything it knows is out of date."""
        self._ticks.clear()
        self._lost = True
        self._wake.set()

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self._wake.set()

    async def filled(self) -> None:
        """Wait until there is something to take, or the end."""
        await self._wake.wait()

    def take(self) -> tuple[bytes, frozenset[str]] | None:
        """What there is; None when too much was missed."""
        self._wake.clear()
        lost, self._lost = self._lost, False
        if lost:
            return None
        ticks, self._ticks = self._ticks, deque()
        if len(ticks) == 1:
            return ticks[0]
        bodies = b"".join(body for body, _ in ticks)
        return bodies, frozenset().union(*(changed for _, changed in ticks))


class Board:
    """All cabinets, a row each, in the order of their ids."""

    def __init__(
        self,
        source: Source,
        hub: Hub,
        clock: Clock,
        stations: Callable[[], Awaitable[Sequence[StationPlace]]],
        *,
        tick_s: float = TICK_S,
    ) -> None:
        self._source = source
        self._changes = hub.open(None)
        self._clock = clock
        self._read_stations = stations
        self._tick_s = tick_s
        self._stations: dict[str, StationPlace] = {}
        self._station_of: dict[str, tuple[str, str]] = {}
        self._known = -1
        self._briefs: list[Brief] = []
        self._place: dict[str, int] = {}
        self._marks = bytearray()
        self._full = bytearray()
        self._heard: dict[str, int] = {}  # of those that are online, the longest ago first
        self._changed: set[int] = set()
        self._by_lat: list[tuple[float, int]] = []
        self._map: tuple[str, bytes] | None = None
        self._counts: Counts | None = None
        self._watching: set[Subscription] = set()

    async def run(self) -> None:
        """Tell who looks what changed, until cancelled."""
        next_stations_ms = 0
        try:
            while True:
                if self._clock.monotonic_ms() >= next_stations_ms:
                    await self._take_stations()
                    next_stations_ms = self._clock.monotonic_ms() + int(STATIONS_S * 1_000)
                self.tick()
                await self._clock.sleep(self._tick_s)
        finally:
            for each in self._watching:
                each.end()

    def tick(self) -> None:
        """Hand the changes since the last tick to every console."""
        self._refresh()
        changed, self._changed = self._changed, set()
        if not changed or not self._watching:
            return
        told: list[int] = []
        for place in sorted(changed):
            told += (place, self._marks[place], self._full[place])
        body = _event({"type": "map", "v": self.map()[0], "d": told, "n": self._figures()})
        ids = frozenset(self._briefs[place].id for place in changed)
        for each in self._watching:
            each.put((body, ids))

    # --- asking ---------------------------------------------------------------------------------

    def counts(self, bound: frozenset[str] | None = None) -> Counts:
        """The fleet in figures, or what stands at some stations."""
        self._refresh()
        if bound is not None:
            places = chosen(self._briefs, self._marks, Query(), self._clock.wall_ms(), bound)
            return count(
                [self._briefs[place] for place in places], [self._marks[place] for place in places]
            )
        if self._counts is None:
            self._counts = count(self._briefs, self._marks)
        return self._counts

    def listed(self, query: Query, bound: frozenset[str] | None = None) -> Listing:
        """One page of a list; ``bound``: at these stations only."""
        self._refresh()
        now_ms = self._clock.wall_ms()
        places = chosen(self._briefs, self._marks, query, now_ms, bound)
        shown, page, pages = one_page(places, query.page)
        rows = tuple(self._row(place, now_ms) for place in shown)
        return Listing(rows, len(places), page, pages)

    def rows(self, query: Query, bound: frozenset[str] | None = None) -> Iterator[Row]:
        """The whole list; each row as it stands when it is reached."""
        self._refresh()
        briefs, now_ms = self._briefs, self._clock.wall_ms()
        ids = [briefs[p].id for p in chosen(briefs, self._marks, query, now_ms, bound)]
        return (row for cabinet in ids if (row := self.row(cabinet)) is not None)

    def unwell(self, query: Query, bound: frozenset[str] | None = None) -> list[Row]:
        """Those of a list that have an alarm, a fault, or are silent."""
        self._refresh()
        now_ms = self._clock.wall_ms()
        places = chosen(self._briefs, self._marks, query, now_ms, bound)
        return [self._row(place, now_ms) for place in places if MARKS[self._marks[place]] in UNWELL]

    def row(self, cabinet_id: str) -> Row | None:
        """One cabinet's row; None when it is not registered."""
        self._refresh()
        place = self._place.get(cabinet_id)
        return None if place is None else self._row(place, self._clock.wall_ms())

    def found(self, text: str, here: Point | None, most: int) -> tuple[list[Brief], bool]:
        """For a rider: who can serve first, then the nearest; and whether there are more."""
        self._refresh()
        if here is not None and not text:
            near = self._near(here, most)
            return near, len(near) < len(self._briefs)
        word = text.casefold()
        able, others, more = list[Brief](), list[Brief](), False
        for place, brief in enumerate(self._briefs):
            if word and word not in brief.key:
                continue
            (able if self._serves(place) else others).append(brief)
        both = able + others
        if here is not None:
            both = sorted(able, key=lambda each: _away_m(here, each))
            both += sorted(others, key=lambda each: _away_m(here, each))
        more = len(both) > most
        return both[:most], more

    def stations(self) -> Sequence[tuple[str, str]]:
        """Ids and names of the stations, by id."""
        return [(each.id, each.name) for each in self._stations.values()]

    def map(self) -> tuple[str, bytes]:
        """Where everything stands, as JSON, and its version."""
        self._refresh()
        if self._map is None:
            places = {
                "ids": [each.id for each in self._briefs],
                "names": [each.name for each in self._briefs],
                "lat": [_degrees(each.lat) for each in self._briefs],
                "lon": [_degrees(each.lon) for each in self._briefs],
                "stations": [
                    [each.name, _degrees(each.lat), _degrees(each.lon)]
                    for each in self._stations.values()
                    if each.lat is not None
                ],
            }
            version = hashlib.sha256(msgspec.json.encode(places)).hexdigest()[:16]
            self._map = version, msgspec.json.encode({"v": version, **places})
        return self._map

    def whole(self) -> bytes:
        """The event that tells every cabinet's mark."""
        version = self.map()[0]
        marks = bytes(mark + _ZERO for mark in self._marks).decode()
        full = bytes(number + _ZERO for number in self._full).decode()
        event = {"type": "map", "v": version, "m": marks, "f": full, "n": self._figures()}
        return _event(event)

    @contextmanager
    def watch(self) -> Iterator[Subscription]:
        """Changes from now on; at most ``WATCHERS_MAX`` at once."""
        if len(self._watching) >= WATCHERS_MAX:
            raise FleetError("too many open consoles", code="streams-full")
        subscription = Subscription()
        self._watching.add(subscription)
        try:
            yield subscription
        finally:
            self._watching.discard(subscription)

    # --- keeping up -----------------------------------------------------------------------------

    async def _take_stations(self) -> None:
        try:
            found = await self._read_stations()
        except FleetError as error:
            log.warning("console: the stations are not known: %s", error)
            return
        stations = {each.id: each for each in found}
        if stations != self._stations:
            self._stations = stations
            self._station_of = {
                cabinet: (each.id, each.name) for each in found for cabinet in each.cabinets
            }
            self._known = -1

    def _refresh(self) -> None:
        """Take in what changed since the last call."""
        if self._known != self._source.revision:
            self._rebuild()
            return
        now_ms = self._clock.wall_ms()
        dirty = self._changes.take()
        places = self._place
        for cabinet in places if dirty is None else dirty:
            if (place := places.get(cabinet)) is not None:
                self._work_out(place, cabinet, now_ms)
        self._expire(now_ms)

    def _rebuild(self) -> None:
        self._known = self._source.revision
        self._changes.take()
        before = [(b.id, b.name, b.lat, b.lon, b.station_name) for b in self._briefs]
        briefs = [
            self._source.brief(cabinet, self._station_of.get(cabinet, ("", "")))
            for cabinet in self._source.ids()
        ]
        now_ms = self._clock.wall_ms()
        self._briefs = briefs
        self._place = {each.id: place for place, each in enumerate(briefs)}
        marks, full = self._marks, self._full
        self._marks = bytearray(PLACE_OF_MARK[mark_of(each, now_ms)] for each in briefs)
        self._full = bytearray(min(each.full, SHOWN_MAX) for each in briefs)
        heard = ((b.received_ms, b.id) for b in briefs if b.online and b.received_ms is not None)
        self._heard = {cabinet: at_ms for at_ms, cabinet in sorted(heard)}
        self._by_lat = sorted((b.lat, place) for place, b in enumerate(briefs) if b.lat is not None)
        self._counts = None
        if before != [(b.id, b.name, b.lat, b.lon, b.station_name) for b in briefs]:
            self._map = None
            self._changed.clear()
            for each in self._watching:
                each.lose()
        else:
            now = zip(self._marks, self._full, strict=True)
            old = zip(marks, full, strict=True)
            both = enumerate(zip(old, now, strict=True))
            self._changed.update(place for place, (then, told) in both if then != told)

    def _work_out(self, place: int, cabinet: str, now_ms: int) -> None:
        brief = self._source.brief(cabinet, self._station_of.get(cabinet, ("", "")))
        self._briefs[place] = brief
        self._heard.pop(cabinet, None)
        if brief.online and brief.received_ms is not None:
            self._heard[cabinet] = brief.received_ms
        self._counts = None
        self._set(place, PLACE_OF_MARK[mark_of(brief, now_ms)], min(brief.full, SHOWN_MAX))

    def _expire(self, now_ms: int) -> None:
        """Mark those that have gone silent: nothing tells us of silence."""
        before_ms = now_ms - TELEMETRY_AGE_MAX_MS
        silent = []
        for cabinet, heard_ms in self._heard.items():
            if heard_ms >= before_ms:
                break
            silent.append(cabinet)
        for cabinet in silent:
            del self._heard[cabinet]
            place = self._place[cabinet]
            mark = mark_of(self._briefs[place], now_ms)
            self._counts = None
            self._set(place, PLACE_OF_MARK[mark], self._full[place])

    def _set(self, place: int, mark: int, full: int) -> None:
        if self._marks[place] != mark or self._full[place] != full:
            self._marks[place], self._full[place] = mark, full
            self._changed.add(place)

    def _row(self, place: int, now_ms: int) -> Row:
        brief = self._briefs[place]
        age_ms = None if brief.received_ms is None else max(0, now_ms - brief.received_ms)
        return Row(brief, MARKS[self._marks[place]], age_ms)

    def _serves(self, place: int) -> bool:
        brief = self._briefs[place]
        mark = MARKS[self._marks[place]]
        return mark in (Mark.OK, Mark.FAULT) and bool(brief.full and brief.empty)

    def _near(self, here: Point, most: int) -> list[Brief]:
        """Within the smallest reach that has enough who can serve; those who can't stand last."""
        found: list[tuple[bool, int, int]] = []
        for reach_m in REACHES_M:
            found = [
                (not self._serves(place), away_m, place)
                for away_m, place in self._within(here, reach_m)
            ]
            if sum(not unable for unable, _, _ in found) >= most:
                break
        found.sort()
        near = [self._briefs[place] for _, _, place in found[:most]]
        if len(near) < most:
            nowhere = (b for b in self._briefs if b.lat is None or b.lon is None)
            near += islice(nowhere, most - len(near))
        return near

    def _within(self, here: Point, reach_m: int) -> Iterator[tuple[int, int]]:
        span = reach_m / DEGREE_M
        for step in range(bisect_left(self._by_lat, (here.lat - span, -1)), len(self._by_lat)):
            lat, place = self._by_lat[step]
            if lat > here.lat + span:
                return
            lon = self._briefs[place].lon
            if lon is not None and (away_m := distance_m(here.lat, here.lon, lat, lon)) <= reach_m:
                yield away_m, place

    def _figures(self) -> Mapping[str, Any]:
        counts = self.counts()
        return {
            "total": counts.total,
            "online": counts.of("online"),
            "trouble": counts.of("trouble"),
            "silent": counts.of("silent"),
            "full": counts.full,
            "empty": counts.empty,
            "power_w": counts.power_w,
        }


def _away_m(here: Point, brief: Brief) -> tuple[bool, int]:
    if brief.lat is None or brief.lon is None:
        return True, 0
    return False, distance_m(here.lat, here.lon, brief.lat, brief.lon)


def _degrees(value: float | None) -> float | None:
    """To a metre."""
    return None if value is None else round(value, 5)


def _event(document: Any) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def places_of(stations: Iterable[tuple[Any, tuple[str, ...]]]) -> list[StationPlace]:
    """The stations of the store, as the board wants them."""
    return [
        StationPlace(each.id, each.name, each.lat, each.lon, cabinets)
        for each, cabinets in stations
    ]
