"""Power plans from fleetd's publisher to what a cabinet goes by, as bytes on a topic.

The fleet is composed as fleetd composes it, with the key of its data folder, up to the call that hands
bytes to the broker; the cabinet is a real uplink, pump and engine with the keys of its credentials folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec.structs import replace

from cabinet.adapters.credentials import Vault
from cabinet.config import parse as parse_cabinet
from cabinet.config_example import example_config
from cabinet.core.engine import Engine
from cabinet.core.outbox import Sender
from cabinet.fleet_link import link_of, verify_of
from cabinet.ports import Packet
from cabinet.runtime.uplink import Uplink
from fleet.adapters.broker import EmbeddedBroker
from fleet.adapters.clock import SystemClock
from fleet.adapters.command_keys import SecretKeeper, begin_rotation, end_rotation
from fleet.config import parse as parse_fleet
from fleet.core.records import CabinetRecord, Credential
from fleet.stores import open_stores
from fleet.wiring import Fleet
from protocols import signing, topics
from protocols.messages import DesiredConfig, DesiredPlan, encode
from protocols.topics import Leaf
from tests.support.cabinet_rig import CABINET, WALL_MS, Rig
from tests.support.fake_broker import FakeBroker
from tests.support.fleet import T0_MS
from tests.support.pumping import Bench, running
from tests.support.stores import sqlite_store
from tests.unit.cabinet.shell.test_credentials import grant
from tests.unit.cabinet.shell.test_uplink import Events

OTHER: Final = "DH-0002"
OWN_W: Final = 1_000  # what the rig's cabinet takes without a plan
HOUR_MS: Final = 3_600_000


def plan(version: int = 1, watts: int = 500, **values: object) -> DesiredPlan:
    given: dict[str, Any] = {
        "cabinet": CABINET,
        "version": version,
        "valid_from_ms": WALL_MS,
        "valid_until_ms": WALL_MS + 24 * HOUR_MS,
        "step_s": 3_600,
        "power_w": (watts,) * 24,
    }
    return DesiredPlan(**(given | values))


@dataclass
class Wire:
    """Takes the broker's place under fleetd."""

    sent: list[Packet] = field(default_factory=list)

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False
    ) -> None:
        self.sent.append(Packet(topic, payload, qos=qos, retain=retain))

    def last(self, cabinet: str = CABINET) -> Packet:
        topic = topics.build(cabinet, Leaf.DESIRED_PLAN)
        return [packet for packet in self.sent if packet.topic == topic][-1]


@dataclass
class Cabinet:
    """cabinetd from its uplink to its engine."""

    bench: Bench
    broker: FakeBroker

    @property
    def limit_w(self) -> int | None:
        return self.bench.pump.telemetry().power_limit_w

    @property
    def version(self) -> int:
        held = self.bench.pump.state.durable.plan
        return held.version if held else 0

    @property
    def refusals(self) -> dict[str, int]:
        return dict(self.bench.pump.state.refusals)

    async def takes(self, packet: Packet) -> None:
        """Accepted: it is in force."""
        before = self.refusals
        self.broker.sessions[-1].deliver_packet(packet)
        sent = msgspec.json.decode(packet.payload, type=DesiredPlan)
        await self.bench.until(lambda: self.version == sent.version)
        assert self.refusals == before

    async def refuses(self, packet: Packet, why: str) -> None:
        """Counted, and nothing is as it was not before."""
        held, limit_w = self.bench.pump.state.durable.plan, self.limit_w
        counted = self.refusals.get(why, 0) + 1
        self.broker.sessions[-1].deliver_packet(packet)
        await self.bench.until(lambda: self.refusals.get(why, 0) >= counted)
        assert self.bench.pump.state.durable.plan is held
        assert self.limit_w == limit_w


@dataclass
class Place:
    fleet: Fleet
    wire: Wire
    cabinet: Cabinet
    fleet_dir: Path
    vault: Vault

    async def publishes(self, *plans: DesiredPlan) -> Packet:
        """Through the planner's way out; what went to the cabinet."""
        await self.fleet.desired.publish_plans(plans)
        return self.wire.last()

    def enrol(self) -> None:
        """Give the cabinet the keys that the fleet has now."""
        keys = SecretKeeper(self.fleet_dir).secrets.command_keys
        self.vault.put(*grant(command_keys=keys))


@pytest.fixture
async def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Place]:
    fleet_dir = tmp_path / "fleet"
    config = parse_fleet("[http]\nport = 0\n[broker]\ntls = false\n", "t.toml", fleet_dir, {})
    clock, wire = SystemClock(), Wire()
    broker = EmbeddedBroker(
        host="127.0.0.1", port=1, folder=tmp_path, prefer="auto", clock=clock, authority=None
    )
    async with open_stores(sqlite_store(tmp_path / "fleet.db")) as stores:
        for name in (CABINET, OTHER):
            record = CabinetRecord(name, name, 4)
            await stores.cabinets.add(record, Credential(name, "", None), T0_MS)
        fleet = Fleet(config, stores, clock, broker, None, incarnation="one")
        monkeypatch.setattr(fleet.events, "publish", wire.publish)
        vault = Vault(tmp_path / "cabinet")
        vault.put(*grant(command_keys=SecretKeeper(config.data_dir).secrets.command_keys))
        async with cabinetd(tmp_path / "cabinet") as cabinet:
            yield Place(fleet, wire, cabinet, config.data_dir, vault)


@asynccontextmanager
async def cabinetd(credentials: Path) -> AsyncIterator[Cabinet]:
    """The keys are those of this folder, checked as the daemon checks them."""
    text = example_config(CABINET, credentials_dir=str(credentials))
    verify = verify_of(link_of(parse_cabinet(text, credentials.parent / "c", {})))
    rig = Rig()
    assert rig.config is not None
    rig.engine = Engine(rig.config, verify, rig.token, ())
    rig.boot()
    bench, broker = Bench(rig), FakeBroker()
    async with running(bench):
        durable = bench.pump.state.durable
        uplink = Uplink(
            cabinet=CABINET,
            software="test",
            slots=rig.slots,
            broker=broker,
            pump=bench.pump,
            store=Events(),
            clock=bench.clock,
            sender=Sender(
                epoch=durable.epoch, last=durable.seq, acked=durable.seq, sent=durable.seq
            ),
            next_session=lambda wall_ms: wall_ms,
            running=lambda: rig.engine.running(bench.pump.state),
        )
        task = asyncio.ensure_future(uplink.run())
        try:
            await bench.until(lambda: broker.sessions)
            yield Cabinet(bench, broker)
            assert not task.done(), task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def resigned(packet: Packet, key: str) -> Packet:
    """The same plan signed by somebody else."""
    bare = msgspec.json.decode(packet.payload, type=DesiredPlan)
    return Packet(packet.topic, encode(signing.sign(bare, key)), qos=1, retain=True)


def altered(packet: Packet) -> Iterator[Packet]:
    """Every field changed by itself under the signature as it was."""
    told = msgspec.json.decode(packet.payload)
    changes = {
        "version": told["version"] + 1,
        "valid_from_ms": told["valid_from_ms"] - HOUR_MS,
        "valid_until_ms": told["valid_until_ms"] + HOUR_MS,
        "step_s": 60,
        "power_w": [9_000] * 24,
        "target_soc_pct": [20],
        "sig": told["sig"][:-4] + ("AAA=" if told["sig"][-4:] != "AAA=" else "BBB="),
    }
    assert changes.keys() | {"cabinet", "schema"} == {*DesiredPlan.__struct_fields__}
    for name, value in changes.items():
        payload = msgspec.json.encode({**told, name: value})
        yield Packet(packet.topic, payload, qos=1, retain=True)


async def test_what_fleetd_publishes_is_signed_retained_and_obeyed(place: Place) -> None:
    cabinet = place.cabinet
    assert cabinet.limit_w == OWN_W
    packet = await place.publishes(plan(1, 500), plan(1, 600, cabinet=OTHER))
    assert (packet.retain, packet.qos) == (True, 1)
    key = SecretKeeper(place.fleet_dir).secrets.command_keys[0]
    sent = msgspec.json.decode(packet.payload, type=DesiredPlan)
    assert signing.verify(sent, key)
    assert replace(sent, sig="") == plan(1, 500)
    await cabinet.takes(packet)
    assert cabinet.limit_w == 500
    assert cabinet.refusals == {}


async def test_what_the_store_has_is_signed_when_the_broker_is_back(place: Place) -> None:
    stored = {CABINET: (2, encode(plan(2, 400)).decode())}
    await place.fleet._stores.cabinets.save_plans(stored, T0_MS)
    await place.fleet.desired.publish([CABINET])
    await place.cabinet.takes(place.wire.last())
    assert place.cabinet.limit_w == 400


async def test_unsigned_altered_foreign_or_older_it_changes_nothing(place: Place) -> None:
    cabinet = place.cabinet
    await cabinet.takes(await place.publishes(plan(5, 500)))
    packet = await place.publishes(plan(6, 700))
    bare = encode(plan(6, 700))
    await cabinet.refuses(Packet(packet.topic, bare, retain=True), "document-bad-signature")
    for each in altered(packet):
        await cabinet.refuses(each, "document-bad-signature")
    other_fleet, _ = signing.generate()
    await cabinet.refuses(resigned(packet, other_fleet), "document-bad-signature")
    config = DesiredConfig(cabinet=CABINET, version=6, values={})
    key = SecretKeeper(place.fleet_dir).current
    of_another_kind = replace(plan(6, 700), sig=signing.sign(config, key).sig)
    await cabinet.refuses(Packet(packet.topic, encode(of_another_kind)), "document-bad-signature")
    await place.publishes(plan(6, 700, cabinet=OTHER))
    others = place.wire.last(OTHER)
    await cabinet.refuses(others, "malformed")
    await cabinet.refuses(
        Packet(packet.topic, others.payload, retain=True), "document-wrong-cabinet"
    )
    await cabinet.refuses(await place.publishes(plan(4, 700)), "document-old-version")
    await cabinet.takes(packet)
    assert cabinet.limit_w == 700, "what was refused kept no room from what is right"


async def test_outside_its_time_it_is_no_permission(place: Place) -> None:
    cabinet = place.cabinet
    wall_ms = cabinet.bench.pump.now().wall_ms
    await cabinet.takes(await place.publishes(plan(1, 2_000)))
    assert cabinet.limit_w == 2_000
    gone = plan(2, 2_000, valid_from_ms=wall_ms - 2 * HOUR_MS, valid_until_ms=wall_ms - 1)
    await cabinet.takes(await place.publishes(gone))
    assert cabinet.limit_w == OWN_W, "it ended before it came"
    early = plan(3, 2_000, valid_from_ms=wall_ms + HOUR_MS, valid_until_ms=wall_ms + 2 * HOUR_MS)
    await cabinet.takes(await place.publishes(early))
    assert cabinet.limit_w == OWN_W
    short = plan(4, 2_000, valid_from_ms=wall_ms, valid_until_ms=wall_ms + HOUR_MS)
    await cabinet.takes(await place.publishes(short))
    lead_ms = cabinet.bench.rig.engine.config.plan_lead_ms
    cabinet.bench.clock.ms += wall_ms + HOUR_MS - lead_ms - 1 - cabinet.bench.pump.now().wall_ms
    assert cabinet.limit_w == 2_000
    cabinet.bench.clock.ms += 1
    assert cabinet.limit_w == OWN_W, "and when it runs out in force"


async def test_it_goes_by_the_keys_that_the_cabinet_holds_now(place: Place) -> None:
    cabinet, old_key = place.cabinet, SecretKeeper(place.fleet_dir).current
    begin_rotation(place.fleet_dir)
    place.enrol()
    await cabinet.takes(await place.publishes(plan(1, 500)))
    end_rotation(place.fleet_dir)
    await cabinet.takes(await place.publishes(plan(2, 600)))
    place.enrol()
    late = resigned(await place.publishes(plan(3, 700)), old_key)
    await cabinet.refuses(late, "document-bad-signature")
    (place.vault._folder / "current").unlink()
    await cabinet.refuses(await place.publishes(plan(4, 800)), "document-bad-signature")
