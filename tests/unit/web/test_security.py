"""The walls: foreign writes, large bodies, headers, tokens."""

from __future__ import annotations

import base64
import hashlib
import re
from http.cookies import Morsel, SimpleCookie

import pytest
from httpx2 import AsyncClient, Response
from starlette.datastructures import Headers

from fleet.errors import ConfigError, LimitedError
from fleet.web.config import WebConfig
from fleet.web.limits import WAYS_IN_PER_ADDRESS, Once, Rate, Throttle
from fleet.web.pages import safe_next
from fleet.web.security import same_origin
from tests.support.fleet_fakes import OPERATOR_TOKEN, Town, cabinet, serving

ORIGIN = "https://swap.example"
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("method", "headers", "allowed"),
    [
        ("GET", {"sec-fetch-site": "cross-site"}, True),
        ("POST", {"sec-fetch-site": "same-origin"}, True),
        ("POST", {"sec-fetch-site": "none"}, True),
        ("POST", {"sec-fetch-site": "same-site"}, False),
        ("POST", {"sec-fetch-site": "cross-site"}, False),
        ("POST", {"sec-fetch-site": "cross-site", "origin": ORIGIN}, False),
        ("POST", {"origin": ORIGIN}, True),
        ("POST", {"origin": "http://10.0.0.5:8080", "host": "10.0.0.5:8080"}, True),
        ("POST", {"origin": "https://evil.example", "host": "swap.example"}, False),
        ("POST", {"origin": "null", "host": "swap.example"}, False),
        ("POST", {"content-type": FORM}, False),
        ("POST", {"content-type": "text/plain"}, False),
        ("POST", {}, False),
        ("POST", {"content-type": "application/json"}, True),
        ("DELETE", {"origin": "https://evil.example"}, False),
    ],
)
def test_same_origin(method: str, headers: dict[str, str], allowed: bool) -> None:
    assert same_origin(method, Headers(headers), ORIGIN) is allowed


async def test_a_foreign_form_starts_nothing(town: Town, rider: AsyncClient) -> None:
    form = {"kind": "swap", "key": "key-of-one-tap"}
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
        reply = await rider.post("/c/DH-0001/swap", data=form, headers=headers)
        assert reply.status_code == 403
    foreign = await rider.post("/api/v1/swaps", json={}, headers={"Origin": "https://evil.example"})
    assert foreign.json()["error"]["code"] == "cross-origin"
    assert not town.swaps.views


async def test_large_bodies_are_refused(stranger: AsyncClient) -> None:
    body = b'{"phone": "' + b"1" * 20_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    reply = await stranger.post("/api/v1/login/code", content=body, headers=headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "too-large")

    async def trickle():  # type: ignore[no-untyped-def]
        for start in range(0, len(body), 1_000):
            yield body[start : start + 1_000]

    reply = await stranger.post("/api/v1/login/code", content=trickle(), headers=headers)
    assert reply.status_code == 413


PAGES = ("/", "/scan", "/c/DH-0001", "/login", "/ops", "/ops/login", "/nothing", "/c/DH-0001/label")


@pytest.mark.parametrize("path", PAGES)
async def test_policy_allows_our_own_style_and_script_only(
    stranger: AsyncClient, path: str
) -> None:
    reply = await stranger.get(path)
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    styles = re.findall(r"<style>(.*?)</style>", reply.text, re.DOTALL)
    assert len(styles) == 1
    digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", reply.text, re.DOTALL)
    assert scripts
    assert all(body == "" and 'src="/static/' in attributes for attributes, body in scripts)
    assert not re.search(r"<[^>]+\s(style|on\w+)=", reply.text), "inline style or handler"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert "strict-transport-security" not in reply.headers


async def test_static_files_are_kept_forever(stranger: AsyncClient) -> None:
    page = (await stranger.get("/c/DH-0001")).text
    script = re.search(r'<script type="module" src="(/static/yz\.[0-9a-f]{12}\.mjs)"', page)
    assert script
    reply = await stranger.get(script[1])
    assert "immutable" in reply.headers["cache-control"]
    assert reply.headers["content-type"].startswith("text/javascript")
    digest = hashlib.sha256(reply.content).hexdigest()[:12]
    assert digest in script[1]
    assert (await stranger.get("/static/other.js")).status_code == 404


async def test_a_rider_page_is_small(rider: AsyncClient) -> None:
    total = 0
    page = await rider.get("/c/DH-0001")
    for url in ("/c/DH-0001", *re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)):
        async with rider.stream("GET", url) as reply:
            total += sum([len(chunk) async for chunk in reply.aiter_raw()])
    assert total <= 15_000


def session_of(reply: Response) -> Morsel[str]:
    """The one session that a reply sets."""
    found = [
        morsel
        for header in reply.headers.get_list("set-cookie")
        for name, morsel in SimpleCookie(header).items()
        if name.endswith(("yz_session", "yz_ops"))
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("origin", [ORIGIN, "http://swap.example"])
async def test_over_https_sessions_are_for_https_and_this_host_only(origin: str) -> None:
    """``__Host-`` holds browsers to the rest: Secure, the whole path, no domain."""
    secure = origin.startswith("https:")
    mark, other = ("__Host-", "") if secure else ("", "__Host-")
    town = Town()
    town.cabinets.put(cabinet())
    async with serving(town, public_url=origin), town.client() as client:
        await client.post("/api/v1/login/code", json={"phone": "13800138000"})
        login = {"phone": "13800138000", "code": "123456"}
        rider = await client.post("/api/v1/login", json=login)
        staff = await client.get("/ops/login", params={"token": OPERATOR_TOKEN})
        assert ("strict-transport-security" in rider.headers) is secure
        for reply, name, page in ((rider, "yz_session", "/api/v1/me"), (staff, "yz_ops", "/ops")):
            cookie = session_of(reply)
            assert cookie.key == mark + name
            assert bool(cookie["secure"]) is secure
            assert cookie["httponly"]
            assert (cookie["path"], cookie["domain"], cookie["samesite"]) == ("/", "", "lax")
            client.cookies.clear()
            # Who may set the other name is another host, or anybody on the way over plain http.
            for key, status in ((mark + name, 200), (other + name, 401)):
                sent = {"Cookie": f"{key}={cookie.value}"}
                assert (await client.get(page, headers=sent)).status_code == status, key


async def test_only_a_hash_of_the_token_is_kept(town: Town, rider: AsyncClient) -> None:
    token = rider.cookies["yz_session"]
    assert hashlib.sha256(token.encode()).hexdigest() in town.accounts.sessions


async def test_the_operators_link(town: Town, stranger: AsyncClient) -> None:
    assert (await stranger.get("/ops")).status_code == 401
    wrong = await stranger.get("/ops/login", params={"token": OPERATOR_TOKEN[:-1] + "x"})
    assert wrong.status_code == 403
    assert "set-cookie" not in wrong.headers
    assert (await stranger.get("/ops/login", params={"token": "非"})).status_code == 403
    right = await stranger.get("/ops/login", params={"token": OPERATOR_TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "/ops")
    assert OPERATOR_TOKEN not in right.headers["set-cookie"]
    assert (await stranger.get("/ops")).status_code == 200
    out = await stranger.post("/ops/logout", headers={"Origin": town.url})
    assert out.status_code == 303
    assert (await stranger.get("/ops")).status_code == 401


async def test_guessing_the_operators_token_is_limited(stranger: AsyncClient) -> None:
    codes = [
        (await stranger.get("/ops/login", params={"token": f"guess-{n}"})).status_code
        for n in range(WAYS_IN_PER_ADDRESS.times_max + 1)
    ]
    assert codes == [403] * WAYS_IN_PER_ADDRESS.times_max + [429]


async def test_a_riders_session_is_no_operators(rider: AsyncClient) -> None:
    rider.cookies.set("yz_ops", rider.cookies["yz_session"])
    assert (await rider.get("/ops")).status_code == 401


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("/c/DH-0001", "/c/DH-0001"),
        ("/s/1?x=2", "/s/1?x=2"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nb", "/"),
        ("/\t/evil.example", "/"),
        ("", "/"),
        ("/" + "a" * 300, "/"),
    ],
)
def test_where_a_login_may_lead(path: str, safe: str) -> None:
    assert safe_next(path) == safe


@pytest.mark.parametrize(
    "values",
    [
        {"public_url": "swap.example"},
        {"public_url": "ftp://swap.example"},
        {"public_url": "https://"},
        {"local_token": "short"},
    ],
)
def test_bad_config_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        WebConfig(**({"public_url": ORIGIN, "local_token": OPERATOR_TOKEN} | values))


def test_throttle_counts_per_caller_and_window() -> None:
    rate, throttle = Rate("test", 2, 1_000), Throttle()
    throttle.spend(rate, "a", 0)
    throttle.spend(rate, "a", 999)
    throttle.spend(rate, "b", 999)
    with pytest.raises(LimitedError) as caught:
        throttle.spend(rate, "a", 999)
    assert caught.value.retry_after_s == 1
    throttle.spend(rate, "a", 1_000)


def test_tables_are_bounded() -> None:
    rate, throttle, once = (
        Rate("test", 1, 1_000),
        Throttle(keys_max=2),
        Once(life_ms=10, keys_max=2),
    )
    for who in "abc":
        throttle.spend(rate, who, 0)
    throttle.spend(rate, "a", 0)  # forgotten
    assert [once.first((key,), 0) for key in "aabca"] == [True, False, True, True, True]
    assert once.first(("c",), 11)
