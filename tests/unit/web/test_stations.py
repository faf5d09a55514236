"""Which cabinets to ride to, over REST: for everybody, costs for operators only."""

from __future__ import annotations

import dataclasses

import pytest
from httpx2 import AsyncClient
from msgspec.structs import replace

from fleet.core.access import EVERYWHERE, Role, Scope, Who
from fleet.core.steering import StationView
from tests.support.fleet_fakes import Town

STATION = StationView(
    cabinet="DH-0001",
    name="Drum Tower",
    distance_m=420,
    full=3,
    arrival_s=109,
    expected_full=2.9,
    chance=0.99,
    cost=1.25,
    balance_cost=0.5,
)


class FakeSteering:
    def __init__(self) -> None:
        self.asked: list[tuple[float, float, int]] = []

    async def near(self, lat: float, lon: float, count: int) -> list[StationView]:
        self.asked.append((lat, lon, count))
        return [STATION][:count]


@pytest.fixture
def steering(town: Town) -> FakeSteering:
    found = FakeSteering()
    town.app.state.web = dataclasses.replace(town.app.state.web, steering=found)
    return found


async def test_anybody_may_ask_and_costs_are_the_operators(
    steering: FakeSteering, stranger: AsyncClient, operator: AsyncClient
) -> None:
    reply = await stranger.get("/api/v1/stations", params={"near": "39.9402,-116.3897"})
    assert reply.status_code == 200, reply.text
    [told] = reply.json()
    assert (told["cabinet"], told["chance"], told["cost"]) == ("DH-0001", 0.99, None)
    assert told["balance_cost"] is None
    assert steering.asked == [(39.9402, -116.3897, 5)]
    [told] = (await operator.get("/api/v1/stations?near=1,2&count=9")).json()
    assert told["cost"] == 1.25
    assert steering.asked[-1] == (1.0, 2.0, 9)


@pytest.mark.parametrize(
    "query", ["", "near=", "near=1", "near=a,b", "near=91,0", "near=0,181", "near=1,2&count=0",
              "near=1,2&count=21", "near=1e3,2", "near=nan,inf"],
)  # fmt: skip
async def test_nonsense_is_refused(
    steering: FakeSteering, stranger: AsyncClient, query: str
) -> None:
    reply = await stranger.get(f"/api/v1/stations?{query}")
    assert reply.status_code == 422, reply.text
    assert steering.asked == []


async def test_it_is_in_the_published_document(stranger: AsyncClient) -> None:
    document = (await stranger.get("/api/v1/openapi.json")).json()
    assert "/api/v1/stations" in document["paths"]
    assert {"StationView", "MovesView"} <= set(document["components"]["schemas"])


async def test_who_finds_nothing_is_shown_where_there_is_something(
    town: Town, stranger: AsyncClient
) -> None:
    here = next(iter(town.cabinets.views.values()))
    assert here.lat is not None
    assert here.lon is not None
    for number, (lat, full) in enumerate(((0.002, 4), (0.01, 4), (0.02, 4), (0.001, 0)), 1):
        other = replace(
            here, id=f"NX-{number}", name=f"Gate {number}", lat=here.lat + lat, full=full
        )
        town.cabinets.put(other)
    town.cabinets.change(here.id, full=0)
    shown = (await stranger.get(f"/c/{here.id}?lang=en")).text
    assert "Nearby cabinets that can help" in shown
    assert [f"Gate {number}" in shown for number in (1, 2, 3, 4)] == [True, True, False, False]
    assert f"/c/{here.id}" not in shown.split("Nearby cabinets")[1].split("</ul>")[0]
    town.cabinets.change(here.id, lat=None, full=0)
    assert "Nearby cabinets" not in (await stranger.get(f"/c/{here.id}?lang=en")).text


async def test_who_is_bound_to_some_stations_sees_no_costs_of_the_others(
    steering: FakeSteering, town: Town
) -> None:
    """The pages of the balance are closed to him as well: costs are of the whole fleet."""
    assert steering.asked == []
    for scope, seen in ((Scope(stations=frozenset({"BELL"})), False), (EVERYWHERE, True)):
        who = Who("S1", "li.na", Role.OPERATOR, scope)
        async with town.client(cookies={"yz_ops": town.staff.seat(who)}) as client:
            [told] = (await client.get("/api/v1/stations?near=1,2")).json()
            assert (told["cost"] is not None) is seen
            assert (told["balance_cost"] is not None) is seen
