"""``fleet.ports.Cabinets`` over the live picture."""

from __future__ import annotations

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

    async def all(self) -> list[CabinetView]:
        """Every cabinet, by id."""
        return [self._live.view(cabinet) for cabinet in self._live.ids()]

    @asynccontextmanager
    async def watch(
        self, cabinet_id: str | None = None
    ) -> AsyncIterator[AsyncIterator[CabinetView]]:
        """The present views first, then at every change of one cabinet or of all.

        Ends at shutdown; raise NotFoundError for a cabinet that is not registered.
        """
        if cabinet_id is not None:
            self._live.view(cabinet_id)
        with self._hub.watcher(cabinet_id) as watcher:

            async def views() -> AsyncIterator[CabinetView]:
                everything = self._live.ids() if cabinet_id is None else [cabinet_id]
                for view in self._views(everything):
                    yield view
                async for changed in watcher.changes():
                    keys = self._live.ids() if changed is None else sorted(changed)
                    for view in self._views(keys):
                        yield view

            yield views()

    def _views(self, keys: Iterable[str]) -> Iterable[CabinetView]:
        return (self._live.view(key) for key in keys)
