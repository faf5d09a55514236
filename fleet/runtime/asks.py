"""Orders that two people must want: asked by one, given when another admits them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec.structs import replace

from fleet.core.commands import QueuedCommand
from fleet.core.operations import (
    OPERATOR,
    REASON_CHARS_MAX,
    TWO_PERSONS,
    check_reason,
    check_staff,
    order_id,
)
from fleet.core.records import NewCommand
from fleet.core.swaps import REFUSALS
from fleet.core.two_person import ASK_LIFE_MS, Ask
from fleet.errors import InvalidError, RefusedError
from fleet.ports import Clock
from fleet.runtime.commands import COMMAND_LIFE_MS, Commands
from fleet.runtime.live import LivePicture


class AskRows(Protocol):
    """What the service needs of the store."""

    async def add(self, ask: Ask) -> Ask:
        """Keep and log an ask; raise RefusedError ``asked-already``."""
        ...

    async def get(self, ask_id: str) -> Ask:
        """One ask; raise NotFoundError."""
        ...

    async def of_cabinet(self, cabinet: str) -> list[Ask]:
        """The asks at a cabinet, newest first."""
        ...

    async def waiting(self, now_ms: int) -> list[Ask]:
        """Those that wait for a second person at that time, the oldest first."""
        ...

    async def admit(
        self,
        ask_id: str,
        *,
        person: str,
        name: str,
        now_ms: int,
        command: Callable[[Ask], NewCommand],
    ) -> tuple[Ask, QueuedCommand]:
        """Admit it and queue the order; raise NotFoundError or RefusedError."""
        ...

    async def withdraw(self, ask_id: str, name: str, now_ms: int) -> Ask:
        """Take it back; raise NotFoundError or RefusedError."""
        ...


class AskService:
    """Implements ``fleet.ports_orders.Asks``."""

    def __init__(
        self, *, rows: AskRows, live: LivePicture, commands: Commands, clock: Clock
    ) -> None:
        self._rows = rows
        self._live = live
        self._commands = commands
        self._clock = clock

    async def ask(
        self, *, cabinet: str, type_: str, person: str, name: str, reason: str, key: str
    ) -> Ask:
        """Ask for an order; the same key at the same cabinet is the same ask.

        Raises:
            NotFoundError: no such cabinet.
            InvalidError: a field is wrong.
            RefusedError: ``offline`` or ``asked-already``.
        """
        online = self._live.view(cabinet).online
        if type_ not in TWO_PERSONS:
            raise InvalidError(f"type {type_!r}: expected one of {', '.join(sorted(TWO_PERSONS))}")
        check_reason(reason)
        check_staff(name)
        if not online:
            raise RefusedError(REFUSALS["offline"], code="offline")
        now_ms = self._clock.wall_ms()
        return await self._rows.add(
            Ask(
                id=order_id(cabinet, f"ask {key}"),
                cabinet_id=cabinet,
                type=type_,
                reason=reason,
                asked_by=person,
                asked_name=name,
                asked_ms=now_ms,
                expires_ms=now_ms + ASK_LIFE_MS,
            )
        )

    async def admit(self, ask_id: str, *, person: str, name: str) -> Ask:
        """Let a second person admit it, and send the order.

        Raises:
            NotFoundError: no such ask.
            RefusedError: ``ask-over``, ``same-person``, ``offline`` or ``busy``.
        """
        check_staff(name)
        now_ms = self._clock.wall_ms()
        if not self._live.view((await self._rows.get(ask_id)).cabinet_id).online:
            raise RefusedError(REFUSALS["offline"], code="offline")

        def command(ask: Ask) -> NewCommand:
            return NewCommand(
                # With a blank, as no key has: nobody may take this id before with a key of his.
                id=order_id(ask.cabinet_id, f"admit {ask.id}"),
                cabinet=ask.cabinet_id,
                type=ask.type,
                args={},
                actor=OPERATOR + name,
                now_ms=now_ms,
                expires_ms=now_ms + COMMAND_LIFE_MS,
                reason=f"{ask.reason} ({ask.asked_name})"[: REASON_CHARS_MAX + 40],
            )

        ask, queued = await self._rows.admit(
            ask_id, person=person, name=name, now_ms=now_ms, command=command
        )
        self._commands.submit(queued)
        return ask

    async def withdraw(self, ask_id: str, *, name: str) -> Ask:
        """Take it back; raise NotFoundError, or RefusedError ``ask-over``."""
        return await self._rows.withdraw(ask_id, name, self._clock.wall_ms())

    async def get(self, ask_id: str) -> Ask:
        """One ask, as it stands now; raise NotFoundError."""
        return self._now(await self._rows.get(ask_id))

    async def of_cabinet(self, cabinet: str) -> list[Ask]:
        """The asks at a cabinet, newest first, each as it stands now."""
        return [self._now(each) for each in await self._rows.of_cabinet(cabinet)]

    async def waiting(self) -> list[Ask]:
        """Those that wait for a second person now, the oldest first."""
        return await self._rows.waiting(self._clock.wall_ms())

    def _now(self, ask: Ask) -> Ask:
        return replace(ask, state=ask.state_at(self._clock.wall_ms()))
