"""A store that is an older copy of itself is noticed by what cabinets say, and asks them again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from fleet.core.arrears import PATIENCE_MS
from fleet.core.ingest import Arrival, BatchOutcome, Watermark
from fleet.errors import FleetError
from fleet.runtime.hub import Hub
from fleet.runtime.ingest import RENEW_GAP_MS, Ingest
from fleet.runtime.live import LivePicture
from fleet.runtime.metrics import FleetMetrics
from fleet.store.engine import StoreError
from fleet.stores import Stores
from protocols import topics
from protocols.messages import Ack, Status, Step, Telemetry, decode, encode
from protocols.topics import Leaf
from tests.support.fleet import ManualClock, Reporter, until

A, B = "DH-0001", "DH-0002"


@dataclass
class Broker:
    """Keeps the acknowledgements, by cabinet; takes none while it is ``away``."""

    acks: list[tuple[str, Ack]] = field(default_factory=list)
    away: bool = False
    refused: int = 0

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,  # noqa: ARG002
        retain: bool = False,  # noqa: ARG002
    ) -> None:
        if self.away:
            self.refused += 1
            raise FleetError("broker: not connected", code="broker")
        parsed = topics.parse(topic)
        if parsed.leaf is Leaf.ACK:
            self.acks.append((parsed.cabinet, decode(payload, Ack)))


@dataclass
class Fleet:
    ingest: Ingest
    broker: Broker
    clock: ManualClock
    metrics: FleetMetrics
    session: int = 0

    def says(self, cabinet: str, seq: int, incarnation: str, epoch: int = 1) -> None:
        """A status of a cabinet that comes online."""
        self.session += 1
        status = Status(
            online=True,
            session=self.session,
            boot_id="boot-1",
            epoch=epoch,
            software="1",
            acked_seq=seq,
            acked_incarnation=incarnation,
        )
        self.ingest.on_message(topics.build(cabinet, Leaf.STATUS), encode(status))

    async def last_ack(self, cabinet: str, count: int) -> Ack:
        """The newest of at least so many acknowledgements for a cabinet."""

        def got() -> list[Ack]:
            return [ack for who, ack in self.broker.acks if who == cabinet]

        await until(lambda: len(got()) >= count, f"{count} acknowledgements for {cabinet}")
        return got()[-1]

    def renewals(self) -> float:
        value = self.metrics.registry.get_sample_value("ledger_renewals_total")
        assert value is not None
        return value


@pytest.fixture
async def fleet(town: Stores) -> AsyncIterator[Fleet]:
    clock, metrics, broker = ManualClock(), FleetMetrics(), Broker()
    live = LivePicture(town.cabinets, clock)
    await live.load()
    made = iter(["second", "third"])

    async def renew() -> str:
        fresh = next(made)
        await town.meta.renew_incarnation(fresh)
        return fresh

    ingest = Ingest(
        rows=town.events,
        latest=town.cabinets,
        live=live,
        publisher=broker,
        incarnation=await town.meta.incarnation("first"),
        renew=renew,
        clock=clock,
        metrics=metrics,
        swap_hub=Hub(),
        cabinet_hub=Hub(),
        on_result=lambda *_: None,
    )
    reporter = Reporter(A)
    events = [reporter.step("S1", Step.RESERVED), reporter.step("S1", Step.OPENING_RETURN)]
    await town.events.commit([reporter.arrival(event) for event in events], clock.wall_ms())
    assert (await town.events.watermarks())[A] == Watermark(1, 2)
    task = asyncio.create_task(ingest.run())
    yield Fleet(ingest, broker, clock, metrics)
    task.cancel()
    await asyncio.wait([task])


async def test_a_cabinet_that_was_told_as_much_is_greeted(fleet: Fleet) -> None:
    fleet.says(A, 2, "first")
    assert await fleet.last_ack(A, 1) == Ack(epoch=1, seq=2, incarnation="first")
    assert fleet.renewals() == 0


async def test_one_that_was_told_more_makes_all_hear_of_a_new_ledger(
    fleet: Fleet, town: Stores
) -> None:
    fleet.says(A, 3, "first")
    assert await fleet.last_ack(A, 1) == Ack(epoch=1, seq=2, incarnation="second")
    assert (await fleet.last_ack(B, 1)).incarnation == "second"
    assert await town.meta.incarnation("other") == "second", "it must outlive this process"
    assert fleet.renewals() == 1


async def test_one_that_repeats_itself_does_not_make_a_storm(fleet: Fleet) -> None:
    fleet.says(A, 3, "first")
    await fleet.last_ack(A, 1)
    fleet.says(A, 3, "second")
    assert (await fleet.last_ack(A, 2)).incarnation == "second"
    fleet.clock.move(RENEW_GAP_MS)
    fleet.says(A, 3, "second")
    assert (await fleet.last_ack(A, 3)).incarnation == "third"
    assert fleet.renewals() == 2


async def test_a_journal_that_the_copy_does_not_know_is_asked_for_from_its_start(
    fleet: Fleet,
) -> None:
    fleet.says(A, 5, "first", epoch=2)
    assert await fleet.last_ack(A, 1) == Ack(epoch=2, seq=0, incarnation="second")


async def test_one_that_missed_the_greeting_is_told_again_by_what_it_has_written(
    fleet: Fleet,
) -> None:
    topic = topics.build(A, Leaf.TELEMETRY)
    written = Telemetry(wall_ms=1, boot_id="boot-1", mono_ms=1, slots=(), epoch=1, seq=3)
    fleet.ingest.on_message(topic, encode(written))
    fleet.clock.move(PATIENCE_MS)
    assert fleet.broker.acks == [], "it had no patience"
    fleet.ingest.on_message(topic, encode(written))
    assert await fleet.last_ack(A, 1) == Ack(epoch=1, seq=2, incarnation="first")


async def test_a_greeting_that_the_broker_did_not_take_comes_when_it_does(fleet: Fleet) -> None:
    fleet.broker.away = True
    fleet.says(A, 2, "first")
    fleet.says(B, 0, "first")
    await until(lambda: fleet.broker.refused > 2, "the broker was asked, and again")
    fleet.broker.away = False
    assert await fleet.last_ack(A, 1) == Ack(epoch=1, seq=2, incarnation="first")
    await until(lambda: not fleet.ingest._unreached, "nobody is left waiting")
    fleet.says(A, 2, "first")
    await fleet.last_ack(A, 2)
    assert [who for who, _ in fleet.broker.acks].count(A) == 2, "each is told once"


async def test_a_greeting_waits_for_the_store_and_what_was_claimed_is_not_forgotten(
    fleet: Fleet, town: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    watermarks, calls = town.events.watermarks, 0

    async def away_once() -> dict[str, Watermark]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StoreError("store: gone")
        return await watermarks()

    monkeypatch.setattr(town.events, "watermarks", away_once)
    fleet.says(A, 3, "first")
    assert await fleet.last_ack(A, 1) == Ack(epoch=1, seq=2, incarnation="second")
    assert fleet.renewals() == 1


async def test_what_was_stored_before_the_store_went_away_is_told_as_well(
    fleet: Fleet, town: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, calls = town.events._commit, 0

    async def away_once(arrivals: Sequence[Arrival], now_ms: int) -> BatchOutcome:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreError("store: gone")
        return await commit(arrivals, now_ms)

    monkeypatch.setattr(town.events, "_commit", away_once)
    reporter, swaps = Reporter(A), 130
    reporter.seq = 2
    for number in range(swaps):
        for step in (Step.RESERVED, Step.CANCELLED):
            event = reporter.step(f"T{number}", step)
            fleet.ingest.on_message(topics.build(A, Leaf.EVENT), encode(event))
    seen = {"result": "cancelled"}

    def told() -> float:
        return fleet.metrics.registry.get_sample_value("swap_attempts_total", seen) or 0

    await until(lambda: fleet.broker.acks and fleet.broker.acks[-1][1].seq == 2 + 2 * swaps, "all")
    await until(lambda: calls >= 3, "the store was away")
    assert told() == swaps
