"""Roll-outs that move on over a real store while the broker or a stored document is out of order."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
from sqlalchemy import text

from fleet.core.records import LogFilter
from fleet.core.rollout_model import Phase
from fleet.errors import FleetError, InvalidError, NotFoundError, RefusedError
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture
from fleet.runtime.metrics import FleetMetrics
from fleet.runtime.rollouts import SEND_WAIT_MAX_MS, RolloutService
from fleet.stores import Stores
from protocols.messages import Status
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import ManualClock


class Broker:
    """Takes settings, unless it is away."""

    def __init__(self) -> None:
        self.away = False
        self.tries = 0
        self.taken: list[str] = []

    async def publish(self, cabinets: Sequence[str]) -> None:
        self.tries += 1
        if self.away:
            raise FleetError("broker: not connected", code="broker")
        self.taken += cabinets


class Side:
    """The service over a store, with both cabinets there."""

    def __init__(self, stores: Stores) -> None:
        self.clock, self.broker, self.metrics = ManualClock(), Broker(), FleetMetrics()
        self.rows = stores.cabinets
        self.live = LivePicture(self.rows, self.clock)
        self.service = RolloutService(
            rows=stores.rollouts,
            live=self.live,
            publish=self.broker.publish,
            hub=Hub(),
            clock=self.clock,
            metrics=self.metrics,
        )

    async def settle(self) -> None:
        await self.live.load()
        for cabinet in (A, B):
            status = Status(online=True, session=1, boot_id="b", epoch=1, software="1.0")
            self.live.take_status(cabinet, status)

    async def plan(self, model: str, cabinet: str) -> str:
        await self.service.keep_template(
            model=model,
            breaker_w=3_000,
            settings={"target_soc_pct": 90},
            name="li",
            cabinets=[cabinet],
        )
        return (await self.service.plan(model=model, name="li", reason="summer targets")).id

    def told(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(name)


@pytest.fixture
async def side(town: Stores) -> Side:
    made = Side(town)
    await made.settle()
    return made


async def test_settings_that_the_broker_did_not_take_are_sent_until_it_does(side: Side) -> None:
    await side.plan("yz12", A)
    await side.plan("yz8", B)
    side.broker.away = True
    for _ in range(20):
        await side.service.look()
        side.clock.move(5_000)
    assert side.told("settings_unsent_cabinets") == 2, "one that fails keeps no other waiting"
    assert 4 < side.broker.tries < 10, "again and again, ever less often"
    side.broker.away = False
    side.clock.move(SEND_WAIT_MAX_MS)
    await side.service.look()
    assert side.broker.taken == [A, B]
    assert side.told("settings_unsent_cabinets") == 0
    side.clock.move(5_000)
    await side.service.look()
    assert side.broker.taken == [A, B], "once"


async def test_a_rollout_that_cannot_be_read_stops_no_other(
    side: Side, town: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = await side.plan("yz12", A), await side.plan("yz8", B)
    async with town.database.write() as connection:
        query = text("UPDATE rollout SET doc = '{\"id\"' WHERE id = :id")
        await connection.execute(query, {"id": bad})
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await side.service.look()
    assert side.broker.taken == [A]
    assert [bad in each.getMessage() for each in caplog.records] == [True], "told once"
    assert side.told("rollouts_unreadable") == 1
    assert [each.id for each in await side.service.all()] == [good]
    assert (await side.service.get(good)).phase is Phase.APPLYING


async def test_a_damaged_rollout_is_ended_by_a_person_and_its_model_is_free(
    side: Side, town: Stores
) -> None:
    bad = await side.plan("yz8", B)
    said = {"name": "li", "reason": "the disk was full"}
    with pytest.raises(RefusedError) as caught:
        await side.service.end_damaged(bad, **said)
    assert caught.value.code == "rollout-state", "this one is to be aborted, and taken back"
    async with town.database.write() as connection:
        await connection.execute(text("UPDATE rollout SET doc = '{\"id\"'"))
    for wrong in ({"reason": ""}, {"name": "a b"}):
        with pytest.raises(InvalidError):
            await side.service.end_damaged(bad, **said | wrong)
    with pytest.raises(NotFoundError):
        await side.service.end_damaged("nothing", **said)
    with pytest.raises(RefusedError):
        await side.plan("yz8", B)
    await side.service.end_damaged(bad, **said)
    await side.service.look()
    assert side.told("rollouts_unreadable") == 0
    with pytest.raises(RefusedError):
        await side.service.end_damaged(bad, **said)
    rows = await town.audit_log.rows(LogFilter(None, "li", "rollout.stopped", 10))
    assert [(row.subject, row.reason) for row in rows] == [
        (bad, "its document was unreadable: the disk was full")
    ]
    assert await town.audit.audit() == []
    assert await side.plan("yz8", B) != bad


async def test_what_a_cabinet_last_ran_by_is_known_after_a_restart(side: Side) -> None:
    told = {"power_max_w": 1_500, "kiosk_language": "zh"}
    status = Status(online=True, session=2, boot_id="b", epoch=1, software="1.0", settings=told)
    side.live.take_status(A, status)
    await side.rows.save_latest(side.live.drain())
    again = LivePicture(side.rows, side.clock)
    await again.load()
    last = again.last(A)
    assert last is not None
    assert not last.online
    assert last.settings == told
    fresh = again.last(B)
    assert fresh is not None
    assert fresh.settings == {}, "it never told"
