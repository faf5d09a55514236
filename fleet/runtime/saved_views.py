"""``fleet.ports_views.SavedViews`` over the store and the clock."""

from __future__ import annotations

from typing import Protocol

from fleet.core.saved_views import SavedView, check_name, check_page, kept_query
from fleet.ports import Clock
from fleet.runtime.commands import new_id


class ViewRows(Protocol):
    """Where views are kept."""

    async def of(self, staff: str) -> list[SavedView]:
        """Those of one account, by name."""
        ...

    async def get(self, view_id: str) -> SavedView:
        """One of anybody's; raise NotFoundError."""
        ...

    async def put(self, new: SavedView) -> SavedView:
        """Keep one; raise RefusedError."""
        ...

    async def rename(self, staff: str, view_id: str, name: str) -> SavedView:
        """Another name for one's own; raise NotFoundError or RefusedError."""
        ...

    async def delete(self, staff: str, view_id: str) -> None:
        """Forget one's own; raise NotFoundError."""
        ...


class SavedViewService:
    """Checks what is typed, and gives each view its id."""

    def __init__(self, rows: ViewRows, clock: Clock) -> None:
        self._rows = rows
        self._clock = clock

    async def of(self, staff: str) -> list[SavedView]:
        """Those of one account, by name."""
        return await self._rows.of(staff)

    async def get(self, view_id: str) -> SavedView:
        """One of anybody's; raise NotFoundError."""
        return await self._rows.get(view_id)

    async def save(self, staff: str, name: str, page: str, query: str) -> SavedView:
        """Keep one; raise InvalidError, RefusedError ``views-full``."""
        now_ms = self._clock.wall_ms()
        return await self._rows.put(
            SavedView(
                id=new_id(now_ms),
                staff=staff,
                name=check_name(name),
                page=check_page(page),
                query=kept_query(page, query),
                created_ms=now_ms,
            )
        )

    async def rename(self, staff: str, view_id: str, name: str) -> SavedView:
        """Another name for one's own; raise InvalidError, NotFoundError, RefusedError ``view-name``."""
        return await self._rows.rename(staff, view_id, check_name(name))

    async def delete(self, staff: str, view_id: str) -> None:
        """Forget one's own; raise NotFoundError."""
        await self._rows.delete(staff, view_id)
