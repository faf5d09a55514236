"""No rider's page holds a word of the other language: every page that the application has, by itself.

The list of pages is the application's own, so that a new page cannot be forgotten here.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from httpx2 import AsyncClient

from fleet.core.reports import Topic
from protocols.messages import Kind, Step
from protocols.sockets import SocketState
from tests.support.area import DRUM, AreaTown, area_town, sockets
from tests.support.fleet_fakes import cabinet, serving
from tests.support.fleet_fakes_members import FakeMembership, plan
from tests.support.routes import ways_of

PHONE: Final = "+8613800138000"
SAME: Final = {"Sec-Fetch-Site": "same-origin"}
#: Of the staff, of programs, and what is no page.
NOT_RIDERS: Final = re.compile(
    r"/(ops|api|static|metrics|healthz|readyz|provision|oidc|docs|openapi|cabinets?)\b.*|.*\.(svg|js|json|png|ico)"
    r"|/(photos|reports)/.*(photo|photo_id}).*"
)
#: Names and numbers that are the same in both languages; what riders and operators wrote.
NAMES: Final = (
    DRUM.name, DRUM.address, "柜子后面", "九折", "东湖路驿站", "东湖路地铁站 B 口", "美团", "水没了", "已送水",
    "English", "中文", "DH-0001", "DH-0009", "00:00-24:00",
)  # fmt: skip
ADDRESS: Final = re.compile(r"https?://\S+")
UNITS: Final = re.compile(r"\b(kWh|km|min|W|h|MB|JPEG|PNG|USB|YZ48-\d+|48V)\b")
WORDS: Final = (
    "aria-label",
    "placeholder",
    "title",
    "alt",
    "data-offline",
    "data-sending",
    "data-failed",
    "data-denied",
    "data-ages",
)
VOID: Final = frozenset({"meta", "link", "input", "img", "br", "source"})


class Texts(HTMLParser):
    """What a reader sees or hears of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._quiet: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        foreign = tag != "html" and "lang" in given
        if not self._quiet:
            self.found += [given[name] or "" for name in WORDS if name in given]
        silent = tag in {"script", "style"} or "mono" in classes or "mark" in classes or foreign
        if tag not in VOID and (self._quiet or silent):
            self._quiet.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._quiet and tag == self._quiet[-1]:
            self._quiet.pop()

    def handle_data(self, data: str) -> None:
        if not self._quiet and data.strip():
            self.found.append(data.strip())


def odd_words(html: str, language: str) -> list[str]:
    """Texts of a page that are not in its language."""
    reader = Texts()
    reader.feed(html)
    foreign = re.compile(r"[A-Za-z]{2,}" if language == "zh" else r"[\u3000-\u9fff]")
    odd = []
    for text in reader.found:
        left = ADDRESS.sub("", text)
        for name in NAMES:
            left = left.replace(name, "")
        if foreign.search(UNITS.sub("", left)):
            odd.append(text)
    return odd


@dataclass
class Visit:
    """A rider who has been through everything: an account, a swap, a session, a report."""

    area: AreaTown
    client: AsyncClient
    ids: dict[str, str]


@pytest.fixture
async def visit(tmp_path: Path) -> AsyncIterator[Visit]:
    async with area_town(tmp_path) as area, serving(area.town, heartbeat_s=0.2):
        town = area.town
        await area.stores.stations.put(replace(DRUM, lat=39.9365, lon=116.3845), 1)
        town.membership = FakeMembership(town.riders, town.clock)
        town.membership.plan = plan(quota_wh=20_000, left_wh=12_500)
        town.app.state.web = replace(town.app.state.web, membership=town.membership)
        async with town.client(headers=SAME) as client:
            await town.log_in(client, PHONE)
            rider_id = town.riders.phones[PHONE]
            await area.know(rider_id)
            town.riders.give(rider_id, "YZ48-000077")
            swap = await town.swaps.start(
                rider_id=rider_id, cabinet_id="DH-0001", kind=Kind.SWAP, idempotency_key="k" * 12
            )
            session = await town.area.sockets.start(
                rider_id=rider_id, cabinet_id="DH-0001", socket=1, limit_wh=500, limit_s=7_200,
                idempotency_key="e" * 12,
            )  # fmt: skip
            report = await town.area.reports.file(
                rider_id=rider_id, topic=Topic.STATION, place=DRUM.name, text="水没了"
            )
            ids = {
                "cabinet_id": "DH-0001", "station_id": "DRUM", "socket": "2", "swap_id": swap.id,
                "session_id": session.id, "report_id": report.id,
            }  # fmt: skip
            yield Visit(area, client, ids)


def pages_of(visit: Visit) -> list[str]:
    """Every address of a rider's page that the application answers."""
    ways = ways_of(visit.area.town.app)
    paths = [
        each.path.format(**visit.ids)
        for each in ways
        if "GET" in each.methods and not NOT_RIDERS.fullmatch(each.path)
    ]
    return sorted(set(paths))


async def check(visit: Visit, paths: list[str]) -> int:
    """Look at pages in both languages; how many that were."""
    seen = 0
    for path in paths:
        for language in ("zh", "en"):
            reply = await visit.client.get(path, params={"lang": language})
            assert reply.status_code == 200, f"{path}: {reply.status_code}"
            assert reply.headers["content-type"].startswith("text/html"), path
            assert odd_words(reply.text, language) == [], f"{path} in {language}"
            seen += 1
    return seen


async def test_every_page_of_a_rider_is_in_the_riders_language(visit: Visit) -> None:
    paths = pages_of(visit)
    for known in ("/", "/c/DH-0001", "/st/DRUM", "/p/DH-0001/2", "/me", "/offline", "/stations"):
        assert known in paths
    await visit.client.post(
        "/login", data={"phone": "+8613900139000"}
    )  # its second step is a page too
    assert await check(visit, paths) > 30


async def test_every_step_and_end_of_a_swap_too(visit: Visit) -> None:
    town, path = visit.area.town, f"/s/{visit.ids['swap_id']}"
    for step in Step:
        reason = "door-stuck" if step in (Step.FAULTED, Step.GIVING_BACK, Step.REJECTED) else None
        town.swaps.move(visit.ids["swap_id"], step, slot_in=10, slot_out=2, reason=reason)
        await check(visit, [path])


async def test_a_cabinet_in_every_plight_too(visit: Visit) -> None:
    town = visit.area.town
    town.swaps.move(visit.ids["swap_id"], Step.CANCELLED, reason="rider")
    for values in (
        {"online": False, "age_ms": 400_000},
        {"alarms": ("smoke",)},
        {"full": 0},
        {"sockets": sockets(SocketState.FAULTED, SocketState.ON)},
    ):
        town.cabinets.put(cabinet(**values))  # type: ignore[arg-type]
        await check(visit, ["/c/DH-0001", "/stations", "/st/DRUM"])
    town.cabinets.put(cabinet(full=0))
    assert 'id="around" href="/?lat=' in (await visit.client.get("/c/DH-0001")).text, "no dead end"
    for refusal in ("quota-exhausted", "partner-quota", "no-plan"):
        town.membership.plan = plan(left=0, refusal=refusal, socket_refusal=refusal)
        await check(visit, ["/c/DH-0001", "/me"])


async def test_errors_have_a_page_in_the_riders_language_and_a_way_on(visit: Visit) -> None:
    came = {"Referer": f"{visit.area.town.url}/reports/new"}
    for language in ("zh", "en"):
        await visit.client.get("/", params={"lang": language})
        replies = [
            await visit.client.get("/nothing", headers=came),
            await visit.client.get("/c/DH-0009", headers=came),
            await visit.client.get("/c/DH-0001?pt=x.y.z", headers=came),
            await visit.client.get("/st/DRUM/restock", headers=came),
            await visit.client.post("/reports", content=b"x" * 7_000_000, headers=came),
            await visit.client.post("/reports", data={}, headers=SAME | {"Sec-Fetch-Site": "cross-site"}),
            await visit.client.post("/c/DH-0001/reserve", data={"minutes": "soon"}, headers=came),
        ]  # fmt: skip
        assert [each.status_code for each in replies] == [404, 404, 403, 405, 413, 403, 422]
        for reply in replies:
            assert reply.headers["content-type"].startswith("text/html")
            assert "default-src 'none'" in reply.headers["content-security-policy"]
            assert odd_words(reply.text, language) == []
        assert 'id="back" href="/reports/new"' in replies[4].text
        assert 'id="login" href="/login?next=/c/DH-0001"' in replies[2].text
        assert 'id="scan" href="/scan"' in replies[1].text
        assert 'id="back"' not in replies[5].text, "nobody else's page is led to"


async def test_our_own_trouble_is_a_page_too(visit: Visit) -> None:
    async def broken() -> None:
        raise RuntimeError("of the test")

    town = visit.area.town
    town.app.add_api_route("/broken", broken)
    reply = await visit.client.get("/broken?lang=zh")
    assert (reply.status_code, reply.headers["x-frame-options"]) == (500, "DENY")
    assert "系统出错了" in reply.text
    assert odd_words(reply.text, "zh") == []
    assert "of the test" not in reply.text
    town.app.add_api_route("/api/v1/broken", broken)
    told = (await visit.client.get("/api/v1/broken")).json()
    assert told["error"]["code"] == "internal"


def test_the_check_finds_what_is_foreign() -> None:
    for html in ("<p>Charging</p>", '<p title="Open it">开</p>', "<p><b>3</b> kWh left</p>"):
        assert odd_words(html, "zh")
    assert odd_words("<p>开门</p>", "en")
    fine = (
        '<p>3 kWh <span class="mono">abc</span><a lang="en">English</a></p><script>let x</script>'
    )
    assert odd_words(fine, "zh") == []
