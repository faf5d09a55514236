"""The month's peaks: measured over whole intervals, and known after a restart."""

from __future__ import annotations

import pytest

from tests.support.balance_rig import NOW_MS, STEP_MS, Rig

MONTH_MS = 31 * 86_400_000


def measured(rig: Rig, *powers_w: float) -> None:
    """One whole interval at each power of every cabinet, from now on."""
    for power_w in powers_w:
        for cabinet in rig.planner.grid.ids:
            version = rig.newest(cabinet).version if rig.published else 0
            rig.tell(cabinet, power_w=power_w, version=version)
        rig.planner.look()
        rig.clock.move(STEP_MS)


async def peak_w(rig: Rig) -> float:
    """Of the region, as the planner is told: less what the cabinets take without charging."""
    await rig.planner.attempt()
    assert rig.planner.orders is not None
    return float(rig.planner.orders.problem.instance.peak_so_far_w[0]) + 3 * 60


async def test_a_restart_knows_the_months_peak() -> None:
    rig = Rig()
    measured(rig, 800, 1_500, 300)
    assert await peak_w(rig) == 4_500
    assert "balance-peaks" in rig.notes
    rig.planner = rig.make()
    await rig.planner.recall()
    measured(rig, 200)
    assert await peak_w(rig) == 4_500


async def test_an_interval_that_goes_on_is_no_peak_yet() -> None:
    rig = Rig()
    measured(rig, 500)
    rig.tell("A-1", power_w=3_000)  # in the one that goes on
    rig.planner.look()
    assert await peak_w(rig) == 1_500


async def test_a_new_month_begins_anew_and_the_grids_peak_stands() -> None:
    rig = Rig(text=Rig().text.replace("limit_w = 9000", "limit_w = 9000\npeak_so_far_w = 1000"))
    measured(rig, 1_500)
    assert await peak_w(rig) == 4_500
    rig.clock.move(MONTH_MS)
    rig.planner = rig.make()
    await rig.planner.recall()
    measured(rig, 200)
    assert await peak_w(rig) == 1_000


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"month": 1, "w": 3}', '{"month": "x", "w": {}}']
)
async def test_an_unreadable_note_is_measured_anew(text: str) -> None:
    rig = Rig()
    rig.notes["balance-peaks"] = text
    await rig.planner.recall()
    measured(rig, 400)
    assert await peak_w(rig) == 1_200


async def test_without_a_store_the_run_goes_on_and_the_peak_is_kept_the_next_time() -> None:
    rig = Rig()
    rig.everybody()
    measured(rig, 700)
    rig.broken.add("store")
    await rig.planner.attempt()
    assert rig.notes == {}
    rig.broken.clear()
    await rig.planner.attempt()
    assert "2100" in rig.notes["balance-peaks"]
    assert rig.clock.wall > NOW_MS
