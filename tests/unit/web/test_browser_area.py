"""The station's pages on a phone: nothing serious for axe, a session without a script, a live one."""

from __future__ import annotations

import os
import random
import struct
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from protocols.sockets import SocketBody, SocketState, SocketStep
from tests.support.area import DRUM, AreaTown, area_town, sockets
from tests.support.browser import (
    AXE,
    FLAGS,
    POOR_CONTRAST,
    SMALL_TARGETS,
    STILL_CHINESE,
    UNTRANSLATED,
    axe_source,
    path_of_chromium,
)
from tests.support.fleet_fakes import OPERATOR_TOKEN, serving

pytestmark = pytest.mark.browser

PHONE = "+8613800138000"
WITHIN_MS = 60_000
SIZE = {"width": 360, "height": 740}
#: `make screenshots` names the folder of the pictures in the README here.
README_PICTURES = os.environ.get("YIZHAN_SCREENSHOTS")
RIDER_PAGES = (
    "/stations", "/st/DRUM", "/p/DH-0001/1", "/charging", "/reports", "/reports/new?station=DRUM",
)  # fmt: skip
OPS_PAGES = ("/ops/stations", "/ops/reports")


@pytest.fixture
async def area(tmp_path: Path) -> AsyncIterator[AreaTown]:
    async with area_town(tmp_path) as made, serving(made.town, heartbeat_s=0.2):
        await made.stores.stations.put(replace(DRUM, lat=39.9365, lon=116.3845), 1)
        yield made


async def take_pictures(page: Page, area: AreaTown, receipt: str) -> None:
    """For the README, when asked for."""
    if not README_PICTURES:
        return
    session = receipt.removeprefix("/e/")
    for name, path in (("station", "/st/DRUM"), ("socket", f"/e/{session}")):
        await page.goto(f"{area.town.url}{path}?lang=zh")
        await page.screenshot(path=Path(README_PICTURES) / f"{name}.png")


def noisy_png(side: int) -> bytes:
    """A picture that no compression makes small, as a phone's photo."""
    noise = random.Random(1)
    rows = b"".join(b"\0" + noise.randbytes(3 * side) for _ in range(side))

    def chunk(kind: bytes, body: bytes) -> bytes:
        check = zlib.crc32(kind + body).to_bytes(4, "big")
        return len(body).to_bytes(4, "big") + kind + body + check

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows, 1)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


async def check_for_thumbs(page: Page, name: str, language: str) -> None:
    """Nothing sticks out, nothing is too small to hit, nothing is left in the other language."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= SIZE["width"], name
    assert await page.evaluate(SMALL_TARGETS) == [], name
    known = [DRUM.name, DRUM.address, "柜子后面", "九折", "东湖路驿站", "水没了"]
    odd = UNTRANSLATED if language == "zh" else STILL_CHINESE
    assert await page.evaluate(odd, known) == [], name


async def test_a_rider_charges_and_reports_on_a_phone(area: AreaTown, tmp_path: Path) -> None:
    town = area.town
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path_of_chromium(), args=list(FLAGS)
        )
        async with town.client() as client:
            await town.log_in(client, PHONE)
            cookies = [
                {"name": name, "value": value, "url": town.url}
                for name, value in client.cookies.items()
            ]
        await area.know(town.riders.phones[PHONE])
        plain = await browser.new_context(viewport=SIZE, java_script_enabled=False, locale="zh-CN")  # type: ignore[arg-type]
        phone = await browser.new_context(viewport=SIZE, device_scale_factor=2, locale="zh-CN")  # type: ignore[arg-type]
        for context in (plain, phone):
            context.set_default_timeout(WITHIN_MS)
            await context.add_cookies(cookies)  # type: ignore[arg-type]

        # Without a script: from the socket's page to power.
        page = await plain.new_page()
        await page.goto(f"{town.url}/p/DH-0001/1")
        await page.click("#start")
        await expect(page.locator("h1")).to_have_text("正在通电…")
        path = page.url.removeprefix(town.url)
        session = path.removeprefix("/e/")

        # With one: the same session, live.
        live = await phone.new_page()
        await live.goto(f"{town.url}{path}")
        common = {"socket": 1, "session": session, "rider_id": town.riders.phones[PHONE]}
        await area.tell(SocketBody(step=SocketStep.STARTED, **common))  # type: ignore[arg-type]
        on = sockets(SocketState.ON, SocketState.IDLE, power_w=151.0, session=session)
        town.cabinets.change("DH-0001", sockets=on)
        await expect(live.locator("h1")).to_have_text("正在充电", timeout=WITHIN_MS)
        ended = SocketBody(
            step=SocketStep.ENDED,
            energy_wh=500,
            duration_s=60,
            reason="full",
            **common,  # type: ignore[arg-type]
        )
        await area.tell(ended)
        idle = sockets(SocketState.IDLE, SocketState.IDLE)
        town.cabinets.change("DH-0001", sockets=idle)
        await expect(live.locator("#amount")).to_contain_text("¥0.60", timeout=WITHIN_MS)

        # A report with a picture, and what axe says of every page, in both languages.
        picture = tmp_path / "picture.png"
        picture.write_bytes(noisy_png(800))
        await live.goto(f"{town.url}/reports/new?topic=station&station=DRUM")
        await live.fill("#text", "水没了")
        await live.set_input_files("#photo", str(picture))
        await live.click("#send")
        await expect(live.locator("main")).to_contain_text("我们收到了")
        sent = await phone.request.get(f"{live.url}/photo")
        assert sent.headers["content-type"] == "image/jpeg", "the phone made it smaller"
        assert len(await sent.body()) < picture.stat().st_size / 2
        await phone.request.get(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
        report = live.url.removeprefix(town.url)
        await take_pictures(live, area, path)
        for number, each in enumerate((*RIDER_PAGES, path, report, *OPS_PAGES, f"/ops{report}")):
            language = "en" if number % 2 else "zh"
            joint = "&" if "?" in each else "?"
            await live.goto(f"{town.url}{each}{joint}lang={language}")
            await live.evaluate(axe_source())
            for scheme in ("light", "dark"):
                await live.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                assert await live.evaluate(AXE) == [], f"{each} {scheme}"
                if not each.startswith("/ops"):
                    assert await live.evaluate(POOR_CONTRAST) == [], f"{each} {scheme}"
            if not each.startswith("/ops"):
                await check_for_thumbs(live, each, language)
        await browser.close()
