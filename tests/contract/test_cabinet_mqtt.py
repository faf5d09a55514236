"""The cabinet's MQTT adapter against the two real brokers, and what happens when they go away."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from cabinet.adapters import mqtt
from cabinet.adapters.mqtt import MqttBroker, endpoint
from cabinet.errors import BrokerError
from cabinet.ports import Packet
from fleet.adapters.broker import EmbeddedBroker, Prefer
from fleet.adapters.passwords import mosquitto_hash, nats_hash
from fleet.adapters.pki import Authority
from fleet.core.records import Credential
from protocols import topics
from protocols.topics import Leaf
from tests.support.certificates import NOW, cabinet_client
from tests.support.servers import BROKERS, broker

CABINET, SECRET = "DH-0001", "secret-a"
STATUS = topics.build(CABINET, Leaf.STATUS)
COMMAND = topics.build(CABINET, Leaf.COMMAND)
PLAN = topics.build(CABINET, Leaf.DESIRED_PLAN)
WILL = Packet(STATUS, b"gone", qos=1, retain=True)
SUBSCRIBE = [topics.subscription(CABINET, leaf) for leaf in topics.DOWN]


@pytest.fixture(params=BROKERS)
def kind(request: pytest.FixtureRequest) -> Prefer:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def running(kind: Prefer, tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    known = Credential(CABINET, mosquitto_hash(SECRET), nats_hash(SECRET))
    async with broker(kind, tmp_path, [known]) as embedded:
        yield embedded


def ours(embedded: EmbeddedBroker, password: str = SECRET) -> MqttBroker:
    url = f"mqtt://{embedded.address.host}:{embedded.address.port}"
    return MqttBroker(endpoint(url, CABINET, username=CABINET, password=password))


@asynccontextmanager
async def fleet(embedded: EmbeddedBroker) -> AsyncIterator[aiomqtt.Client]:
    place = embedded.address
    async with aiomqtt.Client(
        place.host, place.port, username=place.username, password=place.password, timeout=60
    ) as client:
        yield client


async def first(client: aiomqtt.Client, topic: str) -> aiomqtt.Message:
    await client.subscribe(topic, qos=1)
    async with asyncio.timeout(60):
        return await anext(client.messages)


async def test_messages_go_both_ways_and_retained_documents_come_first(
    running: EmbeddedBroker,
) -> None:
    async with fleet(running) as other:
        await other.publish(PLAN, b"plan", qos=1, retain=True)
        async with ours(running).session(will=WILL, subscribe=SUBSCRIBE) as session:
            async with asyncio.timeout(60):
                plan = await session.receive()
                assert (plan.topic, plan.payload, plan.retain) == (PLAN, b"plan", True)
                await other.publish(COMMAND, b"open", qos=0)
                command = await session.receive()
                assert (command.topic, command.payload, command.retain) == (COMMAND, b"open", False)
            await session.publish(Packet(STATUS, b"here", qos=1, retain=True))
            status = await first(other, STATUS)
            assert (status.payload, status.retain) == (b"here", True)


async def test_the_will_speaks_when_the_cabinet_does_not_say_goodbye(
    running: EmbeddedBroker,
) -> None:
    async with (
        fleet(running) as other,
        ours(running).session(will=WILL, subscribe=SUBSCRIBE) as session,
    ):
        await session.publish(Packet(STATUS, b"here", qos=1, retain=True))
        assert (await first(other, STATUS)).payload == b"here"
        session._client._client.socket().shutdown(2)  # the line is cut
        async with asyncio.timeout(60):
            assert (await anext(other.messages)).payload == b"gone"
        with pytest.raises(BrokerError):
            async with asyncio.timeout(60):
                await session.receive()
        with pytest.raises(BrokerError):
            await session.publish(Packet(STATUS, b"late", qos=1))


async def test_an_orderly_end_leaves_no_will(running: EmbeddedBroker) -> None:
    async with fleet(running) as other:
        async with ours(running).session(will=WILL, subscribe=SUBSCRIBE) as session:
            await session.publish(Packet(STATUS, b"bye", qos=1, retain=True))
        assert (await first(other, STATUS)).payload == b"bye"


async def test_a_broker_that_stops_is_noticed(running: EmbeddedBroker) -> None:
    async with ours(running).session(will=WILL, subscribe=SUBSCRIBE) as session:
        waiting = asyncio.ensure_future(session.receive())
        await running.stop()
        async with asyncio.timeout(60):
            with pytest.raises(BrokerError):
                await waiting


async def test_a_wrong_password_is_a_broker_error_that_does_not_name_it(
    running: EmbeddedBroker,
) -> None:
    with pytest.raises(BrokerError) as caught:
        async with ours(running, "hunter2-wrong").session(will=WILL, subscribe=SUBSCRIBE):
            pytest.fail("it let us in")
    assert "hunter2-wrong" not in str(caught.value)


async def test_nobody_there_is_a_broker_error() -> None:
    absent = MqttBroker(endpoint("mqtt://127.0.0.1:1", CABINET))
    with pytest.raises(BrokerError, match=r"127\.0\.0\.1:1"):
        async with absent.session(will=WILL, subscribe=SUBSCRIBE):
            pytest.fail("who is there?")


async def test_a_certificate_that_is_refused_is_named(
    kind: Prefer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a broker that does not answer: somebody has to know that a token is needed."""
    monkeypatch.setattr(mqtt, "CALL_TIMEOUT_S", 2.0)
    authority = Authority.open(tmp_path / "pki", NOW)
    authority.renew_server([], NOW)
    expired = cabinet_client(authority, tmp_path, CABINET, now=NOW - dt.timedelta(days=400))
    good = cabinet_client(authority, tmp_path, CABINET)
    known = [Credential(CABINET, enrolled=1)]
    async with broker(kind, tmp_path, known, authority) as embedded:
        url = f"mqtts://{embedded.address.host}:{embedded.address.port}"

        def as_one(client_file: Path) -> MqttBroker:
            ca = authority.ca_file
            return MqttBroker(endpoint(url, CABINET, ca_file=ca, client_file=client_file))

        with pytest.raises(BrokerError, match="certificate expired"):
            async with as_one(expired.file).session(will=WILL, subscribe=SUBSCRIBE):
                pass
        async with as_one(good.file).session(will=WILL, subscribe=SUBSCRIBE) as session:
            await session.publish(Packet(STATUS, b"here", qos=1))
