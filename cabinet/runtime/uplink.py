"""The way to the fleet: status, telemetry, events until acknowledged, orders and their answers.

What to send, and what an answer means, is ``core.delivery``'s; here are the connection and its
tasks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import structs

from cabinet.core.commands import MALFORMED
from cabinet.core.delivery import Delivery, KeepAck
from cabinet.core.engine import EngineConfig, JournalOutrun, OrderUnfit, Outcome, State
from cabinet.core.engine_running import told
from cabinet.core.outbox import Sender
from cabinet.errors import BrokerError, StoreError
from cabinet.ports import Broker, Clock, Packet, Session
from cabinet.runtime.pump import Pump
from cabinet.status import UplinkStatus
from protocols import messages, topics
from protocols.errors import MessageError
from protocols.messages import Ack, Event, Status
from protocols.topics import Leaf

log = logging.getLogger(__name__)

BACKOFF_FIRST_S: Final = 0.5
BACKOFF_MAX_S: Final = 60.0
#: How often the sender looks whether something is due again.
SENDER_TICK_S: Final = 1.0
TELEMETRY_GAP_S: Final = 0.5
GOODBYE_S: Final = 0.5
#: A connection that held this long makes the next attempt a first one; a shorter one does not, or
#: a broker that accepts and drops would be stormed.
STEADY_MS: Final = 30_000


class EventStore(Protocol):
    """The store, as far as the uplink needs it."""

    async def events(self, epoch: int, numbers: range) -> list[Event]:
        """Events by number."""
        ...

    async def acknowledge(self, ack: Ack, wall_ms: int | None) -> None:
        """Remember an acknowledgement."""
        ...


class Uplink:
    """Owns the connection; ``run`` it in a task group, it never returns by itself."""

    def __init__(
        self,
        *,
        cabinet: str,
        software: str,
        slots: int,
        broker: Broker,
        pump: Pump,
        store: EventStore,
        clock: Clock,
        sender: Sender,
        next_session: Callable[[int], int],
        running: Callable[[], EngineConfig],
    ) -> None:
        self._cabinet = cabinet
        self._software = software
        self._slots = slots
        self._broker = broker
        self._pump = pump
        self._store = store
        self._clock = clock
        self._jitter = random.random  # spreads load; no secret hangs on it
        self._delivery = Delivery(cabinet, sender, self._jitter)
        self._next_session = next_session
        self._running = running
        self._answer = asyncio.Event()
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._shown: object = None
        self._versions: object = None
        self._status = UplinkStatus(configured=True)
        pump.listen(self._on_outcome)

    @property
    def status(self) -> UplinkStatus:
        """For the status page."""
        return structs.replace(self._status, outbox_depth=self._delivery.depth)

    async def run(self) -> None:
        """Connect, and connect again, with full jitter so that a fleet does not storm its broker."""
        failures = 0
        while True:
            started_ms = self._clock.monotonic_ms()
            try:
                await self._connected()
            except* BrokerError as group:
                why = str(group.exceptions[0])
                self._status = structs.replace(
                    self._status,
                    connected=False,
                    failures=self._status.failures + 1,
                    last_error=why,
                )
                log.log(logging.WARNING if failures == 0 else logging.DEBUG, "fleet: %s", why)
            steady = self._clock.monotonic_ms() - started_ms >= STEADY_MS
            failures = 0 if steady else failures + 1
            ceiling_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures, 8))
            await self._clock.sleep(BACKOFF_FIRST_S / 5 + self._jitter() * ceiling_s)

    async def _connected(self) -> None:
        number = self._next_session(self._pump.now().wall_ms)
        will = self._status_packet(number, online=False)
        wanted = [topics.subscription(self._cabinet, leaf) for leaf in topics.DOWN]
        async with self._broker.session(will=will, subscribe=wanted) as session:
            self._delivery.connected()
            self._status = structs.replace(
                self._status, connected=True, connections=self._status.connections + 1
            )
            log.info("fleet: connected")
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._tell_status(session, number), name="uplink status")
                    group.create_task(self._tell_telemetry(session), name="uplink telemetry")
                    group.create_task(self._tell_events(session), name="uplink events")
                    group.create_task(self._tell_answers(session), name="uplink answers")
                    group.create_task(self._listen(session), name="uplink orders")
            except asyncio.CancelledError:
                await self._say_goodbye(session, number)
                raise
            finally:
                self._status = structs.replace(self._status, connected=False)

    async def _say_goodbye(self, session: Session, number: int) -> None:
        """An orderly end leaves no will; a link that is gone must not hold the end up."""
        with contextlib.suppress(BrokerError, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await session.publish(self._status_packet(number, online=False))

    # --- upwards ------------------------------------------------------------------------------

    def _on_outcome(self, outcome: Outcome) -> None:
        if self._delivery.adopted(outcome):
            self._wake.set()
        if outcome.replies:
            self._answer.set()
        now = self._pump.telemetry()
        slots = tuple((slot.state, slot.door, slot.presence, slot.serial) for slot in now.slots)
        shown = (now.active_swap, slots)
        if shown != self._shown:
            self._shown = shown
            self._moved.set()

    def _status_now(self, number: int, *, online: bool) -> Status:
        state: State = self._pump.state
        durable = state.durable
        sender = self._delivery.sender
        return Status(
            online=online,
            session=number,
            boot_id=state.boot_id,
            epoch=durable.epoch,
            software=self._software,
            config_version=durable.config.version if durable.config else 0,
            config_refused=durable.config_refused.version if durable.config_refused else 0,
            config_fault=durable.config_refused.why if durable.config_refused else "",
            plan_version=durable.plan.version if durable.plan else 0,
            lists_version=state.lists.version,
            slots=self._slots,
            acked_seq=sender.acked if sender.epoch == durable.epoch else 0,
            acked_incarnation=sender.incarnation,
            settings=told(self._running()),
        )

    def _status_packet(self, number: int, *, online: bool) -> Packet:
        status = self._status_now(number, online=online)
        topic = topics.build(self._cabinet, Leaf.STATUS)
        return Packet(topic, messages.encode(status), qos=1, retain=True)

    async def _tell_status(self, session: Session, number: int) -> None:
        told: object = None
        while True:
            status = self._status_now(number, online=True)
            # What was acknowledged goes along, but is no news by itself.
            news = structs.replace(status, acked_seq=0, acked_incarnation=None)
            if (tell := (news, self._delivery.protests)) != told:
                await session.publish(self._status_packet(number, online=True))
                told = tell
            await self._clock.sleep(SENDER_TICK_S)

    async def _tell_telemetry(self, session: Session) -> None:
        topic = topics.build(self._cabinet, Leaf.TELEMETRY)
        while True:
            self._moved.clear()
            await session.publish(Packet(topic, messages.encode(self._pump.telemetry())))
            await self._clock.sleep(TELEMETRY_GAP_S)
            wait_s = self._running().telemetry_s * (0.8 + 0.4 * self._jitter()) - TELEMETRY_GAP_S
            try:
                async with asyncio.timeout(max(0.0, wait_s)):
                    await self._moved.wait()
            except TimeoutError:
                continue

    async def _tell_events(self, session: Session) -> None:
        topic = topics.build(self._cabinet, Leaf.EVENT)
        while True:
            self._wake.clear()
            batch = self._delivery.due(self._clock.monotonic_ms())
            if batch is not None:
                try:
                    events = await self._store.events(batch.epoch, batch.numbers)
                except StoreError as error:
                    log.warning("events wait: %s", error)
                    events = []
                for event in events:
                    await session.publish(Packet(topic, messages.encode(event), qos=1))
                self._delivery.published(batch, self._clock.monotonic_ms())
            try:
                async with asyncio.timeout(SENDER_TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _tell_answers(self, session: Session) -> None:
        topic = topics.build(self._cabinet, Leaf.RESULT)
        while True:
            self._answer.clear()
            while self._delivery.answers:
                answer = self._delivery.answers.popleft()
                await session.publish(Packet(topic, messages.encode(answer), qos=1))
            await self._answer.wait()

    # --- downwards ----------------------------------------------------------------------------

    async def _listen(self, session: Session) -> None:
        while True:
            packet = await session.receive()
            try:
                await self._take(packet)
            except MessageError as error:
                log.warning("order refused: %s", error)
                await self._pump.submit(OrderUnfit(MALFORMED))

    async def _take(self, packet: Packet) -> None:
        order = self._delivery.read(packet.topic, packet.payload, retained=packet.retain)
        if isinstance(order, Ack):
            await self._acknowledged(order)
        elif order is not None:
            await self._pump.submit(order)

    async def _acknowledged(self, ack: Ack) -> None:
        now = self._pump.now()
        try:
            match self._delivery.acknowledged(ack, now):
                case KeepAck(kept, wall_ms):
                    await self._store.acknowledge(kept, wall_ms)
                    self._wake.set()
                case JournalOutrun() as outrun:
                    await self._pump.submit(outrun)
                case None:
                    pass
        except StoreError as error:
            log.warning("acknowledgement not kept, it will come again: %s", error)
