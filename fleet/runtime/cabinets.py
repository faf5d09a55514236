"""``fleet.ports.Cabinets`` over the live picture."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from fleet.core.views import CabinetView
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture


class CabinetService:
    """Implements ``fleet.ports.Cabinets``."""

    def __init__(self, *, live: LivePicture, hub: Hub) -> None:
        self._live = live
        self._hub = hub

    async def get(self, cabinet_id: str) -> CabinetView:
        """One cabinet as it stands; raise NotFoundError."""
        return self._live.view(cabinet_id)

    async def page(self, after: str, limit: int) -> list[CabinetView]:
        """At most ``limit`` cabinets whose ids come after this one, by id."""
        ids = self._live.ids()
        start = bisect_right(ids, after)
        return [self._live.view(cabinet) for cabinet in ids[start : start + limit]]

    @asynccontextmanager
    async def watch(
        self, cabinet_id: str | None = None
    ) -> AsyncIterator[AsyncIterator[CabinetView]]:
        """The present view of one cabinet, then at every change of it; or the changes of all.

        Ends at shutdown; raise NotFoundError for a cabinet that is not registered.
        """
        if cabinet_id is not None:
            self._live.view(cabinet_id)
        with self._hub.watcher(cabinet_id) as watcher:

            async def views() -> AsyncIterator[CabinetView]:
                if cabinet_id is not None:
                    yield self._live.view(cabinet_id)
                async for changed in watcher.changes():
                    keys = self._live.ids() if changed is None else sorted(changed)
                    for view in self._views(keys):
                        yield view

            yield views()

    def _views(self, keys: Iterable[str]) -> Iterable[CabinetView]:
        return (self._live.view(key) for key in keys)
