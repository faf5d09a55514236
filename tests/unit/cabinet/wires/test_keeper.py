"""The keeper brings the newest goal about, and nothing but it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from cabinet.errors import LinkError
from cabinet.runtime.wires_keeper import Keeper
from tests.support.wires import until


@asynccontextmanager
async def running(keeper: Keeper[int]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keeper.run())
        yield
        task.cancel()


class World:
    """Remembers what was applied; may fail or hang."""

    def __init__(self) -> None:
        self.applied: list[int] = []
        self.tried: list[int] = []
        self.failures = 0
        self.hang = asyncio.Event()
        self.hang.set()

    async def apply(self, goal: int) -> None:
        self.tried.append(goal)
        await self.hang.wait()
        if self.failures:
            self.failures -= 1
            raise LinkError("device", "no reply")
        self.applied.append(goal)

    def keeper(self, renew_s: Callable[[int], float | None] = lambda _: None) -> Keeper[int]:
        return Keeper("thing", self.apply, renew_s)


async def test_nothing_is_done_before_the_first_goal() -> None:
    world = World()
    async with running(world.keeper()):
        await asyncio.sleep(0.02)
    assert world.tried == []


async def test_a_goal_is_retried_until_it_holds() -> None:
    world = World()
    world.failures = 2
    keeper = world.keeper()
    async with running(keeper):
        keeper.want(1)
        async with asyncio.timeout(60):
            await keeper.settled()
        assert world.tried == [1, 1, 1]
        assert keeper.held == 1
        keeper.want(1)  # no news
        await asyncio.sleep(0.02)
        assert world.applied == [1]
        keeper.again()
        await until(lambda: world.applied == [1, 1], "applied again")


async def test_the_newest_goal_wins_and_those_between_are_never_tried() -> None:
    world = World()
    world.hang.clear()
    keeper = world.keeper()
    async with running(keeper):
        keeper.want(1)
        await until(lambda: world.tried == [1], "first attempt")
        keeper.want(2)
        keeper.want(3)
        await until(lambda: world.tried == [1, 3], "newest attempt")
        world.hang.set()
        await keeper.settled()
    assert world.applied == [3]


@pytest.mark.alone
async def test_a_failing_goal_is_replaced_without_waiting_for_its_retry() -> None:
    world = World()
    world.failures = 4
    keeper = world.keeper()
    loop = asyncio.get_running_loop()
    async with running(keeper):
        keeper.want(1)
        await until(lambda: world.failures == 1, "three failures: the next retry is 1 s away")
        world.failures = 0
        start = loop.time()
        keeper.want(2)
        await keeper.settled()
        assert loop.time() - start < 0.5
    assert world.applied == [2]


async def test_a_held_goal_is_renewed() -> None:
    world = World()
    keeper = world.keeper(lambda goal: 0.02 if goal else None)
    async with running(keeper):
        keeper.want(1)
        await until(lambda: len(world.applied) >= 4, "renewals")
        keeper.want(0)
        await keeper.settled()
        count = len(world.applied)
        await asyncio.sleep(0.06)
        assert len(world.applied) == count, "a dropped lease was renewed"


async def test_a_failed_renewal_means_that_nothing_is_held() -> None:
    world = World()
    keeper = world.keeper(lambda _: 0.02)
    async with running(keeper):
        keeper.want(1)
        await keeper.settled()
        world.failures = 1
        await until(lambda: keeper.held is None, "doubt")
        await until(lambda: keeper.held == 1, "held again")
