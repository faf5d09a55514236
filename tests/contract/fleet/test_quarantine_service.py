"""The end of a quarantine reaches the slot, however long its cabinet was away."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.core.commands import QueuedCommand
from fleet.core.quarantine import FLAG, TELL_AGAIN_MS
from fleet.runtime.live import LivePicture
from fleet.runtime.quarantine import QuarantineService
from fleet.stores import Stores
from protocols.messages import (
    Door,
    Presence,
    Result,
    SlotState,
    SlotTelemetry,
    Status,
    Telemetry,
)
from tests.contract.fleet.conftest import A
from tests.support.fleet import T0_MS, ManualClock, Reporter

DAYS_MS = 3 * 24 * 3_600_000


class Side:
    """The service over a store; orders stay in the outbox until the test answers them."""

    def __init__(self, stores: Stores, clock: ManualClock) -> None:
        self.stores, self.clock, self.sent = stores, clock, []
        self.session = 0
        self.live = LivePicture(stores.cabinets, clock)
        lanes: Any = self
        self.service = QuarantineService(
            rows=stores.quarantines,
            outbox=stores.commands,
            live=self.live,
            commands=lanes,
            clock=clock,
        )

    sent: list[QueuedCommand]

    def submit(self, command: QueuedCommand) -> None:
        self.sent.append(command)

    async def settle(self) -> None:
        await self.live.load()

    def is_there(self, *, online: bool = True) -> None:
        self.session += 1
        status = Status(online=online, session=self.session, boot_id="b", epoch=1, software="1.0")
        assert self.live.take_status(A, status)

    def shows(self, *flags: str, serial: str = "P2") -> None:
        slot = SlotTelemetry(
            slot=2,
            state=SlotState.QUARANTINE if flags else SlotState.READY,
            door=Door.CLOSED,
            presence=Presence.PRESENT,
            serial=serial,
            flags=flags,
        )
        self.live.take_telemetry(A, Telemetry(wall_ms=0, boot_id="b", mono_ms=0, slots=(slot,)))

    async def answer(self, outcome: Any, reason: str | None = None) -> None:
        """The cabinet's word on the last order."""
        result = Result(id=self.sent[-1].id, outcome=outcome, boot_id="b", reason=reason)
        assert await self.stores.commands.finish(A, result, self.clock.wall_ms())

    async def look(self) -> list[str]:
        """The orders of one look, some time after the last one."""
        self.clock.move(TELL_AGAIN_MS)
        before = len(self.sent)
        await self.service.look()
        return [each.type for each in self.sent[before:]]


@pytest.fixture
async def side(town: Stores) -> Side:
    """A pack in quarantine whose slot shows it, and its cabinet gone offline."""
    made = Side(town, ManualClock())
    await made.settle()
    made.is_there()
    made.shows()
    await made.service.put(serial="P2", name="li", reason="swollen")
    assert [each.type for each in made.sent] == ["slot.quarantine"]
    await made.answer("done")
    made.shows(FLAG)
    made.is_there(online=False)
    return made


async def lifted(side: Side) -> None:
    await side.service.lift(serial="P2", name="li", reason="checked and good")
    assert await side.service.all() == []
    assert (await side.service.get("P2")).since_ms == 0


async def test_an_end_while_the_cabinet_is_away_is_brought_over(side: Side) -> None:
    await lifted(side)
    assert await side.look() == [], "nothing is queued to somebody who is not there"
    side.clock.move(DAYS_MS)
    # Another fleetd by now: the end is in the store.
    await side.stores.cabinets.save_latest(side.live.drain())
    again = Side(side.stores, side.clock)
    await again.settle()
    again.session = side.session
    again.is_there()
    assert await again.look() == ["slot.release"], "by what it showed when it went"
    order = again.sent[-1]
    assert order.precondition is not None
    assert (order.actor, order.reason, order.args, order.precondition.serial) == (
        "operator:li",
        "checked and good",
        {"slot": 2},
        "P2",
    )
    await again.answer("done")
    # The sensors' own flag may stand: it is not fought.
    again.shows(FLAG)
    for _ in range(3):
        assert await again.look() == []
    assert await side.stores.quarantines.lifted() == []


async def test_an_end_that_was_lost_on_the_way_is_told_again(side: Side) -> None:
    await lifted(side)
    side.is_there()
    side.shows(FLAG)
    assert await side.look() == ["slot.release"]
    await side.answer("refused", "busy")
    assert await side.look() == ["slot.release"]
    assert await side.look() == ["slot.release"], "no answer at all"
    await side.answer("refused", "cause-stands")
    side.shows(FLAG)
    assert await side.look() == []
    assert await side.stores.quarantines.lifted() == []


async def test_an_end_is_known_when_the_slot_shows_it(side: Side) -> None:
    await lifted(side)
    side.is_there()
    side.shows()
    await side.service.look()
    (kept,) = await side.stores.quarantines.lifted()
    assert kept.serial == "P2", "an order to set the flag may still have been on its way"
    side.clock.move(2 * TELL_AGAIN_MS)
    await side.service.look()
    assert len(await side.stores.quarantines.lifted()) == 1, "that report is as old as before"
    side.shows()
    await side.service.look()
    assert await side.stores.quarantines.lifted() == []
    assert [each.type for each in side.sent] == ["slot.quarantine"]


async def test_the_end_goes_with_a_pack_that_left_its_slot(side: Side) -> None:
    """Its flag stayed behind for nobody: the cabinet drops it when a pack leaves."""
    await lifted(side)
    reporter = Reporter(A)
    swap = [reporter.arrival(each) for each in reporter.swap_events("S1", "P1", "P2")]
    await side.stores.events.commit(swap, T0_MS)
    assert (await side.service.get("P2")).cabinet is None
    await side.look()
    assert await side.stores.quarantines.lifted() == []


async def test_a_quarantine_begun_anew_is_not_ended_by_the_older_end(side: Side) -> None:
    await lifted(side)
    await side.service.put(serial="P2", name="wang", reason="swollen again")
    side.is_there()
    side.shows(FLAG)
    assert await side.look() == []
    assert await side.stores.quarantines.lifted() == []
    (stands,) = await side.service.all()
    assert stands.actor == "operator:wang"
    await side.stores.quarantines.settle("P2", 0)
    assert len(await side.service.all()) == 1
