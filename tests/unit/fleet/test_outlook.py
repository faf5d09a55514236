"""Steering over the live picture, with and without a plan; batteries to carry by the plan."""

from __future__ import annotations

import pytest

from fleet.core.records import CabinetRecord
from fleet.core.steering import RATE_UNKNOWN
from fleet.runtime.live import LivePicture
from fleet.runtime.outlook import Outlook
from fleet.runtime.steering import SteeringService
from protocols.messages import SlotState, Status
from tests.support.balance_rig import NOW_MS, NoRows, Rig, slot, telemetry

HERE = (39.900, 116.400)
PLACES = {"A-1": (39.901, 116.400), "A-2": (39.905, 116.400), "B-1": (39.930, 116.400)}


def busy_rig(*cabinets: str) -> Rig:
    """These cabinets have had a swap every twenty minutes for ten days."""
    rig = Rig()
    rig.swaps = [
        (cabinet, NOW_MS - ago * 1_200_000) for cabinet in cabinets for ago in range(10 * 72)
    ]
    return rig


async def live_of(rig: Rig, *, lost: str = "") -> LivePicture:
    """Three cabinets in a row to the north, one far away, one without a place."""
    records = [CabinetRecord(each, f"{each} gate", 6, *where) for each, where in PLACES.items()]
    records += [CabinetRecord("FAR", "", 6, 41.0, 116.4), CabinetRecord("NOWHERE", "", 6)]
    live = LivePicture(NoRows(*records), rig.clock)
    await live.load()
    for record in records:
        live.take_status(
            record.id,
            Status(
                online=record.id != lost,
                session=1,
                boot_id="boot-1",
                epoch=1,
                software="1",
                slots=6,
            ),
        )
        told = telemetry((20, 40, 99, 99, None), 500.0)
        ready = tuple(
            slot(each.slot, each.soc_pct, SlotState.READY) if each.soc_pct == 99 else each
            for each in told.slots
        )
        live.take_telemetry(record.id, type(told)(**{**_fields(told), "slots": ready}))
    return live


def _fields(told: object) -> dict[str, object]:
    return {name: getattr(told, name) for name in told.__struct_fields__}  # type: ignore[attr-defined]


async def test_without_a_balance_the_near_and_able_are_offered() -> None:
    rig = Rig()
    service = SteeringService(await live_of(rig, lost="A-2"), None)
    found = await service.near(*HERE, 5)
    assert [each.cabinet for each in found] == ["A-1", "B-1"]
    assert (found[0].name, found[0].full) == ("A-1 gate", 2)
    assert found[0].distance_m == pytest.approx(111, abs=1)
    assert await service.near(*HERE, 1) == found[:1]
    assert await service.near(10.0, 116.4, 5) == []


async def test_a_plan_tells_riders_to_come_and_what_energy_costs() -> None:
    rig = busy_rig(*PLACES)
    rig.everybody()
    live = await live_of(rig)
    outlook = Outlook(rig.planner, live)
    service = SteeringService(live, outlook)
    before = await service.near(*HERE, 5)
    await rig.planner.attempt()
    after = await service.near(*HERE, 5)
    assert {each.cabinet for each in after} == {"A-1", "A-2", "B-1"}
    costs = {each.cabinet: each.balance_cost or 0.0 for each in before}
    assert all((each.balance_cost or 0.0) > costs[each.cabinet] for each in after), "energy costs"
    seen = outlook.of("A-1", live.view("A-1").slots)
    assert seen is not None
    assert seen.rate_per_h > RATE_UNKNOWN
    assert len(seen.ready_in_h) == 2
    assert seen.ready_in_h[0] < seen.ready_in_h[1] < 4.0
    assert outlook.of("FAR", ()) is None, "the grid does not know it"


async def test_batteries_to_carry_are_those_of_the_plan_that_holds() -> None:
    rig = busy_rig("A-1")
    for cabinet, socs in (("A-1", (20, 20, 20, None)), ("A-2", (99,) * 11), ("B-1", (99,) * 11)):
        rig.tell(cabinet, socs=socs)
    outlook = Outlook(rig.planner, await live_of(rig))
    assert outlook.moves().moves == ()
    await rig.planner.attempt()
    assert rig.planner.orders is not None
    found = outlook.moves()
    assert found.version == rig.planner.orders.version
    assert found.lost > 0.0
    assert {move.taker for move in found.moves} == {"A-1"}
    assert found.lost_after < found.lost
    assert outlook.moves() is found, "worked out once per plan"
