"""The desk in a browser: nothing grave for axe on a desk and on a phone, light and dark; an edit by keyboard."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import async_playwright, expect

from tests.support.browser import AXE, FLAGS, POOR_CONTRAST, axe_source, path_of_chromium
from tests.support.desk import OLD, RIDER, SWAP, DeskTown, desk_town
from tests.support.fleet_fakes import OPERATOR_TOKEN, serving
from tests.support.machine import PROVE

pytestmark = pytest.mark.browser

WITHIN_MS: Final = 60_000
#: `make screenshots` names the folder of the pictures in the README here.
README_PICTURES: Final = os.environ.get("YIZHAN_SCREENSHOTS")
WHAT_IF: Final = "/ops/balance?scope=region:east&limit_kw=4.5&from=12:00&to=18:00"
PAGES: Final = (
    WHAT_IF, f"/ops/packs/{OLD}", "/ops/packs", "/ops/swaps", f"/ops/swaps/{SWAP}", "/ops/alarms",
    "/ops/riders", f"/ops/riders/{RIDER}", "/ops/partners", "/ops/plans", "/ops/moves",
    "/ops/grid", "/ops/grid/edit?what=region&name=east", "/ops/grid/edit?what=feeder&name=F1",
)  # fmt: skip
WIDE: Final = (WHAT_IF, f"/ops/packs/{OLD}")
#: Every page on both screens in the long proofs; else the widest on a desk. On a phone they all are
#: in ``test_browser_every_page``.
THOROUGH: Final = bool(README_PICTURES) or PROVE
DESK: Final = {"width": 1_280, "height": 900}
PHONE: Final = {"width": 360, "height": 740}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[DeskTown]:
    async with desk_town(tmp_path, plan=True) as made, serving(made.town, heartbeat_s=0.2):
        await made.age(made.town.clock.wall_ms())
        made.change(alarms=("smoke:3", "store"))
        yield made


async def test_the_desk_is_for_everybody(desk: DeskTown) -> None:
    url = desk.town.url
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path_of_chromium(), args=list(FLAGS)
        )
        grave: list[str] = []
        for size, scheme in ((DESK, "light"), (PHONE, "dark")):
            options: dict[str, Any] = {"viewport": size, "color_scheme": scheme}
            context = await browser.new_context(**options)
            context.set_default_timeout(WITHIN_MS)
            await context.request.get(f"{url}/ops/login?token={OPERATOR_TOKEN}")
            page = await context.new_page()
            for number, each in enumerate(PAGES):
                if not THOROUGH and (scheme == "dark" or each not in WIDE):
                    continue
                language = "en" if (number + len(scheme)) % 2 else "zh"
                joint = "&" if "?" in each else "?"
                await page.goto(f"{url}{each}{joint}lang={language}")
                for summary in await page.locator("main summary").all():
                    await summary.click()
                await page.evaluate(axe_source())
                grave += [f"{scheme} {each}: {one}" for one in await page.evaluate(AXE)]
                grave += [f"{scheme} {each}: {one}" for one in await page.evaluate(POOR_CONTRAST)]
                wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                if wide > 0:
                    grave.append(f"{scheme} {each}: {wide} pixels wider than the screen")
                await picture(page, each, scheme)
            await context.close()
        assert grave == []
        await an_edit_by_keyboard_without_a_script(browser, url)
        await browser.close()
    assert len((await desk.stores.grids.history())[1]) == 2


async def an_edit_by_keyboard_without_a_script(browser: Any, url: str) -> None:
    """From the form over the preview to the version, with Tab and Enter alone."""
    context = await browser.new_context(viewport=DESK, java_script_enabled=False, locale="en")
    context.set_default_timeout(WITHIN_MS)
    await context.request.get(f"{url}/ops/login?token={OPERATOR_TOKEN}")
    page = await context.new_page()
    await page.goto(f"{url}/ops/grid/edit?what=feeder&name=F1&lang=en")
    await page.focus("#limit_kw")
    await page.keyboard.press("Control+A")
    await page.keyboard.type("4.5")
    for text in ("", "zhang.wei", "a narrower line"):
        field = {"": "#valid_from", "zhang.wei": "#staff"}.get(text, "#reason")
        await page.focus(field)
        if text:
            await page.keyboard.type(text)
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_contain_text("east, 4.5 kW")
    await page.focus("#save-it")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/ops/grid")
    await expect(page.locator("main")).to_contain_text("a narrower line")
    await context.close()


async def picture(page: Any, path: str, scheme: str) -> None:
    """For the README, when asked."""
    names = {WHAT_IF: "load", f"/ops/packs/{OLD}": "passport"}
    if README_PICTURES and scheme == "light" and path in names:
        await page.goto(
            f"{page.url.partition('/ops/')[0]}{path}{'&' if '?' in path else '?'}lang=en"
        )
        whole = path == WHAT_IF  # with the question and its answer below the chart
        file = Path(README_PICTURES) / f"{names[path]}.png"
        await page.screenshot(path=file, full_page=whole)
