"""The station's pages on a phone: nothing serious for axe, a session without a script, a live one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from protocols.sockets import SocketBody, SocketState, SocketStep
from tests.support.area import AreaTown, area_town, sockets
from tests.support.browser import AXE, FLAGS, axe_source, path_of_chromium
from tests.support.fleet_fakes import OPERATOR_TOKEN, serving
from tests.unit.fleet.test_photos import png

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PHONE = "+8613800138000"
WITHIN_MS = 60_000
RIDER_PAGES = (
    "/stations", "/st/DRUM", "/p/DH-0001/1", "/charging", "/reports", "/reports/new?station=DRUM",
)  # fmt: skip
OPS_PAGES = ("/ops/stations", "/ops/reports")


@pytest.fixture
async def area(tmp_path: Path) -> AsyncIterator[AreaTown]:
    async with area_town(tmp_path) as made, serving(made.town, heartbeat_s=0.2):
        yield made


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
        size = {"width": 360, "height": 740}
        plain = await browser.new_context(viewport=size, java_script_enabled=False, locale="zh-CN")  # type: ignore[arg-type]
        phone = await browser.new_context(viewport=size, locale="zh-CN")  # type: ignore[arg-type]
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
        picture.write_bytes(png())
        await live.goto(f"{town.url}/reports/new?topic=station&station=DRUM")
        await live.fill("#text", "水没了")
        await live.set_input_files("#photo", str(picture))
        await live.click("#send")
        await expect(live.locator("main")).to_contain_text("我们收到了")
        await phone.request.get(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
        report = live.url.removeprefix(town.url)
        serious = []
        for number, each in enumerate((*RIDER_PAGES, path, report, *OPS_PAGES, f"/ops{report}")):
            language = "en" if number % 2 else "zh"
            joint = "&" if "?" in each else "?"
            await live.goto(f"{town.url}{each}{joint}lang={language}")
            await live.evaluate(axe_source())
            found = await live.evaluate(AXE)
            serious += [f"{each}: {one}" for one in found]
        assert serious == []
        await browser.close()
