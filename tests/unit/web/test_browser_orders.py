"""Orders, the log, kept batteries and own ones back in a real Chromium: dark, small, live, by keyboard."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from fleet.core.views import AskedView
from protocols.messages import Step
from tests.support.fleet_fakes import OPERATOR_TOKEN, Town
from tests.unit.web.test_browser import MODES, NUMBER, browser, log_in, look, phone, tap

__all__ = ["browser"]  # fixture

pytestmark = pytest.mark.browser

SLOT = "/ops/cabinets/DH-0001/slots/9"


async def fill(page: Page) -> None:
    await page.fill("#staff", "zhang.wei")
    await page.fill("#reason", "battery is stuck, 电池卡住")


@pytest.mark.parametrize(("locale", "scheme"), MODES)
async def test_operators_pages_in_every_dress(
    town: Town, browser: Browser, locale: str, scheme: Any
) -> None:
    mode = f"{locale[:2]}-{scheme}"
    town.cabinets.change("DH-0001", alarms=("smoke",))
    async with phone(browser, locale=locale, color_scheme=scheme) as context:
        page = await context.new_page()
        await page.goto(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
        for name, path in (("slot", SLOT), ("alarm", "/ops/cabinets/DH-0001/alarms/smoke")):
            await page.goto(town.url + path)
            await look(page, f"ops-{name}", mode, thumb=False)
        await page.goto(town.url + SLOT)
        await fill(page)
        await page.fill("#reason", "     ")
        await page.click("#do-open")
        await expect(page.locator("#reason")).to_be_focused()
        await look(page, "ops-slot-refused", mode, thumb=False)
        await fill(page)
        await page.click("#do-open")
        await page.wait_for_url("**/ops/orders/*")
        order = page.url.rpartition("/")[2]
        await look(page, "order-ordered", mode, thumb=False)
        town.operations.answer(
            order, "refused", result="precondition", evidence="slot 9: serial is P9"
        )
        await expect(page.locator("#order .note.bad")).to_be_visible()
        await look(page, "order-refused", mode, thumb=False)
        town.operations.answer(order, "done")
        await page.reload()
        await look(page, "order-done", mode, thumb=False)
        await page.goto(f"{town.url}/ops/audit")
        await look(page, "audit", mode, thumb=False)


@pytest.mark.parametrize(("locale", "scheme"), MODES)
async def test_riders_wishes_in_every_dress(
    town: Town, browser: Browser, locale: str, scheme: Any
) -> None:
    mode = f"{locale[:2]}-{scheme}"
    async with phone(browser, locale=locale, color_scheme=scheme) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        await look(page, "reserve", mode)
        await page.click("#reserve")
        await look(page, "reserve-asked", mode)
        rider_id = town.riders.phones[f"+86{NUMBER}"]
        town.reservations.answer(rider_id, "held", slot=4)
        town.cabinets.change("DH-0001", age_ms=900)
        await expect(page.locator("#release")).to_be_visible()
        left = await page.locator("#keep [data-left]").inner_text()
        await expect(page.locator("#keep [data-left]")).not_to_have_text(left)
        await look(page, "reserve-held", mode)
        await page.click("#release")
        await expect(page.locator("#reserve")).to_be_visible()

        swap_id = await tap(page)
        me = f"rider:{rider_id}"
        given = town.movement(1, "YZ48-000077", me, "slot:DH-0001:10")
        town.swaps.move(swap_id, Step.AWAIT_PICKUP, slot_in=10, slot_out=2, movements=(given,))
        await expect(page.locator("#give-back")).to_be_visible()
        await look(page, "give-back", mode)
        await page.click("#give-back")
        await expect(page.locator("#give-back")).to_be_hidden()
        await look(page, "give-back-shut-first", mode)
        asked = AskedView(type="swap.resume", outcome="refused", reason="door-not-shut")
        town.swaps.move(swap_id, Step.AWAIT_PICKUP, asked=asked)
        await expect(page.locator("#stage .note.bad")).to_be_visible()
        await look(page, "wish-refused", mode)
        back = town.movement(2, "YZ48-000077", "slot:DH-0001:10", me)
        town.swaps.move(
            swap_id, Step.CANCELLED, reason="own-battery", movements=(given, back), asked=None
        )
        await expect(page.locator("#stage .stage.done")).to_be_visible()
        await look(page, "own-battery", mode)


async def test_an_order_by_keyboard_alone(town: Town, browser: Browser) -> None:
    async with phone(browser, is_mobile=False, has_touch=False) as context:
        page = await context.new_page()
        await page.goto(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
        await page.goto(town.url + SLOT)
        await page.focus("#staff")
        await page.keyboard.type("li")
        await page.keyboard.press("Tab")
        await page.keyboard.type("two packs told one number")
        while await page.evaluate("document.activeElement.id") != "do-quarantine":
            await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/ops/orders/*")
        (view,) = town.operations.views.values()
        assert (view.type, view.slot, view.actor) == ("slot.quarantine", 9, "operator:li")


async def test_a_form_without_a_reason_is_not_sent(town: Town, browser: Browser) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await page.goto(f"{town.url}/ops/login?token={OPERATOR_TOKEN}")
        await page.goto(town.url + SLOT)
        await page.fill("#staff", "li")
        await page.fill("#reason", "why")
        await page.click("#do-open")
        assert await page.evaluate("!document.querySelector('#reason').checkValidity()")
        assert town.operations.views == {}


async def test_an_unfinished_swap_is_gone_on_with_by_a_second_scan(
    town: Town, browser: Browser
) -> None:
    async with phone(browser) as context:
        page = await context.new_page()
        await log_in(page, town, "YZ48-000077")
        swap_id = await tap(page)
        town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10)
        await page.goto(f"{town.url}/c/DH-0001")
        await page.click("#continue")
        await page.wait_for_url(f"**/s/{swap_id}")
        assert len(town.swaps.views) == 1
