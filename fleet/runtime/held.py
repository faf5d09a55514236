"""Which plans a cabinet may go by: what was published is with it until it says otherwise."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fleet.core.balance import horizon
from fleet.core.balance.horizon import Site, Standing
from fleet.core.balance.own_limits import OwnLimits, own_limits
from fleet.core.templates import Settings
from fleet.errors import RefusedError
from fleet.ports import Clock
from fleet.runtime.live import Last
from protocols.errors import MessageError
from protocols.messages import DesiredPlan, decode, encode

log = logging.getLogger(__name__)


class PlanRows(Protocol):
    """Where plans are kept."""

    async def plans(self) -> dict[str, str]:
        """JSON text by cabinet."""
        ...

    async def save_plans(self, plans: Mapping[str, tuple[int, str]], now_ms: int) -> None:
        """Keep version and JSON text by cabinet; raise StoreError, or RefusedError."""
        ...


class SettingRows(Protocol):
    """Where the settings are kept that cabinets are to have."""

    async def all_settings(self) -> dict[str, Settings]:
        """Of every cabinet for which any were ever set; raise StoreError."""
        ...


class HeldPlans:
    """The books of published plans, over the store."""

    def __init__(
        self,
        rows: PlanRows,
        settings: SettingRows,
        last: Callable[[str], Last | None],
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._settings = settings
        self._wished: dict[str, Settings] = {}
        self._last = last
        self._clock = clock
        self._held: dict[str, list[DesiredPlan]] = {}
        self._sent_ms: dict[str, int] = {}
        self.version = 0  # the highest that was given

    async def recall(self) -> None:
        """Before a restart plans were published, or another fleetd publishes; raise StoreError."""
        for cabinet, text in (await self._rows.plans()).items():
            try:
                plan = decode(text.encode(), DesiredPlan)
            except MessageError as error:
                log.warning("cabinet %s: stored plan is unreadable: %s", cabinet, error)
                continue
            held = self._held.setdefault(cabinet, [])
            if all(plan.version > known.version for known in held):
                held.append(plan)
            self.version = max(self.version, plan.version)

    async def keep(self, plans: Sequence[DesiredPlan]) -> None:
        """About to be published.

        Raises:
            StoreError: they are not kept, and must not be published.
            RefusedError: nor may these: another fleetd has given this version or a later one. Its
                plans may be with the cabinets from now on, and the next version is above them.
        """
        texts = {plan.cabinet: (plan.version, encode(plan).decode()) for plan in plans}
        now_ms = self._clock.monotonic_ms()
        try:
            await self._rows.save_plans(texts, self._clock.wall_ms())
        except RefusedError:
            await self.recall()
            self._sent_ms |= dict.fromkeys(self._held, now_ms)
            raise
        for plan in plans:
            self.version = max(self.version, plan.version)
            self._held.setdefault(plan.cabinet, []).append(plan)
            self._sent_ms[plan.cabinet] = now_ms

    async def look_up(self) -> None:
        """Take in the settings that cabinets are to have; raise StoreError."""
        self._wished = await self._settings.all_settings()

    def has_newest(self, cabinet: str, version: int) -> bool:
        """Whether this is the version of the last plan that the cabinet was sent."""
        held = self._held.get(cabinet)
        return held is not None and bool(held) and held[-1].version == version

    def site(self, cabinet: str) -> Site:
        """The cabinet as it stands."""
        mono_ms = self._clock.monotonic_ms()
        last = self._last(cabinet)
        told = last.telemetry if last else None
        version = told.plan_version if told else 0
        held = self._settle(cabinet, version)
        standing = horizon.standing(
            online=last is not None and last.online,
            age_ms=last.age_ms if last else None,
            plan_version=version,
            held=held,
            sent_ms_ago=mono_ms - self._sent_ms.get(cabinet, mono_ms - horizon.ACK_MS - 1),
        )
        return Site(
            cabinet=cabinet,
            standing=standing,
            slots=told.slots if told and standing is not Standing.SILENT else (),
            held=tuple(held),
            sockets=told.sockets if told else (),
            acknowledged=bool(held) and held[-1].version == version,
            own=self._own(cabinet, last),
        )

    def _own(self, cabinet: str, last: Last | None) -> OwnLimits:
        """What it keeps to by itself, as far as it told or was ordered."""
        wished = self._wished.get(cabinet)
        return own_limits(last.settings if last else {}, wished.values if wished else {})

    def _settle(self, cabinet: str, version: int) -> list[DesiredPlan]:
        """Not ended, and none older than what the cabinet says it has."""
        now_ms = self._clock.wall_ms()
        held = [plan for plan in self._held.get(cabinet, ()) if plan.valid_until_ms > now_ms]
        if any(plan.version == version for plan in held):
            held = [plan for plan in held if plan.version >= version]
        self._held[cabinet] = held
        return held
