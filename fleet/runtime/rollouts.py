"""Roll-outs of settings and of releases: planned, watched, moved on and taken back."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, Protocol

from fleet.core import rollout as core
from fleet.core.operations import OPERATOR, check_reason, check_staff
from fleet.core.rollout_model import (
    CABINETS_MAX,
    SOAK_S_DEFAULT,
    STAGES_DEFAULT,
    Criteria,
    Fact,
    Kind,
    Rollout,
    Send,
    Signal,
    check_stages,
)
from fleet.core.templates import (
    Settings,
    SettingsView,
    Template,
    Wishes,
    check_template,
    compare,
)
from fleet.errors import FleetError, InvalidError, RefusedError
from fleet.ports import Clock
from fleet.runtime.commands import new_id
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture
from fleet.runtime.metrics import FleetMetrics

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
DAY_MS: Final = 24 * 3_600_000
ACTOR: Final = "fleet:rollout"
SOFTWARE_CHARS_MAX: Final = 64
#: Settings that a broker did not take are sent again after so long, doubled each time.
SEND_WAIT_MIN_MS: Final = 1_000
SEND_WAIT_MAX_MS: Final = 60_000
SEND_AT_ONCE: Final = 500  # what of it is with the broker is not sent again

Change = Callable[[Rollout], tuple[Rollout, Sequence[Send]]]


class RolloutRows(Protocol):
    """What the service needs of the store."""

    async def keep_template(
        self, wanted: Template, now_ms: int, cabinets: Sequence[str] = ()
    ) -> Template:
        """Store the next version of a model's template, and its cabinets; raise NotFoundError."""
        ...

    async def templates(self) -> list[Template]:
        """Every template."""
        ...

    async def template(self, model: str) -> Template:
        """One template; raise NotFoundError."""
        ...

    async def assign(self, model: str, cabinets: Sequence[str], *, actor: str, now_ms: int) -> None:
        """Say of which model these cabinets are; raise NotFoundError."""
        ...

    async def cabinets_of(self, model: str) -> list[str]:
        """The cabinets of a model."""
        ...

    async def settings(self, cabinets: Iterable[str]) -> dict[str, Settings]:
        """What these cabinets are to have."""
        ...

    async def add(self, wanted: Rollout) -> Rollout:
        """Keep a new roll-out; raise RefusedError."""
        ...

    async def get(self, rollout_id: str) -> Rollout:
        """One roll-out; raise NotFoundError."""
        ...

    async def all(self) -> list[Rollout]:
        """The newest first."""
        ...

    async def under_way(self) -> tuple[list[Rollout], list[str]]:
        """Those that are not over, and the ids of such as cannot be read."""
        ...

    async def change(
        self, rollout_id: str, change: Change, *, actor: str, now_ms: int
    ) -> tuple[Rollout, Sequence[Send]]:
        """Let ``change`` move it on."""
        ...

    async def end_damaged(self, rollout_id: str, *, actor: str, reason: str, now_ms: int) -> None:
        """End one that cannot be read; raise NotFoundError or RefusedError."""
        ...

    async def swaps_since(
        self, cabinets: Sequence[str], since_ms: int
    ) -> dict[str, tuple[int, int]]:
        """Swaps that ended since then: completed, and failed."""
        ...


class Planning:
    """What needs the store alone, and so works from the command line as well."""

    def __init__(self, rows: RolloutRows, clock: Clock) -> None:
        self._rows = rows
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
        """Store the next version of a model's template, and that these cabinets are of the model.

        Raises:
            InvalidError: a field is wrong.
            NotFoundError: no such cabinet; nothing is stored.
        """
        check_template(model, breaker_w, settings)
        wanted = Template(
            model=model,
            breaker_w=breaker_w,
            settings=settings,
            actor=OPERATOR + check_staff(name),
        )
        return await self._rows.keep_template(wanted, self._clock.wall_ms(), cabinets)

    async def templates(self) -> list[Template]:
        """Every template, by model."""
        return await self._rows.templates()

    async def assign(self, model: str, cabinets: Sequence[str], *, name: str) -> None:
        """Say of which model these cabinets are; raise NotFoundError."""
        await self._rows.template(model)
        actor = OPERATOR + check_staff(name)
        await self._rows.assign(model, cabinets, actor=actor, now_ms=self._clock.wall_ms())

    async def plan(
        self,
        *,
        model: str,
        name: str,
        reason: str,
        software: str = "",
        stages: Sequence[int] = STAGES_DEFAULT,
        soak_s: int = SOAK_S_DEFAULT,
        criteria: Criteria | None = None,
    ) -> Rollout:
        """Begin to roll a model's template out, or to watch a release (``software``).

        Raises:
            NotFoundError: no such template.
            InvalidError: a field is wrong.
            RefusedError: ``rollout-empty``, or ``rollout-open``: one is under way.
        """
        template = await self._rows.template(model)
        check_reason(reason)
        if len(software) > SOFTWARE_CHARS_MAX or not software.isprintable():
            raise InvalidError(f"software: expected at most {SOFTWARE_CHARS_MAX} characters")
        stages = check_stages(stages, soak_s)
        cabinets = await self._rows.cabinets_of(model)
        if not 1 <= len(cabinets) <= CABINETS_MAX:
            text = f"model {model}: has {len(cabinets)} cabinets, expected 1 to {CABINETS_MAX}"
            raise RefusedError(text, code="rollout-empty")
        now_ms = self._clock.wall_ms()
        planned = Rollout(
            id=new_id(now_ms),
            kind=Kind.SOFTWARE if software else Kind.CONFIG,
            model=model,
            actor=OPERATOR + check_staff(name),
            reason=reason,
            created_ms=now_ms,
            cabinets=tuple(cabinets),
            values={} if software else dict(template.settings),
            software=software,
            stages=stages,
            soak_s=soak_s,
            criteria=criteria or Criteria(),
            baseline_pct=await self._baseline(cabinets, now_ms),
        )
        return await self._rows.add(core.order(planned, Signal.START, now_ms))

    async def _baseline(self, cabinets: Sequence[str], now_ms: int) -> int | None:
        """How many of a hundred swaps succeeded on the day before; None where there were none."""
        swaps = (await self._rows.swaps_since(cabinets, now_ms - DAY_MS)).values()
        completed, failed = sum(each[0] for each in swaps), sum(each[1] for each in swaps)
        total = completed + failed
        return completed * 100 // total if total else None

    async def order(self, rollout_id: str, signal: Signal, *, name: str, reason: str) -> Rollout:
        """Pause, resume or abort.

        Raises:
            NotFoundError: no such roll-out.
            InvalidError: no reason that explains anything.
            RefusedError: ``rollout-state``: it is not in a phase in which that makes sense.
        """
        check_reason(reason)
        actor, now_ms = OPERATOR + check_staff(name), self._clock.wall_ms()
        cause = f"{signal.value} by {name}: {reason}"
        rollout, _ = await self._rows.change(
            rollout_id,
            lambda before: (core.order(before, signal, now_ms, cause), ()),
            actor=actor,
            now_ms=now_ms,
        )
        return rollout

    async def end_damaged(self, rollout_id: str, *, name: str, reason: str) -> None:
        """End one whose stored document cannot be read, so that its model is free again.

        Its cabinets keep what they were sent: nobody can tell any more what they had before.

        Raises:
            NotFoundError: no such roll-out.
            InvalidError: no reason that explains anything.
            RefusedError: ``rollout-state``: it can be read, so it is to be aborted, or it is over.
        """
        check_reason(reason)
        actor, now_ms = OPERATOR + check_staff(name), self._clock.wall_ms()
        await self._rows.end_damaged(rollout_id, actor=actor, reason=reason, now_ms=now_ms)

    async def get(self, rollout_id: str) -> Rollout:
        """One roll-out; raise NotFoundError."""
        return await self._rows.get(rollout_id)

    async def all(self) -> list[Rollout]:
        """The newest roll-outs first."""
        return await self._rows.all()


class RolloutService(Planning):
    """Implements ``fleet.ports_orders.Rollouts``; ``run`` watches and moves on."""

    def __init__(
        self,
        *,
        rows: RolloutRows,
        live: LivePicture,
        publish: Callable[[Sequence[str]], Awaitable[None]],
        hub: Hub,
        clock: Clock,
        metrics: FleetMetrics,
    ) -> None:
        super().__init__(rows, clock)
        self._live = live
        self._publish = publish
        self._hub = hub
        self._metrics = metrics
        self._seen: dict[str, Rollout] = {}
        self._unreadable: set[str] = set()
        # What is stored and not with the broker yet. It dies with the process, and that is no
        # harm: a fleetd that starts publishes the settings of all cabinets.
        self._unsent: set[str] = set()
        self._wait_ms = self._send_at_ms = 0

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.look()
            except FleetError as error:
                log.warning("roll-outs: %s; trying again", error)
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Move every open roll-out on, and send what is to be sent.

        One that cannot be read or moved keeps no other waiting.
        """
        found, unreadable = await self._rows.under_way()
        for name in sorted(set(unreadable) - self._unreadable):
            log.error("roll-out %s: its stored document is unreadable; it is not moved on", name)
        self._unreadable = set(unreadable)
        self._metrics.rollouts_unreadable.set(len(unreadable))
        for each in found:
            try:
                await self._move(each)
            except FleetError as error:
                log.warning("roll-out %s: %s; trying again", each.id, error)
        await self._send()
        for gone in self._seen.keys() - {each.id for each in found}:
            del self._seen[gone]
            self._hub.tell([gone])

    async def _move(self, each: Rollout) -> None:
        facts = await self.facts(each)
        now_ms = self._clock.wall_ms()
        moved, sends = self._step(each, facts, now_ms)
        if moved != each or sends:
            step = partial(self._step, facts=facts, now_ms=now_ms)
            moved, sends = await self._rows.change(each.id, step, actor=ACTOR, now_ms=now_ms)
            if moved.phase is not each.phase:
                log.info(
                    "roll-out %s of %s: %s %s", moved.id, moved.model, moved.phase, moved.cause
                )
        self._unsent.update(send.cabinet for send in sends)
        self._note(moved)

    async def _send(self) -> None:
        """Publish what is stored and not with the broker yet; what fails is tried again later."""
        now_ms = self._clock.monotonic_ms()
        if self._unsent and now_ms >= self._send_at_ms:
            try:
                while self._unsent:
                    part = sorted(self._unsent)[:SEND_AT_ONCE]
                    await self._publish(part)
                    self._unsent.difference_update(part)
                self._wait_ms = 0
            except FleetError as error:
                self._wait_ms = min(max(2 * self._wait_ms, SEND_WAIT_MIN_MS), SEND_WAIT_MAX_MS)
                self._send_at_ms = now_ms + self._wait_ms
                text = "settings of %d cabinets could not be sent: %s; trying again in %d s"
                log.warning(text, len(self._unsent), error, self._wait_ms // 1_000)
        self._metrics.settings_unsent.set(len(self._unsent))

    def _step(
        self, rollout: Rollout, facts: Mapping[str, Fact], now_ms: int
    ) -> tuple[Rollout, Sequence[Send]]:
        return core.advance(rollout, facts, now_ms)

    def _note(self, rollout: Rollout) -> None:
        if self._seen.get(rollout.id) != rollout:
            self._seen[rollout.id] = rollout
            self._hub.tell([rollout.id])

    async def settings(self, cabinet: str) -> SettingsView:
        """What one cabinet is to have beside what it has; raise NotFoundError."""
        self._live.view(cabinet)  # may be unknown
        wished = await self._rows.settings([cabinet])
        status = self._live.status(cabinet)
        return compare(cabinet, wished.get(cabinet, Settings(0, {})), status)

    async def facts(self, rollout: Rollout) -> Mapping[str, Fact]:
        """What the cabinets of a roll-out tell now."""
        held = await self._rows.settings(rollout.cabinets)
        swaps = await self._rows.swaps_since(tuple(rollout.members), rollout.created_ms)
        facts = {}
        for cabinet in rollout.cabinets:
            last, status = self._live.last(cabinet), self._live.status(cabinet)
            completed, failed = swaps.get(cabinet, (0, 0))
            wished = held.get(cabinet, Settings(0, {}))
            facts[cabinet] = Fact(
                online=last is not None and last.online,
                age_ms=last.age_ms if last else None,
                version=status.config_version if status else 0,
                refused=status.config_refused if status else 0,
                fault=status.config_fault if status else "",
                software=status.software if status else "",
                alarms=last.telemetry.alarms if last and last.telemetry else (),
                completed=completed,
                failed=failed,
                held_version=wished.version,
                held=wished.values,
            )
        return facts

    @asynccontextmanager
    async def watch(self, rollout_id: str) -> AsyncIterator[AsyncIterator[Rollout]]:
        """The roll-out as it stands, then at every change; ends at shutdown."""
        with self._hub.watcher(rollout_id) as watcher:
            first = await self._rows.get(rollout_id)

            async def views() -> AsyncIterator[Rollout]:
                yield first
                async for _ in watcher.changes():
                    yield await self._rows.get(rollout_id)

            yield views()
