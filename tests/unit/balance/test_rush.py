"""Sites that run out: who is opened, and that opening never passes a limit."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.balance import horizon, rush
from fleet.core.balance.horizon import Site, Standing
from fleet.core.balance.instance import Plan
from protocols.messages import SlotTelemetry
from tests.support.balance_rig import NOW_MS, ZONE, grid, slots, steady

FEEDER_OF = np.array([0, 0, 1, 1, 2], np.int32)
REGION_OF = np.array([0, 0, 1], np.int32)
WATTS = st.integers(0, 5_000)


@given(
    power=st.lists(WATTS, min_size=5, max_size=5),
    flags=st.lists(st.booleans(), min_size=5, max_size=5),
    feeder_room=st.lists(WATTS | st.just(10**9), min_size=3, max_size=3),
    region_room=st.lists(WATTS, min_size=2, max_size=2),
    endless=st.booleans(),
)
def test_opening_stays_within_every_room_and_lowers_nobody(
    power: list[int],
    flags: list[bool],
    feeder_room: list[int],
    region_room: list[int],
    endless: bool,
) -> None:
    power_w, open_sites = np.array(power), np.array(flags)
    feeder = np.array(feeder_room, float)
    region = np.full(2, np.inf) if endless else np.array(region_room, float)
    raised = rush.open_power(
        power_w,
        open_sites,
        np.full(5, 3_500),
        feeder_of=FEEDER_OF,
        feeder_room_w=feeder,
        region_of=REGION_OF,
        region_room_w=region,
    )
    more = raised - power_w
    assert np.all(more >= 0)
    assert np.all(raised <= np.maximum(power_w, 3_500))
    assert not more[~open_sites].any()
    assert np.all(np.bincount(FEEDER_OF, more, 3) <= feeder)
    assert np.all(np.bincount(REGION_OF[FEEDER_OF], more, 2) <= region)
    if endless and feeder.min() > 5 * 3_500:
        assert np.all(raised[open_sites] >= 3_500)


def test_the_rules() -> None:
    assert rush.few(np.array([0, 2, 3])).tolist() == [True, True, False]
    wanted = np.array([[1.0, 3.0], [1.0, 3.4], [9.0, 9.0]])
    assert rush.urgent(wanted, np.array([2, 3, 0]), 2).tolist() == [True, False, True]
    pressed = np.array([True, True, False])
    given_wh, most_wh = np.array([90, 89, 100]), np.array([100, 100, 100])
    assert rush.opened(pressed, given_wh, most_wh).tolist() == [True, False, False]


def made(each: tuple[SlotTelemetry, ...], mean: float) -> tuple[horizon.Problem, horizon.Problem]:
    """The problem of three cabinets of which the first stands so, and in quiet times."""
    of = grid()
    sites = [
        Site(cabinet, Standing.FOLLOWS, each if cabinet == "A-1" else slots(99, 99, 99, 99, None))
        for cabinet in of.ids
    ]
    busy, quiet = (
        horizon.build(
            of,
            sites,
            steady(3, mean=mean),
            now_ms=NOW_MS,
            interval_s=900,
            zone=ZONE,
            peak_w=np.zeros(1),
        )
        for mean in (mean, 0.001)
    )
    return busy, quiet


def test_a_busy_site_without_ready_packs_hands_out_early_and_is_opened() -> None:
    of = grid()
    busy, quiet = made(slots(80, 70, 40, 30, None), 2.0)
    assert busy.few.tolist() == [True, False, False]
    assert busy.urgent.tolist()[0]
    assert not quiet.urgent.any()
    step = np.zeros_like(busy.instance.step_max_wh)
    step[0, 0] = busy.instance.energy_max_wh[0, 0]
    plan = Plan(step.astype(np.int32), np.zeros_like(step, np.int32), 0.0, 0.0, 0.0)
    power = horizon.powers(busy, plan)
    assert power[0, 0] > horizon.powers(quiet, plan)[0, 0]
    assert 4_990 < power[:2, 0].sum() + 2 * 60 <= 5_000, "two busy sites take the feeder's room"
    assert power[:, 0].sum() + 3 * 60 <= 9_000
    documents = horizon.documents(of, busy, power, version=1, every_s=300)
    targets = {each.cabinet: set(each.target_soc_pct) for each in documents}
    assert targets == {"A-1": {75}, "A-2": {95}, "B-1": {95}}


def test_a_cabinet_of_which_nothing_is_known_hands_nothing_out_early() -> None:
    busy, _ = made((), 2.0)
    assert not busy.few[0]
