"""Batteries in quarantine: kept in a list, and brought to pass wherever such a pack turns up."""

from __future__ import annotations

import logging
from typing import Final, Protocol

from fleet.core.commands import QueuedCommand
from fleet.core.operations import OPERATOR, check_reason, check_staff
from fleet.core.quarantine import TELL_AGAIN_MS, Quarantine, to_release, to_tell
from fleet.core.records import NewCommand
from fleet.core.views import CabinetView
from fleet.errors import FleetError, NotFoundError
from fleet.ports import Clock
from fleet.runtime.commands import COMMAND_LIFE_MS, Commands, new_id
from fleet.runtime.live import LivePicture
from protocols.messages import Precondition, Presence

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
ACTOR: Final = "fleet:quarantine"


class QuarantineRows(Protocol):
    """What the service needs of the store."""

    async def put(self, wanted: Quarantine) -> None:
        """Quarantine a pack; raise NotFoundError or RefusedError."""
        ...

    async def lift(self, serial: str, actor: str, reason: str, now_ms: int) -> None:
        """End it; raise RefusedError."""
        ...

    async def lifted(self) -> list[Quarantine]:
        """Those that are over while the slot is not known to know it."""
        ...

    async def told(self, serial: str, command_id: str) -> None:
        """By this order its slot was told of the end."""
        ...

    async def settle(self, serial: str, lifted_ms: int) -> None:
        """Forget an end that is known everywhere."""
        ...

    async def all(self) -> list[Quarantine]:
        """Every pack in quarantine."""
        ...

    async def get(self, serial: str) -> Quarantine:
        """One battery; raise NotFoundError."""
        ...


class OutboxRows(Protocol):
    """Where orders are queued."""

    async def add_once(self, new: NewCommand) -> QueuedCommand | None:
        """Queue a command unless one of this id was queued before."""
        ...


class QuarantineService:
    """Implements ``fleet.ports_orders.Quarantines``; ``run`` brings it to pass."""

    def __init__(
        self,
        *,
        rows: QuarantineRows,
        outbox: OutboxRows,
        live: LivePicture,
        commands: Commands,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._outbox = outbox
        self._live = live
        self._commands = commands
        self._clock = clock
        self._told_ms: dict[str, int] = {}

    async def put(self, *, serial: str, name: str, reason: str) -> None:
        """Quarantine a pack, wherever it is.

        Raises:
            NotFoundError: no such battery.
            InvalidError: a field is wrong.
            RefusedError: ``quarantined-already``.
        """
        check_reason(reason)
        actor = OPERATOR + check_staff(name)
        await self._rows.put(Quarantine(serial, actor, reason, self._clock.wall_ms()))
        await self.look()

    async def lift(self, *, serial: str, name: str, reason: str) -> None:
        """End it; the slot in which it stands is told, now or when its cabinet is back.

        Raise as ``put``, ``not-quarantined``.
        """
        check_reason(reason)
        actor = OPERATOR + check_staff(name)
        await self._rows.lift(serial, actor, reason, self._clock.wall_ms())
        self._told_ms.pop(serial, None)
        await self.look()

    async def get(self, serial: str) -> Quarantine:
        """One battery; ``since_ms`` 0: not in quarantine. Raise NotFoundError."""
        return await self._rows.get(serial)

    async def all(self) -> list[Quarantine]:
        """Every pack in quarantine."""
        return await self._rows.all()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.look()
            except FleetError as error:
                log.warning("quarantine: %s; trying again", error)
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Tell the cabinets in whose slots such packs stand without showing it, or show it still."""
        packs, lifted = await self._rows.all(), await self._rows.lifted()
        now_ms = self._clock.monotonic_ms()
        self._told_ms = {
            serial: at_ms
            for serial, at_ms in self._told_ms.items()
            if now_ms - at_ms < TELL_AGAIN_MS
        }
        views = {
            each.cabinet: self._view(each.cabinet) for each in (*packs, *lifted) if each.cabinet
        }
        known = {name: view for name, view in views.items() if name and view}
        for pack, cabinet, slot in to_tell(packs, known):
            if pack.serial not in self._told_ms:
                self._told_ms[pack.serial] = now_ms
                await self._tell(
                    "slot.quarantine",
                    pack,
                    cabinet=cabinet,
                    slot=slot,
                    reason=pack.reason,
                    actor=ACTOR,
                )

        await self._release(lifted, known, now_ms)

    async def _release(
        self, lifted: list[Quarantine], known: dict[str, CabinetView], now_ms: int
    ) -> None:
        tell, settled = to_release(lifted, known, self._clock.wall_ms())
        for pack in settled:
            await self._rows.settle(pack.serial, pack.lifted_ms)
        for pack, cabinet, slot in tell:
            if pack.serial not in self._told_ms:
                self._told_ms[pack.serial] = now_ms
                command = await self._tell(
                    "slot.release",
                    pack,
                    cabinet=cabinet,
                    slot=slot,
                    reason=pack.reason,
                    actor=pack.actor,
                )
                await self._rows.told(pack.serial, command)

    def _view(self, cabinet: str | None) -> CabinetView | None:
        try:
            return self._live.view(cabinet) if cabinet else None
        except NotFoundError:
            return None

    async def _tell(
        self, type_: str, pack: Quarantine, *, cabinet: str, slot: int, reason: str, actor: str
    ) -> str:
        """Queue and send an order; its id."""
        now_ms, command = self._clock.wall_ms(), new_id(self._clock.wall_ms())
        queued = await self._outbox.add_once(
            NewCommand(
                id=command,
                cabinet=cabinet,
                type=type_,
                args={"slot": slot},
                actor=actor,
                now_ms=now_ms,
                expires_ms=now_ms + COMMAND_LIFE_MS,
                reason=reason,
                precondition=Precondition(slot=slot, presence=Presence.PRESENT, serial=pack.serial),
            )
        )
        if queued is not None:
            self._commands.submit(queued)
        return command
