"""Tariffs, feeders and limits over REST: the same versions as at the desk, once per key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient

from fleet.core.balance.grid import parse_grid
from fleet.web.limits import Replies
from tests.support.balance_rig import NOW_MS
from tests.support.desk import DeskTown, desk_town
from tests.support.fleet_fakes import OPERATOR_TOKEN, serving

VERSIONS = "/api/v1/grid/versions"
EAST = {
    "what": "region",
    "name": "east",
    "tariff": [{"start": "00:00", "price": 0.3}, {"start": "08:00", "price": 1.4}],
    "limit_w": 7_000,
    "windows": [{"start": "18:00", "end": "20:00", "limit_w": 4_500}],
    "peak_price_per_kw": 38,
}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[DeskTown]:
    async with desk_town(tmp_path) as made, serving(made.town, heartbeat_s=0.2):
        yield made


@pytest.fixture
async def operator(desk: DeskTown) -> AsyncIterator[AsyncClient]:
    async with desk.town.client() as client:
        await client.get("/ops/login", params={"token": OPERATOR_TOKEN})
        yield client


async def send(client: AsyncClient, key: str, **body: Any) -> Any:
    return await client.post(VERSIONS, json=body, headers={"Idempotency-Key": key})


async def test_the_grid_is_read_by_pages(operator: AsyncClient) -> None:
    told = (await operator.get("/api/v1/grid")).json()
    assert (told["counts"], told["last"], len(told["versions"])) == (1, 1, 1)
    regions = (await operator.get("/api/v1/grid/regions")).json()
    assert [each["name"] for each in regions] == ["east", "west"][: len(regions)]
    assert regions[0]["tariff"][0]["start"] == "00:00"
    feeders = (await operator.get("/api/v1/grid/feeders")).json()
    assert sum(each["cabinets"] for each in feeders) == told["cabinets"]
    one = (await operator.get("/api/v1/grid/feeders?limit=1&skip=1")).json()
    assert one == feeders[1:2]
    named = (await operator.get("/api/v1/grid/feeders?q=f1")).json()
    assert [each["name"] for each in named] == ["F1"]
    file = await operator.get(f"{VERSIONS}/1")
    assert file.headers["content-type"].startswith("application/toml")
    parse_grid(file.text)
    assert (await operator.get(f"{VERSIONS}/99")).status_code == 404
    for bad in ("limit=0", "limit=501", "skip=-1"):
        assert (await operator.get(f"/api/v1/grid/feeders?{bad}")).status_code == 422, bad


async def test_a_change_is_looked_at_kept_once_and_taken_back(
    desk: DeskTown, operator: AsyncClient
) -> None:
    revision = (await operator.get("/api/v1/grid")).json()["revision"]
    asked = {"revision": revision, "change": EAST, "staff": "zhang.wei"}
    look = await send(operator, "key-look-1", preview=True, **asked)
    assert look.status_code == 200, look.text
    assert look.json()["version"] is None
    assert {"region east: limit", "region east: tariff"} <= {
        each["where"] for each in look.json()["differences"]
    }
    assert len((await desk.stores.grids.history())[1]) == 1, "a look changes nothing"
    late = {**asked, "reason": "winter tariff", "valid_from": "2026-03-04T11:00"}
    first = await send(operator, "key-keep-1", **late)
    assert first.status_code == 201, first.text
    assert first.headers["Location"] == f"{VERSIONS}/2"
    again = await send(operator, "key-keep-1", **late)
    assert again.json() == first.json()
    revision_now, known = await desk.stores.grids.history()
    assert len(known) == 2, "the same key keeps it once"
    assert known[-1].valid_from_ms == NOW_MS + 55 * 60_000
    assert known[-1].actor.endswith("zhang.wei")
    reused = await send(operator, "key-keep-1", **{**late, "reason": "another"})
    assert reused.json()["error"]["code"] == "key-reused"
    stale = await send(operator, "key-keep-2", **late)
    assert (stale.status_code, stale.json()["error"]["code"]) == (409, "grid-changed")
    [east] = [
        each
        for each in (await operator.get("/api/v1/grid/regions")).json()
        if each["name"] == "east"
    ]
    assert {"what": "region", **east} == EAST
    back = {"revision": revision_now, "reason": "wrong month", "staff": "li.na"}
    gone = await operator.post(f"{VERSIONS}/2/withdraw", json=back)
    assert gone.status_code == 200, gone.text
    assert gone.json()["last"] == 1
    assert gone.json()["versions"][0]["withdrawn_by"].endswith("li.na")
    twice = await operator.post(f"{VERSIONS}/2/withdraw", json=back)
    assert twice.status_code == 409


OTHERS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"what": "feeder", "name": "F1", "region": "east", "limit_w": 4_500}, "feeder F1"),
    ({"what": "feeder", "name": "F99", "region": "east", "limit_w": 4_500}, "feeder F99"),
    ({"what": "cabinet", "name": "A-1", "feeder": None}, "cabinet A-1"),
    ({"what": "prices", "shortfall_price_per_kwh": 2.5, "lost_swap_price": 3}, "lost_swap_price"),
)
BROKEN: tuple[dict[str, Any], ...] = (
    {"change": {"what": "region", "name": "east"}},
    {"change": {**EAST, "limit": 3}},
    {"change": {**EAST, "limit_w": -1}},
    {"change": {**EAST, "tariff": [{"start": "25:00", "price": 1}]}},
    {"change": {**EAST, "tariff": [{"start": "08:00", "price": 1}]}},
    {"change": {**EAST, "name": 'a"]'}},
    {"change": {"what": "feeder", "name": "F1", "region": "nowhere", "limit_w": 1}},
    {"change": {"what": "cabinet", "name": "Z-9"}},
    {"change": {"what": "poem"}},
    {"valid_from": "soon"},
    {"reason": "x"},
    {"staff": ""},
)


async def test_feeders_cabinets_and_prices_change_too_and_mistakes_keep_nothing(
    desk: DeskTown, operator: AsyncClient
) -> None:
    revision = (await operator.get("/api/v1/grid")).json()["revision"]
    for change, where in OTHERS:
        told = await send(operator, "key-other-1", revision=revision, change=change, preview=True)
        assert told.status_code == 200, told.text
        assert where in {each["where"] for each in told.json()["differences"]}
    good = {"revision": revision, "change": EAST, "reason": "winter tariff", "staff": "li.na"}
    for broken in BROKEN:
        told = await send(operator, "key-wrong-1", **{**good, **broken})
        assert told.status_code == 422, (broken, told.text)
        assert told.json()["error"]["message"]
    nobody = await operator.post(VERSIONS, json=good)
    assert nobody.json()["error"]["code"] == "idempotency-key"
    assert len((await desk.stores.grids.history())[1]) == 1


def test_replies_are_few_and_forgotten() -> None:
    replies = Replies(life_ms=100, keys_max=2)
    for number in range(3):
        replies.keep((str(number),), "asked", b"told", 10)
    assert replies.find(("0",), "asked", 11) is None, "the oldest makes room"
    assert replies.find(("2",), "asked", 11) == b"told"
    assert replies.find(("2",), "asked", 110) is None
