"""Desired documents: retained, signed, versioned. Lists of packs and blocked riders, plans, settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from fleet.core.records import ListsState
from fleet.core.templates import Settings
from fleet.errors import FleetError
from fleet.ports import Clock
from fleet.runtime.ingest import Publisher
from protocols import topics
from protocols.enrolment import CREDENTIALS_VALUE
from protocols.errors import MessageError
from protocols.messages import DesiredConfig, DesiredList, DesiredPlan, Signed, decode, encode
from protocols.topics import Leaf

log = logging.getLogger(__name__)

PACKS_PER_CHUNK: Final = 1_000  # 53 bytes each at most, well below 64 KiB with the signature
RIDERS_PER_CHUNK: Final = 800  # 67 bytes each at most
PLANS_AT_ONCE: Final = 50
POLL_S: Final = 0.5  # how soon a registration or an import takes effect


class DesiredRows(Protocol):
    """What the publisher needs of the store."""

    async def lists_state(self) -> dict[str, ListsState]:
        """What was last published."""
        ...

    async def save_lists_state(self, states: Sequence[ListsState], now_ms: int) -> None:
        """Remember what was published."""
        ...

    async def plans(self) -> dict[str, str]:
        """Plans that exist, as JSON text."""
        ...


class PackRows(Protocol):
    """Where the known packs come from."""

    async def serials(self) -> list[str]:
        """All registered packs."""
        ...


class RiderRows(Protocol):
    """Where the blocked riders come from."""

    async def denied_names(self) -> list[str]:
        """Each blocked rider, by id and by number."""
        ...


class SettingRows(Protocol):
    """Where the settings of cabinets come from."""

    async def settings(self, cabinets: Iterable[str]) -> dict[str, Settings]:
        """What these cabinets are to have."""
        ...


class Revisions(Protocol):
    """Counters that rise with every change of the registers."""

    async def revisions(self) -> tuple[int, int]:
        """Of the cabinets, and of what all of them know."""
        ...


@dataclass(frozen=True, slots=True)
class SecretsNote:
    """Names the secrets that cabinets should hold; the version rises with every change."""

    version: int
    id: str


@dataclass(frozen=True, slots=True)
class _Part:
    packs: tuple[str, ...] = ()
    denied_riders: tuple[str, ...] = ()


class DesiredPublisher:
    """Publishes to every cabinet what it should know."""

    def __init__(
        self,
        *,
        rows: DesiredRows,
        packs: PackRows,
        riders: RiderRows,
        publisher: Publisher,
        sign: Callable[[Signed], Signed],
        clock: Clock,
        secrets: Callable[[], SecretsNote] | None = None,
        settings: SettingRows | None = None,
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._rows = rows
        self._packs = packs
        self._riders = riders
        self._publisher = publisher
        self._sign = sign
        self._clock = clock

    async def publish(self, cabinets: Sequence[str]) -> None:
        """Publish lists and plans to these cabinets; raise FleetError when the broker is away.

        The version is the wall clock in milliseconds, but always above the one before.
        """
        serials = await self._packs.serials()
        denied = await self._riders.denied_names()
        before = await self._rows.lists_state()
        plans = await self._rows.plans()
        parts = [
            *(_Part(packs=part) for part in _split(serials, PACKS_PER_CHUNK)),
            *(_Part(denied_riders=part) for part in _split(denied, RIDERS_PER_CHUNK)),
        ] or [_Part()]
        now_ms = self._clock.wall_ms()
        olds = [before.get(cabinet, ListsState(cabinet, 0, 0)) for cabinet in cabinets]
        states = [ListsState(old.cabinet, max(now_ms, old.version + 1), len(parts)) for old in olds]
        # Remembered first: a version must not be given twice, not even to a lost document.
        await self._rows.save_lists_state(states, now_ms)
        for old, state in zip(olds, states, strict=True):
            await self._publish_lists(state, parts, old.chunks)
            if (plan := plans.get(state.cabinet)) is not None:
                await self._publish_plan(state.cabinet, plan)
        await self.publish_configs(cabinets)
        text = "desired lists: %d packs and %d names of blocked riders for %d cabinets"
        log.info(text, len(serials), len(denied), len(states))

    def secrets(self) -> SecretsNote | None:
        """Which secrets cabinets should hold now; None where they are not given any."""
        return None if self._secrets is None else self._secrets()

    async def publish_configs(self, cabinets: Sequence[str]) -> None:
        """Publish their settings, and name the secrets, so that they fetch what they do not hold."""
        note = self.secrets()
        wished = await self._settings.settings(cabinets) if self._settings is not None else {}
        for cabinet in cabinets:
            version, values = 0, dict[str, int | float | str | bool]()
            if (settings := wished.get(cabinet)) is not None:
                version, values = settings.version, {**settings.values}
            if note is not None:
                version = max(version, note.version)
                values[CREDENTIALS_VALUE] = note.id
            if version == 0:
                continue
            document = DesiredConfig(cabinet=cabinet, version=version, values=values)
            topic = topics.build(cabinet, Leaf.DESIRED_CONFIG)
            await self._retain(topic, encode(self._sign(document)))

    async def publish_plans(self, plans: Sequence[DesiredPlan]) -> None:
        """Publish plans that the store has; raise FleetError when the broker is away.

        They are signed and sent a few at a time, so that nothing else waits for all of them.
        """
        for start in range(0, len(plans), PLANS_AT_ONCE):
            part = plans[start : start + PLANS_AT_ONCE]
            await asyncio.gather(*(self._retain_plan(plan) for plan in part))

    async def _publish_lists(
        self, state: ListsState, parts: Sequence[_Part], old_chunks: int
    ) -> None:
        for chunk, part in enumerate(parts):
            document = DesiredList(
                cabinet=state.cabinet,
                version=state.version,
                chunk=chunk,
                chunks=len(parts),
                packs=part.packs,
                denied_riders=part.denied_riders,
            )
            topic = topics.build(state.cabinet, Leaf.DESIRED_LISTS, chunk)
            await self._retain(topic, encode(self._sign(document)))
        for chunk in range(len(parts), old_chunks):  # an empty payload clears what is retained
            await self._retain(topics.build(state.cabinet, Leaf.DESIRED_LISTS, chunk), b"")

    async def _publish_plan(self, cabinet: str, text: str) -> None:
        try:
            plan = decode(text.encode(), DesiredPlan)
        except MessageError as error:
            log.warning("cabinet %s: stored plan is unreadable: %s", cabinet, error)
            return
        await self._retain_plan(plan)

    async def _retain_plan(self, plan: DesiredPlan) -> None:
        topic = topics.build(plan.cabinet, Leaf.DESIRED_PLAN)
        await self._retain(topic, encode(self._sign(plan)))

    async def _retain(self, topic: str, payload: bytes) -> None:
        await self._publisher.publish(topic, payload, qos=1, retain=True)


def _split(names: Sequence[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(names[start : start + size]) for start in range(0, len(names), size)]


class RegisterWatch:
    """Notices what another process, such as the CLI, changed in the registers."""

    def __init__(
        self,
        *,
        revisions: Revisions,
        clock: Clock,
        on_cabinets: Callable[[], Awaitable[list[str]]],
        desired: DesiredPublisher,
    ) -> None:
        self._revisions = revisions
        self._clock = clock
        self._on_cabinets = on_cabinets
        self._desired = desired
        self._connected = self._republish = False

    def broker_up(self) -> None:
        """The broker came (back): what it retains may be lost."""
        self._connected = self._republish = True

    async def run(self, all_cabinets: Callable[[], list[str]]) -> None:
        """Poll until cancelled."""
        seen = (-1, -1)  # so that the first round takes in everything
        told = self._desired.secrets()
        pending: set[str] = set()
        while True:
            try:
                now = await self._revisions.revisions()
                if now[0] != seen[0]:
                    pending.update(await self._on_cabinets())
                if now[1] != seen[1]:
                    pending.update(all_cabinets())
                seen = now
                if self._republish:
                    self._republish = False
                    pending.update(all_cabinets())
                if pending and self._connected:
                    await self._desired.publish(sorted(pending))
                    pending.clear()
                if self._connected and (secrets := self._desired.secrets()) != told:
                    await self._desired.publish_configs(all_cabinets())
                    told = secrets
            except FleetError as error:
                log.warning("registers: %s; trying again", error)
            await self._clock.sleep(POLL_S)
