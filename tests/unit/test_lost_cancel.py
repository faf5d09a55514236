"""A cancel that meets the broker's answer: the daemon must end all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiomqtt
import pytest

from cabinet.adapters.mqtt import MqttSession, _leave
from cabinet.ports import Packet
from fleet.adapters.clock import SystemClock
from fleet.adapters.mqtt import BrokerAddress, MqttLink, knock


class Client:
    """Waits for the broker's answer as aiomqtt does."""

    messages = None

    def __init__(self) -> None:
        self.answer = asyncio.get_running_loop().create_future()

    async def publish(self, *_: Any, **__: Any) -> None:
        await asyncio.wait_for(self.answer, 60)

    async def __aenter__(self) -> None:
        await asyncio.wait_for(self.answer, 60)

    async def __aexit__(self, *_: object) -> None:
        pass


async def from_fleet(client: Client) -> None:
    link = MqttLink(
        address=BrokerAddress("127.0.0.1", 1),
        identifier="x",
        subscriptions=[],
        on_message=lambda *_: None,
        clock=SystemClock(),
    )
    link._client = cast(aiomqtt.Client, client)
    await link.publish("topic", b"")


async def from_cabinet(client: Client) -> None:
    await MqttSession(cast(aiomqtt.Client, client)).publish(Packet("topic", b""))


class Leaving(Client):
    """Waits for the broker to have heard its good-bye."""

    async def __aexit__(self, *_: object) -> None:
        await asyncio.wait_for(self.answer, 60)


async def from_good_bye(client: Client) -> None:
    leaving = Leaving()
    leaving.answer = client.answer
    await _leave(cast(aiomqtt.Client, leaving))


async def from_knock(client: Client) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiomqtt, "Client", lambda *_, **__: client)
        await knock(BrokerAddress("127.0.0.1", 1), "x")


@pytest.mark.parametrize("publish", [from_fleet, from_cabinet, from_good_bye, from_knock])
async def test_it_is_not_lost(publish: Callable[[Client], Awaitable[None]]) -> None:
    client = Client()
    went_on = False

    async def worker() -> None:
        nonlocal went_on
        await publish(client)
        went_on = True

    task = asyncio.create_task(worker())
    await asyncio.sleep(0)
    client.answer.set_result(None)
    await asyncio.sleep(0)  # the answer is known, and the waiter about to wake
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not went_on


@pytest.mark.parametrize("publish", [from_fleet, from_cabinet, from_good_bye, from_knock])
async def test_a_task_group_that_failed_before_is_no_cancel(
    publish: Callable[[Client], Awaitable[None]],
) -> None:
    client = Client()
    client.answer.set_result(None)
    went_on = False

    async def breaks() -> None:
        await asyncio.sleep(0)
        raise ConnectionError

    async def worker() -> None:
        nonlocal went_on
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(breaks())
        except* ConnectionError:
            pass
        await publish(client)
        went_on = True

    await asyncio.wait([asyncio.create_task(worker())])
    assert went_on
