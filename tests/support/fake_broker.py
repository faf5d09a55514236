"""A broker in memory for the uplink: what was published, and a link that can break or stall."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec import Struct

from cabinet.errors import BrokerError
from cabinet.ports import Packet
from protocols import messages, topics
from protocols.topics import Leaf


class FakeSession:
    """One connection. ``broken``: everything fails; ``stalled``: nothing is ever confirmed."""

    def __init__(self, broker: FakeBroker) -> None:
        self._broker = broker
        self._incoming: asyncio.Queue[Packet | None] = asyncio.Queue()
        self.broken = False
        self.stalled = False

    async def publish(self, packet: Packet) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise BrokerError("broken")
        if self.stalled:
            await asyncio.Event().wait()
        self._broker.published.append(packet)

    async def receive(self) -> Packet:
        packet = await self._incoming.get()
        if packet is None:
            raise BrokerError("lost")
        return packet

    def lose(self) -> None:
        self.broken = True
        self._incoming.put_nowait(None)

    def deliver(self, leaf: Leaf, message: Struct | bytes, *, retain: bool = False) -> None:
        payload = message if isinstance(message, bytes) else messages.encode(message)
        self.deliver_packet(Packet(topics.build("DH-0001", leaf), payload, retain=retain))

    def deliver_packet(self, packet: Packet) -> None:
        self._incoming.put_nowait(packet)


class FakeBroker:
    """Implements ``cabinet.ports.Broker``; ``down`` refuses connections."""

    def __init__(self) -> None:
        self.down = False
        self.tries = 0
        self.wills: list[Packet] = []
        self.subscribed: list[str] = []
        self.sessions: list[FakeSession] = []
        self.published: list[Packet] = []

    @asynccontextmanager
    async def session(
        self, *, will: Packet, subscribe: Sequence[str]
    ) -> AsyncIterator[FakeSession]:
        self.tries += 1
        if self.down:
            raise BrokerError("refused")
        self.wills.append(will)
        self.subscribed = list(subscribe)
        session = FakeSession(self)
        self.sessions.append(session)
        yield session

    def of(self, leaf: Leaf) -> list[Packet]:
        """What was published there."""
        topic = topics.build("DH-0001", leaf)
        return [packet for packet in self.published if packet.topic == topic]
