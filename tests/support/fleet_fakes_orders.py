"""``fleet.ports.Operations`` and ``fleet.ports.Reservations`` in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from fleet.core.operations import OPERATOR, Wish, check_wish, order_id
from fleet.core.records import LogFilter
from fleet.core.views import LogView, OrderView, ReservationView
from fleet.errors import NotFoundError, RefusedError
from tests.support.fleet_fakes_base import FakeCabinets, ShiftedClock, Watched


class FakeOperations:
    """``fleet.ports.Operations``; ``answer`` is what the cabinet says."""

    def __init__(self, cabinets: FakeCabinets, clock: ShiftedClock) -> None:
        self.views: dict[str, OrderView] = {}
        self.rows: list[LogView] = []
        self.watched = Watched()
        self.refusal: str | None = None
        self._cabinets = cabinets
        self._clock = clock

    async def order(self, wish: Wish) -> OrderView:
        check_wish(wish, (await self._cabinets.get(wish.cabinet)).slots_total)
        if self.refusal:
            raise RefusedError("refused", code=self.refusal)
        id_ = order_id(wish.cabinet, wish.key)
        if id_ not in self.views:
            seen = wish.expected
            view = OrderView(
                id=id_,
                cabinet_id=wish.cabinet,
                type=wish.type,
                actor=OPERATOR + wish.staff,
                reason=wish.reason,
                outcome="ordered",
                created_ms=self._clock.wall_ms(),
                slot=wish.slot,
                code=wish.code,
                expected_presence=seen.presence.value if seen else None,
                expected_serial=seen.serial if seen else None,
            )
            self._put(view)
        return self.views[id_]

    def give(self, cabinet_id: str, type_: str, name: str, reason: str) -> OrderView:
        """An order that was given by other means than ``order``."""
        return self._put(
            OrderView(
                id=f"op-{len(self.views) + 1}",
                cabinet_id=cabinet_id,
                type=type_,
                actor=OPERATOR + name,
                reason=reason,
                outcome="ordered",
                created_ms=self._clock.wall_ms(),
            )
        )

    def answer(self, command_id: str, outcome: str, **values: Any) -> OrderView:
        now_ms = self._clock.wall_ms()
        view = replace(self.views[command_id], outcome=outcome, answered_ms=now_ms, **values)
        return self._put(view)

    def _put(self, view: OrderView) -> OrderView:
        self.views[view.id] = view
        row = LogView(
            id=len(self.rows) + 1,
            at_ms=self._clock.wall_ms(),
            actor=view.actor,
            action=view.type,
            cabinet_id=view.cabinet_id,
            command_id=view.id,
            outcome=view.outcome,
            slot=view.slot,
            reason=view.reason,
            result=view.result,
            evidence=view.evidence,
        )
        self.rows.append(row)
        self.watched.tell(view.id, view)
        return view

    async def get(self, command_id: str) -> OrderView:
        if command_id not in self.views:
            raise NotFoundError(f"no order {command_id}")
        return self.views[command_id]

    async def of_cabinet(self, cabinet_id: str, limit: int = 20) -> list[OrderView]:
        own = [view for view in self.views.values() if view.cabinet_id == cabinet_id]
        return own[::-1][:limit]

    async def log(self, wanted: LogFilter) -> list[LogView]:
        return [
            row
            for row in reversed(self.rows)
            if wanted.cabinet in (None, row.cabinet_id)
            and (wanted.staff is None or row.actor == OPERATOR + wanted.staff)
            and (wanted.action is None or row.action.startswith(wanted.action))
        ]

    @asynccontextmanager
    async def watch(self, command_id: str) -> AsyncIterator[AsyncIterator[OrderView]]:
        async with self.watched.watch(command_id, await self.get(command_id)) as views:
            yield views


class FakeReservations:
    """``fleet.ports.Reservations``; ``answer`` is what the cabinet says."""

    def __init__(self, cabinets: FakeCabinets, clock: ShiftedClock) -> None:
        self.views: dict[str, ReservationView] = {}
        self.refusal: str | None = None
        self._cabinets = cabinets
        self._clock = clock

    async def reserve(self, *, rider_id: str, cabinet_id: str, minutes: int) -> ReservationView:
        await self._cabinets.get(cabinet_id)
        if self.refusal:
            raise RefusedError("refused", code=self.refusal)
        if rider_id not in self.views:
            now_ms = self._clock.wall_ms()
            self.views[rider_id] = ReservationView(
                id="hold-1",
                cabinet_id=cabinet_id,
                state="asked",
                created_ms=now_ms,
                expires_ms=now_ms + minutes * 60_000,
                left_s=minutes * 60,
            )
        return self.views[rider_id]

    def answer(self, rider_id: str, state: str, **values: Any) -> None:
        self.views[rider_id] = replace(self.views[rider_id], state=state, **values)

    async def release(self, *, rider_id: str, cabinet_id: str) -> ReservationView:
        if rider_id not in self.views:
            raise NotFoundError(f"none at {cabinet_id}", code="no-reservation")
        return replace(self.views.pop(rider_id), state="released", left_s=0)

    async def of_rider(self, rider_id: str) -> ReservationView | None:
        view = self.views.get(rider_id)
        return view if view and view.state in ("asked", "held") else None

    async def at(self, *, rider_id: str, cabinet_id: str) -> ReservationView | None:
        view = self.views.get(rider_id)
        return view if view and view.cabinet_id == cabinet_id else None
