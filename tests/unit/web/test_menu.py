"""What the console shows of itself is what the person who looks may open, by the routes' own words.

The pages, their links and their forms are read as a browser gets them, for every role and scope.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import pytest
import pytest_asyncio

from fleet.core.access import EVERYWHERE, ORDER_NEEDS, Role, Scope, Who, may
from fleet.web.access import declared
from fleet.web.menu import MENU, may_open
from tests.support.routes import whole_app
from tests.support.whole_town import WholeTown, whole_town

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCOPES: Final = {
    "everywhere": EVERYWHERE,
    "a-station": Scope(stations=frozenset({"DRUM"})),
    "another-station": Scope(stations=frozenset({"BELL"})),
    "a-partner": Scope(partners=frozenset({"meituan"})),
}
EVERYBODY: Final = [(role, scope) for role in Role for scope in SCOPES]
#: Reading all of the pages takes a second: each role, and each scope with one that has much.
READERS: Final = [(role, "everywhere") for role in Role] + [
    (Role.TECHNICIAN, "a-station"), (Role.ADMIN, "a-partner"), (Role.VIEWER, "another-station"),
]  # fmt: skip
#: Pages of one's own and of no list, which stand in the bar, or which a page of the menu leads to.
BESIDE: Final = {"/ops/me", "/ops/me/totp", "/ops/search", "/ops/grid/edit"}
BEFORE: Final = {"/ops/login", "/ops/join", "/ops/sso", "/ops/sso/back"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WholeTown]:
    async with whole_town(tmp_path_factory.mktemp("menu"), plan=True) as made:
        yield made


class Read(HTMLParser):
    """The links and forms of a page, and its menu."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[tuple[str, str]] = []
        self.orders: list[str] = []
        self.menu: list[str] = []
        self._in_menu = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "nav" and given.get("class") == "menu":
            self._in_menu = True
        if tag == "a" and "href" in given:
            (self.menu if self._in_menu else self.links).append(given["href"])
        if tag == "form":
            self.forms.append((given.get("method", "get").upper(), given.get("action", "")))
        if tag == "button" and given.get("value") in ORDER_NEEDS:
            self.orders.append(given["value"])

    def handle_endtag(self, tag: str) -> None:
        if tag == "nav":
            self._in_menu = False


def pages_of(app: Any) -> set[str]:
    """The pages without a name in their path: no file, no form's answer."""
    return {
        path
        for method, path in declared(app)
        if method == "GET" and path.startswith("/ops") and "{" not in path and "." not in path
    }


def route_of(app: Any, method: str, path: str) -> str | None:
    """The route that a request would come to."""
    for known, pattern in declared(app):
        if known == method and re.fullmatch(re.sub(r"{[^}]+}", "[^/]+", pattern), path):
            return pattern
    return None


async def test_every_page_is_in_the_menu_or_beside_it() -> None:
    assert pages_of(whole_app()) == {each.path for each in MENU} | BESIDE | BEFORE


@pytest.mark.parametrize(("role", "scope"), EVERYBODY)
async def test_the_menu_has_what_one_may_open_and_nothing_else(
    whole: WholeTown, role: Role, scope: str
) -> None:
    who, session = await whole.signed_in(role, SCOPES[scope])
    needs = declared(whole.town.app)
    async with whole.browser_of(session) as client:
        menu = Read((await client.get("/ops")).text).menu
        assert menu == [each.path for each in MENU if may_open(needs, who, each.path)]
        answers = {each.path: (await client.get(each.path)).status_code for each in MENU}
    assert {path: answers[path] for path in menu} == dict.fromkeys(menu, 200)
    left_out = answers.keys() - set(menu)
    assert {path: answers[path] for path in left_out} == dict.fromkeys(left_out, 403)


async def test_a_fleet_without_a_part_has_no_page_of_it_in_the_menu(whole: WholeTown) -> None:
    _, session = await whole.signed_in(Role.ADMIN)
    web = whole.town.app.state.web
    object.__setattr__(web, "charts", None)
    try:
        async with whole.browser_of(session) as client:
            menu = Read((await client.get("/ops")).text).menu
    finally:
        object.__setattr__(web, "charts", whole.town.charts)
    assert "/ops/cabinets" in menu
    assert not {"/ops/swaps", "/ops/alarms", "/ops/grid"} & set(menu)


async def all_of(whole: WholeTown, who: Who, session: str) -> dict[str, Read]:
    """Every page that leads on from the menu, one of each route."""
    app, found, seen = whole.town.app, {}, set()
    waiting = ["/ops"]
    async with whole.browser_of(session) as client:
        while waiting:
            path = waiting.pop()
            reply = await client.get(path)
            assert reply.status_code < 500, path
            if reply.status_code != 200 or "html" not in reply.headers["content-type"]:
                continue
            read = found[path] = Read(reply.text)
            for link in (*read.menu, *read.links):
                onwards = urlsplit(urljoin(path, link))
                route = route_of(app, "GET", onwards.path)
                if route is not None and route not in seen and onwards.path.startswith("/ops"):
                    seen.add(route)
                    waiting.append(onwards.path + (f"?{onwards.query}" if onwards.query else ""))
            await asyncio.sleep(0)
    assert len(found) >= 3, who
    return found


@pytest.mark.parametrize(("role", "scope"), READERS)
async def test_no_page_leads_to_what_one_may_not(whole: WholeTown, role: Role, scope: str) -> None:
    who, session = await whole.signed_in(role, SCOPES[scope])
    app, needs = whole.town.app, declared(whole.town.app)
    wrong = set()
    for path, read in (await all_of(whole, who, session)).items():
        asked = [("GET", link) for link in read.links] + read.forms
        for method, link in asked:
            onwards = urljoin(path, link)
            route = route_of(app, method, urlsplit(onwards).path)
            if route is not None and not may_open(needs, who, route, method):
                wrong.add((path, method, link))
        wrong |= {(path, "ORDER", each) for each in read.orders if not may(who, ORDER_NEEDS[each])}
    assert wrong == set(), "\n".join(map(str, sorted(wrong)))
