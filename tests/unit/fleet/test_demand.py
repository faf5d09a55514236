"""What the loop learns of riders: those who were turned away too, and today as it goes."""

from __future__ import annotations

import numpy as np
import pytest

from fleet.core.balance.forecast import TODAY_WORTH
from tests.support.balance_rig import DAY_MS, NOW_MS, Rig

pytestmark = pytest.mark.timeout(240)
MIDNIGHT_MS = NOW_MS - (10 * 60 + 5) * 60_000
INTERVALS = 96


async def daily(rig: Rig) -> list[float]:
    """Swaps expected of each cabinet from midnight to midnight of tomorrow."""
    await rig.planner.learn()
    left = INTERVALS - 40
    return list(rig.planner.swaps_ahead(NOW_MS, INTERVALS + left)[:, left:].sum(axis=1))


async def test_who_was_turned_away_counts_as_a_rider_there() -> None:
    rig, blind = Rig(), Rig()
    for each in (rig, blind):
        each.busy(24)
    hours = range(MIDNIGHT_MS - 9 * DAY_MS, MIDNIGHT_MS, 3_600_000)
    rig.refused = [("A-1", hour) for hour in hours]
    rig.shown = [("A-2", hour, 2) for hour in hours]
    wanted, served = await daily(rig), await daily(blind)
    assert wanted[0] > 1.5 * served[0]
    assert wanted[1] > wanted[0]
    assert served[0] == pytest.approx(served[2], rel=0.05)


async def test_quarters_of_an_hour_are_spread_over_shorter_intervals() -> None:
    rig = Rig()
    rig.shown = [("A-2", MIDNIGHT_MS + 900_000, 6)]
    demand = rig.planner._demand
    demand._interval_ms = 300_000
    came = await demand._came(MIDNIGHT_MS, MIDNIGHT_MS + 3_600_000, 12)
    assert came[1].tolist() == [0, 0, 0, 2, 2, 2, 0, 0, 0, 0, 0, 0]


async def test_today_goes_on_as_it_went_so_far_and_tomorrow_does_not() -> None:
    rig, usual = Rig(), Rig()
    for each in (rig, usual):
        each.busy(24)
    rainy = [("A-1", MIDNIGHT_MS + place * 300_000) for place in range(100)]
    rig.swaps = [*rig.swaps, *rainy]
    usual.swaps = [*usual.swaps]
    for each in (rig, usual):
        await each.planner.learn()
    left = INTERVALS - 40
    wet, dry = (each.planner.swaps_ahead(NOW_MS, INTERVALS) for each in (rig, usual))
    assert np.all(wet[0, :left] > 3 * dry[0, :left])
    assert np.allclose(wet[0, left:], dry[0, left:])
    assert np.allclose(wet[1:], dry[1:])
    assert np.all(dry[1, :left] > 0)
    assert TODAY_WORTH > 0


async def test_a_new_day_begins_without_the_last_ones_haste() -> None:
    rig = Rig()
    rig.busy(24)
    rig.swaps = [*rig.swaps, *[("A-1", NOW_MS - place * 60_000 - 600_000) for place in range(200)]]
    await rig.planner.learn()
    hasty = rig.planner.swaps_ahead(NOW_MS, 1)[0, 0]
    next_day = rig.planner.swaps_ahead(MIDNIGHT_MS + DAY_MS + 60_000, INTERVALS)
    assert hasty > 2 * next_day[0, 40], "of another day's riders nothing is taken for today's"
