"""The page for the time without a network, in a real Chromium that loses its network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from fleet.web.offline import qr_drawing
from protocols.offline import month_of, parse_ticket, rider_secret, step_of, totp
from tests.support.browser import ACTION_TIMEOUT_MS, FLAGS, path_of_chromium
from tests.support.fleet_fakes import GROUP_KEY, Town
from tests.unit.web.conftest import PHONE

pytestmark = pytest.mark.browser

STEP_MS = 30_000
STORED_WITHIN_S = 20
POLL_S = 0.02


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(
            executable_path=path_of_chromium(), args=list(FLAGS)
        )
        yield launched
        await launched.close()


@pytest.fixture
async def page(town: Town, browser: Browser) -> AsyncIterator[Page]:
    """A phone of a rider who is logged in; the page's clock is the test's to move."""
    context = await browser.new_context(
        viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True, locale="zh-CN"
    )
    context.set_default_timeout(ACTION_TIMEOUT_MS)
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    page = await context.new_page()
    await page.goto(f"{town.url}/login?next=/me")
    await page.fill("#phone", PHONE.removeprefix("+86"))
    await page.click("form button.go")
    await page.fill("#code", "123456")
    await page.click("form button.go")
    await page.wait_for_url("**/me")
    town.riders.give(town.riders.phones[PHONE], "YZ48-000077")
    yield page
    await context.close()
    assert not complaints


async def stored(page: Page, *, something: bool) -> str | None:
    """What the page keeps, once it keeps something, or nothing.

    Asked from outside again and again: the pages forbid a script that is made of text.
    """
    async with asyncio.timeout(STORED_WITHIN_S):
        while True:
            text: str | None = await page.evaluate("localStorage.getItem('yz-offline')")
            if bool(text) is something:
                return text
            await asyncio.sleep(POLL_S)


async def kept(page: Page) -> dict[str, Any]:
    """What the page keeps, as soon as it keeps something."""
    value: dict[str, Any] = json.loads(await stored(page, something=True) or "")
    return value


async def shows_the_right_code(town: Town, page: Page) -> str:
    """The code of this moment by the page's clock, worked out by ourselves."""
    number = town.riders.views[town.riders.phones[PHONE]].number
    skew_ms = (await kept(page))["skew_ms"]
    for _ in range(3):  # a step may end between the two looks
        now_ms = int(await page.evaluate("Date.now()") + skew_ms)
        code = totp(rider_secret(GROUP_KEY, number, month_of(now_ms)), step_of(now_ms))
        try:
            await expect(page.locator("#off-code")).to_have_text(code, timeout=20_000)
        except AssertionError:
            continue
        left = int(await page.locator("#off-left").inner_text())
        assert 1 <= left <= 30
        return code
    raise AssertionError("the page shows another code than RFC 6238")


async def test_codes_go_on_when_the_network_is_gone(town: Town, page: Page) -> None:
    await page.clock.install()
    await page.goto(f"{town.url}/offline")
    codes = [await shows_the_right_code(town, page)]
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await page.context.set_offline(offline=True)
    for _ in range(3):
        await page.clock.fast_forward(STEP_MS)
        codes.append(await shows_the_right_code(town, page))
    assert len(set(codes)) == 4
    # A phone that was put away and comes to a cabinet, with nothing on the air.
    await page.goto(f"{town.url}/c/DH-0001")
    await expect(page.locator("h1")).to_have_text("没网也能换电")
    await shows_the_right_code(town, page)
    number = town.riders.views[town.riders.phones[PHONE]].number
    await expect(page.locator("#off-number")).to_have_text(f"{number[:4]} {number[4:]}")
    await expect(page.locator("#retry")).to_be_visible()
    await page.context.set_offline(offline=False)
    await expect(page.locator("#do-swap")).to_be_visible()  # what was asked for, by itself


async def test_who_comes_by_the_code_on_the_cabinet_has_the_shell_too(
    town: Town, browser: Browser
) -> None:
    context = await browser.new_context(locale="zh-CN")
    context.set_default_timeout(30_000)
    async with town.client() as client:
        await town.log_in(client, PHONE)
        cookies = [{"name": k, "value": v, "url": town.url} for k, v in client.cookies.items()]
    await context.add_cookies(cookies)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.clock.install()
    await page.goto(f"{town.url}/c/DH-0001")
    await kept(page)  # the script has begun
    await page.clock.fast_forward(10_000)
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await context.set_offline(offline=True)
    # A phone says "online" before anything goes through, and then no more: the page can't go by it.
    await page.add_init_script("addEventListener('online', e => e.stopImmediatePropagation())")
    await page.goto(f"{town.url}/me")
    await expect(page.locator("h1")).to_have_text("没网也能换电")
    await shows_the_right_code(town, page)
    await context.set_offline(offline=False)
    await expect(page.locator("h1")).not_to_have_text("没网也能换电", timeout=60_000)
    await context.close()


async def test_the_ticket_is_drawn_and_runs_out(town: Town, page: Page) -> None:
    await page.clock.install()
    await page.goto(f"{town.url}/offline")
    await shows_the_right_code(town, page)
    text = (await kept(page))["ticket"]
    ticket = parse_ticket(text)
    size, path = qr_drawing(text)

    async def drawn() -> None:
        qr = page.locator("#off-qr")
        await expect(qr).to_have_attribute("data-ticket", text)
        await expect(qr).to_have_attribute("viewBox", f"0 0 {size} {size}")
        await expect(qr.locator("path")).to_have_attribute("d", path)
        await expect(qr).to_be_visible()

    await drawn()
    await page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    await page.context.set_offline(offline=True)
    await page.reload()
    await drawn()
    left_ms = ticket.expires_ms - await page.evaluate("Date.now()")
    await page.clock.fast_forward(left_ms + 60_000)
    await expect(page.locator("#off-qr")).to_be_hidden()
    await expect(page.locator("#off-ticket-old")).to_be_visible()
    await shows_the_right_code(town, page)
    await page.context.set_offline(offline=False)
    await expect(page.locator("#off-ticket-old")).to_be_hidden()  # renewed: the phone runs ahead


async def test_a_phone_whose_clock_is_wrong_shows_the_right_code(town: Town, page: Page) -> None:
    await page.clock.install(time=(town.clock.wall_ms() - 7 * 60_000) / 1_000)
    await kept(page)  # by the page before, with the phone's clock still right
    await page.evaluate("localStorage.removeItem('yz-offline')")
    await page.goto(f"{town.url}/offline")
    assert (await kept(page))["skew_ms"] == pytest.approx(7 * 60_000, abs=5_000)
    await shows_the_right_code(town, page)
    now_ms = town.clock.wall_ms()
    number = town.riders.views[town.riders.phones[PHONE]].number
    secret = rider_secret(GROUP_KEY, number, month_of(now_ms))
    shown = await page.locator("#off-code").inner_text()
    assert shown in {totp(secret, step_of(now_ms) + n) for n in (-1, 0, 1)}


@pytest.mark.parametrize("way", ["button", "elsewhere", "blocked"])
async def test_what_is_kept_ends_with_the_session(town: Town, page: Page, way: str) -> None:
    await kept(page)
    if way == "button":
        await page.click("form[action='/logout'] button")
        await page.wait_for_url(f"{town.url}/")
    elif way == "elsewhere":
        town.accounts.sessions.clear()
    else:
        town.riders.deny(town.riders.phones[PHONE])
    if way == "blocked":
        await page.goto(f"{town.url}/me")
    else:
        await page.goto(f"{town.url}/offline")
        await expect(page.locator("#off-none")).to_be_visible()
        await expect(page.locator("#off")).to_be_hidden()
    assert await stored(page, something=False) is None


async def test_without_a_script_the_code_stands_in_the_page(town: Town, browser: Browser) -> None:
    context = await browser.new_context(java_script_enabled=False, locale="en-US")
    async with town.client() as client:
        await town.log_in(client, PHONE)
        cookies = [{"name": k, "value": v, "url": town.url} for k, v in client.cookies.items()]
    await context.add_cookies(cookies)  # type: ignore[arg-type]
    page = await context.new_page()
    await page.goto(f"{town.url}/offline")
    number = town.riders.views[town.riders.phones[PHONE]].number
    now_ms = town.clock.wall_ms()
    secret = rider_secret(GROUP_KEY, number, month_of(now_ms))
    shown = await page.locator("#off-code").inner_text()
    assert shown in {totp(secret, step_of(now_ms) + n) for n in (-1, 0)}
    await expect(page.locator("#off-qr")).to_be_visible()
    await context.close()
