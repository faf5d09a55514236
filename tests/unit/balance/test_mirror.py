"""The picture of charging at once: its physics, and how it follows live slots."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.balance.envelopes import PackCurve, Slots
from fleet.core.balance.mirror import LOOKS, NO_PACK, PARTS, Mirror

HOURS = 1 / 12
CURVE = PackCurve(np.full(101, 400.0), np.linspace(0.0, 1_300.0, 101), 0.9)
CHARGE_STEPS = 27  # 884 Wh at 400 W, in steps of five minutes
NONE = np.array([np.inf])


def mirror(soc: list[list[float]], breaker_w: float = 4_000.0) -> Mirror:
    slots = np.array(soc)
    rows = len(slots)
    return Mirror(
        Slots(slots, np.ones(slots.shape, bool), np.full(rows, breaker_w)),
        CURVE,
        np.zeros(rows, np.int32),
        np.zeros(1, np.int32),
    )


def lost_later(
    site: Mirror, steps: int, feeder_w: np.ndarray = NONE, region_w: np.ndarray = NONE
) -> int:
    """Charge for so many steps without riders, then let a great many come."""
    for _ in range(steps):
        site.step([0], HOURS, feeder_w, region_w)
    return int(site.step([10], HOURS, NONE, NONE)[0])


def test_riders_take_ready_packs_and_the_rest_are_lost() -> None:
    site = mirror([[0.95, 0.9, 0.5, -1.0], [0.95, 0.2, 0.2, -1.0]])
    assert site.step([3, 1], HOURS, NONE, NONE).tolist() == [1, 0]
    assert site.step([0, 1], HOURS, NONE, NONE).tolist() == [0, 1]


def test_a_pack_that_came_back_is_ready_after_its_charge() -> None:
    early, late = mirror([[0.9]]), mirror([[0.9]])
    for site in (early, late):
        site.step([1], HOURS, NONE, NONE)
    assert lost_later(early, CHARGE_STEPS - 2) == 10
    assert lost_later(late, CHARGE_STEPS - 1) == 9


@pytest.mark.parametrize("what", ["breaker", "feeder", "region"])
def test_where_power_is_cut_the_readiest_pack_is_first(what: str) -> None:
    breaker_w = 400.0 if what == "breaker" else 4_000.0
    feeder_w = np.array([400.0]) if what == "feeder" else NONE
    region_w = np.array([400.0]) if what == "region" else NONE
    for steps, lost in ((CHARGE_STEPS - 2, 10), (CHARGE_STEPS, 9), (2 * CHARGE_STEPS - 2, 9)):
        site = mirror([[0.22, 0.22, -1.0]], breaker_w)
        assert lost_later(site, steps, feeder_w, region_w) == lost
    site = mirror([[0.22, 0.22, -1.0]], breaker_w)
    assert lost_later(site, 2 * CHARGE_STEPS, feeder_w, region_w) == 8


def test_slots_out_of_use_and_empty_ones_never_hand_out() -> None:
    soc = np.array([[0.95, -1.0]])
    slots = Slots(soc, np.array([[False, True]]), np.array([4_000.0]))
    site = Mirror(slots, CURVE, np.zeros(1, np.int32), np.zeros(1, np.int32))
    assert lost_later(site, 100) == 10


def live(*soc: list[float], breaker_w: float = 4_000.0) -> Slots:
    slots = np.array(soc)
    return Slots(slots, np.ones(slots.shape, bool), np.full(len(slots), breaker_w))


HEARD = np.array([True])


def test_a_pack_carried_in_is_empty_and_one_carried_out_the_emptiest() -> None:
    site = mirror([[0.95, 0.5, -1.0, -1.0]])
    for look in range(LOOKS + 1):
        assert (site.picture() != NO_PACK).sum() == (2 if look < LOOKS else 3)
        site.follow(live([0.95, 0.5, 0.95, -1.0]), HEARD)
    assert sorted(site.picture()[0])[1:3] == [113, 192], "the half full one, and one that came back"
    for _ in range(LOOKS):
        site.follow(live([0.95, -1.0, -1.0, -1.0]), HEARD)
    assert sorted(site.picture()[0]) == [0, NO_PACK, NO_PACK, NO_PACK], "the ready one stays"


def test_a_swap_under_way_moves_no_pack() -> None:
    site = mirror([[0.95, 0.5, -1.0]])
    before = site.picture()
    for soc in ([0.95, 0.5, 0.3], [0.5, 0.3, -1.0], [0.95, 0.5, 0.3], [0.5, 0.3, -1.0]):
        site.follow(live(soc), HEARD)
        assert np.array_equal(site.picture(), before)


def test_who_is_not_heard_stays_as_pictured_and_who_is_new_is_as_it_stands() -> None:
    site = mirror([[0.95, 0.5], [0.95, 0.5]])
    site.forget(np.array([False, True]))
    assert site.known.tolist() == [True, False]
    assert site.step([1, 1], HOURS, NONE, NONE).tolist() == [0, 1], "nothing is known of the other"
    before = site.picture()[0]
    for _ in range(LOOKS):
        site.follow(live([-1.0, -1.0], [0.95, 0.95]), np.array([False, True]))
    assert np.array_equal(site.picture()[0], before)
    assert site.known.all()
    assert site.step([0, 2], HOURS, NONE, NONE).tolist() == [0, 0]


def test_a_kept_picture_is_the_same_one_and_grows_with_the_slots() -> None:
    site = mirror([[0.95, 0.5, 0.22, -1.0]])
    site.step([1], HOURS, NONE, NONE)
    again = mirror([[-1.0]])
    again.recall(site.picture(), HEARD)
    assert np.array_equal(again.picture(), site.picture())
    assert again.picture().max() <= NO_PACK
    lacking = again.picture()[again.picture() != NO_PACK]
    assert lacking.max() <= PARTS
    again.follow(live([0.9, 0.5, 0.5, -1.0, -1.0, -1.0]), HEARD)
    assert again.picture().shape == (1, 6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_comes_the_packs_are_as_many_as_stand_there(data: st.DataObject) -> None:
    socs = st.lists(st.one_of(st.just(-1.0), st.floats(0.0, 1.0)), min_size=4, max_size=4)
    site = mirror([data.draw(socs), data.draw(socs)])
    heard = np.ones(2, bool)
    for _ in range(data.draw(st.integers(1, 6))):
        came = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
        lost = site.step(came, data.draw(st.floats(0.0, 2.0)), NONE, NONE)
        assert np.all((lost >= 0) & (lost <= came))
        now = live(data.draw(socs), data.draw(socs))
        for _ in range(LOOKS):
            site.follow(now, heard)
        assert np.array_equal((site.picture() != NO_PACK).sum(axis=1), (now.soc >= 0).sum(axis=1))
