"""The operator's console in a real Chromium: map, list, search; by mouse, by keyboard, in every dress."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.async_api import Browser, Page, Route, expect

from fleet.core.console_views import EnergyDay, EventRow, Find
from fleet.core.tiles import TileSource
from fleet.runtime.console import StationPlace
from protocols.topics import Leaf
from tests.support.browser import AXE, axe_source
from tests.support.fleet_fakes import OPERATOR_TOKEN, Town, cabinet, serving
from tests.unit.web.test_browser import DRESSES, browser, look, phone

__all__ = ["browser"]
pytestmark = pytest.mark.browser

README_PICTURES: Final = os.environ.get("YIZHAN_SCREENSHOTS")
TILES: Final = TileSource(
    "https://tiles.example/{z}/{x}/{y}.svg", "© Maps, 审图号 GS(2026)1", "gcj02"
)
A_TILE: Final = '<svg xmlns="http://www.w3.org/2000/svg" width="256" height="256"><rect width="256" height="256" fill="#00ff00"/></svg>'
#: A browser gives no picture away on which something of another site was drawn.
DRAWN: Final = """() => {
  try { document.querySelector('#map canvas').getContext('2d').getImageData(3, 3, 1, 1); }
  catch (error) { return error.name === 'SecurityError'; }
}"""
DESK: Final = {"width": 1280, "height": 900}
SIZES: Final = ({"width": 360, "height": 740}, DESK)


@pytest.fixture
async def full_town(town: Town) -> AsyncIterator[Town]:
    """Forty cabinets in every state, two stations, one thing of each sort to find."""
    marks: tuple[dict[str, Any], ...] = (
        {}, {"alarms": ("smoke",)}, {"alarms": ("offline-bms-4",)}, {"online": False},
        {"age_ms": 400_000}, {"full": 0, "slots": ()}, {"age_ms": None, "slots": ()},
    )  # fmt: skip
    for n in range(2, 42):
        given = {"slots": (), "lat": 31.2 + n % 7 / 90, "lon": 121.4 + n % 6 / 80}
        town.cabinets.put(cabinet(f"DH-{n:04d}", f"某站 {n}", **(given | marks[n % 7])))
    town.station_places = [StationPlace("ST-1", "东湖站", 31.23, 121.47, ("DH-0001", "DH-0002"))]
    town.records.energy = EnergyDay(energy_wh=9_000, cost=4.5)
    town.records.finds = [Find(kind="battery", id="DHX-1", detail="depot:MAIN", title="ok")]
    town.records.rows = [EventRow(epoch=1, seq=1, at_ms=1, received_ms=2, synced=False, type="boot", body='{"a":1}')]  # fmt: skip
    town.records.recorder.of("DH-0001")
    town.records.recorder.note("DH-0001", Leaf.STATUS, b'{"online":true}')
    return town


async def log_in(page: Page, town: Town) -> None:
    await page.goto(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
    await expect(page.locator("#map[data-ready]")).to_be_visible()


async def test_the_console_for_the_readme(full_town: Town, browser: Browser) -> None:
    async with phone(browser, viewport=DESK, is_mobile=False, locale="en-US") as context:
        page = await context.new_page()
        await log_in(page, full_town)
        await expect(page.locator("#tiles")).to_contain_text("/ 41")
        if README_PICTURES:
            await page.screenshot(path=Path(README_PICTURES) / "console.png", full_page=True)


@pytest.mark.parametrize(("locale", "scheme"), DRESSES)
async def test_the_consoles_pages_in_every_dress(
    full_town: Town, browser: Browser, locale: str, scheme: Any
) -> None:
    mode = f"{locale[:2]}-{scheme}"
    at = "/ops/cabinets/DH-0001"
    pages = (("list", "/ops/cabinets?sort=state"), ("nothing", "/ops/cabinets?q=zzz"), ("found", "/ops/search?q=DH"), ("events", f"{at}/events"), ("messages", f"{at}/messages"), ("cabinet", at))  # fmt: skip
    for size in SIZES:
        async with phone(
            browser, locale=locale, color_scheme=scheme, viewport=size, device_scale_factor=1
        ) as context:
            page = await context.new_page()
            await log_in(page, full_town)
            for name, path in (("overview", ""), *pages):
                if path:
                    await page.goto(full_town.url + path)
                await look(page, f"console-{name}-{size['width']}", mode, thumb=False)
                await page.evaluate(axe_source())
                assert await page.evaluate(AXE) == [], name


async def test_the_map_follows_and_opens_by_mouse_and_by_keyboard(
    town: Town, browser: Browser
) -> None:
    town.cabinets.put(cabinet("DH-0002", "静安寺", lat=31.3, lon=121.6, slots=()))
    async with phone(browser, viewport=DESK, is_mobile=False, has_touch=False) as context:
        page = await context.new_page()
        await log_in(page, town)
        await expect(page.locator("[data-n=online]")).to_have_text("2")
        town.cabinets.change("DH-0002", online=False)
        await expect(page.locator("[data-n=online]")).to_have_text("1")
        await expect(page.locator("[data-mark='2']")).to_have_text("1")
        await expect(page.locator("#map[data-applied]")).to_be_visible()
        canvas = page.locator("#map canvas")
        await canvas.focus()
        await page.keyboard.press("n")  # the worst first: a fault before one that is silent
        await expect(page.locator("#map-say")).to_contain_text("东湖路驿站 DH-0001: 故障")
        await page.keyboard.press("n")
        await expect(page.locator("#map-say")).to_contain_text("静安寺 DH-0002: 离线")
        await page.keyboard.press("+")
        await page.keyboard.press("0")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/ops/cabinets/DH-0002")
        await page.go_back()
        await expect(page.locator("#map[data-ready]")).to_be_visible()
        room = await canvas.bounding_box()
        assert room is not None
        spot = await page.evaluate("""() => {
          const canvas = document.querySelector('#map canvas'), box = canvas.getBoundingClientRect();
          for (let y = 4; y < box.height; y += 6) for (let x = 4; x < box.width; x += 6) {
            canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + x, clientY: box.top + y }));
            if (canvas.classList.contains('over')) return [x, y];
          }
        }""")
        assert spot, "no cabinet on the map"
        await page.mouse.click(room["x"] + spot[0], room["y"] + spot[1])
        await page.wait_for_url(re.compile(r"/ops/cabinets/DH-000[12]$"))


async def test_the_part_of_the_map_is_kept_as_a_view_and_tiles_lie_below(browser: Browser) -> None:
    town = Town()
    town.cabinets.put(cabinet("DH-0001", lat=31.23, lon=121.47))
    town.cabinets.put(cabinet("DH-0002", online=False, slots=(), lat=31.3, lon=121.6))
    asked: list[str] = []

    async def tile(route: Route) -> None:
        asked.append(route.request.url)
        await route.fulfill(body=A_TILE, content_type="image/svg+xml")

    async with (
        serving(town, heartbeat_s=0.5, tiles=TILES) as served,
        phone(browser, viewport=DESK, is_mobile=False, has_touch=False) as context,
    ):
        await context.route("https://tiles.example/**", tile)
        page = await context.new_page()
        await log_in(page, served)
        await expect(page.locator(".credit")).to_have_text(TILES.attribution)
        await page.wait_for_function(DRAWN)
        assert all(re.fullmatch(r"https://tiles\.example/\d+/\d+/\d+\.svg", each) for each in asked)
        await page.select_option("#state", "silent")
        await page.click("#map form[action='/ops'] button")
        await expect(page.locator("#map[data-ready]")).to_be_visible()
        await page.focus("#map canvas")
        await page.keyboard.press("n")
        await expect(page.locator("#map-say")).to_contain_text("DH-0002")
        await page.keyboard.press("n")
        await expect(page.locator("#map-say")).to_contain_text("DH-0002")  # there is no other
        await page.keyboard.press("+")
        await page.wait_for_url(re.compile(r"state=silent&at=\d+\.\d{5}%2C\d+\.\d{5}%2C\d+$"))
        part = page.url
        await page.click("#map summary")
        await page.fill("#view-name", "夜班")
        await page.click("#map details button")
        await expect(page.locator("#map a[aria-current=page]")).to_have_text("夜班")
        assert parse_qs(urlsplit(page.url).query) == parse_qs(urlsplit(part).query)


async def test_slash_goes_to_the_search_and_the_list_is_live(town: Town, browser: Browser) -> None:
    async with phone(browser, viewport=DESK) as context:
        page = await context.new_page()
        await log_in(page, town)
        await page.keyboard.press("/")
        await expect(page.locator("#find")).to_be_focused()
        await page.keyboard.type("dh-0001")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/ops/cabinets/DH-0001")
        await page.goto(f"{town.url}/ops/cabinets")
        row = page.locator("#row-DH-0001")
        await expect(row.locator("svg.m-fault")).to_be_visible()
        town.cabinets.change("DH-0001", alarms=("smoke",))
        await expect(row.locator("svg.m-alarm")).to_be_visible()
        await page.select_option("#state", "trouble")
        await page.click("#show")
        await page.wait_for_url("**/ops/cabinets?*state=trouble*")
        await expect(row).to_be_visible()


async def test_the_list_works_without_a_script(full_town: Town, browser: Browser) -> None:
    async with phone(browser, java_script_enabled=False) as context:
        page = await context.new_page()
        await page.goto(f"{full_town.url}/ops/login?token={OPERATOR_TOKEN}")
        await page.goto(f"{full_town.url}/ops/cabinets")
        await page.select_option("#state", "offline")
        await page.click("#show")
        assert await page.locator("tbody tr").count() == 6
        await page.locator("th a").first.click()
        assert "sort=state" in page.url
        assert "state=offline" in page.url
