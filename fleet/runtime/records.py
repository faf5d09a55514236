"""``fleet.ports_console.Records``: the day in figures, a search over everything, events, messages."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from fleet.core.console import Query
from fleet.core.console_views import EnergyDay, EventRow, Find, Message, SwapDay
from fleet.errors import FleetError
from fleet.ports import Clock
from fleet.runtime.console import Board
from fleet.runtime.recorder import Recorder

log = logging.getLogger(__name__)

FLUSH_S: Final = 5.0
BUCKET_MS: Final = 15 * 60_000  # every zone's midnight begins one
HOUR_MS: Final = 3_600_000
SEEN_MAX: Final = (
    100_000  # riders times cabinets of one hour; more are not counted twice, but at all
)
FINDS_MAX: Final = 8
#: When the counting of riders turned away began.
NOTE: Final = "turned-away-since"


class ConsoleRows(Protocol):
    """What is needed of the store."""

    async def swap_counts(self, since_ms: int) -> tuple[int, int, int]:
        """Completed, ended, refused by the cabinet."""
        ...

    async def turned_since(self, since_ms: int) -> int:
        """Riders who were shown that they can't be served."""
        ...

    async def add_turned(self, riders: Mapping[tuple[int, str, str], int], now_ms: int) -> None:
        """Count them."""
        ...

    async def search(self, text: str) -> list[Find]:
        """Batteries, transactions, riders."""
        ...

    async def events(self, cabinet: str, kind: str, most: int) -> list[EventRow]:
        """The newest events."""
        ...


class Notes(Protocol):
    """Where small facts are kept by name."""

    async def note(self, name: str) -> str | None:
        """The text under this name; raise StoreError."""
        ...

    async def keep_note(self, name: str, text: str) -> None:
        """Keep it; raise StoreError."""
        ...


class RecordService:
    """Implements ``fleet.ports_console.Records``."""

    def __init__(
        self,
        *,
        rows: ConsoleRows,
        notes: Notes,
        board: Board,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._notes = notes
        self._board = board
        self._recorder = recorder
        self.told: list[Callable[[str, str], None]] = []  # cabinet, reason: who else counts them
        self.energy: Callable[[], Awaitable[EnergyDay | None]] | None = None
        self._clock = clock
        self._counting_since_ms: int | None = None
        self._hour = -1
        self._seen: set[tuple[str, str]] = set()
        self._turned: Counter[tuple[int, str, str]] = Counter()

    async def run(self) -> None:
        """Store what is counted, until cancelled."""
        while True:
            try:
                await self._flush()
            except FleetError as error:
                log.warning("console: riders turned away are not stored yet: %s", error)
            await self._clock.sleep(FLUSH_S)

    async def swap_day(self, since_ms: int) -> SwapDay:
        """The day's transactions."""
        completed, ended, refused = await self._rows.swap_counts(since_ms)
        counting_ms = self._counting_since_ms
        if counting_ms is None:
            return SwapDay(completed=completed, ended=ended, turned_away=None)
        shown = await self._rows.turned_since(since_ms)
        waiting = sum(n for (at_ms, _, _), n in self._turned.items() if at_ms >= since_ms)
        return SwapDay(
            completed=completed,
            ended=ended,
            turned_away=refused + shown + waiting,
            turned_since_ms=counting_ms if counting_ms > since_ms else None,
        )

    async def energy_day(self) -> EnergyDay | None:
        """The energy since midnight; None when nothing is measured."""
        return None if self.energy is None else await self.energy()

    async def search(self, text: str) -> list[Find]:
        """Cabinets, stations, batteries, transactions and riders that a text names."""
        word = text.casefold()
        listing = self._board.listed(Query(q=text))
        cabinets = [
            Find(kind="cabinet", id=row.brief.id, title=row.brief.name, detail=row.mark.value)
            for row in listing.rows[:FINDS_MAX]
        ]
        stations = [
            Find(kind="station", id=station, title=name)
            for station, name in self._board.stations()
            if word in station.casefold() or word in name.casefold()
        ]
        return [*cabinets, *stations[:FINDS_MAX], *(await self._rows.search(text))]

    async def events(self, cabinet_id: str, kind: str, most: int) -> list[EventRow]:
        """The newest events of a cabinet."""
        return await self._rows.events(cabinet_id, kind, most)

    def messages(self, cabinet_id: str, leaf: str, text: str) -> list[Message]:
        """What crossed the broker lately, the newest first; asking keeps the recorder on."""
        return [
            each
            for each in self._recorder.of(cabinet_id)
            if (not leaf or each.leaf == leaf) and text in each.text
        ]

    def turned_away(self, rider_id: str, cabinet_id: str, reason: str) -> None:
        """A rider was shown that this cabinet can't serve him; counted once an hour."""
        now_ms = self._clock.wall_ms()
        if now_ms // HOUR_MS != self._hour:
            self._hour = now_ms // HOUR_MS
            self._seen.clear()
        pair = (rider_id, cabinet_id)
        if pair not in self._seen:
            if len(self._seen) < SEEN_MAX:
                self._seen.add(pair)
            self._turned[now_ms - now_ms % BUCKET_MS, cabinet_id, reason] += 1
            for tell in self.told:
                tell(cabinet_id, reason)

    async def _flush(self) -> None:
        now_ms = self._clock.wall_ms()
        if self._counting_since_ms is None:
            text = await self._notes.note(NOTE)
            if text is None or not text.isdigit():
                text = str(now_ms)
                await self._notes.keep_note(NOTE, text)
            self._counting_since_ms = int(text)
        if not self._turned:
            return
        turned, self._turned = self._turned, Counter()
        try:
            await self._rows.add_turned(turned, now_ms)
        except FleetError:
            self._turned.update(turned)
            raise
