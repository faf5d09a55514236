"""Finding a cabinet: by place, by name, by code, by a scanned link; and large type."""

from __future__ import annotations

import re

import pytest
from httpx2 import AsyncClient

from fleet.core.tiles import TileSource
from fleet.web.finding import LISTED_MAX, code_in
from tests.support.fleet_fakes import Town, cabinet, serving


async def test_the_nearest_that_can_serve_stand_first(town: Town, stranger: AsyncClient) -> None:
    town.cabinets.put(cabinet("DH-0002", "静安寺", lat=31.2301))
    town.cabinets.put(cabinet("DH-0003", "空空如也", lat=31.2300, full=0))
    page = (await stranger.get("/?lat=31.2302&lon=121.47")).text
    ids = list(dict.fromkeys(re.findall(r'href="/c/(DH-\d{4})"', page)))
    assert ids == ["DH-0002", "DH-0001", "DH-0003"]
    assert "11 米" in page
    assert page.count('class="pin-no"') == 3
    assert 'class="me"' in page


async def test_licensed_tiles_lie_under_the_map_and_the_policy_lets_in_only_theirs() -> None:
    source = TileSource("https://tiles.example.cn/{z}/{x}/{y}.png?a=1", "© 某图", "gcj02")
    fakes = Town()
    fakes.cabinets.put(cabinet())
    async with serving(fakes, tiles=source) as town, town.client() as client:
        reply = await client.get("/?lat=31.2302&lon=121.47")
        assert reply.text.count('<image href="https://tiles.example.cn/') >= 2
        assert "© 某图" in reply.text
        assert 'class="me"' in reply.text
        policy = reply.headers["content-security-policy"].split("; ")
        assert "img-src 'self' https://tiles.example.cn" in policy
        assert sum("tiles.example.cn" in part for part in policy) == 1


async def test_without_them_it_is_a_schematic_map_of_our_own(stranger: AsyncClient) -> None:
    reply = await stranger.get("/?lat=31.2302&lon=121.47")
    assert "<image" not in reply.text
    assert "img-src 'self'" in reply.headers["content-security-policy"].split("; ")


@pytest.mark.parametrize("query", ["lat=91&lon=0", "lat=31.2"])
async def test_half_or_impossible_a_place_is_none(stranger: AsyncClient, query: str) -> None:
    page = await stranger.get(f"/?{query}")
    assert page.status_code == 200
    assert 'class="me"' not in page.text


async def test_an_impossible_longitude_is_refused(stranger: AsyncClient) -> None:
    assert (await stranger.get("/?lat=0&lon=999")).status_code == 422


async def test_a_word_finds_by_name_and_a_code_leads_there(
    town: Town, stranger: AsyncClient
) -> None:
    town.cabinets.put(cabinet("DH-0002", "静安寺"))
    page = (await stranger.get("/?q=静安")).text
    assert "/c/DH-0002" in page
    assert "/c/DH-0001" not in page
    assert "没有找到" in (await stranger.get("/?q=nowhere")).text
    reply = await stranger.get("/?q=dh-0002")
    assert (reply.status_code, reply.headers["location"]) == (303, "/c/DH-0002")


async def test_a_long_list_says_that_it_is_not_all(town: Town, stranger: AsyncClient) -> None:
    for number in range(2, LISTED_MAX + 5):
        town.cabinets.put(cabinet(f"DH-{number:04}", "某站"))
    page = (await stranger.get("/")).text
    assert len(set(re.findall(r'href="/c/(DH-\d{4})"', page))) == LISTED_MAX
    assert "只列出一部分" in page


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("DH-0001", "DH-0001"),
        ("dh-0001", "DH-0001"),
        ("https://swap.example.cn/c/DH-0001", "DH-0001"),
        ("http://127.0.0.1:8080/c/DH-0001?k=123", "DH-0001"),
        ("/c/DH-0001", "DH-0001"),
        ("DH-0002", None),
        ("https://evil.example/elsewhere/DH-0001", None),
        ("javascript:alert(1)", None),
        ("", None),
        ("c/", None),
    ],
)
async def test_codes_and_links(town: Town, text: str, found: str | None) -> None:
    named = await code_in(text, town.app.state.web)
    assert (named and named.id) == found


async def test_a_scanned_or_typed_code_opens_the_cabinet(stranger: AsyncClient) -> None:
    reply = await stranger.get("/scan", params={"code": " dh-0001 "})
    assert (reply.status_code, reply.headers["location"]) == (303, "/c/DH-0001")
    page = (await stranger.get("/scan", params={"code": "<b>zz</b>"})).text
    assert "没有这台电柜" in page
    assert "<b>zz" not in page


async def test_the_way_is_told_in_the_coordinates_of_chinese_maps(
    town: Town, stranger: AsyncClient
) -> None:
    page = (await stranger.get("/c/DH-0001")).text
    found = re.search(r"navigation\?to=([\d.]+),([\d.]+),", page)
    assert found
    assert float(found[1]) == pytest.approx(121.4745, abs=2e-3)
    assert float(found[1]) != pytest.approx(121.47, abs=1e-3)
    town.cabinets.put(cabinet(lat=None, lon=None))
    assert "navigation" not in (await stranger.get("/c/DH-0001")).text


async def test_large_type_is_remembered_and_can_be_left(stranger: AsyncClient) -> None:
    assert 'class="rider"' in (await stranger.get("/")).text
    assert 'class="rider large"' in (await stranger.get("/?type=large")).text
    assert 'class="rider large"' in (await stranger.get("/c/DH-0001")).text
    assert 'class="rider"' in (await stranger.get("/?type=normal")).text
    assert 'class="rider"' in (await stranger.get("/?type=huge")).text
