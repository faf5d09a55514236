"""Rows, marks and lists of the console: pure."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.core.console import (
    MARKS,
    PAGE_ROWS,
    PLACE_OF_MARK,
    SORTS,
    Brief,
    Mark,
    Query,
    brief_of,
    chosen,
    count,
    mark_of,
    one_page,
    read_query,
)
from fleet.core.console_views import energy_day
from fleet.core.records import CabinetRecord
from fleet.core.swaps import TELEMETRY_AGE_MAX_MS
from fleet.errors import InvalidError
from protocols.messages import SlotState, Status, Telemetry
from tests.support.fleet_fakes import slot

NOW = 1_800_000_000_000
HOUR = 3_600_000


def brief(number: int = 1, **values: Any) -> Brief:
    given: dict[str, Any] = {
        "id": f"DH-{number:04d}",
        "name": f"柜 {number}",
        "key": f"dh-{number:04d} 柜 {number}",
        "online": True,
        "received_ms": NOW,
        "full": 3,
        "empty": 2,
    }
    return Brief(**(given | values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, Mark.OK),
        ({"full": 0}, Mark.SHORT),
        ({"empty": 0}, Mark.SHORT),
        ({"alarms": ("offline-bms-1",)}, Mark.FAULT),
        ({"broken": 1}, Mark.FAULT),
        ({"alarms": ("smoke",), "doors_shut": True}, Mark.ALARM),
        ({"received_ms": NOW - TELEMETRY_AGE_MAX_MS}, Mark.OK),
        ({"received_ms": NOW - TELEMETRY_AGE_MAX_MS - 1}, Mark.STALE),
        ({"received_ms": NOW - TELEMETRY_AGE_MAX_MS - 1, "doors_shut": True}, Mark.STALE),
        ({"online": False}, Mark.OFFLINE),
        ({"online": False, "doors_shut": True}, Mark.OFFLINE),
        ({"received_ms": None}, Mark.NEVER),
        ({"received_ms": None, "online": False}, Mark.NEVER),
    ],
)
def test_marks(values: dict[str, Any], expected: Mark) -> None:
    assert mark_of(brief(**values), NOW) is expected


def test_a_row_counts_what_may_be_offered_and_what_is_broken() -> None:
    slots = (
        slot(1, SlotState.READY, 98),
        slot(2, SlotState.READY, 97, flags=("held",)),
        slot(3, SlotState.CHARGING, 40),
        slot(4, SlotState.EMPTY),
        slot(5, SlotState.QUARANTINE, 55),
    )
    seen = Telemetry(wall_ms=NOW, boot_id="b", mono_ms=1, slots=slots, alarms=("smoke",))
    status = Status(online=True, session=1, boot_id="b", epoch=1, software="1", slots=5)
    row = brief_of(CabinetRecord("DH-0001", "东湖", 5), status, seen, NOW, ("ST-1", "东湖站"))
    assert (row.full, row.empty, row.broken, row.doors_shut) == (1, 1, 1, True)
    assert row.power_w is None, "not told is not zero"
    assert "东湖站" in row.key
    silent = brief_of(CabinetRecord("DH-0001", "东湖", 5), None, None, NOW)
    assert (silent.received_ms, mark_of(silent, NOW)) == (None, Mark.NEVER)


FLEET = [
    brief(1, power_w=500.0, station="A"),
    brief(2, online=False, received_ms=NOW - 2 * HOUR, power_w=None),
    brief(3, full=0, power_w=100.0, station="B"),
    brief(4, received_ms=None, online=False),
    brief(5, doors_shut=True, power_w=0.0, station="A", received_ms=NOW - 60_000),
]
MARKED = bytearray(PLACE_OF_MARK[mark_of(each, NOW)] for each in FLEET)


def ids(bound: frozenset[str] | None = None, **values: Any) -> str:
    places = chosen(FLEET, MARKED, Query(**values), NOW, bound)
    return "".join(str(place + 1) for place in places)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "12345"),
        ({"sort": "-id"}, "54321"),
        ({"state": "trouble"}, "5"),
        ({"state": "silent"}, "24"),
        ({"state": "online"}, "135"),
        ({"state": "ok"}, "1"),
        ({"station": "A"}, "15"),
        ({"q": "DH-0003"}, "3"),
        ({"q": "柜 2"}, "2"),
        ({"q": "nothing"}, ""),
        ({"age": 60}, "24"),
        ({"age": 1}, "245"),
        ({"sort": "state"}, "52431"),
        ({"sort": "power"}, "53124"),
        ({"sort": "-power"}, "13524"),
        ({"sort": "age"}, "13524"),
        ({"sort": "-age"}, "25134"),
        ({"sort": "full"}, "31254"),
        ({"state": "online", "station": "A", "sort": "-id"}, "51"),
    ],
)
def test_filters_and_orders(values: dict[str, Any], expected: str) -> None:
    assert ids(**values) == expected


def test_who_is_bound_to_stations_sees_those_only() -> None:
    assert ids(frozenset({"A"})) == "15"
    assert ids(frozenset()) == ""
    assert ids(frozenset({"B"}), station="A") == "", "a filter does not widen it"


@pytest.mark.parametrize("name", sorted(SORTS))
@pytest.mark.parametrize("down", ["", "-"])
def test_every_order_keeps_every_row(name: str, down: str) -> None:
    assert sorted(ids(sort=down + name)) == list("12345")


def test_pages() -> None:
    places = list(range(PAGE_ROWS * 2 + 1))
    assert one_page(places, 1)[0] == places[:PAGE_ROWS]
    assert one_page(places, 3) == ([places[-1]], 3, 3)
    assert one_page(places, 99)[1] == 3
    assert one_page([], 7) == ([], 1, 1)


def test_a_query_stands_in_its_url() -> None:
    query = Query(q="东湖", state="trouble", age=5, sort="-age", page=2)
    assert read_query(query.params()) == query
    assert Query().params() == {}
    assert query.params(page=1) == {"q": "东湖", "state": "trouble", "age": "5", "sort": "-age"}


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"state": "weird"}, "state"),
        ({"sort": "--id"}, "sort"),
        ({"sort": "slots; drop table"}, "sort"),
        ({"page": "0"}, "page"),
        ({"page": "-1"}, "page"),
        ({"page": "٣"}, "page"),
        ({"page": "9" * 30}, "page"),
        ({"age": "1.5"}, "age"),
        ({"q": "x" * 61}, "q"),
    ],
)
def test_a_bad_query_is_named(params: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidError, match=f"^{field}"):
        read_query(params)


def test_figures_take_what_is_told_lately_only() -> None:
    counts = count(FLEET, MARKED)
    assert (counts.total, counts.full, counts.empty, counts.power_w) == (5, 6, 6, 600.0)
    assert {mark: counts.by_mark[mark] for mark in MARKS if counts.by_mark[mark]} == {
        Mark.ALARM: 1, Mark.OFFLINE: 1, Mark.NEVER: 1, Mark.SHORT: 1, Mark.OK: 1,
    }  # fmt: skip
    assert (counts.of("trouble"), counts.of("online"), counts.of("silent")) == (1, 3, 2)
    assert count(FLEET[1:2], MARKED[1:2]).power_w is None, "nobody told: not zero"


def test_the_days_energy_and_its_peak() -> None:
    quarter, midnight = 900_000, NOW - NOW % 900_000 - 4 * 900_000
    now = midnight + 2 * quarter + 450_000  # in the middle of the third
    north = [
        (midnight - quarter, 9_000, 10_000, 1.0),  # yesterday
        (midnight, 4_000, 10_000, 0.5),
        (midnight + quarter, 8_000, 10_000, 0.5),
        (midnight + 2 * quarter, 2_000, 10_000, 1.0),
    ]
    south = [(midnight + quarter, 950, 1_000, 2.0), (midnight + 2 * quarter, None, 1_000, 2.0)]
    day = energy_day([("north", north), ("south", south)], quarter, midnight, now)
    assert day is not None
    assert day.energy_wh == round(1_000 + 2_000 + 250 + 237.5)
    assert day.cost == pytest.approx(0.5 + 1.0 + 0.25 + 0.475)
    assert (day.peak_region, day.peak_w, day.peak_limit_w) == ("south", 950, 1_000)
    assert (day.peak_ms, day.since_ms) == (midnight + quarter, None)
    late = energy_day([("north", north[3:])], quarter, midnight, now)
    assert late is not None
    assert late.since_ms == midnight + 2 * quarter, "it says that it does not know the whole day"
    assert energy_day([("south", south[1:])], quarter, midnight, now) is None
    unlimited = energy_day([("n", [(midnight, 5, None, 1.0)])], quarter, midnight, now)
    assert unlimited is not None
    assert unlimited.peak_w is None
