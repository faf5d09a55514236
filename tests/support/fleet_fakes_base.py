"""The clock, subscriptions and cabinets that the fleet's fakes share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from fleet.adapters.clock import SystemClock
from fleet.core.views import CabinetView
from fleet.errors import NotFoundError


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


class FakeCabinets:
    """``fleet.ports.Cabinets``; ``put`` is the cabinet's report."""

    def __init__(self) -> None:
        self.views: dict[str, CabinetView] = {}
        self.watched = Watched()

    def put(self, view: CabinetView) -> CabinetView:
        self.views[view.id] = view
        self.watched.tell(view.id, view)
        return view

    def change(self, cabinet_id: str, **values: Any) -> CabinetView:
        return self.put(replace(self.views[cabinet_id], **values))

    async def get(self, cabinet_id: str) -> CabinetView:
        if cabinet_id not in self.views:
            raise NotFoundError(f"no cabinet {cabinet_id}")
        return self.views[cabinet_id]

    async def all(self) -> list[CabinetView]:
        return [self.views[key] for key in sorted(self.views)]

    @asynccontextmanager
    async def watch(
        self, cabinet_id: str | None = None
    ) -> AsyncIterator[AsyncIterator[CabinetView]]:
        async with self.watched.watch(cabinet_id) as views:
            yield views
