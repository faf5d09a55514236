"""Distances, the offset of Chinese maps, and the schematic map."""

from __future__ import annotations

from math import hypot

import pytest

from fleet.core.distance import distance_m
from fleet.core.geo import Point, gcj02, sketch


def apart_m(one: Point, other: Point) -> int:
    return distance_m(one.lat, one.lon, other.lat, other.lon)


TIANANMEN = Point(39.907333, 116.391083)


@pytest.mark.parametrize(
    ("here", "there"),
    [  # published pairs
        (Point(39.907333, 116.391083), Point(39.908737, 116.397326)),
        (Point(31.1774276, 121.5272106), Point(31.17530398364597, 121.531541859215)),
        (Point(22.543847, 113.912316), Point(22.540796131694766, 113.9171764808363)),
    ],
)
def test_the_offset_of_chinese_maps(here: Point, there: Point) -> None:
    assert apart_m(gcj02(here), there) <= 5


def test_elsewhere_there_is_no_offset() -> None:
    paris = Point(48.8583, 2.2945)
    assert gcj02(paris) == paris


def test_a_degree_of_latitude() -> None:
    assert apart_m(Point(30, 120), Point(31, 120)) == pytest.approx(111_195, rel=1e-3)


def test_a_map_shows_directions_distances_and_the_reader() -> None:
    north, east = Point(TIANANMEN.lat + 0.01, TIANANMEN.lon), Point(TIANANMEN.lat, 116.41)
    found = sketch([north, east], TIANANMEN, width=328, height=220, margin=28)
    assert found is not None
    up, right, here = found.spots
    assert (up.number, right.number, here.number) == (1, 2, 0)
    assert up.y < here.y
    assert right.x > here.x
    metres_per_unit = found.bar_m / found.bar
    drawn_m = hypot(right.x - here.x, right.y - here.y) * metres_per_unit
    assert drawn_m == pytest.approx(apart_m(east, TIANANMEN), rel=0.05)
    assert all(0 < spot.x < 328 and 0 < spot.y < 220 for spot in found.spots)


def test_one_place_is_a_map_too_and_none_is_not() -> None:
    assert sketch([], TIANANMEN, width=328, height=220, margin=28) is None
    alone = sketch([TIANANMEN], None, width=328, height=220, margin=28)
    assert alone is not None
    assert (alone.spots[0].x, alone.spots[0].y) == (164, 110)


def test_marks_upon_one_another_are_moved_apart() -> None:
    found = sketch([TIANANMEN, TIANANMEN, TIANANMEN], None, width=328, height=220, margin=28)
    assert found is not None
    assert len({(spot.x, spot.y) for spot in found.spots}) == 3
