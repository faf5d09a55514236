"""Swaps at the real cabinet while the fleet's processes are dead, and what the ledger says afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import ACTION_TIMEOUT_MS, chromium
from tests.support.kiosk_client import KioskClient, Pass, fleet_away, fleet_back, ride, two_legs
from tests.support.stack import ARTIFACTS, SystemStack, read_rows

pytestmark = [pytest.mark.system, pytest.mark.browser]

SHOTS: Final = ARTIFACTS / "screenshots" / "kiosk"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def kiosk(stack: SystemStack) -> Iterator[KioskClient]:
    client = KioskClient(stack.cabinet_url)
    yield client
    client.close()


@pytest.fixture
def screen(stack: SystemStack, browser: Browser) -> Iterator[Page]:
    """The touch screen at the cabinet."""
    context = browser.new_context(
        viewport={"width": 800, "height": 480}, has_touch=True, locale="zh-CN"
    )
    context.set_default_timeout(ACTION_TIMEOUT_MS)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{stack.cabinet_url}/kiosk")
    yield page
    context.close()
    assert problems == []


def picture(page: Page, name: str) -> None:
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def swap_of(stack: SystemStack) -> str:
    """The id of the newest transaction in the cabinet's outbox."""
    query = "SELECT body FROM outbox WHERE type = 'swap.step' ORDER BY epoch DESC, seq DESC LIMIT 1"
    swap_id: str = json.loads(read_rows(stack.cabinet_db, query)[0][0])["swap_id"]
    return swap_id


def test_number_and_code_on_the_screen_then_a_ticket_at_the_scanner(
    stack: SystemStack, kiosk: KioskClient, screen: Page
) -> None:
    shutil.rmtree(SHOTS, ignore_errors=True)
    expect(screen.locator("#qr")).to_be_visible()
    picture(screen, "1-scan")
    phone = Pass(stack.rider)
    given = stack.options.rider_serial or ""

    fleet_away(stack, kiosk)
    expect(screen.locator("#network")).to_be_visible()
    picture(screen, "2-no-network")
    screen.tap("#begin")
    for digit in phone.number:
        screen.tap(f"#key-{digit}")
    picture(screen, "3-number")
    for digit in phone.code():
        screen.tap(f"#key-{digit}")
    screen.tap("#ok")
    expect(screen.locator("#big")).not_to_be_empty()
    kiosk.until("put-battery")
    expect(screen.locator("#prompt")).to_contain_text("放入")
    picture(screen, "4-put")
    received = ride(stack, kiosk, given)
    expect(screen.locator("#prompt")).to_have_text("换电完成")
    picture(screen, "5-done")
    by_code = swap_of(stack)
    assert by_code.startswith(f"off-{stack.options.cabinet_id}-")

    stack.sim.scan(phone.ticket)
    last = ride(stack, kiosk, received)
    by_ticket = swap_of(stack)
    stack.sim.scan(phone.ticket)
    expect(screen.locator("#answer")).to_have_text("凭证已用过。")
    phone.wait_fresh()
    assert kiosk.code(phone)["reason"] == "offline-limit"

    fleet_back(stack)
    two_legs(stack, by_code, phone.rider_id, given, received)
    two_legs(stack, by_ticket, phone.rider_id, received, last)
    stack.assert_truth_is_ledger()
