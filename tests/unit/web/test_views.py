"""Saved views: kept under a name per account, opened by their links, no script needed; the map's address."""

from __future__ import annotations

import json
import re

import pytest
from httpx2 import AsyncClient

from fleet.core.access import Role, Who
from fleet.core.console import Query
from fleet.core.geo import Point, gcj02
from fleet.core.saved_views import VIEWS_MAX, check_name, kept_query
from fleet.core.swaps import keep_shut
from fleet.core.tiles import TileSource
from fleet.errors import InvalidError
from fleet.web.i18n import catalogue
from tests.support.fleet_fakes import OPERATOR_TOKEN, Town, cabinet, serving

SAME = {"Sec-Fetch-Site": "same-origin"}
TILES = TileSource("https://tiles.example/{z}/{x}/{y}.png", "© Maps 京A-123", "gcj02")


@pytest.mark.parametrize(
    ("page", "asked", "kept"),
    [
        ("cabinets", "?state=trouble&page=7&lang=zh&q=%E4%B8%9C", "q=%E4%B8%9C&state=trouble"),
        ("alarms", "noted=no&code=smoke", "code=smoke&noted=no"),
        ("swaps", "rider=R1&outcome=faulted", "outcome=faulted"),
        ("map", "at=31.2,121.5,90000&state=ok", "at=31.2%2C121.5%2C90000&state=ok"),
        ("packs", "q=a%0Ab", ""),
        ("packs", "q=" + "x" * 81, ""),
    ],
)
def test_what_is_kept_of_an_address(page: str, asked: str, kept: str) -> None:
    assert kept_query(page, asked) == kept


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\x00b"])
def test_a_name_says_something_in_one_line(name: str) -> None:
    with pytest.raises(InvalidError, match="name"):
        check_name(name)


def test_too_long_an_address_and_an_unknown_page_are_refused() -> None:
    long = "q=" + "换" * 70  # nine characters each in an address
    texts = (
        ("map", "x" * 501),
        ("cabinets", long),
        ("map", "&".join(["a=1"] * 21)),
        ("riders", ""),
    )
    for page, text in texts:
        with pytest.raises(InvalidError):
            kept_query(page, text)


async def test_a_view_is_saved_opened_renamed_and_deleted_without_a_script(
    town: Town, operator: AsyncClient
) -> None:
    operator.headers.update(SAME)
    page = (await operator.get("/ops/cabinets?state=trouble&sort=-age&page=1&lang=en")).text
    hidden = re.search(r'id="view-query" name="query" value="([^"]*)"', page)
    assert hidden is not None
    query = hidden[1].replace("&amp;", "&")
    assert query == "sort=-age&state=trouble"
    form = {"page": "cabinets", "name": " night  watch ", "query": query}
    saved = await operator.post("/ops/views", data=form)
    assert saved.status_code == 303
    assert saved.headers["location"] == "/ops/cabinets?sort=-age&state=trouble"
    there = (await operator.get(saved.headers["location"])).text
    assert re.search(r'aria-current="page">night watch</a>', there)
    other = (await operator.get("/ops/cabinets?state=ok")).text
    assert "night watch" in other
    assert 'aria-current="page">night watch' not in other
    [view] = town.views._rows.views.values()
    gone = await operator.get(f"/ops/views/{view.id}")
    assert (gone.status_code, gone.headers["location"]) == (303, view.url)
    again = await operator.post("/ops/views", data={**form, "query": "state=silent"})
    assert again.headers["location"] == "/ops/cabinets?state=silent", "the same name: the newer"
    assert len(town.views._rows.views) == 1
    renamed = await operator.post(f"/ops/views/{view.id}/rename", data={"name": "<夜班>"})
    assert renamed.status_code == 303
    mine = (await operator.get("/ops/views?lang=en")).text
    assert "&lt;夜班&gt;" in mine
    assert f"/ops/views/{view.id}" in mine
    assert (await operator.post(f"/ops/views/{view.id}/delete")).status_code == 303
    assert "Nothing is saved yet" in (await operator.get("/ops/views?lang=en")).text
    assert (await operator.get(f"/ops/views/{view.id}")).status_code == 404


async def test_a_view_is_its_accounts_own_but_its_link_is_anybodys_of_the_staff(
    town: Town, operator: AsyncClient, stranger: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.headers.update(SAME)
    view = await town.views.save("S-other", "theirs", "alarms", "code=smoke")
    assert "theirs" not in (await operator.get("/ops/alarms")).text
    gone = await operator.get(f"/ops/views/{view.id}")
    assert gone.headers["location"] == "/ops/alarms?code=smoke"
    for what in ("rename", "delete"):
        refused = await operator.post(f"/ops/views/{view.id}/{what}", data={"name": "mine"})
        assert refused.status_code == 404
    assert (await town.views.get(view.id)).name == "theirs"
    assert (await stranger.get(f"/ops/views/{view.id}")).status_code == 401
    viewer = Who("S-viewer", "wang", Role.VIEWER)

    async def looks_on(_: object) -> Who:
        return viewer

    monkeypatch.setattr("fleet.web.access.staff_of", looks_on)
    form = {"page": "map", "name": "all", "query": ""}
    assert (await operator.post("/ops/views", data=form)).status_code == 303
    assert [each.name for each in await town.views.of("S-viewer")] == ["all"]


async def test_mistakes_are_told_on_the_page(town: Town, operator: AsyncClient) -> None:
    operator.headers.update(SAME)
    form = {"page": "cabinets", "name": "a", "query": ""}
    wrong = await operator.post("/ops/views?lang=en", data={**form, "page": "riders"})
    assert wrong.status_code == 422
    assert "expected one of" in wrong.text
    assert (await operator.post("/ops/views", data={**form, "name": " "})).status_code == 422
    for number in range(VIEWS_MAX):
        await town.views.save("x", f"v{number}", "map", "")
    assert (await operator.post("/ops/views", data=form)).status_code == 303, "of another account"
    own = next(each for each in town.views._rows.views.values() if each.name == "a").staff
    for number in range(VIEWS_MAX - 1):
        await town.views.save(own, f"v{number}", "map", "")
    full = await operator.post("/ops/views?lang=en", data={**form, "name": "b"})
    assert (full.status_code, "too many saved views" in full.text) == (409, True)
    [first, second, *_] = await town.views.of(own)
    taken = await operator.post(f"/ops/views/{first.id}/rename", data={"name": second.name})
    assert taken.status_code == 409


async def test_the_map_is_opened_as_its_address_says(operator: AsyncClient) -> None:
    page = (await operator.get("/ops?state=silent&at=31.20000,121.50000,90000")).text
    assert 'data-only="2,3,4"' in page
    assert 'data-at="31.20000,121.50000,90000"' in page
    assert 'data-at=""' in (await operator.get("/ops?at=%22onload%3Dx")).text
    assert "data-tiles" not in page
    assert (await operator.get("/ops?state=nonsense")).status_code == 422
    many = "&".join(["a=1"] * 21)
    assert (await operator.get(f"/ops?{many}")).status_code == 200, "only no view to be saved"


async def test_licensed_tiles_lie_under_the_map_where_they_are_configured() -> None:
    town = Town()
    town.cabinets.put(cabinet(lat=39.9402, lon=116.3897))
    town.cabinets.put(cabinet("DH-0002", lat=None, lon=None))
    async with serving(town, tiles=TILES), town.client() as client:
        await client.get("/ops/login", params={"token": OPERATOR_TOKEN})
        reply = await client.get("/ops")
        assert f'data-tiles="{TILES.template}"' in reply.text
        assert TILES.attribution in reply.text
        policy = reply.headers["content-security-policy"]
        assert "img-src 'self' https://tiles.example;" in policy
        places = (await client.get("/api/v1/ops/map")).json()
        there = gcj02(Point(39.9402, 116.3897))
        assert places["lat"] == [round(there.lat, 5), None]
        assert places["lon"] == [round(there.lon, 5), None]
        raw = await client.get("/api/v1/ops/map", headers={"accept-encoding": "identity"})
        assert json.loads(raw.content) == places
        tag = raw.headers["etag"]
        assert tag.endswith('-gcj02"')
        kept = await client.get("/api/v1/ops/map", headers={"if-none-match": tag})
        assert kept.status_code == 304


async def test_a_fire_in_one_slot_keeps_the_doors_shut(town: Town, operator: AsyncClient) -> None:
    assert keep_shut(("over-temperature:4",))
    assert not keep_shut(("offline-bms-4", "door-left-open:4"))
    town.cabinets.change("DH-0001", alarms=("over-temperature:4",))
    [row] = town.board.unwell(Query())
    assert row.mark.value == "alarm"
    for language, words in (("en", "slot 4"), ("zh", "4 号仓")):
        assert words in catalogue(language).alarm("over-temperature:4")
        assert "bms-4" in catalogue(language).alarm("offline-bms-4")
        assert catalogue(language).alarm("offline-bms-4") != "offline-bms-4"
    page = (await operator.get("/ops?lang=en")).text
    assert "Alarm, doors shut" in page
