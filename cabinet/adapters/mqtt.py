"""The broker, by aiomqtt (asyncio-mqtt under its present name); nothing else of ours knows it.

MQTT 3.1.1 with a clean session: nothing may wait for this cabinet in a broker's queue, least of all
a command. All subscriptions are QoS 0: TCP keeps the order and loses nothing while the connection
lives, a new connection gets the retained documents afresh, and whoever waits for an answer to a
command or an acknowledgement repeats itself anyway; on NATS each QoS 1 subscription would cost the
broker a consumer, of which a stream has only so many.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import aiomqtt

from cabinet.errors import BrokerError, CabinetError, ConfigError
from cabinet.ports import Packet
from protocols.messages import EVENT_WINDOW

log = logging.getLogger(__name__)

KEEPALIVE_S: Final = 30
CALL_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 5.0
#: Saying good-bye must not hold up the end of the daemon.
GOODBYE_TIMEOUT_S: Final = 1.0
#: All chunks of a list may come at once, right after the subscription, and commands besides.
INCOMING_MAX: Final = 4_096 + 256
PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is and who we are there."""

    host: str
    port: int
    tls: bool
    identifier: str
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: Path | None = None
    client_file: Path | None = None  # key and certificate


def endpoint(
    url: str,
    identifier: str,
    *,
    username: str = "",
    password: str = "",
    ca_file: Path | None = None,
    client_file: Path | None = None,
) -> Endpoint:
    """Parse ``mqtt://host[:port]`` or ``mqtts://host[:port]``; raise ConfigError otherwise."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in PORTS or not parts.hostname or port == -1:
        raise ConfigError(f"fleet url {url!r}: expected mqtt://host:port or mqtts://host:port")
    return Endpoint(
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        tls=parts.scheme == "mqtts",
        identifier=identifier,
        username=username,
        password=password,
        ca_file=ca_file,
        client_file=client_file,
    )


class MqttSession:
    """Implements ``cabinet.ports.Session``."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self._messages = client.messages

    async def publish(self, packet: Packet) -> None:
        """Hand it to the broker."""
        try:
            with _cancel_kept():
                await self._client.publish(
                    packet.topic, packet.payload, qos=packet.qos, retain=packet.retain
                )
        except (aiomqtt.MqttError, ValueError) as error:
            raise BrokerError(f"publish {packet.topic}: {error}") from error

    async def receive(self) -> Packet:
        """The next message."""
        try:
            message = await anext(self._messages)
        except (aiomqtt.MqttError, StopAsyncIteration) as error:
            raise BrokerError(f"receive: {error}") from error
        return Packet(message.topic.value, message.payload, message.qos, retain=message.retain)


class MqttBroker:
    """Implements ``cabinet.ports.Broker``.

    ``refresh`` names the place anew before every connection: where credentials come from the fleet
    they may have changed.
    """

    def __init__(self, endpoint: Endpoint, refresh: Callable[[], Endpoint] | None = None) -> None:
        self._endpoint = endpoint
        self._refresh = refresh
        self._client_now: aiomqtt.Client | None = None

    def reconnect(self) -> None:
        """End the present connection in good order; whoever uses it makes a new one."""
        if self._client_now is not None:
            self._client_now._client.disconnect()  # noqa: SLF001 - aiomqtt has no call for it

    @asynccontextmanager
    async def session(
        self, *, will: Packet, subscribe: Sequence[str]
    ) -> AsyncIterator[MqttSession]:
        """Connect, subscribe, and say good-bye at the end."""
        try:
            if self._refresh is not None:
                self._endpoint = self._refresh()
            client = self._client(will)
        except CabinetError as error:
            raise BrokerError(str(error)) from error
        words = _LastWords()
        log.addHandler(words)
        try:
            with _cancel_kept():
                await client.__aenter__()
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            why = f"{error} ({words.text})" if words.text else str(error)
            raise BrokerError(f"{self._endpoint.host}:{self._endpoint.port}: {why}") from error
        finally:
            log.removeHandler(words)
        try:
            try:
                with _cancel_kept():
                    await client.subscribe([(topic, 0) for topic in subscribe])
            except (aiomqtt.MqttError, ValueError) as error:
                raise BrokerError(f"subscribe: {error}") from error
            self._client_now = client
            yield MqttSession(client)
        finally:
            self._client_now = None
            await _leave(client)

    def _client(self, will: Packet) -> aiomqtt.Client:
        place = self._endpoint
        client = aiomqtt.Client(
            place.host,
            place.port,
            identifier=place.identifier,
            username=place.username or None,
            password=place.password or None,
            will=aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
            clean_session=True,
            keepalive=KEEPALIVE_S,
            timeout=CALL_TIMEOUT_S,
            max_queued_incoming_messages=INCOMING_MAX,
            max_queued_outgoing_messages=2 * EVENT_WINDOW,
            tls_context=self._tls() if place.tls else None,
            logger=log,
        )
        client.pending_calls_threshold = 2 * EVENT_WINDOW
        client._client.connect_timeout = CONNECT_TIMEOUT_S  # noqa: SLF001 - aiomqtt has no parameter for it
        return client

    def _tls(self) -> ssl.SSLContext:
        place = self._endpoint
        try:
            context = ssl.create_default_context(cafile=place.ca_file)
            if place.client_file is not None:
                context.load_cert_chain(place.client_file)
        except OSError as error:
            raise BrokerError(f"{place.ca_file}, {place.client_file}: {error}") from error
        return context


class _LastWords(logging.Handler):
    """Keeps why TLS ended a connection: paho only logs it, and then waits for nothing.

    A broker that refuses a certificate says so after the handshake; without this an expired or
    revoked one would look like a broker that does not answer.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Take it down."""
        text = record.getMessage()
        if "SSL" in text:
            self.text = text[text.index("SSL") :].rstrip(")")


async def _leave(client: aiomqtt.Client) -> None:
    try:
        async with asyncio.timeout(GOODBYE_TIMEOUT_S):
            with _cancel_kept():
                await client.__aexit__(None, None, None)
    except (aiomqtt.MqttError, TimeoutError, OSError) as error:
        log.debug("good-bye: %s", error)


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
