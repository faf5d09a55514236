"""One connection to the broker, by aiomqtt; it comes back by itself.

Messages are handed over in the callback of the queue that aiomqtt fills, so no task and no wait is
spent per message. The hand-over must not block; what it can't take it drops, and the protocol
above makes good for it: events are sent again until acknowledged, telemetry is latest-only.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import aiomqtt

from fleet.errors import FleetError
from fleet.ports import Clock

log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 30
CALL_TIMEOUT_S: Final = 5.0
FAREWELL_TIMEOUT_S: Final = 1.0  # a broker that hangs must not hold up our own end
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 10.0
OUTGOING_MAX: Final = 10_000  # publishes that paho may hold; more means the broker is stuck

OnMessage = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker listens and who we are there."""

    host: str
    port: int
    username: str | None = None
    password: str | None = None
    tls: ssl.SSLContext | None = None


class MqttLink:
    """A connection with fixed subscriptions (topic filter, QoS)."""

    def __init__(
        self,
        *,
        address: BrokerAddress,
        identifier: str,
        subscriptions: Sequence[tuple[str, int]],
        on_message: OnMessage,
        clock: Clock,
        on_up: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._address = address
        self._identifier = identifier
        self._subscriptions = list(subscriptions)
        self._on_message = on_message
        self._on_up = on_up
        self._clock = clock
        self._client: aiomqtt.Client | None = None

    @property
    def up(self) -> bool:
        """True while connected and subscribed."""
        return self._client is not None

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> None:
        """Hand one message to the broker.

        Raises:
            FleetError: ``broker``: not connected, or the broker did not take it.
        """
        client = self._client
        if client is None:
            raise FleetError("broker: not connected", code="broker")
        try:
            with _cancel_kept():
                await client.publish(topic, payload, qos=qos, retain=retain, timeout=CALL_TIMEOUT_S)
        except (aiomqtt.MqttError, ValueError) as error:
            raise FleetError(f"broker: {error}", code="broker") from error

    async def run(self) -> None:
        """Stay connected until cancelled."""
        delay_s = BACKOFF_MIN_S
        told = False
        while True:
            try:
                async with self._new_client() as client:
                    client.timeout = FAREWELL_TIMEOUT_S  # from now on of the disconnect alone
                    if self._subscriptions:
                        with _cancel_kept():
                            await client.subscribe(self._subscriptions, timeout=CALL_TIMEOUT_S)
                    self._client = client
                    delay_s, told = BACKOFF_MIN_S, False
                    log.info("broker %s:%d: connected", self._address.host, self._address.port)
                    if self._on_up is not None:
                        await self._on_up()
                    async for _ in client.messages:
                        pass  # never: the feed takes them all; this raises when the link drops
            except (aiomqtt.MqttError, FleetError, OSError) as error:
                if _cancelled():  # and the farewell to the broker failed on top of it
                    raise asyncio.CancelledError from error
                if not told:
                    log.warning("broker %s:%d: %s", self._address.host, self._address.port, error)
                    told = True
            finally:
                self._client = None
            await self._clock.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            delay_s = min(delay_s * 2, BACKOFF_MAX_S)

    def _new_client(self) -> aiomqtt.Client:
        hand_over = self._on_message

        class Feed(asyncio.Queue[aiomqtt.Message]):
            def put_nowait(self, item: aiomqtt.Message) -> None:
                if isinstance(item.payload, bytes):
                    hand_over(item.topic.value, item.payload)

        return aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._address.username,
            password=self._address.password,
            identifier=self._identifier,
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=KEEPALIVE_S,
            timeout=CALL_TIMEOUT_S,
            queue_type=Feed,
            max_queued_outgoing_messages=OUTGOING_MAX,
            tls_context=self._address.tls,
        )


async def knock(address: BrokerAddress, identifier: str) -> bool:
    """Connect and leave again; a client of that identifier loses its connection.

    Returns whether that came about; it raises nothing but a cancel.
    """
    client = aiomqtt.Client(
        address.host,
        address.port,
        identifier=identifier,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=True,
        timeout=CALL_TIMEOUT_S,
        tls_context=address.tls,
    )
    with _cancel_kept():
        try:
            async with client:
                client.timeout = FAREWELL_TIMEOUT_S
        except (aiomqtt.MqttError, OSError) as error:
            log.warning("broker: %s could not be dropped: %s", identifier, error)
            return False
    return True


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@contextmanager
def _cancel_kept() -> Iterator[None]:
    """Around a call of aiomqtt: wait_for before Python 3.12 loses a cancel that meets the answer.

    Only a cancel that came meanwhile counts: a task whose TaskGroup failed before 3.12 says for ever
    that it is being cancelled.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    yield
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
