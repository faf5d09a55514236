"""The pages in a real Chromium: live, offline, without a script, dark, small, by keyboard."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, BrowserContext, Page, Route, async_playwright, expect

from protocols.messages import Step
from tests.support.browser import (
    ACTION_TIMEOUT_MS,
    AXE,
    FLAGS,
    POOR_CONTRAST,
    SMALL_TARGETS,
    UNTRANSLATED,
    axe_source,
    serious,
)
from tests.support.fleet_fakes import OPERATOR_TOKEN, Town, cabinet
from tests.support.fleet_fakes_members import FakeMembership, plan

pytestmark = pytest.mark.browser

SHOTS: Final = Path(__file__).parents[3] / ".artifacts" / "web"
NUMBER: Final = "13800138000"
MODES: Final = (("zh-CN", "light"), ("zh-CN", "dark"), ("en-US", "light"), ("en-US", "dark"))
#: Both languages and both schemes; the other two pairs are for `make prove`.
DRESSES: Final = tuple(
    pytest.param(*mode, marks=() if place in (0, 3) else pytest.mark.slow)
    for place, mode in enumerate(MODES)
)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    assert path, "no chromium: run deploy/dev/packages.sh tests"
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield launched
        await launched.close()


@asynccontextmanager
async def phone(browser: Browser, **values: Any) -> AsyncIterator[BrowserContext]:
    """A rider's phone; a page that breaks the policy or throws fails the test."""
    given: dict[str, Any] = {
        "viewport": {"width": 360, "height": 740},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
        "locale": "zh-CN",
        "timezone_id": "Asia/Shanghai",
    }
    context = await browser.new_context(**(given | values))
    context.set_default_timeout(ACTION_TIMEOUT_MS)
    complaints: list[str] = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("console", lambda message: complaints.append(message.text))
    try:
        yield context
    finally:
        await context.close()
    assert serious(complaints) == []


async def log_in(page: Page, town: Town, *serials: str) -> None:
    await page.goto(f"{town.url}/c/DH-0001")
    await page.click("#login")
    await page.fill("#phone", NUMBER)
    await page.click("form button.go")
    await page.fill("#code", "123456")
    await page.click("form button.go")
    await page.wait_for_url("**/c/DH-0001")
    town.riders.give(town.riders.phones[f"+86{NUMBER}"], *serials)
    await page.reload()


async def tap(page: Page) -> str:
    await page.click("#do-swap")
    await page.wait_for_url("**/s/*")
    return page.url.rpartition("/")[2]


async def look(page: Page, name: str, mode: str, *, thumb: bool = True) -> None:
    """Save a picture; check width, contrast and targets."""
    await page.wait_for_timeout(100)
    await page.screenshot(path=SHOTS / f"{name}-{mode}.png", full_page=True, animations="disabled")
    # A phone's browser zooms out of a page that is too wide, so innerWidth would prove nothing.
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert page.viewport_size is not None
    assert width <= page.viewport_size["width"], f"{name}: scrolls sideways"
    assert await page.evaluate(POOR_CONTRAST) == [], name
    if thumb:
        assert await page.evaluate(SMALL_TARGETS) == [], name
        if mode.startswith("zh"):
            assert await page.evaluate(UNTRANSLATED, []) == [], name
        await page.evaluate(axe_source())
        assert await page.evaluate(AXE) == [], name


async def shows(page: Page, slot: int | None, title: str) -> None:
    await expect(page.locator("#stage h1")).to_have_text(title)
    if slot is not None:
        await expect(page.locator("#stage .no b")).to_have_text(str(slot))


@pytest.mark.parametrize(("locale", "scheme"), DRESSES)
async def test_every_page_in_every_dress(
    town: Town, browser: Browser, locale: str, scheme: Any
) -> None:
    mode = f"{locale[:2]}-{scheme}"
    town.membership = FakeMembership(town.riders, town.clock)
    town.app.state.web = replace(town.app.state.web, membership=town.membership)
    town.cabinets.put(cabinet("DH-0002", "东湖路地铁站 B 口", lat=31.232, full=3))
    town.cabinets.put(cabinet("DH-0003", "人民广场北", online=False, age_ms=400_000))
    async with phone(browser, locale=locale, color_scheme=scheme) as context:
        page = await context.new_page()
        for name, path in (("home", "/?lat=31.2301&lon=121.4702"), ("search", "/?q=zzz"), ("scan", "/scan?code=zzz"), ("home-large", "/?type=large"), ("stranger-large", "/c/DH-0001"), ("scan-large", "/scan?type=normal"), ("stranger", "/c/DH-0001"), ("login", "/login"), ("lost", "/nothing"), ("offline", "/c/DH-0003")):  # fmt: skip
            await page.goto(town.url + path)
            await look(page, name, mode)
        await page.goto(f"{town.url}/login?next=/c/DH-0001")
        await page.fill("#phone", NUMBER)
        await page.click("form button.go")
        await look(page, "code", mode)
        await page.fill("#code", "123456")
        await page.click("form button.go")
        await look(page, "pickup", mode)
        rider_id = town.riders.phones[f"+86{NUMBER}"]
        town.riders.give(rider_id, "YZ48-000077")
        await page.reload()
        await look(page, "cabinet", mode)
        swap_id = await tap(page)
        await look(page, "swap-asked", mode)
        for step in (Step.AWAIT_RETURN, Step.VERIFYING, Step.GIVING_BACK, Step.AWAIT_PICKUP, Step.AWAIT_CLOSE):  # fmt: skip
            reason = "no-bms" if step is Step.GIVING_BACK else None
            town.swaps.move(swap_id, step, slot_in=10, slot_out=2, reason=reason)
            number = "2" if step in (Step.AWAIT_PICKUP, Step.AWAIT_CLOSE) else "10"
            await expect(page.locator("#stage .no b")).to_have_text(number)
            await look(page, f"swap-{step.value}", mode)
        size = await page.evaluate("getComputedStyle(document.querySelector('.no b')).fontSize")
        assert size == "96px"
        moved = (
            town.movement(1, "YZ48-000077", f"rider:{rider_id}", "slot:DH-0001:10"),
            town.movement(2, "YZ48-000002", "slot:DH-0001:2", f"rider:{rider_id}"),
        )
        town.swaps.move(swap_id, Step.COMPLETED, movements=moved)
        await expect(page.locator(".stage.done")).to_be_visible()
        await look(page, "swap-done", mode)
        await page.goto(f"{town.url}/c/DH-0001")
        swap_id = await tap(page)
        town.swaps.move(swap_id, Step.FAULTED, reason="door-stuck")
        await expect(page.locator(".stage.bad")).to_be_visible()
        await look(page, "swap-faulted", mode)
        await page.goto(f"{town.url}/me")
        await look(page, "me", mode)
        await page.goto(f"{town.url}/me/data")
        await page.click("summary")
        await look(page, "my-data", mode)
        town.membership.plan = plan(used=60, left=0, refusal="quota-exhausted")
        await page.goto(f"{town.url}/c/DH-0001?type=large")
        await look(page, "quota-exhausted-large", mode)
        await page.goto(f"{town.url}/s/{swap_id}")
        await look(page, "swap-faulted-large", mode)
        await page.goto(f"{town.url}/me?type=normal")
        await look(page, "me-plan", mode)
        await page.goto(f"{town.url}/offline")
        await look(page, "without-network", mode)
    sizes = ({"width": 360, "height": 740}, {"width": 1280, "height": 800})
    for size in sizes:
        async with phone(
            browser, locale=locale, color_scheme=scheme, viewport=size, device_scale_factor=1
        ) as context:
            page = await context.new_page()
            await page.goto(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
            await look(page, f"ops-{size['width']}", mode, thumb=False)
            for cabinet_id in ("DH-0001", "DH-0003"):
                await page.goto(f"{town.url}/ops/cabinets/{cabinet_id}")
                await look(page, f"ops-{cabinet_id}-{size['width']}", mode, thumb=False)


async def test_a_swap_is_followed_live(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        swap_id = await tap(page)
        await page.evaluate("window.sameDocument = true")
        await shows(page, None, "正在联系电柜")
        town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10)
        await shows(page, 10, "把旧电池放进 10 号仓")
        await expect(page.locator("#say")).to_contain_text("把旧电池放进 10 号仓")
        await expect(page.locator("[data-left]")).to_have_text("1:58")  # it counts
        town.swaps.move(swap_id, Step.AWAIT_PICKUP, slot_out=2)
        await shows(page, 2, "从 2 号仓取走满电电池")
        await expect(page.locator("#cancel")).to_have_count(0)
        town.swaps.move(swap_id, Step.COMPLETED)
        await shows(page, None, "换电完成")
        assert await page.evaluate("window.sameDocument"), "the page was loaded again"
        await page.go_back()
        await expect(page.locator("#do-swap")).to_be_enabled()
        other = await tap(page)
        assert other != swap_id, "a tap after the back button is a new one"


async def test_two_taps_are_one_swap(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        sent: list[str] = []
        page.on("request", lambda request: sent.append(request.method + request.url[-5:]))
        await page.evaluate(
            "for (let n = 0; n < 3; n++) document.getElementById('do-swap').click()"
        )
        await page.wait_for_url("**/s/*")
        assert len(town.swaps.views) == sent.count("POSTswaps") == 1
        await page.reload()
        assert len(town.swaps.views) == 1


async def test_a_tap_without_network_is_sent_later_with_the_same_key(
    town: Town, browser: Browser
) -> None:
    keys: list[str | None] = []

    async def weak(route: Route) -> None:
        keys.append(route.request.headers.get("idempotency-key"))
        if len(keys) < 3:
            await route.abort()
        else:
            await route.continue_()

    async with phone(browser) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        await page.route("**/api/v1/swaps", weak)
        await page.click("#do-swap")
        await expect(page.locator("#net")).to_have_text("网络不稳，正在重新连接…")
        await page.wait_for_url("**/s/*")
        assert len(keys) == 3
        assert len(set(keys)) == 1
        assert len(town.swaps.views) == 1


async def test_a_reload_in_the_middle_of_a_tap_sends_it_again(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        await page.route("**/api/v1/swaps", lambda route: route.abort())
        async with page.expect_request("**/api/v1/swaps") as first:
            await page.click("#do-swap")
        key = (await first.value).headers["idempotency-key"]
        await page.unroute("**/api/v1/swaps")
        async with page.expect_request("**/api/v1/swaps") as second:
            await page.reload()
        assert (await second.value).headers["idempotency-key"] == key
        await page.wait_for_url("**/s/*")
        assert len(town.swaps.views) == 1


async def test_a_refused_tap_says_why(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        town.swaps.refusal = "busy"
        await page.click("#do-swap")
        await page.wait_for_url("**?refused=busy")
        await expect(page.locator("[role=alert]")).to_contain_text("有人正在用这台电柜")
        assert await page.evaluate("localStorage.getItem('yz-start')") is None


async def test_where_streams_do_not_pass_the_page_polls(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        await page.clock.install()
        await page.route("**/stream?**", lambda _: None)  # never answered
        swap_id = await tap(page)
        for _ in range(3):  # three silences of five seconds
            async with page.expect_request(f"**/swaps/{swap_id}?view=page" if _ == 2 else "**/stream?**"):  # fmt: skip
                await page.clock.fast_forward(5_000)
        town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10)
        await page.clock.fast_forward(2_000)
        await shows(page, 10, "把旧电池放进 10 号仓")


async def test_a_silent_stream_is_opened_again(town: Town, browser: Browser) -> None:
    town.app.state.web.streams.heartbeat_s = 3_600.0  # a connection that died without a word
    async with phone(browser) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        await page.clock.install()
        async with page.expect_response("**/stream?**"):
            swap_id = await tap(page)
        town.swaps.watched.mute()
        town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10)
        town.swaps.watched.mute(on=False)
        async with page.expect_request("**/stream?**"):
            await page.clock.fast_forward(5_000)
        await shows(page, 10, "把旧电池放进 10 号仓")


async def test_without_a_script_the_page_refreshes_itself(town: Town, browser: Browser) -> None:
    async with phone(browser, java_script_enabled=False) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        swap_id = await tap(page)
        town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10)
        await shows(page, 10, "把旧电池放进 10 号仓")
        await page.click("#reopen")
        await shows(page, 10, "把旧电池放进 10 号仓")
        assert town.swaps.resumed == [swap_id]
        await page.click("#cancel")
        await shows(page, None, "这一单已取消")


async def test_by_keyboard_alone(town: Town, browser: Browser) -> None:
    async with phone(browser, viewport={"width": 1280, "height": 800}) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        await page.keyboard.press("Tab")
        await expect(page.locator(".skip")).to_be_focused()
        for _ in range(5):
            await page.keyboard.press("Tab")
        await expect(page.locator("#reserve")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.locator("#way")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.locator("#call")).to_be_focused()
        await page.keyboard.press("Tab")
        await expect(page.locator("#do-swap")).to_be_focused()
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/s/*")


async def test_the_operator_sees_changes(town: Town, browser: Browser) -> None:
    async with phone(browser, viewport={"width": 1280, "height": 800}) as context:
        page = await context.new_page()
        await page.goto(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
        await page.goto(f"{town.url}/ops/cabinets/DH-0001")
        town.cabinets.change("DH-0001", power_w=1_234.0)
        await expect(page.locator("#detail")).to_contain_text("1234 W")


async def test_old_data_turn_stale_on_the_screen(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await page.clock.install()
        await page.goto(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
        await page.goto(f"{town.url}/ops/cabinets/DH-0001")
        await expect(page.locator("#detail > .stale")).to_have_count(0)
        await page.clock.fast_forward(95_000)
        await expect(page.locator("#detail > .stale")).to_have_count(1)
        await expect(page.locator("#detail [data-age]")).to_have_text("1 分钟前")
