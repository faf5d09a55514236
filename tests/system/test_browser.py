"""A headless Chromium as the rider's phone, from the QR link to "done", against the real programs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, expect

from deploy.demo.clients import CODE_PATTERN, Json, texts_to
from deploy.demo.waiting import until
from tests.support.browser import chromium, desk, phone
from tests.support.stack import ARTIFACTS, SystemStack

pytestmark = [pytest.mark.system, pytest.mark.browser]

STEP_WITHIN_S: Final = 20.0
SMS_WITHIN_S: Final = 5.0
WAITS_FOR_RIDER: Final = ("await-return", "await-pickup", "await-close")
#: `make screenshots` names the folder of the two pictures in the README here.
README_PICTURES: Final = os.environ.get("YIZHAN_SCREENSHOTS")


class Album:
    """Numbered screenshots of one run, kept as a test artefact."""

    def __init__(self, name: str) -> None:
        self.folder = ARTIFACTS / "screenshots" / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.names: list[str] = []

    def take(self, page: Page, name: str) -> None:
        """One picture of what the rider sees."""
        self.names.append(name)
        page.screenshot(path=self.folder / f"{len(self.names):02}-{name}.png")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


def test_a_rider_swaps_in_the_browser(fresh_stack: SystemStack, browser: Browser) -> None:
    stack, album = fresh_stack, Album("rider")
    with phone(browser) as context:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)

        page.goto(stack.rider_url)
        expect(page.locator("html")).to_have_attribute("lang", re.compile("^zh"))
        album.take(page, "cabinet")
        log_in(stack, page, album)
        # The same session, so that the test can ask where the swap stands while the page shows it.
        stack.rider.use_cookies({c["name"]: c["value"] for c in context.cookies()})
        expect(page.locator("#do-swap")).to_be_enabled()
        album.take(page, "cabinet-logged-in")

        page.locator("#do-swap").tap()
        page.wait_for_url("**/s/*")
        swap_id = page.url.rsplit("/", 1)[1].partition("?")[0]
        received = ride_through(stack, page, album, swap_id)

        expect(page.locator(".slip")).to_contain_text(received)
        expect(page.locator(".slip")).to_contain_text(stack.options.rider_serial or "")
        album.take(page, "receipt")
        assert problems == []
    assert {"await-return", "await-pickup", "await-close", "done"} <= set(album.names)
    assert len(stack.ledger(swap_id)) == 2
    stack.assert_truth_is_ledger()


def test_an_operator_sees_cabinet_and_slots(fresh_stack: SystemStack, browser: Browser) -> None:
    stack = fresh_stack
    with desk(browser) as context:
        page = context.new_page()
        page.goto(stack.operator_url)
        page.wait_for_url("**/ops")
        expect(page.locator(f"#cab-{stack.options.cabinet_id}")).to_be_visible()
        page.goto(f"{stack.fleet_url}/ops/cabinets/{stack.options.cabinet_id}")
        detail = page.locator("#detail")
        expect(detail).to_contain_text(stack.options.cabinet_name)
        for serial in stack.sim.serials().values():
            expect(detail).to_contain_text(serial)
        album = Album("operator")
        album.take(page, "cabinet")
        if README_PICTURES:
            page.screenshot(path=Path(README_PICTURES) / "operator.png")


def log_in(stack: SystemStack, page: Page, album: Album) -> None:
    """From the cabinet's page through phone and code back to the cabinet's page."""
    page.locator("#login").tap()
    page.locator("#phone").fill(stack.options.phone)
    album.take(page, "login-phone")
    before = len(texts_to(stack.sms_file, stack.options.phone))
    page.locator("form[action='/login'] button").tap()
    page.locator("#code").wait_for()
    text = until(
        lambda: texts_to(stack.sms_file, stack.options.phone)[before:] or None,
        within_s=SMS_WITHIN_S,
        what="a login code",
    )[-1]
    code = CODE_PATTERN.search(text)
    assert code is not None
    page.locator("#code").fill(code.group(1))
    album.take(page, "login-code")
    page.locator("form[action='/login/code'] button").tap()
    page.wait_for_url(f"**/c/{stack.options.cabinet_id}")


def ride_through(stack: SystemStack, page: Page, album: Album, swap_id: str) -> str:
    """Do at the cabinet what the page asks for, with a picture of each step; return the new pack."""
    received, title = "", page.locator("#stage h1")
    shown = ""
    while True:
        view = next_view(stack, album, swap_id)
        step = view["step"]
        if step in WAITS_FOR_RIDER:  # the page shows it until the rider has done it
            expect(title).not_to_have_text(shown)
            slot = view["slot_in"] if step == "await-return" else view["slot_out"]
            expect(page.locator("#stage .no b")).to_have_text(str(slot))
        shown = title.inner_text()
        if view["done"]:
            expect(page.locator("#stage .stage.done")).to_be_visible()
            album.take(page, "done")
            return received
        album.take(page, step)
        if step == "await-return":
            keep_readme_picture(page)
            stack.hands.give(slot, stack.options.rider_serial or "")
        elif step == "await-pickup":
            received = stack.hands.take(slot)
        elif step == "await-close":
            stack.sim.close_door(slot)


def next_view(stack: SystemStack, album: Album, swap_id: str) -> Json:
    """The swap at a step of which there is no picture yet."""

    def unseen() -> Json | None:
        view = stack.rider.swap(swap_id)
        return view if view["step"] and view["step"] not in album.names else None

    return until(
        unseen,
        within_s=STEP_WITHIN_S,
        what=f"the step after {album.names[-1]}",
        on_timeout=stack.tails,
    )


def keep_readme_picture(page: Page) -> None:
    """The rider's picture for the README, when asked for."""
    if README_PICTURES:
        page.screenshot(path=Path(README_PICTURES) / "rider.png")
