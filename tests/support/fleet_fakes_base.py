"""The clock, subscriptions and cabinets that the fleet's fakes share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from fleet.adapters.clock import SystemClock
from fleet.core.console import Brief
from fleet.core.swaps import keep_shut
from fleet.core.views import CabinetView
from fleet.errors import NotFoundError
from fleet.runtime.hub import Hub


class ShiftedClock(SystemClock):
    """The machine's clocks, moved forward at will."""

    def __init__(self) -> None:
        self.shift_ms = 0

    def monotonic_ms(self) -> int:
        return super().monotonic_ms() + self.shift_ms

    def wall_ms(self) -> int:
        return super().wall_ms() + self.shift_ms

    def now_utc(self) -> datetime:
        return datetime.fromtimestamp(self.wall_ms() / 1_000, UTC)


class Watched:
    """Subscriptions to views by key; None watches all."""

    def __init__(self) -> None:
        self._queues: list[tuple[str | None, asyncio.Queue[Any]]] = []
        self._muted = False

    def mute(self, *, on: bool = True) -> None:
        """Lose what is told, as a dead connection does."""
        self._muted = on

    def tell(self, key: str, view: Any) -> None:
        if self._muted:
            return
        for wanted, queue in self._queues:
            if wanted in (None, key):
                queue.put_nowait(view)

    @asynccontextmanager
    async def watch(self, key: str | None, *first: Any) -> AsyncIterator[AsyncIterator[Any]]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        for view in first:
            queue.put_nowait(view)
        entry = (key, queue)
        self._queues.append(entry)

        async def views() -> AsyncIterator[Any]:
            while True:
                yield await queue.get()

        try:
            yield views()
        finally:
            self._queues.remove(entry)

    @property
    def count(self) -> int:
        return len(self._queues)


def brief_of_view(view: CabinetView, now_ms: int, station: tuple[str, str]) -> Brief:
    """The row of a cabinet by its whole view, which counts by itself."""
    broken = ("faulted", "quarantine", "out-of-service")
    return Brief(
        id=view.id,
        name=view.name,
        key=f"{view.id} {view.name} {' '.join(station)}".casefold(),
        station=station[0],
        station_name=station[1],
        lat=view.lat,
        lon=view.lon,
        online=view.online,
        received_ms=None if view.age_ms is None else now_ms - view.age_ms,
        full=view.full,
        empty=view.empty,
        slots=view.slots_total,
        power_w=view.power_w,
        limit_w=view.power_limit_w,
        temp_c=view.temp_c,
        alarms=view.alarms,
        broken=sum(each.state in broken for each in view.slots),
        doors_shut=keep_shut(view.alarms),
    )


class FakeCabinets:
    """``fleet.ports.Cabinets``; ``put`` is the cabinet's report."""

    def __init__(self) -> None:
        self.views: dict[str, CabinetView] = {}
        self.put_ms: dict[str, int] = {}
        self.hub = Hub()
        self.clock = ShiftedClock()
        self.watched = Watched()

    @property
    def revision(self) -> int:
        return len(self.views)

    def ids(self) -> list[str]:
        return sorted(self.views)

    def brief(self, cabinet_id: str, station: tuple[str, str] = ("", "")) -> Brief:
        return brief_of_view(self.views[cabinet_id], self.put_ms[cabinet_id], station)

    def put(self, view: CabinetView) -> CabinetView:
        self.views[view.id] = view
        self.put_ms[view.id] = self.clock.wall_ms()
        self.hub.tell([view.id])
        self.watched.tell(view.id, view)
        return view

    def change(self, cabinet_id: str, **values: Any) -> CabinetView:
        return self.put(replace(self.views[cabinet_id], **values))

    async def get(self, cabinet_id: str) -> CabinetView:
        if cabinet_id not in self.views:
            raise NotFoundError(f"no cabinet {cabinet_id}")
        return self.views[cabinet_id]

    async def page(self, after: str, limit: int) -> list[CabinetView]:
        return [each for each in await self.all() if each.id > after][:limit]

    async def all(self) -> list[CabinetView]:
        return [self.views[key] for key in sorted(self.views)]

    @asynccontextmanager
    async def watch(
        self, cabinet_id: str | None = None
    ) -> AsyncIterator[AsyncIterator[CabinetView]]:
        async with self.watched.watch(cabinet_id) as views:
            yield views
