"""``fleet.ports_orders`` in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace

from fleet.core import rollout as core
from fleet.core.operations import check_reason
from fleet.core.quarantine import Quarantine
from fleet.core.rollout_model import Kind, Rollout, Signal, check_stages
from fleet.core.templates import Settings, SettingsView, Template, Wishes, check_template, compare
from fleet.core.two_person import ASK_LIFE_MS, ASKED, Ask, check_admission, check_withdrawal
from fleet.errors import NotFoundError, RefusedError
from protocols.messages import Status
from tests.support.fleet_fakes_base import FakeCabinets, ShiftedClock, Watched
from tests.support.fleet_fakes_orders import FakeOperations


class FakeAsks:
    """``fleet.ports_orders.Asks``."""

    def __init__(
        self, cabinets: FakeCabinets, operations: FakeOperations, clock: ShiftedClock
    ) -> None:
        self.asks: dict[str, Ask] = {}
        self._cabinets = cabinets
        self._operations = operations
        self._clock = clock

    async def ask(
        self, *, cabinet: str, type_: str, person: str, name: str, reason: str, key: str
    ) -> Ask:
        await self._cabinets.get(cabinet)
        check_reason(reason)
        now_ms = self._clock.wall_ms()
        new = Ask(
            id=f"ask-{key}",
            cabinet_id=cabinet,
            type=type_,
            reason=reason,
            asked_by=person,
            asked_name=name,
            asked_ms=now_ms,
            expires_ms=now_ms + ASK_LIFE_MS,
        )
        return self.asks.setdefault(new.id, new)

    async def admit(self, ask_id: str, *, person: str, name: str) -> Ask:
        ask = await self.get(ask_id)
        check_admission(ask, person, self._clock.wall_ms())
        order = self._operations.give(ask.cabinet_id, ask.type, name, ask.reason)
        self.asks[ask_id] = replace(
            ask, state="admitted", admitted_by=person, admitted_name=name, command_id=order.id
        )
        return self.asks[ask_id]

    async def withdraw(self, ask_id: str, *, name: str) -> Ask:  # noqa: ARG002 - the port's
        ask = await self.get(ask_id)
        check_withdrawal(ask, self._clock.wall_ms())
        self.asks[ask_id] = replace(ask, state="withdrawn")
        return self.asks[ask_id]

    async def get(self, ask_id: str) -> Ask:
        if ask_id not in self.asks:
            raise NotFoundError(f"no ask {ask_id}")
        return self.asks[ask_id]

    async def of_cabinet(self, cabinet: str) -> list[Ask]:
        return [each for each in self.asks.values() if each.cabinet_id == cabinet]

    async def waiting(self) -> list[Ask]:
        now_ms = self._clock.wall_ms()
        return [each for each in self.asks.values() if each.state_at(now_ms) == ASKED]


class FakeQuarantines:
    """``fleet.ports_orders.Quarantines``; it knows the packs in ``holders``."""

    def __init__(self) -> None:
        self.holders = {"YZ48-000001": "slot:DH-0001:1", "YZ48-000077": "rider:R1"}
        self.packs: dict[str, Quarantine] = {}

    async def put(self, *, serial: str, name: str, reason: str) -> None:
        check_reason(reason)
        holder = (await self.get(serial)).holder
        if serial in self.packs:
            raise RefusedError("already", code="quarantined-already")
        self.packs[serial] = Quarantine(serial, f"operator:{name}", reason, 1, holder)

    async def lift(self, *, serial: str, name: str, reason: str) -> None:  # noqa: ARG002
        check_reason(reason)
        if self.packs.pop(serial, None) is None:
            raise RefusedError("is in none", code="not-quarantined")

    async def get(self, serial: str) -> Quarantine:
        if serial not in self.holders:
            raise NotFoundError(f"no battery {serial}")
        return self.packs.get(serial, Quarantine(serial, "", "", 0, self.holders[serial]))

    async def all(self) -> list[Quarantine]:
        return list(self.packs.values())


class FakeRollouts:
    """``fleet.ports_orders.Rollouts``."""

    def __init__(self, clock: ShiftedClock) -> None:
        self.models: dict[str, Template] = {}
        self.cabinets: dict[str, tuple[str, ...]] = {}
        self.views: dict[str, Rollout] = {}
        self.wished: dict[str, Settings] = {}
        self.told: dict[str, Status] = {}
        self.watched = Watched()
        self._clock = clock

    async def keep_template(
        self,
        *,
        model: str,
        breaker_w: int,
        settings: Wishes,
        name: str,
        cabinets: Sequence[str] = (),
    ) -> Template:
        check_template(model, breaker_w, settings)
        if cabinets:
            self.cabinets[model] = tuple(cabinets)
        self.models[model] = Template(
            model=model, breaker_w=breaker_w, settings=settings, actor=f"operator:{name}", version=1
        )
        return self.models[model]

    async def templates(self) -> list[Template]:
        return list(self.models.values())

    async def assign(self, model: str, cabinets: Sequence[str], *, name: str) -> None:  # noqa: ARG002
        self.cabinets[model] = tuple(cabinets)

    async def plan(
        self, *, model: str, name: str, reason: str, stages: Sequence[int], soak_s: int, **_: Any
    ) -> Rollout:
        check_reason(reason)
        now_ms = self._clock.wall_ms()
        if model not in self.models:
            raise NotFoundError(f"no template for model {model}")
        planned = Rollout(
            id=f"rollout-{len(self.views) + 1}",
            kind=Kind.CONFIG,
            model=model,
            actor=f"operator:{name}",
            reason=reason,
            created_ms=now_ms,
            cabinets=self.cabinets.get(model, ("DH-0001",)),
            values=self.models[model].settings,
            stages=check_stages(stages, soak_s),
            soak_s=soak_s,
        )
        return self.put(core.order(planned, Signal.START, now_ms))

    def put(self, view: Rollout) -> Rollout:
        self.views[view.id] = view
        self.watched.tell(view.id, view)
        return view

    async def order(self, rollout_id: str, signal: Signal, *, name: str, reason: str) -> Rollout:
        check_reason(reason)
        cause = f"{signal.value} by {name}: {reason}"
        before = await self.get(rollout_id)
        return self.put(core.order(before, signal, self._clock.wall_ms(), cause))

    async def get(self, rollout_id: str) -> Rollout:
        if rollout_id not in self.views:
            raise NotFoundError(f"no roll-out {rollout_id}")
        return self.views[rollout_id]

    async def settings(self, cabinet: str) -> SettingsView:
        wished = self.wished.get(cabinet, Settings(0, {}))
        return compare(cabinet, wished, self.told.get(cabinet))

    async def all(self) -> list[Rollout]:
        return list(self.views.values())

    @asynccontextmanager
    async def watch(self, rollout_id: str) -> AsyncIterator[AsyncIterator[Rollout]]:
        async with self.watched.watch(rollout_id, await self.get(rollout_id)) as views:
            yield views
