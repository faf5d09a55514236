"""Every page of the console in a browser, by the routes that the application has: for everybody.

Each is looked at on the screen of a phone, in light and in dark, in Chinese or in English, with all
that folds open: axe finds nothing serious, all text can be read, nothing is wider than the screen. A
page that is added is looked at by itself; where its path has a name in it, ``WholeTown.named`` must
say what stands there, or this fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Browser, Page, async_playwright

from fleet.core.access import Role
from fleet.core.staff import LinkFor, secret_hash
from fleet.store.staff import StaffStore
from fleet.web.access import declared
from fleet.web.i18n import LANGUAGES
from protocols.offline import step_of, totp
from tests.support.browser import AXE, FLAGS, POOR_CONTRAST, axe_source, path_of_chromium
from tests.support.whole_town import CAME, PASSWORD, WholeTown, whole_town

pytestmark = pytest.mark.browser

WITHIN_MS: Final = 60_000
PHONE: Final[Any] = {"width": 360, "height": 740}
SCHEMES: Final[Any] = ("light", "dark")
#: Files, and what sends the browser on.
NO_PAGES: Final = (".csv", ".toml", ".jsonl")
AWAY: Final = {"/ops/sso", "/ops/sso/back", "/ops/views/{view_id}", "/ops/join"}
#: The same route with something else to show.
MORE: Final = (
    "/ops/balance?scope=region:east&limit_kw=4.5&from=12:00&to=18:00",
    "/ops/grid/edit?what=region&name=east",
    "/ops/grid/edit?what=feeder&name=F1",
    "/ops/search?q=DH",
    "/ops/cabinets?q=zzz",
    "/ops/cabinets/DH-0001/slots/9?refused=reason-short",
    "/ops/nothing-is-here",
)


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[WholeTown]:
    async with whole_town(tmp_path, plan=True) as made:
        await made.desk.age(made.town.clock.wall_ms())
        made.desk.change(alarms=("smoke:3", "store"))
        yield made


def pages_of(whole: WholeTown) -> list[str]:
    """The address of every page, one of each route."""
    routes = sorted(
        path
        for method, path in declared(whole.town.app)
        if method == "GET"
        and path.startswith("/ops")
        and not path.endswith(NO_PAGES)
        and path not in AWAY
    )
    assert len(routes) >= 30
    return [whole.at(path) for path in routes]


class Eye:
    """One page of the browser, and what is wrong with what it was shown."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.wrong: list[str] = []
        self.seen = 0

    async def goto(self, path: str, status: int = 200) -> None:
        """Go there and look."""
        language = LANGUAGES[self.seen % 2]
        joint = "&" if "?" in path else "?"
        reply = await self.page.goto(f"{self.url}{path}{joint}lang={language}")
        assert reply is not None
        assert reply.status == status, path
        await self.look(path)

    async def look(self, name: str) -> None:
        """What stands in the window, in light and in dark."""
        page, self.seen = self.page, self.seen + 1
        for summary in await page.locator("main summary").all():
            await summary.click()
        await page.evaluate(axe_source())
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            for rule in (AXE, POOR_CONTRAST):
                self.wrong += [f"{scheme} {name}: {one}" for one in await page.evaluate(rule)]
        width = await page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            self.wrong.append(f"{name}: {width} pixels wide")


async def before_one_is_in(eye: Eye, whole: WholeTown) -> None:
    """Signing in, being refused, and a link that makes an account."""
    page = eye.page
    await eye.goto("/ops/login")
    await page.fill("#name", "boss")
    await page.fill("#password", "not the one")
    await page.click("main form button")
    await page.wait_for_load_state()
    await eye.look("refused at signing in")
    await eye.goto("/ops/swaps", 401)
    await eye.goto(f"/ops/join?token={whole.join}")
    expires_ms = whole.town.clock.wall_ms() + 60_000
    kept = StaffStore(whole.stores.database)
    await kept.put_link(secret_hash("first-link"), LinkFor.FIRST, None, expires_ms)
    await eye.goto("/ops/join?token=first-link")
    await eye.goto("/ops/join?token=used", 403)


async def what_is_shown_once(eye: Eye, whole: WholeTown) -> None:
    """Links and tokens, the second factor and its codes."""
    page = eye.page
    await page.goto(f"{eye.url}/ops/access")
    await page.fill("#token-name", "robot")
    await page.click("form[action='/ops/access/tokens'] button")
    await page.wait_for_load_state()
    await eye.look("a token")
    await page.goto(f"{eye.url}/ops/me/totp")
    await page.fill("#code", "000000")
    await page.click("main form button")
    await page.wait_for_load_state()
    await eye.look("a wrong code")
    secret = await whole.staff.offer_totp("boss")
    await page.fill("#code", totp(secret, step_of(whole.town.clock.wall_ms())))
    await page.click("main form button")
    await page.wait_for_load_state()
    await eye.look("recovery codes")
    await eye.goto("/ops/me")


async def test_every_page_of_the_console_is_for_everybody(whole: WholeTown) -> None:
    async with async_playwright() as playwright:
        browser: Browser = await playwright.chromium.launch(
            executable_path=path_of_chromium(), args=list(FLAGS)
        )
        context = await browser.new_context(viewport=PHONE, locale="zh-CN")
        context.set_default_timeout(WITHIN_MS)
        eye = Eye(await context.new_page(), whole.town.url)
        await before_one_is_in(eye, whole)
        session = await whole.staff.sign_in("boss", PASSWORD, "", CAME)
        boss = await whole.staff.account("boss")
        await whole.town.views.save(boss.id, "mine", "alarms", "code=smoke")
        cookie: Any = {"name": "yz_ops", "value": session, "url": whole.town.url}
        await context.add_cookies([cookie])
        for path in pages_of(whole):
            await eye.goto(path)
        for path in MORE:
            await eye.goto(path, 404 if "nothing" in path else 200)
        await what_is_shown_once(eye, whole)
        _, viewer = await whole.signed_in(Role.VIEWER)
        await context.add_cookies([cookie | {"value": viewer}])
        for path in ("/ops", "/ops/cabinets/DH-0001/slots/9", "/ops/cabinets/DH-0001/orders"):
            await eye.goto(path)
        await eye.goto("/ops/access", 403)
        await browser.close()
    assert eye.wrong == []
