"""When a cabinet asks the fleet for fresh credentials."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from cabinet.adapters.clock import SystemClock
from cabinet.errors import FleetUnreachableError
from cabinet.runtime import renewal
from cabinet.runtime.renewal import Life, Renewal, due
from tests.support.fleet import until

YEAR_MS = 365 * 24 * 3_600_000


def test_the_last_third_of_its_life() -> None:
    life = Life(0, 300, "s1")
    assert [due(life, now) for now in (0, 199, 200, 201, 299, 300, 900)] == [
        *(False, False, False),
        *(True, True, True, True),
    ]


class Fleet:
    """What a cabinet holds, and what it asked for."""

    def __init__(self) -> None:
        now_ms = int(SystemClock().now_utc().timestamp() * 1000)
        self.life = Life(now_ms - 1_000, now_ms + YEAR_MS, "s1")
        self.asked: list[bool] = []
        self.renewed = 0
        self.gives = "s1"
        self.away = 0

    async def fetch(self, certificate: bool) -> None:
        self.asked.append(certificate)
        if self.away:
            self.away -= 1
            raise FleetUnreachableError("nobody")
        self.life = Life(self.life.not_before_ms, self.life.not_after_ms, self.gives)

    def on_certificate(self) -> None:
        self.renewed += 1


@asynccontextmanager
async def running(fleet: Fleet, jitter: Callable[[float, float], float]) -> AsyncIterator[Renewal]:
    subject = Renewal(
        life=lambda: fleet.life,
        fetch=fleet.fetch,
        on_certificate=fleet.on_certificate,
        clock=SystemClock(),
        jitter=jitter,
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(subject.run())
        try:
            yield subject
        finally:
            task.cancel()


def outcome(named: object = None, reason: str | None = None) -> Any:
    config = SimpleNamespace(values={"credentials": named}) if named is not None else None
    replies = [SimpleNamespace(reason=reason)] if reason else []
    state = SimpleNamespace(durable=SimpleNamespace(config=config))
    return SimpleNamespace(state=state, replies=replies)


def soon(low: float, high: float) -> float:
    """The first look and a retry at once, the next day's much later."""
    return (
        high
        if high < renewal.RETRY_S[0]
        and (low, high)
        not in (
            renewal.FIRST_S,
            renewal.TOLD_S,
        )
        else 0.0
    )


async def test_after_start_it_asks_for_keys_and_only_in_the_last_third_for_more() -> None:
    fleet = Fleet()
    async with running(fleet, soon):
        await until(lambda: fleet.asked, "the first question")
    assert (fleet.asked, fleet.renewed) == ([False], 0)
    old = Fleet()
    old.life = Life(0, old.life.not_before_ms + 10_000, "s1")
    async with running(old, soon):
        await until(lambda: old.renewed, "a new certificate")
    assert (old.asked, old.renewed) == ([True], 1)


async def test_what_fails_is_tried_again() -> None:
    fleet = Fleet()
    fleet.away = 3
    async with running(fleet, soon):
        await until(lambda: len(fleet.asked) >= 4, "three failures and then")
    assert fleet.asked == [False] * 4


async def test_it_asks_when_the_fleet_names_other_secrets_and_once_for_each() -> None:
    fleet = Fleet()
    async with running(fleet, soon) as subject:
        await until(lambda: fleet.asked, "the first question")
        fleet.gives = "s2"
        subject.on_outcome(outcome("s1"))
        subject.on_outcome(outcome("s2"))
        await until(lambda: len(fleet.asked) == 2, "the keys that were named")
        subject.on_outcome(outcome("s2"))
        # The fleet names what it then does not give: asked for once, not without end.
        subject.on_outcome(outcome("s3"))
        await until(lambda: len(fleet.asked) == 3, "the ones after")
        for _ in range(20):
            subject.on_outcome(outcome("s3"))
            await asyncio.sleep(0)
        subject.on_outcome(outcome(7))
        assert len(fleet.asked) == 3


async def test_a_signature_that_no_key_fits_makes_it_ask_but_not_without_end() -> None:
    fleet = Fleet()
    async with running(fleet, soon) as subject:
        await until(lambda: fleet.asked, "the first question")
        for _ in range(50):
            subject.on_outcome(outcome(reason="bad-signature"))
            await asyncio.sleep(0)
        await until(lambda: len(fleet.asked) == 2, "asked for the present keys")
        for _ in range(50):
            subject.on_outcome(outcome(reason="bad-signature"))
            subject.on_outcome(outcome(reason="stale-nonce"))
            await asyncio.sleep(0)
        assert len(fleet.asked) == 2
