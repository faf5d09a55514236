"""What the operator's desk needs of the store."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Protocol

from fleet.core.account_views import PartnerView
from fleet.core.desk import (
    AlarmNote,
    AlarmRaised,
    PackFilter,
    PackRow,
    RiderFilter,
    RiderRow,
    SwapEvent,
    SwapFilter,
    SwapRow,
    Told,
)
from fleet.core.plans import Plan
from fleet.core.views import LifeView
from fleet.runtime.grids import GridRows
from protocols.messages import AlarmBody


class DeskRows(Protocol):
    """Lists, one page at a time."""

    async def packs(self, wanted: PackFilter) -> list[PackRow]:
        """Packs by serial."""
        ...

    async def pack(self, serial: str) -> PackRow:
        """One pack; raise NotFoundError."""
        ...

    async def told(self, serial: str) -> list[Told]:
        """What cabinets told of a pack as it came and went."""
        ...

    async def swaps(self, wanted: SwapFilter) -> list[SwapRow]:
        """Swaps, the newest first."""
        ...

    async def swap_events(self, swap: SwapRow) -> list[SwapEvent]:
        """What was told of a swap."""
        ...

    async def riders(self, wanted: RiderFilter) -> list[RiderRow]:
        """Riders by id."""
        ...

    async def subscribers(self) -> dict[str, int]:
        """Riders by plan."""
        ...


class LifeRows(Protocol):
    """The ledger by battery."""

    async def life(self, serial: str) -> tuple[dict[str, Any], list[LifeView]]:
        """Every row of a battery's life; raise NotFoundError."""
        ...


class RiderJudge(Protocol):
    """Who may swap."""

    async def deny(self, rider: str, reason: str, actor: str, now_ms: int) -> None:
        """Block a rider; raise NotFoundError."""
        ...

    async def allow(self, rider: str, reason: str, actor: str, now_ms: int) -> None:
        """End the block; raise NotFoundError."""
        ...


class PartnerRows(Protocol):
    """Partners."""

    async def all(self, now_ms: int) -> list[PartnerView]:
        """Every partner."""
        ...

    async def judge(
        self, partner_id: str, reason: str, actor: str, now_ms: int, *, off: bool
    ) -> None:
        """Switch a partner off or on; raise NotFoundError."""
        ...


class PlanRows(Protocol):
    """Riders' plans."""

    async def all(self) -> list[Plan]:
        """Every plan."""
        ...


class AlarmRows(Protocol):
    """Alarms among the events, and notes on them."""

    async def events(
        self, cabinets: Collection[str], most: int
    ) -> dict[str, list[tuple[AlarmRaised, AlarmBody]]]:
        """By cabinet, the newest first, at most so many each."""
        ...

    async def noted(self) -> list[AlarmNote]:
        """The last notes whose alarms have not ended since, the newest first."""
        ...

    async def notes(self, cabinets: Collection[str]) -> list[AlarmNote]:
        """What was noted."""
        ...

    async def note(self, new: AlarmNote) -> bool:
        """Take note; False when somebody has already."""
        ...


class VersionRows(GridRows, Protocol):
    """Versions of the grid, to be taken back as well."""

    async def withdraw(
        self,
        version: int,
        *,
        actor: str,
        reason: str,
        day_ms: int,
        now_ms: int,
        revision: int | None = None,
    ) -> None:
        """Take back the last one before it begins; raise RefusedError."""
        ...
