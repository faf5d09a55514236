"""The uplink over a broker in memory and time moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cabinet.core.engine import (
    ChallengeReceived,
    CommandReceived,
    DocumentReceived,
    JournalOutrun,
    OrderUnfit,
    Outcome,
)
from cabinet.core.outbox import RESEND_MAX_MS, Sender
from cabinet.errors import StoreError
from cabinet.ports import Packet
from cabinet.runtime.uplink import Uplink
from protocols import topics
from protocols.messages import (
    Ack,
    Challenge,
    DesiredPlan,
    Event,
    Result,
    Status,
    Telemetry,
    decode,
    raw,
)
from protocols.messages import AlarmBody as Alarm
from protocols.topics import Leaf
from tests.support.cabinet_rig import CABINET, Rig
from tests.support.fake_broker import FakeBroker, FakeSession
from tests.support.pumping import HandClock

pytestmark = pytest.mark.asyncio


class FakePump:
    """State and time of a toy cabinet; remembers what it was handed."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.submitted: list[Any] = []
        self.listeners: list[Callable[[Outcome], None]] = []

    @property
    def state(self) -> Any:
        return self.rig.state

    def now(self) -> Any:
        return self.rig.now

    def telemetry(self) -> Telemetry:
        return self.rig.engine.telemetry(self.rig.state, self.rig.now)

    def listen(self, listener: Callable[[Outcome], None]) -> None:
        self.listeners.append(listener)

    async def submit(self, event: Any) -> None:
        self.submitted.append(event)

    def adopt(self, **durable: Any) -> None:
        """A decision with these durable values was adopted."""
        import msgspec  # noqa: PLC0415

        state = self.rig.state
        state = msgspec.structs.replace(
            state, durable=msgspec.structs.replace(state.durable, **durable)
        )
        self.rig.state = state
        self.tell(Outcome(state))

    def tell(self, outcome: Outcome) -> None:
        for listener in self.listeners:
            listener(outcome)


class Events:
    """The outbox; ``fails`` once."""

    def __init__(self) -> None:
        self.fails = False
        self.asked: list[range] = []
        self.acks: list[tuple[Ack, int | None]] = []

    async def events(self, epoch: int, numbers: range) -> list[Event]:
        self.asked.append(numbers)
        if self.fails:
            self.fails = False
            raise StoreError("no")
        return [
            Event(
                epoch=epoch,
                seq=seq,
                boot_id="boot-1",
                mono_ms=seq,
                wall_ms=seq,
                wall_synced=True,
                type="alarm",
                body=raw(Alarm(code="smoke", active=True)),
            )
            for seq in numbers
        ]

    async def acknowledge(self, ack: Ack, wall_ms: int | None) -> None:
        self.acks.append((ack, wall_ms))


class Link:
    """An uplink under test with everything around it."""

    def __init__(self) -> None:
        self.rig = Rig().ready()
        self.pump = FakePump(self.rig)
        self.clock = HandClock()
        self.broker = FakeBroker()
        self.store = Events()
        durable = self.rig.state.durable
        self.uplink = Uplink(
            cabinet=CABINET,
            software="test",
            slots=self.rig.slots,
            broker=self.broker,
            pump=self.pump,  # type: ignore[arg-type]  # what the uplink uses of it
            store=self.store,
            clock=self.clock,
            sender=Sender(
                epoch=durable.epoch, last=durable.seq, acked=durable.seq, sent=durable.seq
            ),
            next_session=lambda wall_ms: wall_ms + len(self.broker.wills),
            running=lambda: self.rig.engine.running(self.rig.state),
        )
        self.seq = durable.seq

    @property
    def session(self) -> FakeSession:
        return self.broker.sessions[-1]

    def statuses(self) -> list[Status]:
        return [decode(packet.payload, Status) for packet in self.broker.of(Leaf.STATUS)]

    def seqs(self) -> list[int]:
        return [decode(packet.payload, Event).seq for packet in self.broker.of(Leaf.EVENT)]

    async def until(self, condition: Callable[[], object], *, step_ms: int = 0) -> None:
        for _ in range(3_000):
            if condition():
                return
            self.clock.move(step_ms)
            await asyncio.sleep(0.001)
        pytest.fail("it never came")

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


@asynccontextmanager
async def running() -> AsyncIterator[Link]:
    link = Link()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(link.uplink.run())
        await link.until(lambda: link.statuses() and link.broker.of(Leaf.TELEMETRY))
        yield link
        task.cancel()


async def test_it_introduces_itself_and_leaves_a_will() -> None:
    async with running() as link:
        status = link.statuses()[0]
        will = decode(link.broker.wills[0].payload, Status)
        assert status.online
        assert not will.online
        assert status.session == will.session
        assert status.boot_id == link.rig.state.boot_id
        for packet in (link.broker.wills[0], link.broker.of(Leaf.STATUS)[0]):
            assert packet.retain
            assert packet.qos == 1
            assert packet.topic == topics.build(CABINET, Leaf.STATUS)
        assert link.broker.subscribed == [
            topics.subscription(CABINET, leaf) for leaf in topics.DOWN
        ]
    assert not link.statuses()[-1].online, "an orderly end says so"


async def test_a_new_version_is_told_in_the_status() -> None:
    async with running() as link:
        plan = DesiredPlan(
            cabinet=CABINET, version=7, valid_from_ms=0, valid_until_ms=1, step_s=60, power_w=(1,)
        )
        link.pump.adopt(plan=plan)
        await link.until(lambda: link.statuses()[-1].plan_version == 7, step_ms=100)


async def test_telemetry_comes_at_its_pace_and_at_once_on_a_change_but_not_in_swarms() -> None:
    async with running() as link:

        def told() -> int:
            return len(link.broker.of(Leaf.TELEMETRY))

        assert told() == 1
        assert all(packet.qos == 0 for packet in link.broker.of(Leaf.TELEMETRY))
        link.rig.put(3, "NEW-1")
        link.rig.run(300)
        link.pump.tell(Outcome(link.rig.state))
        await link.settle()
        assert told() == 1, "not before the gap is over"
        link.clock.move(500)
        await link.until(lambda: told() == 2)
        latest = decode(link.broker.of(Leaf.TELEMETRY)[-1].payload, Telemetry)
        assert latest.slots[2].serial == "NEW-1"
        for _ in range(5):
            link.pump.tell(Outcome(link.rig.state))
        link.clock.move(600)
        await link.settle()
        assert told() == 2, "nothing has changed"


async def test_an_event_goes_out_as_soon_as_it_is_committed() -> None:
    async with running() as link:
        link.pump.adopt(seq=link.seq + 2)
        await link.until(lambda: link.seqs() == [link.seq + 1, link.seq + 2])
        assert all(packet.qos == 1 and not packet.retain for packet in link.broker.of(Leaf.EVENT))
        assert link.uplink.status.outbox_depth == 2


async def test_an_acknowledgement_is_kept_and_the_rest_is_sent_again_later() -> None:
    async with running() as link:
        link.pump.adopt(seq=link.seq + 3)
        await link.until(lambda: len(link.seqs()) == 3)
        ack = Ack(epoch=link.rig.state.durable.epoch, seq=link.seq + 1, incarnation="L1")
        link.session.deliver(Leaf.ACK, ack)
        await link.until(lambda: link.store.acks)
        assert link.store.acks[0] == (ack, link.rig.now.wall_ms)
        assert link.uplink.status.outbox_depth == 2
        link.clock.move(RESEND_MAX_MS + 1)
        await link.until(lambda: link.seqs()[3:] == [link.seq + 2, link.seq + 3], step_ms=500)


async def test_a_ledger_that_knows_less_hears_what_it_had_acknowledged() -> None:
    async with running() as link:
        epoch = link.rig.state.durable.epoch
        link.pump.adopt(seq=link.seq + 3)
        await link.until(lambda: len(link.seqs()) == 3)
        link.session.deliver(Leaf.ACK, Ack(epoch=epoch, seq=link.seq + 2, incarnation="L1"))
        await link.until(lambda: link.store.acks)
        told = len(link.statuses())
        for _ in range(5):
            link.clock.move(1_000)
            await asyncio.sleep(0)
        assert len(link.statuses()) == told, "an acknowledgement is no news for the status"
        link.session.deliver(Leaf.ACK, Ack(epoch=epoch, seq=1, incarnation="L1"))
        await link.until(lambda: len(link.statuses()) == told + 1, step_ms=200)
        status = link.statuses()[-1]
        assert (status.acked_seq, status.acked_incarnation) == (link.seq + 2, "L1")


async def test_a_ledger_that_knows_more_than_this_journal_is_told_to_the_pump() -> None:
    async with running() as link:
        ack = Ack(epoch=link.rig.state.durable.epoch, seq=link.seq + 9, incarnation="L1")
        link.session.deliver(Leaf.ACK, ack)
        await link.until(lambda: link.pump.submitted)
        assert link.pump.submitted == [JournalOutrun(ack, link.seq)]
        assert not link.store.acks


async def test_what_could_not_be_read_is_sent_later() -> None:
    async with running() as link:
        link.store.fails = True
        link.pump.adopt(seq=link.seq + 1)
        await link.until(lambda: link.store.asked)
        await link.until(lambda: link.seqs() == [link.seq + 1], step_ms=500)


async def test_orders_and_documents_go_to_the_pump_unopened() -> None:
    async with running() as link:
        challenge = Challenge(id="c1")
        command = link.rig.order("slot.open", {"slot": 1})
        plan = DesiredPlan(
            cabinet=CABINET, version=7, valid_from_ms=0, valid_until_ms=1, step_s=60, power_w=(1,)
        )
        link.session.deliver(Leaf.CHALLENGE, challenge)
        link.session.deliver(Leaf.COMMAND, command)
        link.session.deliver(Leaf.DESIRED_PLAN, plan, retain=True)
        link.session.deliver(Leaf.DESIRED_PLAN, b"", retain=True)  # taken back
        await link.until(lambda: len(link.pump.submitted) == 3)
        await link.settle()
        assert link.pump.submitted == [
            ChallengeReceived(challenge),
            CommandReceived(command),
            DocumentReceived(plan),
        ]


async def test_what_is_wrong_is_passed_over_and_the_next_one_taken() -> None:
    async with running() as link:
        link.session.deliver(Leaf.COMMAND, link.rig.order("slot.open", {"slot": 1}), retain=True)
        link.session.deliver(Leaf.COMMAND, b"{")
        link.session.deliver(Leaf.TELEMETRY, b"{}")
        link.session.deliver_packet(Packet("nonsense", b"{}"))
        link.session.deliver_packet(Packet(topics.build("DH-0002", Leaf.CHALLENGE), b'{"id":"x"}'))
        link.session.deliver(Leaf.CHALLENGE, Challenge(id="good"))
        good = ChallengeReceived(Challenge(id="good"))
        await link.until(lambda: good in link.pump.submitted)
        unfit = [OrderUnfit(reason) for reason in ("retained", *["malformed"] * 4)]
        assert link.pump.submitted == [*unfit, good]
        assert len(link.broker.sessions) == 1


async def test_answers_go_out_and_only_so_many_wait() -> None:
    async with running() as link:
        replies = tuple(Result(id=f"r{n}", outcome="done", boot_id="boot-1") for n in range(100))
        link.pump.tell(Outcome(link.rig.state, replies=replies))
        await link.until(lambda: len(link.broker.of(Leaf.RESULT)) == 64)
        sent = [decode(packet.payload, Result).id for packet in link.broker.of(Leaf.RESULT)]
        assert sent == [f"r{n}" for n in range(36, 100)]


async def test_a_lost_link_comes_back_with_a_greater_session_and_sends_again() -> None:
    async with running() as link:
        link.pump.adopt(seq=link.seq + 1)
        await link.until(lambda: link.seqs() == [link.seq + 1])
        link.session.lose()
        await link.until(lambda: not link.uplink.status.connected)
        link.pump.adopt(seq=link.seq + 2)
        await link.until(lambda: len(link.broker.sessions) == 2, step_ms=100)
        await link.until(lambda: link.seqs()[1:] == [link.seq + 1, link.seq + 2])
        assert link.statuses()[-1].session > link.statuses()[0].session
        assert link.uplink.status.connections == 2
        assert link.uplink.status.failures == 1


async def test_a_broker_that_is_away_is_asked_ever_more_rarely() -> None:
    link = Link()
    link.broker.down = True
    async with asyncio.TaskGroup() as group:
        task = group.create_task(link.uplink.run())
        for _ in range(3_000):
            link.clock.move(1_000)
            await asyncio.sleep(0)
        assert 20 < link.broker.tries < 400, "50 minutes of a broker that is away"
        assert link.uplink.status.last_error == "refused"
        task.cancel()


@pytest.mark.parametrize("fault", ["broken", "stalled"])
async def test_the_end_is_not_held_up_by_a_link_that_is_gone(fault: str) -> None:
    link = Link()
    task = asyncio.ensure_future(link.uplink.run())
    await link.until(link.statuses)
    setattr(link.session, fault, True)
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=2.0)
    ended = bool(done) and task.cancelled()
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert ended
