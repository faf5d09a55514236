"""The operator's console: overview, list, export, search, one cabinet, and who may see what."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from typing import Any

import pytest
from httpx2 import AsyncClient

from fleet.core import access
from fleet.core.access import Role, Scope, Who
from fleet.core.console_views import EnergyDay, EventRow, Find, SwapDay
from fleet.runtime.console import StationPlace
from fleet.web import access as web_access
from protocols.topics import Leaf
from tests.support.fleet_fakes import Town, cabinet
from tests.unit.web.test_streams import events, until


def rows_of(page: str) -> list[str]:
    return re.findall(r'<tr id="row-([A-Z0-9-]+)"', page)


def fill(town: Town, count: int = 120) -> None:
    """Every third without a full pack, every tenth offline."""
    for number in range(2, count + 1):
        full, online = (0 if number % 3 == 0 else 4), number % 10 != 0
        town.cabinets.put(
            cabinet(f"DH-{number:04d}", f"某站 {number}", slots=(), full=full, online=online)
        )


async def test_the_overview_says_what_is_not_known(town: Town, operator: AsyncClient) -> None:
    town.cabinets.change("DH-0001", power_w=None)
    town.records.day = SwapDay(completed=0, ended=0, turned_away=None)
    page = (await operator.get("/ops?lang=en")).text
    tiles = re.findall(r'<li class="tile[^"]*"[^>]*>(.*?)</li>', page, re.DOTALL)
    text = {re.sub(r"<[^>]+>", "", each).strip() for each in tiles}
    assert {"1 / 1Online", "– kWPower", "0Swaps today"} <= text
    assert "– %Success rate (none has ended yet)" in text
    assert "–Riders turned away (not known)" in text
    assert any(each.startswith("–Energy cost (not measured") for each in text)
    assert any(each.startswith("–Peak against limit (not measured") for each in text)
    town.records.energy = EnergyDay(
        energy_wh=12_345,
        cost=8.5,
        since_ms=town.clock.wall_ms(),
        peak_region="north",
        peak_w=9_000,
        peak_limit_w=12_000,
        peak_ms=town.clock.wall_ms(),
    )
    part = (await operator.get("/api/v1/ops/day?lang=en")).json()["parts"]["day"]["html"]
    for expected in ("¥8.50", "12.3 kWh", "since 20", "75", "north: 9.0 kW / 12.0 kW"):
        assert expected in part


async def test_what_wants_attention_stands_on_the_overview(
    town: Town, operator: AsyncClient
) -> None:
    fill(town, 12)
    town.cabinets.put(cabinet("DH-0007", "着火站", alarms=("smoke",)))
    page = (await operator.get("/ops")).text
    assert page.index("着火站") < page.index("东湖路驿站"), "the worst first"
    assert 'href="/ops/cabinets?state=offline"' in page


async def test_the_list_is_paged_filtered_and_sorted_by_its_url(
    town: Town, operator: AsyncClient
) -> None:
    fill(town)
    first = (await operator.get("/ops/cabinets")).text
    assert rows_of(first) == [f"DH-{n:04d}" for n in range(1, 51)]
    last = (await operator.get("/ops/cabinets?page=3")).text
    assert rows_of(last) == [f"DH-{n:04d}" for n in range(101, 121)]
    assert 'rel="next"' not in last
    silent = (await operator.get("/ops/cabinets?state=offline&sort=-id&lang=en")).text
    assert rows_of(silent) == [f"DH-{n:04d}" for n in range(120, 9, -10)]
    assert "12 cabinets" in silent
    assert 'aria-sort="descending"' in silent
    assert "/ops/cabinets.csv?state=offline&amp;sort=-id" in silent
    assert rows_of((await operator.get("/ops/cabinets?q=某站+77")).text) == ["DH-0077"]
    none = await operator.get("/ops/cabinets?q=zzz")
    assert (none.status_code, rows_of(none.text)) == (200, [])
    wrong = await operator.get("/ops/cabinets?state=weird")
    assert wrong.status_code == 422


async def test_the_list_follows_live_but_only_its_rows(town: Town, operator: AsyncClient) -> None:
    fill(town, 5)
    page = (await operator.get("/ops/cabinets?q=DH-0002")).text
    live = re.search(r'data-live="([^"]+)"', page)
    assert live
    async with events(operator, live[1].replace("&amp;", "&")) as stream:
        first = await until(stream, lambda event: event["type"] == "rows")
        assert set(first["parts"]) == {"row-DH-0002"}
        town.cabinets.change("DH-0003", alarms=("smoke",))
        town.cabinets.change("DH-0002", alarms=("flood",))
        changed = await until(stream, lambda event: event["type"] == "rows")
        assert set(changed["parts"]) == {"row-DH-0002"}
        assert "m-alarm" in changed["parts"]["row-DH-0002"]["html"]
    polled = (await operator.get("/api/v1/ops/cabinets?ids=DH-0002,NOPE")).json()
    assert "m-alarm" in polled["parts"]["row-DH-0002"]["html"]
    many = ",".join(f"D{n:03d}" for n in range(51))
    assert (await operator.get(f"/api/v1/ops/cabinets?ids={many}")).status_code == 422


async def test_csv_has_the_whole_list_and_no_formulas(town: Town, operator: AsyncClient) -> None:
    fill(town)
    town.cabinets.put(cabinet("DH-0500", '=HYPERLINK("http://evil")', alarms=("smoke",)))
    reply = await operator.get("/ops/cabinets.csv?sort=-id")
    assert reply.headers["content-disposition"] == 'attachment; filename="cabinets.csv"'
    rows = list(csv.DictReader(io.StringIO(reply.text.removeprefix("\ufeff"))))
    assert len(rows) == 121
    assert rows[0]["name"].startswith("'=")
    assert (rows[0]["state"], rows[0]["alarms"]) == ("alarm", "smoke")
    assert (rows[-1]["id"], rows[-1]["full"], rows[-1]["power_w"]) == ("DH-0001", "4", "842.0")


async def test_the_map_is_fetched_once_and_then_followed(town: Town, operator: AsyncClient) -> None:
    town.cabinets.put(cabinet("DH-0002", lat=None))
    reply = await operator.get("/api/v1/ops/map")
    told = reply.json()
    assert (told["ids"], told["lat"]) == (["DH-0001", "DH-0002"], [31.23, None])
    assert reply.headers["content-encoding"] == "gzip"
    plain = await operator.get("/api/v1/ops/map", headers={"Accept-Encoding": "identity"})
    assert plain.json() == told
    tag = reply.headers["etag"]
    again = await operator.get("/api/v1/ops/map", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    async with events(operator, "/api/v1/ops/map/stream") as stream:
        whole = await until(stream, lambda event: event["type"] == "map")
        assert (f'"{whole["v"]}"', whole["m"]) == (tag, "11")
        town.cabinets.change("DH-0002", alarms=("smoke",))
        delta = await until(stream, lambda event: "d" in event)
        assert (delta["d"], delta["n"]["trouble"]) == ([1, 0, 4], 2)
        await until(stream, lambda event: event == {"type": "heartbeat"})
    streams = town.app.state.web.streams
    await _until_closed(streams)


async def _until_closed(streams: Any) -> None:
    async with asyncio.timeout(60):
        while streams.open:
            await asyncio.sleep(0.01)


async def test_search_over_everything(town: Town, operator: AsyncClient) -> None:
    town.station_places = [StationPlace("ST-1", "东湖站", None, None, ("DH-0001",))]
    town.records.finds = [
        Find(kind="battery", id="YZ48-000001", detail="slot:DH-0001:1", title="ok"),
        Find(kind="swap", id="YZ01JD", detail="DH-0001", title="completed"),
        Find(kind="rider", id="YZR1", detail="12345678", title="8000"),
    ]
    page = (await operator.get("/ops/search?q=YZ&lang=en")).text
    assert '<span class="mono">YZ48-000001</span>' in page
    assert "slot 1 of DH-0001" in page
    assert 'href="/s/YZ01JD"' in page
    assert "number 12345678, phone …8000" in page
    exact = await operator.get("/ops/search?q=dh-0001")
    assert (exact.status_code, exact.headers["location"]) == (303, "/ops/cabinets/DH-0001")
    named = (await operator.get("/ops/search?q=东湖")).text
    assert 'href="/ops/cabinets/DH-0001"' in named
    assert "at least two" in (await operator.get("/ops/search?q=y")).text
    assert "Nothing fits" in (await operator.get("/ops/search?q=zzz")).text


async def test_one_cabinets_wires_events_and_messages(town: Town, operator: AsyncClient) -> None:
    at = "/ops/cabinets/DH-0001"
    assert "Every device on the wires answers." in (await operator.get(f"{at}?lang=en")).text
    town.cabinets.change("DH-0001", alarms=("offline-bms-4",))
    page = (await operator.get(at)).text
    assert '<span class="mono">bms-4</span>' in page
    town.cabinets.change("DH-0001", alarms=(), age_ms=400_000)
    assert "When it last reported" in (await operator.get(at)).text
    town.records.rows = [
        EventRow(
            epoch=1, seq=n, at_ms=1, received_ms=2, synced=n > 1, type=kind, body='{"a":"<b>"}'
        )
        for n, kind in ((2, "boot"), (1, "alarm"))
    ]
    listed = (await operator.get(f"{at}/events")).text
    assert ("1/2" in listed, "clock not set" in listed, "<b>" in listed) == (True, True, False)
    only = (await operator.get(f"{at}/events?type=boot")).text
    assert "1/1" not in only
    lines = (await operator.get(f"{at}/events.jsonl")).text.splitlines()
    assert [json.loads(each)["seq"] for each in lines] == [2, 1]
    assert "recording has begun" in (await operator.get(f"{at}/messages")).text
    for leaf, text in ((Leaf.TELEMETRY, b'{"n":1}'), (Leaf.EVENT, b'{"n":2}')):
        town.records.recorder.note("DH-0001", leaf, text)
    assert "{&#34;n&#34;:2}" in (await operator.get(f"{at}/messages?leaf=event")).text
    assert "{&#34;n&#34;:1}" not in (await operator.get(f"{at}/messages?leaf=event")).text
    exported = (await operator.get(f"{at}/messages.jsonl?q=1")).text.splitlines()
    assert [json.loads(each)["text"] for each in exported] == ['{"n":1}']
    for path in ("events", "events.jsonl", "messages", "messages.jsonl"):
        assert (await operator.get(f"/ops/cabinets/NOPE/{path}")).status_code == 404


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks works at ST-1 only."""
    viewer = Who("S1", "li", Role.VIEWER, Scope(stations=frozenset({"ST-1"})))

    async def staff_of(request: Any) -> access.Who:
        return viewer

    monkeypatch.setattr(web_access, "staff_of", staff_of)


@pytest.mark.usefixtures("bound")
async def test_who_is_bound_to_a_station_sees_nothing_of_the_others(
    town: Town, operator: AsyncClient
) -> None:
    fill(town, 6)
    town.station_places = [StationPlace("ST-1", "东湖站", None, None, ("DH-0002", "DH-0004"))]
    await town.board._take_stations()
    page = (await operator.get("/ops")).text
    assert 'id="map"' not in page
    assert 'id="day"' not in page
    assert 'data-n="total">2<' in page
    assert rows_of((await operator.get("/ops/cabinets")).text) == ["DH-0002", "DH-0004"]
    rows = (await operator.get("/ops/cabinets.csv")).text.splitlines()
    assert len(rows) == 3
    found = await operator.get("/ops/search?q=DH-0003")
    assert (found.status_code, "DH-0003</span>" in found.text) == (200, False)
    town.records.finds = [Find(kind="rider", id="YZR1", detail="12345678")]
    assert "12345678" not in (await operator.get("/ops/search?q=YZ")).text
    assert (await operator.get("/api/v1/ops/cabinets?ids=DH-0003,DH-0004")).json()["parts"].keys() == {"row-DH-0004"}  # fmt: skip
    for path in ("/api/v1/ops/map", "/api/v1/ops/map/stream", "/api/v1/ops/day"):
        assert (await operator.get(path)).status_code == 403


async def test_a_rider_whom_a_cabinet_cannot_serve_is_counted(
    town: Town, rider: AsyncClient, stranger: AsyncClient
) -> None:
    await rider.get("/c/DH-0001")
    assert town.records.turned == []
    town.cabinets.change("DH-0001", full=0)
    await stranger.get("/c/DH-0001")
    assert town.records.turned == [], "a stranger may be anybody"
    await rider.get("/c/DH-0001")
    assert {each[1:] for each in town.records.turned} == {("DH-0001", "no-full-battery")}
