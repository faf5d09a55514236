"""Port of saved views."""

from __future__ import annotations

from typing import Protocol

from fleet.core.saved_views import SavedView


class SavedViews(Protocol):
    """Addresses that staff keep under a name."""

    async def of(self, staff: str) -> list[SavedView]:
        """Those of one account, by name."""
        ...

    async def get(self, view_id: str) -> SavedView:
        """One of anybody's; raise NotFoundError."""
        ...

    async def save(self, staff: str, name: str, page: str, query: str) -> SavedView:
        """Keep one; of the same name it takes the place of the one before.

        Raises:
            InvalidError: a field is wrong.
            RefusedError: ``views-full``: the account has too many.
        """
        ...

    async def rename(self, staff: str, view_id: str, name: str) -> SavedView:
        """Another name for one's own.

        Raises:
            InvalidError: the name is wrong.
            NotFoundError: the account has no such view.
            RefusedError: ``view-name``: another of the account has the name.
        """
        ...

    async def delete(self, staff: str, view_id: str) -> None:
        """Forget one's own; raise NotFoundError."""
        ...
