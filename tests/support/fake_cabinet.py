"""A cabinet as the fleet sees it: one MQTT client that keeps an outbox and obeys signed commands."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import aiomqtt

from fleet.adapters.clock import SystemClock
from protocols import signing, topics
from protocols.messages import (
    Ack,
    Challenge,
    Command,
    Event,
    Result,
    Status,
    Telemetry,
    decode,
    encode,
)
from protocols.topics import Leaf
from tests.support.fleet import Reporter, telemetry

Answer = Callable[[Command], Result | None]


@dataclass(slots=True)
class FakeCabinet:
    """``answer`` decides on a command; None keeps silent. Nonces are checked as a cabinet would."""

    cabinet: str
    password: str
    command_key: str
    host: str
    port: int
    boot_id: str = "boot-1"
    session: int = 1
    reporter: Reporter = field(init=False)
    outbox: list[Event] = field(default_factory=list)
    acked: Ack | None = None
    acks: list[Ack] = field(default_factory=list)
    nonces: set[str] = field(default_factory=set)
    challenges: int = 0
    commands: list[Command] = field(default_factory=list)
    lists: list[tuple[str, bytes]] = field(default_factory=list)
    answer: Answer | None = None
    deaf: bool = False
    client: aiomqtt.Client | None = None

    def __post_init__(self) -> None:
        self.reporter = Reporter(self.cabinet, wall_ms=SystemClock().wall_ms())

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[FakeCabinet]:
        will = aiomqtt.Will(
            topics.build(self.cabinet, Leaf.STATUS), encode(self._status(online=False)), 1, True
        )
        client = aiomqtt.Client(
            self.host,
            self.port,
            username=self.cabinet,
            password=self.password,
            identifier=self.cabinet,
            will=will,
            timeout=60,
        )
        async with client, asyncio.TaskGroup() as group:
            self.client = client
            for leaf in topics.DOWN:
                await client.subscribe(topics.subscription(self.cabinet, leaf), qos=0)
            listener = group.create_task(self._listen(client))
            await self.publish(Leaf.STATUS, encode(self._status(online=True)), retain=True)
            await self.tell(telemetry())
            try:
                yield self
            finally:
                listener.cancel()
                self.client = None

    def vanish(self) -> None:
        """Lose the connection without a word, so that the broker tells the will."""
        assert self.client is not None
        connection = self.client._client.socket()
        assert connection is not None
        connection.shutdown(socket.SHUT_RDWR)

    def _status(self, *, online: bool) -> Status:
        return Status(
            online=online,
            session=self.session,
            boot_id=self.boot_id,
            epoch=self.reporter.epoch,
            software="fake",
            slots=12,
        )

    async def tell(self, message: Telemetry) -> None:
        await self.publish(Leaf.TELEMETRY, encode(message))

    async def report(self, *events: Event) -> None:
        self.outbox += events
        for event in events:
            await self.publish(Leaf.EVENT, encode(event))

    async def repeat(self) -> None:
        """Go back N: everything that is not acknowledged."""
        after = 0 if self.acked is None else self.acked.seq
        for event in self.outbox:
            if event.seq > after:
                await self.publish(Leaf.EVENT, encode(event))

    async def publish(self, leaf: Leaf, payload: bytes, *, retain: bool = False) -> None:
        assert self.client is not None
        topic = topics.build(self.cabinet, leaf)
        await self.client.publish(topic, payload, qos=1, retain=retain)

    async def result(self, message: Result) -> None:
        await self.publish(Leaf.RESULT, encode(message))

    async def _listen(self, client: aiomqtt.Client) -> None:
        with suppress(aiomqtt.MqttError):  # the link dropped
            await self._take(client)

    async def _take(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            topic = topics.parse(str(message.topic))
            payload = message.payload
            assert isinstance(payload, bytes)
            match topic.leaf:
                case Leaf.ACK:
                    self.acked = decode(payload, Ack)
                    self.acks.append(self.acked)
                case Leaf.CHALLENGE if not self.deaf:
                    self.challenges += 1
                    await self._give_nonces(decode(payload, Challenge))
                case Leaf.COMMAND if not self.deaf:
                    await self._obey(decode(payload, Command))
                case Leaf.DESIRED_LISTS:
                    self.lists.append((str(message.topic), payload))
                case _:
                    pass
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                # wait_for before Python 3.12 loses a cancel that meets the broker's answer
                raise asyncio.CancelledError

    async def _give_nonces(self, challenge: Challenge) -> None:
        fresh = tuple(secrets.token_hex(8) for _ in range(challenge.count))
        self.nonces.update(fresh)
        await self.result(
            Result(id=challenge.id, outcome="nonces", boot_id=self.boot_id, nonces=fresh)
        )

    async def _obey(self, command: Command) -> None:
        assert signing.verify(command, self.command_key)
        assert command.nonce in self.nonces, "a nonce of ours, used once"
        self.nonces.remove(command.nonce)
        self.commands.append(command)
        result = self.accept(command) if self.answer is None else self.answer(command)
        if result is not None:
            await self.result(result)

    def accept(self, command: Command) -> Result:
        return Result(id=command.id, outcome="accepted", boot_id=self.boot_id)
