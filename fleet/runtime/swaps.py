"""``fleet.ports.Swaps``: what a rider may do, over store, live picture and dispatcher."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final, Protocol

from fleet.core.commands import QueuedCommand
from fleet.core.console_views import TURNED_AWAY
from fleet.core.hands import hands, is_owed
from fleet.core.operations import (
    TECHNICIAN,
    TECHNICIAN_KINDS,
    Expected,
    check_expected,
    check_reason,
    check_slot,
    check_staff,
    precondition,
)
from fleet.core.records import NewSwap
from fleet.core.swaps import REFUSALS, RIDER_KINDS, LedgerFacts, refuse, refuse_technician
from fleet.core.views import SwapView
from fleet.errors import DeniedError, InvalidError, RefusedError
from fleet.ports import Clock
from fleet.runtime.commands import COMMAND_LIFE_MS, Commands, new_id
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture
from fleet.runtime.metrics import FleetMetrics
from protocols.messages import STEP_RANK, Kind, Step

KEY_CHARS_MAX: Final = 128
OF_RIDER_MAX: Final = 100
OPEN_SWAPS_LOOKED_AT: Final = 5


class SwapRows(Protocol):
    """What the service needs of the store."""

    async def begin(
        self, new: NewSwap, decide: Callable[[LedgerFacts], str | None]
    ) -> QueuedCommand | str:
        """Authorise a swap in one transaction, or return the id of an earlier one."""
        ...

    async def view(self, swap_id: str) -> SwapView:
        """One swap; raise NotFoundError."""
        ...

    async def of_rider(self, rider: str, limit: int) -> list[SwapView]:
        """A rider's swaps, newest first."""
        ...

    async def flagged(self, limit: int) -> list[SwapView]:
        """Swaps that an operator should look into, newest first."""
        ...


class SwapService:
    """Implements ``fleet.ports.Swaps``."""

    def __init__(
        self,
        *,
        rows: SwapRows,
        live: LivePicture,
        commands: Commands,
        hub: Hub,
        clock: Clock,
        metrics: FleetMetrics,
        turned_away: Callable[[str, str, str], None] = lambda _rider, _cabinet, _reason: None,
    ) -> None:
        self._rows = rows
        self._turned_away = turned_away
        self._live = live
        self._commands = commands
        self._hub = hub
        self._clock = clock
        self._metrics = metrics

    async def start(
        self, *, rider_id: str, cabinet_id: str, kind: Kind, idempotency_key: str
    ) -> SwapView:
        """Authorise one transaction and order the cabinet; the same key returns the same swap.

        Raises:
            NotFoundError: no such cabinet or rider.
            InvalidError: the key is malformed or began something else, or the kind is not a
                rider's.
            RefusedError: the code says why; see ``fleet.core.swaps.REFUSALS``.
        """
        _check_key(idempotency_key)
        if kind not in RIDER_KINDS:
            raise InvalidError(f"kind {kind.value!r}: is for technicians")
        cabinet = self._live.facts(cabinet_id)
        new = self._new(cabinet_id, rider_id, kind, idempotency_key)
        try:
            return await self._begin(new, lambda facts: refuse(kind, cabinet, facts))
        except RefusedError as error:
            if error.code == "open-swap":
                return await self._second_scan(new, error)
            if error.code == "no-battery" and kind is Kind.SWAP and await self._is_owed(rider_id):
                owed = replace(new, kind=Kind.PICKUP)
                return await self._begin(owed, lambda facts: refuse(Kind.PICKUP, cabinet, facts))
            if error.code in TURNED_AWAY:
                self._turned_away(rider_id, cabinet_id, error.code)
            raise

    async def _second_scan(self, new: NewSwap, error: RefusedError) -> SwapView:
        """The rider scans again in the middle of a transaction here: go on with that one.

        The cabinet is asked to open the waited-for door; whether it may, it alone can tell.
        """
        for view in await self._rows.of_rider(new.rider, OPEN_SWAPS_LOOKED_AT):
            if view.done or view.cabinet_id != new.cabinet:
                continue
            if view.step is not None and self._live.view(new.cabinet).online:
                key = "scan-" + hashlib.sha256(f"{new.rider} {new.key}".encode()).hexdigest()[:32]
                await self._commands.order(
                    new.cabinet, "swap.resume", actor=new.rider, swap_id=view.id, key=key
                )
            return await self._rows.view(view.id)
        raise error  # it is at another cabinet

    async def _is_owed(self, rider_id: str) -> bool:
        """Whether the rider's last swap took the old pack in and gave no full one out."""
        last = await self._rows.of_rider(rider_id, 1)
        return bool(last) and is_owed(last[0])

    async def serve(
        self,
        *,
        kind: Kind,
        cabinet_id: str,
        technician: str,
        slot: int | None,
        reason: str,
        expected: Expected | None,
        idempotency_key: str,
    ) -> SwapView:
        """A technician's load or unload; the same key returns the same one.

        Raises:
            NotFoundError: no such cabinet.
            InvalidError: a field is wrong, or the key began something else.
            RefusedError: ``offline`` or ``busy``.
        """
        _check_key(idempotency_key)
        if kind not in TECHNICIAN_KINDS:
            raise InvalidError(f"kind {kind.value!r}: is for riders")
        check_staff(technician)
        check_reason(reason)
        check_slot(slot, self._live.view(cabinet_id).slots_total)
        check_expected(expected)
        if kind is Kind.UNLOAD and slot is None:
            raise InvalidError("slot: an unload needs one")
        facts = self._live.facts(cabinet_id)
        new = replace(
            self._new(cabinet_id, technician, kind, idempotency_key),
            slot=slot,
            actor=TECHNICIAN + technician,
            reason=reason,
            precondition=precondition(slot, expected),
        )
        return await self._begin(new, lambda ledger: refuse_technician(facts, ledger))

    async def resume(self, *, swap_id: str, rider_id: str) -> SwapView:
        """Open the waited-for door once more; raise RefusedError ``done`` when it has ended."""
        return await self._order(swap_id, rider_id, "swap.resume")

    async def cancel(self, *, swap_id: str, rider_id: str) -> SwapView:
        """Ask the cabinet to cancel.

        Raises:
            RefusedError: ``done``: it has ended; ``too-late``: a pack has been taken in.
        """
        view = await self._of(swap_id, rider_id)
        takes_only = view.kind in (Kind.PICKUP, Kind.UNLOAD)
        if view.rank >= STEP_RANK[Step.VERIFYING] and not takes_only:
            raise RefusedError("a battery has been taken in", code="too-late")
        return await self._order(swap_id, rider_id, "swap.cancel")

    async def give_back(self, *, swap_id: str, rider_id: str) -> SwapView:
        """The own battery back in place of the full one.

        Raises:
            RefusedError: ``done``, ``offline``; ``nothing-returned``: none was given in;
                ``too-late``: the full one is out.
        """
        view = await self._of(swap_id, rider_id)
        given, taken = hands(view)
        if view.kind is not Kind.SWAP or (given is None and not view.done):
            raise RefusedError("no battery was given in", code="nothing-returned")
        if taken is not None and not view.done:
            raise RefusedError("the full battery is out", code="too-late")
        return await self._order(swap_id, rider_id, "swap.give-back")

    async def get(self, swap_id: str) -> SwapView:
        """The swap as it stands; raise NotFoundError."""
        return await self._rows.view(swap_id)

    async def of_rider(self, rider_id: str, limit: int = 20) -> list[SwapView]:
        """The rider's swaps, newest first."""
        return await self._rows.of_rider(rider_id, min(limit, OF_RIDER_MAX))

    async def flagged(self, limit: int = 20) -> list[SwapView]:
        """Swaps that an operator should look into, newest first."""
        return await self._rows.flagged(min(limit, OF_RIDER_MAX))

    @asynccontextmanager
    async def watch(self, swap_id: str) -> AsyncIterator[AsyncIterator[SwapView]]:
        """Whole views, the present one first, then at every change; ends at shutdown."""
        with self._hub.watcher(swap_id) as watcher:
            first = await self._rows.view(swap_id)

            async def views() -> AsyncIterator[SwapView]:
                yield first
                last = first
                async for _ in watcher.changes():
                    view = await self._rows.view(swap_id)
                    if view != last:
                        yield view
                        last = view

            yield views()

    def _new(self, cabinet_id: str, person: str, kind: Kind, key: str) -> NewSwap:
        now_ms = self._clock.wall_ms()
        swap_id = new_id(now_ms)
        return NewSwap(
            id=swap_id,
            command_id=f"start-{swap_id}",
            cabinet=cabinet_id,
            rider=person,
            kind=kind,
            key=key,
            now_ms=now_ms,
            expires_ms=now_ms + COMMAND_LIFE_MS,
        )

    async def _begin(self, new: NewSwap, decide: Callable[[LedgerFacts], str | None]) -> SwapView:
        try:
            begun = await self._rows.begin(new, decide)
        except RefusedError as error:
            self._metrics.swap_attempts.labels(error.code).inc()
            raise
        if isinstance(begun, str):
            return await self._rows.view(begun)
        self._commands.submit(begun)
        return await self._rows.view(new.id)

    async def _order(self, swap_id: str, rider_id: str, type_: str) -> SwapView:
        view = await self._of(swap_id, rider_id)
        if view.done:
            raise RefusedError("the transaction has ended", code="done")
        if not self._live.view(view.cabinet_id).online:
            raise RefusedError(REFUSALS["offline"], code="offline")
        actor = TECHNICIAN + rider_id if view.kind in TECHNICIAN_KINDS else rider_id
        await self._commands.order(view.cabinet_id, type_, actor=actor, swap_id=swap_id)
        self._hub.tell([swap_id])
        return view

    async def _of(self, swap_id: str, rider_id: str) -> SwapView:
        view = await self._rows.view(swap_id)
        if view.rider_id != rider_id:
            raise DeniedError("another rider's transaction")
        return view


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= KEY_CHARS_MAX or not key.isprintable():
        raise InvalidError(f"idempotency key: expected 1 to {KEY_CHARS_MAX} printable characters")
