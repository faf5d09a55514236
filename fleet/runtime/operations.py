"""``fleet.ports.Operations``: what operators and technicians order, over store and dispatcher."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

from fleet.core.commands import QueuedCommand
from fleet.core.operations import OPENS_A_DOOR, OPERATOR, Wish, check_wish, order_id
from fleet.core.records import LogFilter, NewCommand
from fleet.core.swaps import REFUSALS
from fleet.core.two_person import doors_alone
from fleet.core.views import LogView, OrderView
from fleet.errors import RefusedError
from fleet.ports import Clock
from fleet.runtime.commands import COMMAND_LIFE_MS, Commands
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture

ORDERS_SHOWN_MAX: Final = 100


class OrderRows(Protocol):
    """What the service needs of the store."""

    async def order(self, new: NewCommand, doors_most: int | None = None) -> QueuedCommand | None:
        """Queue and log an order; None when this key gave it earlier."""
        ...

    async def view(self, command_id: str) -> OrderView:
        """One order; raise NotFoundError."""
        ...

    async def of_cabinet(self, cabinet: str, limit: int) -> list[OrderView]:
        """The orders at a cabinet, newest first."""
        ...


class LogRows(Protocol):
    """The log of orders."""

    async def rows(self, wanted: LogFilter) -> list[LogView]:
        """The rows that match, newest first."""
        ...


class OperationService:
    """Implements ``fleet.ports.Operations``."""

    def __init__(
        self,
        *,
        rows: OrderRows,
        log: LogRows,
        live: LivePicture,
        commands: Commands,
        hub: Hub,
        cabinet_hub: Hub,
        clock: Clock,
    ) -> None:
        self._cabinet_hub = cabinet_hub
        self._rows = rows
        self._log = log
        self._live = live
        self._commands = commands
        self._hub = hub
        self._clock = clock

    async def order(self, wish: Wish) -> OrderView:
        """Log an order and send it; the same key at the same cabinet is the same order.

        Raises:
            NotFoundError: no such cabinet.
            InvalidError: a field is wrong, or the key gave another order.
            RefusedError: ``offline``; ``busy``: too many commands wait for the cabinet;
                ``second-person``: too many of its doors were ordered open lately.
        """
        cabinet = self._live.view(wish.cabinet)
        check_wish(wish, cabinet.slots_total)
        if not cabinet.online:
            raise RefusedError(REFUSALS["offline"], code="offline")
        now_ms = self._clock.wall_ms()
        new = NewCommand(
            id=order_id(wish.cabinet, wish.key),
            cabinet=wish.cabinet,
            type=wish.type,
            args=wish.args,
            actor=OPERATOR + wish.staff,
            now_ms=now_ms,
            expires_ms=now_ms + COMMAND_LIFE_MS,
            reason=wish.reason,
            precondition=wish.precondition,
        )
        opens = wish.type in OPENS_A_DOOR
        most = doors_alone(cabinet.slots_total) if opens else None
        queued = await self._rows.order(new, most)
        if queued is not None:
            self._commands.submit(queued)
        return await self._rows.view(new.id)

    async def get(self, command_id: str) -> OrderView:
        """One order as it stands; raise NotFoundError."""
        return await self._rows.view(command_id)

    async def of_cabinet(self, cabinet_id: str, limit: int = 20) -> list[OrderView]:
        """The orders at a cabinet, newest first; raise NotFoundError."""
        self._live.view(cabinet_id)
        return await self._rows.of_cabinet(cabinet_id, min(limit, ORDERS_SHOWN_MAX))

    async def log(self, wanted: LogFilter) -> list[LogView]:
        """The log of orders, newest first."""
        return await self._log.rows(wanted)

    @asynccontextmanager
    async def watch(self, command_id: str) -> AsyncIterator[AsyncIterator[OrderView]]:
        """The order as it stands, then at every change of it or of its cabinet; ends at shutdown.

        What the sensors show counts, so a page must hear of them.
        """
        cabinet = (await self._rows.view(command_id)).cabinet_id
        with (
            self._hub.watcher(command_id) as watcher,
            self._cabinet_hub.joined(cabinet, watcher),
        ):
            first = await self._rows.view(command_id)

            async def views() -> AsyncIterator[OrderView]:
                yield first
                async for _ in watcher.changes():
                    yield await self._rows.view(command_id)

            yield views()
