"""Saved views in memory, behind the real service."""

from __future__ import annotations

from msgspec.structs import replace

from fleet.core.saved_views import VIEWS_MAX, SavedView
from fleet.errors import NotFoundError, RefusedError
from fleet.runtime.saved_views import SavedViewService
from tests.support.fleet_fakes_base import ShiftedClock


class MemoryViews:
    """``fleet.runtime.saved_views.ViewRows``."""

    def __init__(self) -> None:
        self.views: dict[str, SavedView] = {}

    async def of(self, staff: str) -> list[SavedView]:
        return sorted(
            (each for each in self.views.values() if each.staff == staff),
            key=lambda each: each.name,
        )

    async def get(self, view_id: str) -> SavedView:
        if view_id not in self.views:
            raise NotFoundError(f"no view {view_id}")
        return self.views[view_id]

    async def put(self, new: SavedView) -> SavedView:
        own = await self.of(new.staff)
        old = next((each for each in own if each.name == new.name), None)
        if old is None and len(own) >= VIEWS_MAX:
            raise RefusedError("too many", code="views-full")
        kept = replace(new, id=old.id) if old else new
        self.views[kept.id] = kept
        return kept

    async def rename(self, staff: str, view_id: str, name: str) -> SavedView:
        own = {each.id: each for each in await self.of(staff)}
        if view_id not in own:
            raise NotFoundError(f"no view {view_id} of yours")
        if any(each.name == name and each.id != view_id for each in own.values()):
            raise RefusedError("another has it", code="view-name")
        self.views[view_id] = replace(own[view_id], name=name)
        return self.views[view_id]

    async def delete(self, staff: str, view_id: str) -> None:
        if view_id not in {each.id for each in await self.of(staff)}:
            raise NotFoundError(f"no view {view_id} of yours")
        del self.views[view_id]


def memory_views() -> SavedViewService:
    """The service over memory."""
    return SavedViewService(MemoryViews(), ShiftedClock())
