"""Ports of the operator's desk: lists, passports, alarms, and the versions of the grid."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Protocol

from fleet.core.account_views import PartnerView
from fleet.core.balance.curve import ScopesView
from fleet.core.balance.versions import GridVersion
from fleet.core.balance.what_if import Change, WhatIfView
from fleet.core.console import Row
from fleet.core.desk import (
    AlarmFilter,
    AlarmPage,
    PackFilter,
    PackRow,
    Passport,
    RiderFilter,
    RiderRow,
    StandingAlarm,
    SwapEvent,
    SwapFilter,
    SwapRow,
)
from fleet.core.plans import Plan


class Desk(Protocol):
    """Lists of what the ledger knows."""

    async def packs(self, wanted: PackFilter) -> list[PackRow]:
        """Packs by serial."""
        ...

    async def passport(self, serial: str) -> Passport:
        """One pack and its whole life; raise NotFoundError."""
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

    async def judge_rider(self, rider_id: str, reason: str, actor: str, *, denied: bool) -> None:
        """Block a rider everywhere, or end it; raise InvalidError, NotFoundError."""
        ...

    async def partners(self) -> list[PartnerView]:
        """Every partner with what its riders used today."""
        ...

    async def judge_partner(self, partner_id: str, reason: str, actor: str, *, off: bool) -> None:
        """A partner's riders take no more packs, or again; raise InvalidError, NotFoundError."""
        ...

    async def plans(self) -> list[tuple[Plan, int]]:
        """Every plan, and how many riders have it until further notice."""
        ...


class AlarmDesk(Protocol):
    """Alarms that stand."""

    async def page(self, rows: Iterable[Row], wanted: AlarmFilter) -> AlarmPage:
        """One page of the alarms of these cabinets, the gravest first."""
        ...

    def every(self, rows: Iterable[Row], wanted: AlarmFilter) -> AsyncIterator[StandingAlarm]:
        """All of them, in the same order."""
        ...

    async def note(
        self, cabinet: Row, code: str, slot: int | None, *, reason: str, actor: str
    ) -> None:
        """Take note of one; raise InvalidError, NotFoundError when it does not stand."""
        ...


class GridDesk(Protocol):
    """Versions of the grid."""

    def now_ms(self) -> int:
        """By the tariff's clock."""
        ...

    async def history(self) -> tuple[int, list[GridVersion]]:
        """The revision and the versions, the oldest first."""
        ...

    async def text(self, version: int) -> str:
        """One version as a file; raise NotFoundError."""
        ...

    async def propose(
        self,
        text: str,
        *,
        valid_from_ms: int | None,
        reason: str,
        actor: str,
        source: str,
        revision: int | None,
    ) -> int:
        """A new version, from now on or from then; its number.

        Raises:
            InvalidError: the grid, the time or the reason is wrong.
            RefusedError: ``grid-changed``, ``grid-order``, ``grid-ahead``.
        """
        ...

    async def withdraw(
        self, version: int, *, reason: str, actor: str, revision: int | None
    ) -> None:
        """Take back the last version before it begins; raise InvalidError, RefusedError."""
        ...


class Asking(Protocol):
    """Questions to the planner; a ``Balance`` that answers them."""

    async def what_if(self, scope: str, change: Change) -> WhatIfView:
        """Two plans; raise NotFoundError, InvalidError, RefusedError ``what-if-busy``."""
        ...

    async def scopes(self) -> ScopesView:
        """The names that a curve may be asked of."""
        ...


@dataclass(frozen=True, slots=True)
class Charts:
    """What the desk's pages are built from; ``grid`` is None where the balance is off."""

    desk: Desk
    alarms: AlarmDesk
    grid: GridDesk | None = None
    asking: Asking | None = None
