"""The simulator's page in a real Chromium: drawn as the cabinet stands, worked by finger, mouse and keys."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.axe import grave_findings
from tests.support.browser import POOR_CONTRAST, chromium, desk, phone
from tests.support.simulator import SimProcess

pytestmark = pytest.mark.browser

#: `make screenshots` names the folder of the README's pictures here.
PICTURES: Final = os.environ.get("YIZHAN_SCREENSHOTS")
OPEN, SHUT = re.compile("open"), re.compile("closed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@contextmanager
def opened(context: BrowserContext, cabinet: SimProcess) -> Iterator[Page]:
    """The page, drawn; nothing may go wrong in it."""
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(cabinet.url)
    expect(page.locator("#slot-12")).to_be_visible()
    expect(page.locator("#fault-kind option")).not_to_have_count(0)
    yield page
    assert problems == []


def picture(page: Page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png")


def slot(page: Page, number: int) -> Any:
    return page.locator(f"#slot-{number}")


def test_a_hand_with_a_mouse(
    cabinet: SimProcess, browser: Browser, unlock: Callable[[int], None]
) -> None:
    with desk(browser, locale="en-GB") as context, opened(context, cabinet) as page:
        expect(page.locator("html")).to_have_attribute("lang", "en")
        expect(slot(page, 1)).to_have_attribute("aria-label", re.compile("YZ48-000001 98 %"))
        unlock(10)
        expect(slot(page, 10)).to_have_attribute("data-door", OPEN)

        # A pack from the shelf by two clicks; it is drawn, and the cabinet truly holds it.
        page.locator("[data-pack=low]").click()
        slot(page, 10).click()
        expect(slot(page, 10)).to_have_attribute("aria-label", re.compile("YZ48-000101 18 %"))
        assert cabinet.slot(10)["pack"]["serial"] == "YZ48-000101"

        # Dragged out to the shelf, where it now lies, and back in.
        page.locator("#slot-10 .pack").drag_to(page.locator("#shelf"))
        expect(page.locator("[data-pack='YZ48-000101']")).to_be_visible()
        page.locator("[data-pack='YZ48-000101']").drag_to(slot(page, 10))
        expect(slot(page, 10)).to_have_attribute("aria-label", re.compile("YZ48-000101"))

        # Into a shut slot nothing goes, and the page says why.
        page.locator("[data-pack=full]").drag_to(slot(page, 11))
        expect(page.locator("#say")).to_contain_text("shut")
        assert cabinet.slot(11)["pack"] is None

        page.locator("#alter-temp").fill("63")
        page.locator("#alter button").click()
        expect(page.locator("#slot-10 .marks")).to_contain_text("over-temp")
        page.locator("#act-door").click()
        expect(slot(page, 10)).to_have_attribute("data-door", SHUT)


def test_the_keyboard_alone(
    cabinet: SimProcess, browser: Browser, unlock: Callable[[int], None]
) -> None:
    with desk(browser, locale="en-GB") as context, opened(context, cabinet) as page:
        unlock(11)
        expect(slot(page, 11)).to_have_attribute("data-door", OPEN)
        slot(page, 1).focus()
        for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
            page.keyboard.press(key)
        expect(slot(page, 11)).to_be_focused()
        page.keyboard.press("i")
        expect(page.locator("#say")).to_contain_text("take a pack")
        page.locator("#hand").select_option("mute")
        slot(page, 11).focus()
        page.keyboard.press("i")
        expect(page.locator("#slot-11 .marks")).to_contain_text("BMS silent")
        page.keyboard.press("m")
        expect(page.locator("#slot-11 .marks")).not_to_contain_text("BMS silent")
        page.keyboard.press("r")
        cabinet.wait(lambda state: state["slots"][10]["pack"] is None, 30.0)
        page.keyboard.press("j")
        expect(page.locator("#slot-11 .marks")).to_contain_text("lock jammed")
        page.keyboard.press("j")
        page.keyboard.press("o")
        expect(slot(page, 11)).to_have_attribute("data-door", SHUT)


def test_faults_world_and_time(cabinet: SimProcess, browser: Browser) -> None:
    with desk(browser, locale="en-GB") as context, opened(context, cabinet) as page:
        page.locator("#fault-kind").select_option("slow")
        page.locator("#fault-target").select_option("charger-03")
        page.locator("#fault-value").fill("700")
        page.locator("#fault-form button").click()
        expect(page.locator("#standing")).to_contain_text("charger-03: Late answer 700")
        expect(page.locator("#slot-3 .marks")).to_contain_text("Late answer")
        assert cabinet.get("/faults")["faults"][0]["value"] == 700

        slot(page, 4).click()
        page.locator("#fault-cell-imbalance").click()
        expect(page.locator("#slot-4 .marks")).to_contain_text("Cells uneven")
        page.locator("#fault-cell-imbalance").click()
        expect(page.locator("#slot-4 .marks")).to_have_text("")
        page.locator("#faults-clear").click()
        expect(page.locator("#fault-none")).to_be_visible()

        page.locator("#input-smoke").click()
        expect(page.locator("#input-smoke")).to_have_attribute("aria-pressed", "true")
        assert cabinet.state()["inputs"]["smoke"]
        page.locator("#input-smoke").click()
        page.locator("#speeds button", has_text="× 600").click()
        page.locator("#freeze").click()
        expect(page.locator("#freeze")).to_have_text("Let time run")
        state = cabinet.state()
        assert (state["speed"], state["frozen"]) == (600.0, True)
        cabinet.post("/freeze", frozen=False)
        cabinet.post("/speed", factor=1.0)
        expect(page.locator("#log")).to_contain_text("contact")


def test_the_wire_trace(
    cabinet: SimProcess, browser: Browser, unlock: Callable[[int], None]
) -> None:
    with desk(browser, locale="en-GB") as context, opened(context, cabinet) as page:
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.locator("#trace-filter").fill("02 05 02 00")
        unlock(9)
        rows = page.locator("#trace tr")
        expect(rows).not_to_have_count(0)
        expect(rows.last).to_contain_text("asks")
        rows.last.locator("button").click()
        expect(page.locator("#trace-count")).to_contain_text("1 chosen")
        page.locator("#trace-copy").click()
        expect(page.locator("#say")).to_have_text("Copied as hex.")
        assert page.evaluate("navigator.clipboard.readText()").startswith("02 05 02 00")
        with page.expect_download() as download:
            page.locator("#trace-export").click()
        assert "board-2" in Path(download.value.path()).read_text(encoding="utf-8")
        page.locator("#trace-pause").click()
        page.locator("#trace-filter").fill("nobody says this")
        expect(page.locator("#trace-empty")).to_be_visible()
        assert grave_findings(page) == []
    cabinet.post("/slots/9/door", action="close")


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_in_both_languages_and_both_lights(
    cabinet: SimProcess, browser: Browser, unlock: Callable[[int], None], dark: bool
) -> None:
    with phone(browser) as context, opened(context, cabinet) as page:
        page.emulate_media(color_scheme="dark" if dark else "light")
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        unlock(12)
        expect(slot(page, 12)).to_have_attribute("data-door", OPEN)
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        if not dark:
            picture(page, "simulator-phone")
        assert grave_findings(page) == []
        slot(page, 12).tap()
        expect(page.locator("#panel")).to_have_attribute("data-open", "")
        page.locator("#hand").select_option("hot")
        page.locator("#act-insert").tap()
        expect(slot(page, 12)).to_have_attribute("aria-label", re.compile("62.0 °C"))
        assert grave_findings(page) == []
        assert page.evaluate(POOR_CONTRAST) == []
        page.locator("#act-remove").tap()
        cabinet.wait(lambda state: state["slots"][11]["pack"] is None, 30.0)
        page.locator("#act-door").tap()
        expect(slot(page, 12)).to_have_attribute("data-door", SHUT)
        page.locator("#panel-close").tap()
        page.locator("#language").tap()
        expect(page.locator("h1")).to_contain_text("Simulated cabinet")


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_grave_on_a_desk(
    cabinet: SimProcess, browser: Browser, unlock: Callable[[int], None], dark: bool
) -> None:
    cabinet.post("/slots/5/lock", jammed=True)
    language = "en-GB" if dark else "zh-CN"
    with desk(browser, locale=language) as context, opened(context, cabinet) as page:
        page.emulate_media(color_scheme="dark" if dark else "light")
        expect(page.locator("#slot-5")).to_have_attribute("data-jam", "")
        slot(page, 5).click()
        page.locator("[data-pack=low]").click()
        assert grave_findings(page) == []
        assert page.evaluate(POOR_CONTRAST) == []
        if dark:
            picture(page, "simulator-page")
    cabinet.post("/slots/5/lock", jammed=False)
