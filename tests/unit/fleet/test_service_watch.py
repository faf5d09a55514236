"""The loop is held to its service: what it counts, what it keeps, and that no gap in it is permission."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleet.core.balance import horizon
from fleet.core.balance.curve import ServiceNote
from fleet.core.balance.grid import Grid
from fleet.core.balance.horizon import Problem
from fleet.core.balance.promise import PRICE_HIGH
from fleet.runtime.balance import BalanceService
from fleet.runtime.live import LivePicture
from fleet.runtime.outlook import Outlook
from fleet.runtime.promise import NO_FULL, NOTE, PICTURE_MS
from tests.support.balance_rig import DAY_MS, GRID, NOW_MS, ZONE, NoRows, Rig

pytestmark = pytest.mark.timeout(240)  # the first envelopes compile
RUN_MS = 300_000
USUAL = 2.0


@pytest.fixture
def rig() -> Rig:
    """Three cabinets that are heard, each with one ready pack of five."""
    made = Rig()
    made.everybody()
    return made


async def run(rig: Rig, *, after_ms: int = RUN_MS) -> None:
    """One run; everybody takes up its plan."""
    rig.clock.move(after_ms)
    await rig.planner.attempt()
    rig.everybody(rig.newest("A-1").version if rig.published else 0)


async def lose(rig: Rig, riders: int) -> None:
    """Riders are turned away one by one, run by run, where the mirror has packs for all."""
    for place in range(riders):
        rig.service.turned_away(("A-1", "A-2", "B-1")[place % 3], NO_FULL)
        await run(rig, after_ms=6 * RUN_MS)


def note(rig: Rig) -> ServiceNote:
    return rig.planner.service()


async def test_riders_lost_beyond_charging_at_once_make_a_swap_dearer(rig: Rig) -> None:
    await run(rig)
    assert rig.planner.lost_swap_price == USUAL
    await lose(rig, 3)
    assert USUAL < rig.planner.lost_swap_price <= PRICE_HIGH * USUAL
    found = note(rig)
    assert (found.riders, found.lost, found.lost_at_once) == (3, 3, 0)
    assert found.usual_price == USUAL
    assert found.lost_swap_price == pytest.approx(rig.planner.lost_swap_price, abs=1e-3)
    assert rig.metric("fleet_balance_lost_swap_price") == rig.planner.lost_swap_price
    assert rig.metric("fleet_balance_riders_lost_total") == 3
    assert rig.metric("fleet_balance_riders_lost_at_once_total") == 0
    outlook = Outlook(rig.planner, LivePicture(NoRows(), rig.clock))
    view = await BalanceService(rig.planner, rig.clock, outlook).curve("fleet")
    assert view.service == found
    assert rig.planner.state().grid.lost_swap_price == rig.planner.lost_swap_price


async def test_a_dearer_swap_keeps_more_packs_in_stock(rig: Rig) -> None:
    rig.busy(12)
    await run(rig)
    await lose(rig, 2)
    await run(rig)
    state = rig.planner.state()

    def problem(of: Grid) -> Problem:
        return horizon.build(
            of,
            state.sites,
            state.forecast(),
            now_ms=state.now_ms,
            interval_s=900,
            zone=ZONE,
            peak_w=state.peak_w,
        )

    usual, dear = problem(replace(state.grid, lost_swap_price=USUAL)), problem(state.grid)
    assert rig.planner.orders is not None
    assert np.array_equal(rig.planner.orders.problem.stock.kept[:, 1:90], dear.stock.kept[:, 1:90])
    assert np.all(dear.stock.kept >= usual.stock.kept)
    assert dear.stock.kept.sum() > usual.stock.kept.sum()
    assert dear.instance.energy_min_wh.sum() > usual.instance.energy_min_wh.sum()


async def test_what_a_cabinet_refused_counts_and_other_reasons_do_not(rig: Rig) -> None:
    await run(rig)
    rig.refused = [("A-2", rig.clock.wall + 1_000)]
    for reason in ("offline", "alarm", "no-empty-slot"):
        rig.service.turned_away("A-2", reason)
    rig.service.turned_away("Z-9", NO_FULL)
    rig.swaps = [("B-1", rig.clock.wall + 2_000)]
    await run(rig)
    found = note(rig)
    assert (found.riders, found.lost, found.lost_at_once) == (2, 1, 0)


async def test_the_mirror_loses_whom_it_has_no_pack_for(rig: Rig) -> None:
    await run(rig)
    rig.swaps = [("A-1", rig.clock.wall + place) for place in range(4)]
    await run(rig)
    assert note(rig).lost_at_once == 3, "one of five was ready"
    assert rig.planner.lost_swap_price < USUAL


async def test_without_the_ledger_the_plan_goes_on_and_nobody_is_forgotten(rig: Rig) -> None:
    rig.planner._demand._lost = None
    await run(rig)
    served = rig.planner._service._served

    class Away:
        async def taken_by_interval(self, *_span: int) -> list[tuple[str, int, int]]:
            rig.broken = {"ledger"}
            try:
                return await rig.taken_by_interval(*_span)
            finally:
                rig.broken = set()

    rig.service.turned_away("A-1", NO_FULL)
    rig.planner._service._served = Away()
    sent = len(rig.published)
    await run(rig)
    assert len(rig.published) == sent + 3
    assert rig.planner.lost_swap_price == USUAL
    rig.planner._service._served = served
    await run(rig)
    assert note(rig).lost == 1


async def test_a_run_that_fails_loses_no_count(rig: Rig) -> None:
    await run(rig)
    rig.service.turned_away("A-1", NO_FULL)
    good = rig.solve

    def fails(*_asked: Any) -> Any:
        raise MemoryError

    rig.solve = fails
    await run(rig)
    assert note(rig).lost == 0
    rig.solve = good
    await run(rig)
    assert note(rig).lost == 1


async def test_a_fault_of_the_mirror_stops_no_plan(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(rig)
    await lose(rig, 2)
    assert rig.planner.lost_swap_price > USUAL
    monkeypatch.setattr("fleet.core.balance.mirror.Mirror.step", lambda *_: 1 // 0)
    sent = len(rig.published)
    await run(rig)
    assert len(rig.published) == sent + 3
    assert rig.planner.alarms == set()
    assert rig.planner.lost_swap_price == USUAL
    monkeypatch.undo()
    await run(rig)
    await lose(rig, 1)
    assert rig.planner.lost_swap_price > USUAL, "it begins anew"


async def test_a_gap_is_not_judged_and_a_long_one_begins_anew(rig: Rig) -> None:
    await run(rig)
    fresh = rig.planner._service._promise.mirror.picture()  # type: ignore[union-attr]
    rig.service.turned_away("A-1", NO_FULL)
    await run(rig, after_ms=12 * RUN_MS)
    assert note(rig).lost == 0
    assert rig.planner.lost_swap_price == USUAL
    await lose(rig, 2)
    price = rig.planner.lost_swap_price
    rig.service.turned_away("A-1", NO_FULL)
    await run(rig, after_ms=PICTURE_MS + 1)
    assert note(rig).lost == 2
    picture = rig.planner._service._promise.mirror.picture()  # type: ignore[union-attr]
    assert np.array_equal(picture, fresh), "as they stand, not as they would be by now"
    assert USUAL < rig.planner.lost_swap_price <= price
    rig.clock.wall -= 3_600_000  # a clock that was set back
    await run(rig)
    assert rig.planner.alarms == set()
    rig.clock.move(DAY_MS + RUN_MS)
    assert rig.planner.lost_swap_price == USUAL, "a day without a word"


async def test_a_restart_keeps_price_and_picture(rig: Rig) -> None:
    await run(rig)
    await lose(rig, 3)
    price, found = rig.planner.lost_swap_price, note(rig)
    picture = rig.planner._service._promise.mirror.picture()  # type: ignore[union-attr]
    rig.planner = rig.make()
    await rig.planner.recall()
    await run(rig)
    assert rig.planner.lost_swap_price == pytest.approx(price, rel=0.01)
    assert note(rig).lost == found.lost
    again = rig.planner._service._promise.mirror.picture()  # type: ignore[union-attr]
    assert again.shape == picture.shape
    assert (again <= picture).all(), "the same packs, five minutes on"


@pytest.mark.parametrize(
    "damage",
    [
        "{",
        "[]",
        "null",
        '{"at_ms": 1}',
        ("at_ms", NOW_MS + 10 * DAY_MS),
        ("balance", {"more": 1e9}),
        ("hours", [[1, 2]]),
        ("hours", 7),
    ],
)
async def test_a_damaged_memory_is_no_permission_and_no_obstacle(
    rig: Rig, damage: str | tuple[str, Any]
) -> None:
    await run(rig)
    await lose(rig, 1)
    text = rig.notes[NOTE]
    if isinstance(damage, tuple):
        text = json.dumps(json.loads(text) | {damage[0]: damage[1]})
    else:
        text = damage
    rig.notes[NOTE] = text
    rig.planner = rig.make()
    await rig.planner.recall()
    await run(rig)
    assert rig.planner.alarms == set()
    assert rig.planner.lost_swap_price == USUAL
    assert note(rig).riders == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("picture", "no base64!"),
        ("picture", "AAAA"),
        ("picture", base64.b64encode(zlib.compress(b"12345")).decode()),
        ("picture", base64.b64encode(zlib.compress(b"123456")[:-3]).decode()),
        ("cabinets", "of another fleet"),
    ],
)
async def test_a_picture_that_is_of_no_use_leaves_the_price(rig: Rig, key: str, value: str) -> None:
    await run(rig)
    fresh = rig.planner._service._promise.mirror.picture()  # type: ignore[union-attr]
    await lose(rig, 1)
    price = rig.planner.lost_swap_price
    rig.notes[NOTE] = json.dumps(json.loads(rig.notes[NOTE]) | {key: value})
    rig.planner = rig.make()
    await rig.planner.recall()
    await run(rig)
    assert rig.planner.lost_swap_price == pytest.approx(price, rel=0.01)
    picture = rig.planner._service._promise.mirror.picture()  # type: ignore[union-attr]
    assert np.array_equal(picture, fresh), "as it stands"


async def test_the_grids_price_changes_and_cabinets_come_and_go(rig: Rig) -> None:
    await run(rig)
    await lose(rig, 3)
    share = rig.planner.lost_swap_price / USUAL
    rig.text = "lost_swap_price = 5.0\n" + GRID.replace('B-1 = "F2"', 'B-2 = "F2"\nB-1 = "F2"')
    rig.dirty = True
    rig.planner.look()
    rig.tell("B-2")
    await run(rig)
    assert rig.planner.lost_swap_price == pytest.approx(5.0 * share, rel=0.01)
    known = rig.planner._service._promise.mirror.known  # type: ignore[union-attr]
    assert known.all()
    assert note(rig).usual_price == 5.0


async def test_a_cabinet_that_was_never_heard_is_not_judged(rig: Rig) -> None:
    rig.told.pop("B-1")
    rig.clock.move(RUN_MS)
    await rig.planner.attempt()
    rig.service.turned_away("B-1", NO_FULL)
    rig.clock.move(RUN_MS)
    await rig.planner.attempt()
    assert rig.planner._service._promise.mirror.known.tolist() == [True, True, False]  # type: ignore[union-attr]
    assert note(rig).lost == 0
    rig.everybody(rig.newest("A-1").version)
    rig.clock.move(RUN_MS)
    await rig.planner.attempt()
    assert rig.planner._service._promise.mirror.known.all()  # type: ignore[union-attr]
