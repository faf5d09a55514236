"""Where to send riders: what makes an offer better, and what must not matter."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.core.distance import distance_m
from fleet.core.steering import Station, at_most, left, offers, weigh

STATIONS = st.builds(
    Station,
    cabinet=st.uuids().map(str),
    name=st.just(""),
    distance_m=st.integers(0, 10_000),
    full=st.integers(0, 12),
    empty=st.integers(0, 12),
    rate_per_h=st.floats(0.0, 20.0),
    ready_in_h=st.lists(st.floats(0.0, 5.0), max_size=6).map(tuple),
    energy_cost=st.floats(0.0, 5.0),
    lost_swap_price=st.floats(0.0, 20.0),
)
ABLE = STATIONS.filter(lambda each: each.full > 0 and each.empty > 0)
SOME = Station("A", "Dongmen", 1_000, full=2, empty=1)


@given(ABLE)
def test_figures_are_in_their_bounds(station: Station) -> None:
    found = weigh(station)
    assert 0.0 <= found.chance <= 1.0
    assert 0.0 <= found.expected_full <= station.full + len(station.ready_in_h) + 1e-9
    assert found.cost is not None
    assert found.balance_cost is not None
    assert 0.0 <= found.balance_cost <= found.cost


@given(ABLE, st.integers(1, 3))
def test_more_batteries_never_make_it_worse(station: Station, more: int) -> None:
    better, usual = weigh(replace(station, full=station.full + more)), weigh(station)
    assert better.chance >= usual.chance - 1e-9
    assert (better.cost or 0.0) <= (usual.cost or 0.0) + 1e-9


@given(ABLE, st.floats(0.1, 10.0))
def test_more_riders_dearer_energy_and_losses_never_make_it_better(
    station: Station, more: float
) -> None:
    usual = weigh(station).cost or 0.0
    for worse in (
        replace(station, rate_per_h=station.rate_per_h + more),
        replace(station, energy_cost=station.energy_cost + more),
        replace(station, lost_swap_price=station.lost_swap_price + more),
    ):
        assert (weigh(worse).cost or 0.0) >= usual - 1e-9


@given(ABLE, st.integers(1, 5_000))
def test_a_longer_way_to_the_same_batteries_is_worse(station: Station, more_m: int) -> None:
    here = replace(station, ready_in_h=())
    there = weigh(replace(here, distance_m=here.distance_m + more_m))
    assert there.chance <= weigh(here).chance + 1e-9
    assert (there.cost or 0.0) > (weigh(here).cost or 0.0)


@given(st.lists(STATIONS, max_size=12, unique_by=lambda each: each.cabinet), st.integers(0, 9))
def test_the_order_turns_on_nothing_but_the_stations(stations: list[Station], seed: int) -> None:
    found = offers(stations, len(stations))
    shuffled = list(stations)
    random.Random(seed).shuffle(shuffled)
    assert offers(shuffled, len(stations)) == found
    able = {each.cabinet for each in stations if each.full and each.empty}
    assert {each.cabinet for each in found} == able
    assert [each.cost for each in found] == sorted(each.cost or 0.0 for each in found)
    for gone in stations[:2]:  # no offer turns on who else is there
        rest = [each for each in stations if each is not gone]
        assert offers(rest, len(rest)) == [each for each in found if each.cabinet != gone.cabinet]
    assert offers(stations, 2) == found[:2]


def test_a_sure_battery_beats_a_nearer_gamble() -> None:
    gamble = replace(SOME, cabinet="near", distance_m=300, full=1, rate_per_h=8.0)
    sure = replace(SOME, cabinet="far", distance_m=900, full=8, rate_per_h=1.0)
    assert [each.cabinet for each in offers([gamble, sure], 2)] == ["far", "near"]


def test_a_battery_that_is_ready_on_arrival_counts() -> None:
    soon, late = replace(SOME, ready_in_h=(0.05,)), replace(SOME, ready_in_h=(0.9,))
    assert weigh(soon).expected_full > weigh(late).expected_full


def test_poisson() -> None:
    assert at_most(-1, 2.0) == 0.0
    assert at_most(1, 2.0) == pytest.approx(3 * 2.718281828459045**-2)
    assert left(3, 0.0) == pytest.approx(3.0)
    assert left(1, 1.0) == pytest.approx(2.718281828459045**-1)


def test_distance() -> None:
    assert distance_m(39.9, 116.4, 39.9, 116.4) == 0
    assert distance_m(0.0, 0.0, 0.0, 180.0) == pytest.approx(20_015_087, abs=2)
    assert distance_m(39.9402, 116.3897, 39.9492, 116.3897) == pytest.approx(1_001, abs=1)
