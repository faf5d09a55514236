"""Ports of orders that need two people, of packs in quarantine, and of roll-outs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeAlias

from fleet.core.quarantine import Quarantine
from fleet.core.rollout_model import SOAK_S_DEFAULT, STAGES_DEFAULT, Criteria, Rollout, Signal
from fleet.core.templates import SettingsView, Template, Wishes
from fleet.core.two_person import Ask

RolloutStream: TypeAlias = AbstractAsyncContextManager[AsyncIterator[Rollout]]


class Asks(Protocol):
    """Orders that are given when a second person admits them."""

    async def ask(
        self, *, cabinet: str, type_: str, person: str, name: str, reason: str, key: str
    ) -> Ask:
        """Ask for one; raise NotFoundError, InvalidError or RefusedError."""
        ...

    async def admit(self, ask_id: str, *, person: str, name: str) -> Ask:
        """Admit it as the second person; raise NotFoundError or RefusedError."""
        ...

    async def withdraw(self, ask_id: str, *, name: str) -> Ask:
        """Take it back; raise NotFoundError or RefusedError."""
        ...

    async def get(self, ask_id: str) -> Ask:
        """One, as it stands now; raise NotFoundError."""
        ...

    async def of_cabinet(self, cabinet: str) -> list[Ask]:
        """Those at a cabinet, newest first."""
        ...

    async def waiting(self) -> list[Ask]:
        """Those that wait for a second person now, the oldest first; a bounded number."""
        ...


class Quarantines(Protocol):
    """Packs in quarantine wherever they are."""

    async def put(self, *, serial: str, name: str, reason: str) -> None:
        """Quarantine one; raise NotFoundError, InvalidError or RefusedError."""
        ...

    async def lift(self, *, serial: str, name: str, reason: str) -> None:
        """End it; raise NotFoundError, InvalidError or RefusedError."""
        ...

    async def get(self, serial: str) -> Quarantine:
        """One battery; ``since_ms`` 0: not in quarantine. Raise NotFoundError."""
        ...

    async def all(self) -> list[Quarantine]:
        """Every pack in quarantine."""
        ...


class Rollouts(Protocol):
    """Templates of settings, and roll-outs of them and of releases."""

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
        ...

    async def templates(self) -> list[Template]:
        """Every template, by model."""
        ...

    async def assign(self, model: str, cabinets: Sequence[str], *, name: str) -> None:
        """Say of which model these cabinets are; raise NotFoundError."""
        ...

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
        """Begin one; raise NotFoundError, InvalidError or RefusedError."""
        ...

    async def order(self, rollout_id: str, signal: Signal, *, name: str, reason: str) -> Rollout:
        """Pause, resume or abort; raise NotFoundError, InvalidError or RefusedError."""
        ...

    async def get(self, rollout_id: str) -> Rollout:
        """One; raise NotFoundError."""
        ...

    async def all(self) -> list[Rollout]:
        """The newest first."""
        ...

    async def settings(self, cabinet: str) -> SettingsView:
        """What one cabinet is to have beside what it has; raise NotFoundError."""
        ...

    def watch(self, rollout_id: str) -> RolloutStream:
        """One as it stands, then at every change."""
        ...
