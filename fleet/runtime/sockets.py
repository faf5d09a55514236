"""``fleet.ports.Sockets``: power from a socket for a rider, over store, live picture and commands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from fleet.core.commands import QueuedCommand
from fleet.core.records import NewCommand
from fleet.core.sockets import (
    ASKED,
    ENDED,
    ON,
    REFUSALS,
    NewSession,
    SessionFacts,
    SocketSession,
    check_limits,
    refuse_session,
)
from fleet.core.station_views import SessionView
from fleet.core.swaps import NO_ANSWER
from fleet.errors import DeniedError, InvalidError, RefusedError
from fleet.ports import Clock
from fleet.runtime.commands import COMMAND_LIFE_MS, Commands, new_id
from fleet.runtime.live import LivePicture
from protocols.sockets import SocketState, SocketTelemetry

OF_RIDER_MAX: Final = 100
KEY_CHARS_MAX: Final = 128


class SocketRows(Protocol):
    """What the service needs of the store."""

    async def begin(
        self, new: NewSession, decide: Callable[[SessionFacts], str | None]
    ) -> QueuedCommand | str:
        """Row and order in one transaction, or the id of an earlier one."""
        ...

    async def get(self, session_id: str) -> SocketSession:
        """One session; raise NotFoundError."""
        ...

    async def of_rider(self, rider: str, limit: int) -> list[SocketSession]:
        """A rider's sessions, newest first."""
        ...


class OrderRows(Protocol):
    """Where orders are queued."""

    async def add_once(self, new: NewCommand) -> QueuedCommand | None:
        """Queue a command unless one of this id was queued before."""
        ...


class SocketService:
    """Implements ``fleet.ports.Sockets``."""

    def __init__(
        self,
        *,
        rows: SocketRows,
        orders: OrderRows,
        live: LivePicture,
        commands: Commands,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._orders = orders
        self._live = live
        self._commands = commands
        self._clock = clock

    async def start(
        self,
        *,
        rider_id: str,
        cabinet_id: str,
        socket: int,
        limit_wh: int,
        limit_s: int,
        idempotency_key: str,
    ) -> SessionView:
        """Order power for a rider; the same key returns the same session.

        Raises:
            NotFoundError: no such cabinet or rider.
            InvalidError: a limit is out of range, or the key began another session.
            RefusedError: the code says why; see ``fleet.core.sockets.REFUSALS``.
        """
        check_limits(limit_wh, limit_s)
        if not 1 <= len(idempotency_key) <= KEY_CHARS_MAX or not idempotency_key.isprintable():
            raise InvalidError(f"idempotency key: expected 1 to {KEY_CHARS_MAX} characters")
        facts, seen = self._live.facts(cabinet_id), self._seen(cabinet_id, socket)
        now_ms = self._clock.wall_ms()
        new = NewSession(
            id=new_id(now_ms),
            cabinet=cabinet_id,
            socket=socket,
            rider=rider_id,
            key=idempotency_key,
            limit_wh=limit_wh,
            limit_s=limit_s,
            now_ms=now_ms,
            expires_ms=now_ms + COMMAND_LIFE_MS,
            shown=seen.session if seen else None,
        )
        begun = await self._rows.begin(new, lambda ledger: refuse_session(facts, seen, ledger))
        if isinstance(begun, str):
            return await self.get(begun)
        self._commands.submit(begun)
        return await self.get(new.id)

    async def stop(self, *, session_id: str, rider_id: str) -> SessionView:
        """End a session early.

        Raises:
            DeniedError: another rider's.
            RefusedError: ``done``: it has ended; ``offline``: the cabinet cannot be told.
        """
        session = await self._rows.get(session_id)
        if session.rider != rider_id:
            raise DeniedError("another rider's session")
        if not session.open:
            raise RefusedError("the session has ended", code="done")
        if not self._live.view(session.cabinet).online:
            raise RefusedError(REFUSALS["offline"], code="offline")
        now_ms = self._clock.wall_ms()
        # One order per half minute: a hasty tap is not another one, a later try is.
        order = NewCommand(
            id=f"stop-{session.id}-{now_ms // 30_000}",
            cabinet=session.cabinet,
            type="socket.stop",
            args={"socket": session.socket, "session": session.id},
            actor=rider_id,
            now_ms=now_ms,
            expires_ms=now_ms + COMMAND_LIFE_MS,
        )
        queued = await self._orders.add_once(order)
        if queued is not None:
            self._commands.submit(queued)
        return self._view(session)

    async def get(self, session_id: str) -> SessionView:
        """The session as it stands; raise NotFoundError."""
        return self._view(await self._rows.get(session_id))

    async def of_rider(self, rider_id: str, limit: int = 20) -> list[SessionView]:
        """The rider's sessions, newest first."""
        rows = await self._rows.of_rider(rider_id, min(limit, OF_RIDER_MAX))
        return [self._view(row) for row in rows]

    def _seen(self, cabinet: str, socket: int) -> SocketTelemetry | None:
        sockets = self._live.view(cabinet).sockets if self._live.known(cabinet) else ()
        return next((each for each in sockets if each.socket == socket), None)

    def _view(self, row: SocketSession) -> SessionView:
        """The row, made fresher by what the cabinet tells right now."""
        if row.open and row.lost_at(self._clock.wall_ms()):
            row = replace(row, state=ENDED, reason=NO_ANSWER)
        seen = self._seen(row.cabinet, row.socket) if row.open else None
        mine = seen if seen is not None and seen.session == row.id else None
        if mine is not None:
            row = replace(
                row,
                state=ON if row.state == ASKED else row.state,
                energy_wh=max(row.energy_wh, mine.energy_wh),
                duration_s=max(row.duration_s, mine.duration_s),
            )
        return SessionView(
            id=row.id,
            cabinet_id=row.cabinet,
            socket=row.socket,
            rider_id=row.rider,
            state=row.state,
            limit_wh=row.limit_wh,
            limit_s=row.limit_s,
            energy_wh=row.energy_wh,
            duration_s=row.duration_s,
            left_s=mine.left_s if mine else 0,
            power_w=mine.power_w if mine else None,
            paused=mine is not None and mine.state is SocketState.PAUSED,
            price_kwh_minor=row.price_kwh_minor,
            price_hour_minor=row.price_hour_minor,
            amount_minor=row.amount_minor,
            included=row.included,
            reason=row.reason,
            created_ms=row.created_ms,
        )
