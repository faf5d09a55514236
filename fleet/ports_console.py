"""What the pages may ask of the console: many cabinets at once, the day, a search, messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from fleet.core.console import Brief, Counts, Listing, Query, Row
from fleet.core.console_views import EnergyDay, EventRow, Find, Message, SwapDay
from fleet.core.geo import Point


class Ticks(Protocol):
    """One subscription to what changes on the map."""

    async def filled(self) -> None:
        """Wait until there is something to take, or the end."""
        ...

    def take(self) -> tuple[bytes, frozenset[str]] | None:
        """Ready events and the cabinets they are about; None: too much was missed, show all anew."""
        ...

    @property
    def ended(self) -> bool:
        """No more will come."""
        ...


class Console(Protocol):
    """Many cabinets at once, from memory. None of this waits."""

    def counts(self, bound: frozenset[str] | None = None) -> Counts:
        """The fleet in figures, or what stands at some stations."""
        ...

    def listed(self, query: Query, bound: frozenset[str] | None = None) -> Listing:
        """One page of a list; ``bound``: at these stations only."""
        ...

    def rows(self, query: Query, bound: frozenset[str] | None = None) -> Iterator[Row]:
        """The whole list, for export; each row as it stands when it is reached."""
        ...

    def unwell(self, query: Query, bound: frozenset[str] | None = None) -> list[Row]:
        """Those of a list that have an alarm, a fault, or are silent."""
        ...

    def row(self, cabinet_id: str) -> Row | None:
        """One cabinet's row; None when it is not registered."""
        ...

    def found(self, text: str, here: Point | None, most: int) -> tuple[list[Brief], bool]:
        """For a rider: who can serve first, then the nearest; and whether there are more."""
        ...

    def stations(self) -> Sequence[tuple[str, str]]:
        """Ids and names of the stations that have a cabinet, by id."""
        ...

    def map(self) -> tuple[str, bytes]:
        """Where everything stands, as JSON, and its version."""
        ...

    def whole(self) -> bytes:
        """The event that tells every cabinet's mark."""
        ...

    def watch(self) -> AbstractContextManager[Ticks]:
        """Changes from now on."""
        ...


class Records(Protocol):
    """What the console reads from the store."""

    async def swap_day(self, since_ms: int) -> SwapDay:
        """The day's transactions."""
        ...

    async def energy_day(self) -> EnergyDay | None:
        """The energy since midnight; None when nothing is measured."""
        ...

    async def search(self, text: str) -> list[Find]:
        """Cabinets, stations, batteries, transactions and riders that a text names."""
        ...

    async def events(self, cabinet_id: str, kind: str, most: int) -> list[EventRow]:
        """The newest events of a cabinet, of one type or of all ("")."""
        ...

    def messages(self, cabinet_id: str, leaf: str, text: str) -> list[Message]:
        """What crossed the broker lately, the newest first; asking keeps the recorder on."""
        ...

    def turned_away(self, rider_id: str, cabinet_id: str, reason: str) -> None:
        """A rider was shown that this cabinet can't serve him; counted once an hour."""
        ...
