"""A client with the fleet's rights at a stack's broker: it may hear and say everything.

The one place that knows how to become it, so that the suites above need not care how the broker
tells its clients apart.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from deploy.demo.processes import LOOPBACK
from deploy.demo.waiting import now_s, until
from fleet.adapters.broker_files import FLEET_USER
from fleet.adapters.clock import SystemClock
from fleet.adapters.pki import Authority, fleet_identity
from protocols import topics
from protocols.topics import ROOT, Leaf
from tests.support.stack import SystemStack

READY_WITHIN_S: Final = 60.0
#: What is listened to: everything but the lists, which are long and nobody's order.
LEAVES: Final = (
    Leaf.STATUS,
    Leaf.TELEMETRY,
    Leaf.EVENT,
    Leaf.RESULT,
    Leaf.CHALLENGE,
    Leaf.COMMAND,
    Leaf.ACK,
)
_USER: Final = "tester"


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as it came."""

    leaf: Leaf
    cabinet: str
    payload: bytes
    at_s: float


class BrokerClient:
    """Use it as a context. ``heard`` is everything that crossed the broker since."""

    def __init__(self, stack: SystemStack) -> None:
        self._stack = stack
        self.heard: list[Heard] = []
        self.on_heard: Callable[[Heard], None] | None = None  # in the client's own thread
        self._subscribed = threading.Event()
        self._client: mqtt.Client | None = None

    def __enter__(self) -> BrokerClient:
        self.connect()
        return self

    def connect(self) -> None:
        """Connect, or connect again after fleetd and its broker were started anew."""
        context = _admit(self._stack)

        def connected() -> bool:
            self._close()
            self._client = self._new_client(context)
            try:
                self._client.connect(LOOPBACK, self._stack.broker_port)
            except OSError:  # the broker is just coming up
                return False
            self._client.loop_start()
            return self._subscribed.wait(
                1.0
            )  # a broker that reloads its users refuses for a moment

        until(connected, within_s=READY_WITHIN_S, what="a client with the fleet's rights")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def publish(
        self, leaf: Leaf, payload: bytes, *, cabinet: str | None = None, retain: bool = False
    ) -> None:
        """Say something on a cabinet's topic; returns once the broker has it."""
        sent = self.hand_over(leaf, payload, cabinet=cabinet, retain=retain)
        sent.wait_for_publish(READY_WITHIN_S)
        assert sent.is_published(), "the broker did not take it"

    def hand_over(
        self, leaf: Leaf, payload: bytes, *, cabinet: str | None = None, retain: bool = False
    ) -> mqtt.MQTTMessageInfo:
        """The same without waiting, for a broker that is not there to say that it has it."""
        assert self._client is not None
        topic = topics.build(cabinet or self._stack.options.cabinet_id, leaf)
        return self._client.publish(topic, payload, qos=1, retain=retain)

    def of(self, leaf: Leaf, since: int = 0) -> list[Heard]:
        """What was heard on a leaf, from the message with this number on."""
        return [each for each in self.heard[since:] if each.leaf is leaf]

    def _new_client(self, context: ssl.SSLContext) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=_USER, protocol=mqtt.MQTTv311)
        client.tls_set_context(context)
        client.on_connect = lambda c, *_: c.subscribe(
            [(f"{ROOT}/+/+/{leaf}", 0) for leaf in LEAVES]
        )
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_subscribe(
        self, _client: mqtt.Client, _user: object, _mid: int, codes: list[ReasonCode], _more: object
    ) -> None:
        assert not any(code.is_failure for code in codes), f"not allowed to hear: {codes}"
        self._subscribed.set()

    def _on_message(self, _client: mqtt.Client, _user: object, message: mqtt.MQTTMessage) -> None:
        topic = topics.parse(message.topic)
        heard = Heard(topic.leaf, topic.cabinet, bytes(message.payload), now_s())
        if self.on_heard is not None:
            self.on_heard(heard)
        self.heard.append(heard)

    def _close(self) -> None:
        self._subscribed.clear()
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None


def broker_pid(stack: SystemStack) -> int:
    """The process id of the embedded broker; it changes when the broker is started again."""
    found = children_of(stack.programs["fleetd"].pid)
    assert len(found) == 1, f"fleetd has the children {found}, not one broker"
    return found[0]


def children_of(pid: int) -> list[int]:
    """The child processes of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _admit(stack: SystemStack) -> ssl.SSLContext:
    """Write one more user with the fleet's rights into the running broker's files.

    The tester reads the fleet's data folder, so the authority signs for it as well.
    """
    now = SystemClock().now_utc()
    context = Authority.open(stack.fleet_data / "pki", now).client_context(_USER, now)
    folder = stack.fleet_data / "broker"
    nats = folder / "nats.conf"
    if nats.exists():
        config = json.loads(nats.read_text())
        users = config["authorization"]["users"]
        fleet = next(user for user in users if user["user"] == fleet_identity(FLEET_USER))
        own = {**fleet, "user": fleet_identity(_USER)}
        others = [user for user in users if user["user"] != own["user"]]
        config["authorization"]["users"] = [*others, own]
        nats.write_text(json.dumps(config))
    else:
        acl = folder / "acl"
        acl.write_text(f"user {_USER}\ntopic readwrite {ROOT}/#\n" + acl.read_text())
    os.kill(broker_pid(stack), signal.SIGHUP)
    return context
