"""The kiosk page in a real Chromium: small screens, two languages, light and dark, by finger and keys."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from cabinet.kiosk import KioskSocket
from cabinet.web.kiosk_texts import PROMPTS, REASONS, WORDS
from protocols.messages import Door
from protocols.offline import ticket_text
from protocols.sockets import SocketState
from tests.support.browser import ACTION_TIMEOUT_MS, AXE, FLAGS, POOR_CONTRAST, axe_source, serious
from tests.support.kiosk import KioskSite, kiosk_site
from tests.support.offline_rig import ANN, BOB

pytestmark = pytest.mark.browser

SHOTS: Final = Path(__file__).parents[3] / ".artifacts" / "kiosk"
#: `make screenshots` names the folder of the pictures in the README here.
README_PICTURES: Final = os.environ.get("YIZHAN_SCREENSHOTS")
SCREEN: Final = {"width": 800, "height": 480}
PHONE: Final = {"width": 360, "height": 740}
MODES: Final = (("zh-CN", "light"), ("zh-CN", "dark"), ("en-US", "light"), ("en-US", "dark"))
#: Its own screen in all of them; on a phone two are for `make prove`.
DRESSES: Final = (
    *(pytest.param(*mode, SCREEN) for mode in MODES),
    *(
        pytest.param(*mode, PHONE, marks=() if place in (0, 3) else pytest.mark.slow)
        for place, mode in enumerate(MODES)
    ),
)
ZH, EN = 0, 2

#: What a finger must hit and is smaller than 44 by 44 pixels.
SMALL: Final = """() => [...document.querySelectorAll('button')]
  .filter((each) => each.getClientRects().length)
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 || box.width < 44)
  .map(([each, box]) => `${each.textContent} ${box.width}x${box.height}`)"""
#: What sticks out of the screen.
OUTSIDE: Final = """() => [...document.querySelectorAll('button,output,h2,.door,#big,#area,#sockets li')]
  .filter((each) => each.getClientRects().length)
  .map((each) => [each, each.getBoundingClientRect()])
  .filter(([, box]) => box.right > innerWidth + 1 || box.bottom > innerHeight + 1 || box.left < -1)
  .map(([each, box]) => `${each.id || each.className} ${each.textContent.slice(0, 20)} ${box.right} ${box.bottom}`)"""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    assert path, "no chromium: run deploy/dev/packages.sh tests"
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield launched
        await launched.close()


@pytest.fixture
async def site() -> AsyncIterator[KioskSite]:
    async with kiosk_site() as running:
        yield running


@asynccontextmanager
async def screen(browser: Browser, site: KioskSite, **values: Any) -> AsyncIterator[Page]:
    """The touch screen; a page that throws or breaks its policy fails the test."""
    given: dict[str, Any] = {"viewport": SCREEN, "has_touch": True, "locale": "zh-CN"}
    context = await browser.new_context(**(given | values))
    context.set_default_timeout(ACTION_TIMEOUT_MS)
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda message: complaints.append(message.text))
    page = await context.new_page()
    await page.goto(site.url)
    await expect(page.locator(".door")).to_have_count(12)
    try:
        yield page
    finally:
        await context.close()
    assert serious(complaints) == []


async def look(page: Page, name: str) -> None:
    """Save a picture; check contrast, targets and that nothing sticks out."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")
    assert await page.evaluate(POOR_CONTRAST) == [], name
    assert await page.evaluate(SMALL) == [], name
    size = page.viewport_size
    if size and size["width"] == SCREEN["width"]:
        assert await page.evaluate(OUTSIDE) == [], name
        await page.evaluate(axe_source())
        assert await page.evaluate(AXE) == [], name
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name


async def enter(page: Page, text: str) -> None:
    for digit in text:
        await page.tap(f"#key-{digit}")


@pytest.mark.parametrize(("locale", "scheme", "viewport"), DRESSES)
async def test_every_view_in_every_dress(
    site: KioskSite, browser: Browser, locale: str, scheme: Any, viewport: Any
) -> None:
    mode = f"{locale[:2]}-{scheme}-{viewport['width']}"
    which = ZH if locale.startswith("zh") else EN
    dress = {"locale": locale, "color_scheme": scheme, "viewport": viewport}
    async with screen(browser, site, **dress) as page:
        await expect(page.locator("#prompt")).to_have_text(PROMPTS["welcome-offline"][which])
        await expect(page.locator("#network")).to_be_visible()
        await look(page, f"start-{mode}")
        await page.tap("#help-button")
        await look(page, f"help-{mode}")
        await page.tap("#help-back")
        await page.tap("#begin")
        await enter(page, ANN + "12345")
        await look(page, f"pad-{mode}")
        await page.tap("#back")
        site.network = True
        await expect(page.locator("#qr")).to_be_visible()
        await look(page, f"scan-{mode}")
        await page.tap("#begin")
        await enter(page, ANN + site.code())
        await page.tap("#ok")
        await expect(page.locator("#big")).to_have_text("8")
        await site.until("put-battery")
        await expect(page.locator("#cancel")).to_be_visible()
        await look(page, f"put-{mode}")
        await page.tap("#cancel")
        await expect(page.locator("#who")).to_be_visible()
        await look(page, f"who-{mode}")


@pytest.mark.parametrize("viewport", [SCREEN, PHONE])
async def test_the_sockets_beside_it_are_shown_and_how_to_start_one(
    site: KioskSite, browser: Browser, viewport: Any
) -> None:
    view, states = site.desk.view, [*SocketState, SocketState.IDLE, SocketState.ON]
    shown = tuple(KioskSocket(socket=n, state=each) for n, each in enumerate(states, 1))
    async with screen(browser, site, viewport=viewport) as page:
        await expect(page.locator("#area")).to_be_hidden()
        site.desk.view = lambda: msgspec.structs.replace(view(), sockets=shown)  # type: ignore[method-assign]
        items = page.locator("#sockets li")
        await expect(items).to_have_count(len(states))
        for n, state in enumerate(states):
            await expect(items.nth(n)).to_have_text(f"{n + 1}{WORDS[f'socket-{state.value}'][0]}")
        await expect(page.locator("#socket-how")).to_have_text(WORDS["socket-how-offline"][0])
        site.network = True
        await expect(page.locator("#socket-how")).to_have_text(WORDS["socket-how"][0])
        await look(page, f"sockets-{viewport['width']}")
        if README_PICTURES and viewport == SCREEN:
            await page.screenshot(path=Path(README_PICTURES) / "kiosk.png")


async def test_a_whole_swap_by_keys(site: KioskSite, browser: Browser) -> None:
    async with screen(browser, site) as page:
        await page.keyboard.type(ANN, delay=20)
        await expect(page.locator("#number")).to_have_text(f"{ANN[:4]} {ANN[4:]}")
        await page.keyboard.type(site.code(), delay=20)
        await page.keyboard.press("Enter")
        await site.until("put-battery")
        await expect(page.locator("#big")).to_have_text("8")
        await expect(page.locator(".door[data-target] b")).to_contain_text("8")
        assert ANN not in await page.content()
        site.rig.put(8, "OLD-1")
        site.rig.shut(8)
        await site.until("take-battery")
        await expect(page.locator("#prompt")).to_have_text(
            PROMPTS["take-battery"][ZH].replace("{slot}", "1")
        )
        await expect(page.locator("#own-back")).to_be_visible()
        site.rig.take(1)
        await site.until("close-door")
        site.rig.shut(1)
        await expect(page.locator("#prompt")).to_have_text(PROMPTS["done"][ZH])
        await expect(page.locator("#prompt")).to_have_text(
            PROMPTS["welcome-offline"][ZH], timeout=ACTION_TIMEOUT_MS
        )
        assert site.bench.pump.state.durable.swap.job.authority == "code"  # type: ignore[union-attr]


async def test_what_is_wrong_is_told_and_nothing_stays(site: KioskSite, browser: Browser) -> None:
    async with screen(browser, site, locale="en-US") as page:
        await page.tap("#begin")
        await enter(page, "12345678")
        await expect(page.locator("#answer")).to_have_text(REASONS["bad-number"][1])
        await expect(page.locator("#number")).to_have_text("")
        await enter(page, ANN)
        wrong = "000000" if site.code() != "000000" else "000001"
        await enter(page, wrong)
        await page.tap("#ok")
        await expect(page.locator("#answer")).to_have_text(REASONS["wrong-code"][1])
        await expect(page.locator("#code")).to_have_text("")
        await page.tap("#key-delete")
        await expect(page.locator("#number")).to_have_text(f"{ANN[:4]} {ANN[4:7]}")
        await page.keyboard.press("Escape")
        await page.tap("#begin")
        await expect(page.locator("#number")).to_have_text("")
        await expect(page.locator("#answer")).to_have_text("")
        for _ in range(4):
            await enter(page, ANN + wrong)
            await page.tap("#ok")
            await expect(page.locator("#answer")).not_to_have_text(WORDS["wait"][1])
            await page.tap("#back")
            await page.tap("#begin")
        await expect(page.locator("#answer")).to_contain_text(REASONS["keypad-locked"][1])
        await enter(page, ANN + site.code())
        await expect(page.locator("#ok")).to_be_disabled()
        await look(page, "locked")
        assert site.bench.unlocks() == []


async def test_a_minute_without_a_touch_clears_everything(
    site: KioskSite, browser: Browser
) -> None:
    async with screen(browser, site) as page:
        await page.clock.install()
        await page.reload()
        await expect(page.locator(".door")).to_have_count(12)
        await page.tap("#begin")
        await enter(page, ANN + "123")
        await page.clock.fast_forward(59_000)
        await expect(page.locator("#pad")).to_be_visible()
        await page.clock.fast_forward(2_000)
        await expect(page.locator("#begin")).to_be_visible()
        await page.tap("#begin")
        await expect(page.locator("#number")).to_have_text("")
        await expect(page.locator("#code")).to_have_text("")


async def test_the_language_can_be_changed(site: KioskSite, browser: Browser) -> None:
    async with screen(browser, site) as page:
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await page.tap("#language")
        await expect(page.locator("html")).to_have_attribute("lang", "en")
        await expect(page.locator("#prompt")).to_have_text(PROMPTS["welcome-offline"][EN])
        await expect(page.locator("#begin")).to_have_text(WORDS["start"][1])


async def test_tickets_by_both_kinds_of_scanner(site: KioskSite, browser: Browser) -> None:
    async with screen(browser, site) as page:
        site.rig.now_ms = site.bench.clock.ms
        ticket = ticket_text(site.rig.ticket("T-1", BOB))
        await page.keyboard.type(ticket)
        await page.keyboard.press("Enter")
        await site.until("put-battery")
        await expect(page.locator("#big")).to_have_text("8")
        await expect(page.locator("#number")).to_have_text("")
        site.gun.texts.put_nowait("not a ticket")
        await expect(page.locator("#answer")).to_have_text(REASONS["bad-ticket"][0])
        await page.tap("#back")
        await page.tap("#cancel")
        site.gun.texts.put_nowait(ticket)
        await site.until("cancelling")
        await expect(page.locator("#prompt")).to_have_text(
            PROMPTS["cancelling"][ZH].replace("{slot}", "8")
        )


async def test_nothing_opens_without_proof(site: KioskSite, browser: Browser) -> None:
    async with screen(browser, site) as page:
        await page.tap("#begin")
        await enter(page, ANN + site.code())
        await page.tap("#ok")
        await site.until("put-battery")
        site.rig.shut(8)
        await site.until("nothing-in")
        before = len(site.bench.unlocks())
        for button in ("#again", "#cancel", "#help-button"):
            await page.tap(button)
            await page.tap("#help-back" if button == "#help-button" else "#back")
        assert len(site.bench.unlocks()) == before
        assert site.desk.view().prompt.key == "nothing-in"
        assert all(hole.door is Door.CLOSED for hole in site.rig.holes.values())


async def test_a_page_from_elsewhere_cannot_ask(site: KioskSite, browser: Browser) -> None:
    """A site that the kiosk's browser is lured to: another origin, with every trick of a form."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(site.url.replace("127.0.0.1", "localhost").replace("/kiosk", "/healthz-none"))
    body = f'{{"number":"{ANN}","code":"{site.code()}"}}'
    for kind in ("text/plain", "application/json"):
        await page.evaluate(
            """([url, body, kind]) => fetch(url, {method: 'POST', mode: 'no-cors', body,
               headers: {'Content-Type': kind}}).catch(() => 0)""",
            [site.url + "/code", body, kind],
        )
    assert site.bench.unlocks() == []
    await context.close()


async def test_the_page_loads_again_when_the_program_was_started_anew(
    site: KioskSite, browser: Browser
) -> None:
    async with screen(browser, site) as page:
        acting = site.bench.pump._acting
        async with page.expect_navigation():
            acting.state = msgspec.structs.replace(acting.state, boot_id="another")
        await expect(page.locator(".door")).to_have_count(12)
