"""Who may do what when certificates count: real clients at the embedded brokers, and at a Mosquitto
with the configuration that deploy has for production.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import pytest

from fleet.adapters.broker import EmbeddedBroker
from fleet.adapters.pki import Authority
from fleet.core.records import Credential
from protocols import topics
from protocols.messages import PAYLOAD_BYTES_MAX
from protocols.topics import DOWN, ROOT, UP, Leaf
from tests.support.certificates import NOW, Client, cabinet_client
from tests.support.fleet import until
from tests.support.mosquitto import deployed_broker
from tests.support.servers import BROKERS, broker

A, B = "DH-0001", "DH-0002"
DEPLOYED = "deployed"
QUIET_S = 0.3
REFUSED_S = 2.0
CONNECTED_S = 60.0


@dataclass(slots=True)
class Place:
    """A running broker and its authority."""

    folder: Path
    kind: str
    authority: Authority
    embedded: EmbeddedBroker
    revoked: dict[str, str] = field(default_factory=dict)
    enrolled: dict[str, int | None] = field(default_factory=lambda: {A: 1, B: 1})

    def issue(self, cabinet: str, epoch: int = 1, now: dt.datetime = NOW) -> Client:
        return cabinet_client(self.authority, self.folder, cabinet, epoch, now=now)

    def credentials(self) -> list[Credential]:
        return [Credential(name, enrolled=epoch) for name, epoch in self.enrolled.items()]

    async def reload(self) -> None:
        await self.embedded.reload(self.credentials(), (len(self.revoked), self.revoked))

    @asynccontextmanager
    async def client(
        self,
        who: Client | ssl.SSLContext,
        name: str = "someone",
        *,
        within_s: float = CONNECTED_S,
    ) -> AsyncIterator[aiomqtt.Client]:
        context = who.context(self.authority.ca_file) if isinstance(who, Client) else who
        address = self.embedded.address
        async with aiomqtt.Client(
            address.host, address.port, identifier=name, tls_context=context, timeout=within_s
        ) as connected:
            yield connected

    def fleet(self) -> ssl.SSLContext:
        context = self.embedded.address.tls
        assert context is not None
        return context

    async def refuses(self, who: Client | ssl.SSLContext | None) -> bool:
        """Whether this one cannot so much as connect."""
        with suppress(aiomqtt.MqttError, ssl.SSLError):
            if who is None:
                address = self.embedded.address
                async with aiomqtt.Client(
                    address.host, address.port, identifier=A, username=A, timeout=REFUSED_S
                ):
                    return False
            async with self.client(who, "probe", within_s=REFUSED_S):
                return False
        return True


@pytest.fixture(params=[*BROKERS, pytest.param(DEPLOYED, marks=pytest.mark.slow)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    authority = Authority.open(tmp_path / "pki", NOW)
    authority.renew_server([], NOW)
    credentials = [Credential(A, enrolled=1), Credential(B, enrolled=1)]
    async with AsyncExitStack() as stack:
        if request.param == DEPLOYED:
            embedded = await stack.enter_async_context(deployed_broker(tmp_path, authority))
        else:
            started = broker(request.param, tmp_path, credentials, authority)
            embedded = await stack.enter_async_context(started)
        keeper = asyncio.create_task(embedded.run())  # as in fleetd: it reads what the broker logs
        yield Place(tmp_path, request.param, authority, embedded)
        keeper.cancel()
        await asyncio.wait({keeper})


class Listener:
    """What a client hears."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.got: list[tuple[str, object]] = []

    async def run(self) -> None:
        with suppress(aiomqtt.MqttError):
            async for message in self.client.messages:
                self.got.append((str(message.topic), message.payload))


@asynccontextmanager
async def listening(client: aiomqtt.Client, *patterns: str) -> AsyncIterator[Listener]:
    listener = Listener(client)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(listener.run())
        for pattern in patterns:
            await client.subscribe(pattern, qos=1)
        try:
            yield listener
        finally:
            task.cancel()


async def test_a_cabinet_reports_on_its_own_topics_only(place: Place) -> None:
    async with (
        place.client(place.fleet(), "fleet") as fleet,
        listening(fleet, f"{ROOT}/+/+/+", f"{ROOT}/+/+/desired/+") as heard,
        place.client(place.issue(A), A) as cabinet,
    ):
        for leaf in UP:
            await cabinet.publish(topics.build(B, leaf), b"forged", qos=1)
        for leaf in DOWN:
            await cabinet.publish(topics.build(A, leaf), b"forged", qos=1)
            await cabinet.publish(topics.build(B, leaf), b"forged", qos=1)
        await cabinet.publish(topics.build(A, Leaf.DESIRED_PLAN), b"forged", qos=1, retain=True)
        for leaf in UP:
            await cabinet.publish(topics.build(A, leaf), b"own", qos=1)
        await until(lambda: len(heard.got) >= len(UP), "its own reports arrive")
        assert sorted(heard.got) == sorted((topics.build(A, leaf), b"own") for leaf in UP)


async def test_what_is_larger_than_any_message_of_ours_stays_outside(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path / "pki", NOW)
    authority.renew_server([], NOW)
    async with deployed_broker(tmp_path, authority) as deployed:
        place = Place(tmp_path, DEPLOYED, authority, deployed)
        largest, topic = b"x" * PAYLOAD_BYTES_MAX, topics.build(A, Leaf.EVENT)
        async with (
            place.client(place.fleet(), "fleet") as fleet,
            listening(fleet, topic) as heard,
            place.client(place.issue(A), A) as cabinet,
        ):
            with suppress(aiomqtt.MqttError):
                await cabinet.publish(topic, largest + b"x", qos=0)
            async with place.client(place.issue(A), A) as again:
                await again.publish(topic, largest, qos=1)
                await until(lambda: heard.got, "the largest arrives")
            assert heard.got == [(topic, largest)]


SPYING = [
    *(topics.subscription(B, leaf) for leaf in DOWN),
    *(topics.build(B, leaf) for leaf in UP),
    *(topics.build(A, leaf) for leaf in UP),
    f"{ROOT}/#",
    f"{ROOT}/+/+/command",
    f"{ROOT}/+/+/desired/lists/+",
    "#",
    "$MQTT/sub/#",
    "$MQTT/#",
    "$JS/#",
]


async def test_a_cabinet_hears_its_own_topics_only(place: Place) -> None:
    victims = [topics.subscription(B, leaf) for leaf in DOWN]
    async with (
        place.client(place.issue(A), A) as spying,
        listening(spying) as spy,
        place.client(place.issue(B), B) as other,
        listening(other, *victims) as victim,
        place.client(place.fleet(), "fleet") as fleet,
    ):
        for pattern in SPYING:
            for qos in (0, 1):
                with suppress(aiomqtt.MqttError):
                    await spying.subscribe(pattern, qos=qos)
        for leaf in DOWN:
            chunk = 0 if leaf is Leaf.DESIRED_LISTS else None
            await fleet.publish(topics.build(B, leaf, chunk), b"for B", qos=1)
        for leaf in UP:
            await other.publish(topics.build(B, leaf), b"of B", qos=1)
        await until(lambda: len(victim.got) >= len(DOWN), "B hears what is for B")
        await spying.subscribe(topics.subscription(A, Leaf.COMMAND))
        await fleet.publish(topics.build(A, Leaf.COMMAND), b"for A", qos=1)
        await until(lambda: spy.got, "A hears what is for A")
        await asyncio.sleep(QUIET_S)
        assert set(spy.got) == {(topics.build(A, Leaf.COMMAND), b"for A")}


async def test_deploys_mosquitto_keeps_cabinets_apart(tmp_path: Path) -> None:
    """What its other cases show in the long proofs."""
    authority = Authority.open(tmp_path / "pki", NOW)
    authority.renew_server([], NOW)
    async with deployed_broker(tmp_path, authority) as deployed:
        place = Place(tmp_path, DEPLOYED, authority, deployed)
        await test_a_cabinet_reports_on_its_own_topics_only(place)
        await test_a_cabinet_hears_its_own_topics_only(place)
        assert await place.refuses(ssl.create_default_context(cafile=authority.ca_file))


async def test_telemetry_has_a_reader_that_can_do_nothing_else(place: Place) -> None:
    context = place.embedded.telemetry_address.tls
    assert context is not None
    async with (
        place.client(context, "fleet-telemetry") as reader,
        listening(reader, f"{ROOT}/+/+/telemetry") as heard,
        place.client(place.issue(A), A) as cabinet,
        listening(cabinet, topics.subscription(A, Leaf.COMMAND)) as orders,
        place.client(place.fleet(), "fleet") as fleet,
    ):
        with suppress(aiomqtt.MqttError):
            await reader.subscribe(f"{ROOT}/+/+/event", qos=1)
        await reader.publish(topics.build(A, Leaf.COMMAND), b"forged", qos=1)
        await cabinet.publish(topics.build(A, Leaf.EVENT), b"event", qos=1)
        await cabinet.publish(topics.build(A, Leaf.TELEMETRY), b"telemetry", qos=1)
        await fleet.publish(topics.build(A, Leaf.COMMAND), b"order", qos=1)
        await until(lambda: heard.got and orders.got, "telemetry and order")
        assert heard.got == [(topics.build(A, Leaf.TELEMETRY), b"telemetry")]
        assert orders.got == [(topics.build(A, Leaf.COMMAND), b"order")]


async def test_who_shows_no_good_certificate_stays_outside(place: Place, tmp_path: Path) -> None:
    other = Authority.open(tmp_path / "other", NOW)
    ours = ssl.create_default_context(cafile=place.authority.ca_file)
    long_ago = NOW - dt.timedelta(days=400)
    stranger = cabinet_client(other, tmp_path, A)
    as_server = ssl.create_default_context(cafile=place.authority.ca_file)
    as_server.load_cert_chain(place.authority.server_file)
    outside = {
        "no encryption": None,
        "no certificate": ours,
        "of another authority": stranger,
        "expired": place.issue(A, now=long_ago),
        "not yet valid": place.issue(A, now=NOW + dt.timedelta(days=2)),
        "a certificate for servers": as_server,
    }
    refused = await asyncio.gather(*map(place.refuses, outside.values()))
    assert dict(zip(outside, refused, strict=True)) == dict.fromkeys(outside, True)
    async with place.client(place.issue(A), "probe"):
        pass


async def test_the_broker_is_who_it_says(place: Place, tmp_path: Path) -> None:
    """A client that trusts another authority, or asks for another name, does not connect."""
    other = Authority.open(tmp_path / "other", NOW)
    address = place.embedded.address

    def shake(context: ssl.SSLContext, name: str) -> None:
        with (
            socket.create_connection((address.host, address.port), 5) as plain,
            context.wrap_socket(plain, server_hostname=name),
        ):
            pass

    good = place.issue(A).context(place.authority.ca_file)
    shake(good, "localhost")
    for context, name in (
        (place.issue(A).context(other.ca_file), "localhost"),
        (good, "broker.example"),
    ):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake(context, name)


async def test_an_enrolment_that_was_replaced_is_out_at_once(place: Place) -> None:
    old, new, bystander = place.issue(A, 1), place.issue(A, 2), place.issue(B)
    async with (
        place.client(bystander, B) as other,
        listening(other, topics.subscription(B, Leaf.COMMAND)) as stays,
        place.client(old, "thief") as stolen,
        listening(stolen, topics.subscription(A, Leaf.COMMAND)) as thief,
    ):
        place.enrolled[A] = 2
        place.revoked[old.issued.serial] = A
        await place.reload()
        await until(lambda: not stolen._client.is_connected(), "its connection has ended")
        assert await place.refuses(old)
        async with (
            place.client(new, A) as fresh,
            listening(fresh, topics.subscription(A, Leaf.COMMAND)) as cabinet,
            place.client(place.fleet(), "fleet") as fleet,
        ):
            await fleet.publish(topics.build(A, Leaf.COMMAND), b"order", qos=1)
            await fleet.publish(topics.build(B, Leaf.COMMAND), b"order", qos=1)
            await until(lambda: cabinet.got and stays.got, "both hear")
        assert thief.got == []


async def test_a_disabled_cabinet_is_out_and_comes_back_with_a_new_enrolment(place: Place) -> None:
    old = place.issue(A)
    place.enrolled[A] = None
    place.revoked[old.issued.serial] = A
    await place.reload()
    await until_refused(place, old)
    place.enrolled[A] = 2
    await place.reload()
    assert await place.refuses(old)
    async with place.client(place.issue(A, 2), "probe"):
        pass


async def until_refused(place: Place, who: Client) -> None:
    async with asyncio.timeout(60):
        while not await place.refuses(who):
            pass


async def test_a_renewed_certificate_of_the_server_is_served_without_a_restart(
    place: Place,
) -> None:
    address, pid = place.embedded.address, place.embedded.pid
    assert address.tls is not None

    def serial() -> str:
        with (
            socket.create_connection((address.host, address.port), 5) as plain,
            place.fleet().wrap_socket(plain, server_hostname="localhost") as tls,
        ):
            certificate = tls.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])

    before = await asyncio.to_thread(serial)
    assert place.authority.renew_server(["new.example"], NOW)
    place.embedded.renew_clients()
    place.embedded.hang_up()
    async with asyncio.timeout(60):
        while await asyncio.to_thread(serial) == before:
            await asyncio.sleep(0.05)
    assert place.embedded.pid == pid
    async with place.client(place.fleet(), "fleet"):
        pass


async def test_nobody_pushes_another_off_by_calling_himself_the_same(place: Place) -> None:
    if place.kind == "nats":
        pytest.skip("NATS knows sessions by client id alone, of whatever user")
    async with place.client(place.issue(B), B) as victim, place.client(place.issue(A), B):
        await victim.publish(topics.build(B, Leaf.EVENT), b"x", qos=1)
        assert victim._client.is_connected()


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto-clients missing")
async def test_other_clients_get_the_same_answers(place: Place) -> None:
    """mosquitto_pub, which shares no code with us."""
    address, good, other = place.embedded.address, place.issue(A), place.issue(B)

    async def say(topic: str, *credentials: str) -> int:
        process = await asyncio.create_subprocess_exec(
            *("mosquitto_pub", "-h", address.host, "-p", str(address.port), "-q", "1"),
            *("-i", "peer", "-t", topic, "-m", "peer", *credentials),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(60):
                return await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            return -1

    def pair(who: Client) -> list[str]:
        ca = str(place.authority.ca_file)
        return ["--cafile", ca, "--cert", str(who.file), "--key", str(who.file)]

    async with (
        place.client(place.fleet(), "fleet") as fleet,
        listening(fleet, f"{ROOT}/+/+/event") as heard,
    ):
        await say(topics.build(A, Leaf.EVENT), *pair(other))
        assert await say(topics.build(A, Leaf.EVENT)) != 0, "no encryption"
        assert await say(topics.build(A, Leaf.EVENT), *pair(good)[:2]) != 0, "no certificate"
        assert await say(topics.build(A, Leaf.EVENT), *pair(good)) == 0
        await until(lambda: heard.got, "what a cabinet may say arrives")
        assert heard.got == [(topics.build(A, Leaf.EVENT), b"peer")]


async def test_the_other_door_of_nats_is_shut(tmp_path: Path) -> None:
    """Its own client port: TLS, and the users are for MQTT only."""
    authority = Authority.open(tmp_path / "pki", NOW)
    authority.renew_server([], NOW)
    async with AsyncExitStack() as stack:
        known = [Credential(A, enrolled=1)]
        embedded = await stack.enter_async_context(broker("nats", tmp_path, known, authority))
        assert embedded.pid is not None
        (port,) = ports_of(embedded.pid) - {embedded.address.port}
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        info = await reader.readline()
        assert b'"tls_required":true' in info
        assert b'"tls_verify":true' in info
        user = f"urn:yizhan:cabinet:{A}:1"
        writer.write(f'CONNECT {{"user":"{user}","pass":"","verbose":true}}\r\nPING\r\n'.encode())
        async with asyncio.timeout(60):
            rest = await reader.read()
        assert b"PONG" not in rest
        writer.close()
        context = cabinet_client(authority, tmp_path, A).context(authority.ca_file)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        await writer.start_tls(context, server_hostname="127.0.0.1")
        writer.write(b'CONNECT {"verbose":true}\r\nPING\r\n')
        async with asyncio.timeout(60):
            rest = await reader.read()
        assert b"Authorization Violation" in rest
        assert b"PONG" not in rest
        writer.close()


def ports_of(pid: int) -> set[int]:
    """TCP ports of loopback that a process listens on."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(str(link.readlink()).removeprefix("socket:[").rstrip("]"))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in inodes}
