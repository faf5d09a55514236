"""A rider with a phone's browser at a real cabinet: logs in, taps, and does what the page asks for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from playwright.sync_api import Browser, Page, expect

from deploy.demo.clients import CODE_PATTERN, Json, RiderClient, texts_to
from deploy.demo.waiting import until
from fleet.web.i18n import catalogue
from tests.support.browser import STILL_CHINESE, UNTRANSLATED, phone, serious
from tests.support.stack import ARTIFACTS, SystemStack

STEP_WITHIN_S: Final = 60.0
SMS_WITHIN_S: Final = 60.0
#: High enough to be handed out again, so that a stack serves many riders.
BACK_SOC_PCT: Final = 95.0
WAITS_FOR_RIDER: Final = ("await-return", "await-pickup", "await-close")


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


@dataclass
class Ride:
    """One rider's browser, and a client with the same session to ask where a swap stands."""

    stack: SystemStack
    page: Page
    album: Album
    phone: str
    base: str
    spy: RiderClient
    problems: list[str] = field(default_factory=list)

    def look(self, name: str) -> None:
        """A picture; a page must hold no text that was left in another language."""
        self.album.take(self.page, name)
        known = [self.stack.options.cabinet_name, self.stack.options.cabinet_id]
        chinese = (self.page.locator("html").get_attribute("lang") or "").startswith("zh")
        odd = UNTRANSLATED if chinese else STILL_CHINESE
        assert self.page.evaluate(odd, known) == [], name

    def open_cabinet(self) -> None:
        """From the first page's list to the cabinet's own page."""
        self.page.goto(f"{self.base}/")
        self.look("home")
        self.page.locator(f"a[href='/c/{self.stack.options.cabinet_id}']").first.tap()
        self.page.wait_for_url(f"**/c/{self.stack.options.cabinet_id}")

    def log_in(self) -> None:
        """From the cabinet's page through phone and code back to the cabinet's page."""
        page, sms_file = self.page, self.stack.sms_file
        page.locator("#login").tap()
        page.locator("#phone").fill(self.phone)
        self.look("login-phone")
        before = len(texts_to(sms_file, self.phone))
        page.locator("form[action='/login'] button").tap()
        page.locator("#code").wait_for()
        text = until(
            lambda: texts_to(sms_file, self.phone)[before:] or None,
            within_s=SMS_WITHIN_S,
            what="a login code",
        )[-1]
        code = CODE_PATTERN.search(text)
        assert code is not None
        page.locator("#code").fill(code.group(1))
        self.look("login-code")
        page.locator("form[action='/login/code'] button").tap()
        page.wait_for_url(f"**/c/{self.stack.options.cabinet_id}")
        self.take_session()

    def take_session(self) -> None:
        """Let the spy ask with the session of the page."""
        self.spy.use_cookies({c["name"]: c["value"] for c in self.page.context.cookies()})  # type: ignore[typeddict-item]

    def tap(self, button: str) -> str:
        """Tap what starts a transaction; return its id, once its page is there."""
        expect(self.page.locator(button)).to_be_enabled()
        self.page.locator(button).tap()
        return self.on_swap_page()

    def on_swap_page(self) -> str:
        """The id of the transaction whose page is shown."""
        self.page.wait_for_url("**/s/*")
        return self.page.url.rsplit("/", 1)[1].partition("?")[0]

    def ride_through(
        self, swap_id: str, own: str = "", before_act: Callable[[str], None] = lambda _step: None
    ) -> str:
        """Do at the cabinet what the page asks for; return the pack that was taken out.

        ``before_act`` is called with each step that waits for the rider, once the page shows it.
        """
        received, title = "", self.page.locator("#stage h1")
        lang = (self.page.locator("html").get_attribute("lang") or "").partition("-")[0]
        seen: list[str] = []
        while True:
            view = self._next_view(swap_id, seen)
            step = view["step"]
            seen.append(step)
            if step in WAITS_FOR_RIDER:  # the page shows it until the rider has done it
                slot = view["slot_in"] if step == "await-return" else view["slot_out"]
                expect(title).to_have_text(catalogue(lang).text(f"swap.{step}.title", slot=slot))
                expect(self.page.locator("#stage .no b")).to_have_text(str(slot))
                before_act(step)
            if view["done"]:
                assert step == "completed", f"{view}\n{self.stack.tails()}"
                expect(self.page.locator("#stage .stage.done")).to_be_visible()
                self.look("done")
                return received
            self.look(step)
            received = self.act(view, own) or received

    def act(self, view: Json, own: str) -> str | None:
        """The hands' part of one step; the pack that was taken out, if one was."""
        stack, step = self.stack, view["step"]
        if step == "await-return":
            stack.hands.give(view["slot_in"], own, soc_pct=BACK_SOC_PCT)
        elif step == "await-pickup":
            return stack.hands.take(view["slot_out"])
        elif step == "await-close":
            stack.sim.close_door(view["slot_out"])
        return None

    def whole_swap_by_hand(self, swap_id: str, own: str) -> str:
        """The hands' part to the end, whatever the page shows meanwhile."""
        received, seen = "", []
        while True:
            view = self._next_view(swap_id, seen)
            if view["done"]:
                assert view["step"] == "completed", view
                return received
            seen.append(view["step"])
            received = self.act(view, own) or received

    def _next_view(self, swap_id: str, seen: list[str]) -> Json:
        def unseen() -> Json | None:
            view = self.spy.swap(swap_id)
            return view if view["step"] and view["step"] not in seen else None

        return until(
            unseen,
            within_s=STEP_WITHIN_S,
            what=f"the step after {seen}",
            on_timeout=self.stack.tails,
        )


@contextmanager
def riding(
    stack: SystemStack,
    browser: Browser,
    name: str,
    *,
    phone_number: str,
    base: str = "",
    locale: str = "zh-CN",
    **context_values: Any,
) -> Iterator[Ride]:
    """A rider's phone that has opened nothing yet; a page that throws fails the test."""
    with phone(browser, locale=locale, **context_values) as context:
        page = context.new_page()
        ride = Ride(
            stack, page, Album(name), phone_number, base or stack.fleet_url, stack.new_phone()
        )
        page.on("pageerror", lambda error: ride.problems.append(str(error)))
        page.on("console", lambda m: ride.problems.append(m.text) if m.type == "error" else None)
        try:
            yield ride
        finally:
            ride.spy.close()
    assert serious(ride.problems) == []
