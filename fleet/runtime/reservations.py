"""``fleet.ports.Reservations``: a full battery kept for a rider on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fleet.core.commands import QueuedCommand
from fleet.core.records import NewCommand
from fleet.core.reservations import (
    ASKED,
    Reservation,
    RiderFacts,
    check_minutes,
    refuse_reservation,
)
from fleet.core.views import ReservationView
from fleet.errors import NotFoundError
from fleet.ports import Clock
from fleet.runtime.commands import COMMAND_LIFE_MS, Commands, new_id
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture

MINUTE_S = 60


class ReservationRows(Protocol):
    """What the service needs of the store."""

    async def ask(
        self, wanted: Reservation, order: NewCommand, decide: Callable[[RiderFacts], str | None]
    ) -> tuple[Reservation, list[QueuedCommand]]:
        """Reserve and queue what the cabinet must be told, or return the live one."""
        ...

    async def live(self, rider: str, now_ms: int) -> Reservation | None:
        """The rider's live reservation."""
        ...

    async def newest(self, rider: str, cabinet: str) -> Reservation | None:
        """The rider's last one at this cabinet."""
        ...

    async def release(self, held: Reservation, order: NewCommand) -> QueuedCommand:
        """End one early."""
        ...


class ReservationService:
    """Implements ``fleet.ports.Reservations``."""

    def __init__(
        self,
        *,
        rows: ReservationRows,
        live: LivePicture,
        commands: Commands,
        hub: Hub,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._live = live
        self._commands = commands
        self._hub = hub
        self._clock = clock

    async def reserve(self, *, rider_id: str, cabinet_id: str, minutes: int) -> ReservationView:
        """Have the best full pack kept; a live one at this cabinet is returned as it is.

        Raises:
            NotFoundError: no such cabinet or rider.
            InvalidError: ``minutes`` is out of range.
            RefusedError: the code says why; see ``fleet.core.reservations``.
        """
        ttl_s = check_minutes(minutes) * MINUTE_S
        cabinet = self._live.facts(cabinet_id)
        now_ms = self._clock.wall_ms()
        id_ = f"hold-{new_id(now_ms)}"
        wanted = Reservation(
            id_, cabinet_id, rider_id, ASKED, now_ms, expires_ms=now_ms + ttl_s * 1_000
        )
        order = self._order(id_, wanted, "pack.hold", {"rider_id": rider_id, "ttl_s": ttl_s})
        made, queued = await self._rows.ask(
            wanted, order, lambda facts: refuse_reservation(cabinet, facts)
        )
        self._tell(made, queued)
        return self._view(made)

    async def release(self, *, rider_id: str, cabinet_id: str) -> ReservationView:
        """Give the pack free again; raise NotFoundError ``no-reservation``."""
        now_ms = self._clock.wall_ms()
        held = await self._rows.live(rider_id, now_ms)
        if held is None or held.cabinet != cabinet_id:
            raise NotFoundError(f"no reservation at {cabinet_id}", code="no-reservation")
        order = self._order(new_id(now_ms), held, "pack.release", {"hold": held.id})
        self._tell(held, [await self._rows.release(held, order)])
        newest = await self._rows.newest(rider_id, cabinet_id)
        return self._view(newest or held)

    async def of_rider(self, rider_id: str) -> ReservationView | None:
        """The rider's live reservation, at whatever cabinet."""
        held = await self._rows.live(rider_id, self._clock.wall_ms())
        return None if held is None else self._view(held)

    async def at(self, *, rider_id: str, cabinet_id: str) -> ReservationView | None:
        """The rider's last one at this cabinet, however it ended."""
        newest = await self._rows.newest(rider_id, cabinet_id)
        return None if newest is None else self._view(newest)

    def _order(
        self, id_: str, about: Reservation, type_: str, args: dict[str, object]
    ) -> NewCommand:
        now_ms = self._clock.wall_ms()
        return NewCommand(
            id=id_,
            cabinet=about.cabinet,
            type=type_,
            args=args,
            actor=about.rider,
            now_ms=now_ms,
            expires_ms=now_ms + COMMAND_LIFE_MS,
        )

    def _tell(self, about: Reservation, queued: list[QueuedCommand]) -> None:
        for command in queued:
            self._commands.submit(command)
        self._hub.tell([about.cabinet])

    def _view(self, row: Reservation) -> ReservationView:
        now_ms = self._clock.wall_ms()
        live = row.live_at(now_ms)
        return ReservationView(
            id=row.id,
            cabinet_id=row.cabinet,
            state=row.state_at(now_ms),
            slot=row.slot,
            reason=row.reason,
            created_ms=row.created_ms,
            expires_ms=row.expires_ms,
            left_s=max(0, row.expires_ms - now_ms) // 1_000 if live else 0,
        )
