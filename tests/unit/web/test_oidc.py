"""Sign-in of staff by an OpenID Connect provider: a real one, over HTTP, with real signatures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from httpx2 import AsyncClient, Response

from fleet import config
from fleet.adapters.oidc import OidcConfig, OidcProvider
from fleet.adapters.staff_secrets import Seal
from fleet.core.access import EVERYWHERE, Role
from fleet.errors import ConfigError
from fleet.oidc import provider_of
from fleet.stores import Stores, open_stores
from tests.support.fleet_fakes import Town, cabinet, serving
from tests.support.fleet_fakes_staff import accounts_over
from tests.support.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcServer, oidc_server
from tests.support.stores import sqlite_store

HOME = "http://yizhan.example:8080"
GROUPS = {"admins": Role.ADMIN, "techs": Role.TECHNICIAN, "watchers": Role.VIEWER}


@pytest.fixture
async def idp() -> AsyncIterator[OidcServer]:
    async with oidc_server() as running:
        running.person["groups"] = ["all-staff", "techs", "watchers"]
        yield running


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with open_stores(sqlite_store(tmp_path / "staff.db")) as opened:
        yield opened


@pytest.fixture
async def town(stores: Stores, idp: OidcServer) -> AsyncIterator[Town]:
    fakes = Town()
    fakes.cabinets.put(cabinet())
    fakes.staff = accounts_over(stores, fakes.clock)
    made = OidcConfig(
        issuer=idp.url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        redirect_url=f"{HOME}/ops/sso/back",
        name="Fleet ID",
        groups_claim="groups",
        roles=GROUPS,
    )
    fakes.provider = OidcProvider(made, Seal(b"b" * 32))
    async with serving(fakes, heartbeat_s=0.2) as running:
        yield running


@pytest.fixture
async def client(town: Town) -> AsyncIterator[AsyncClient]:
    async with town.client() as opened:
        yield opened


async def away(client: AsyncClient) -> str:
    """Off to the provider and back; the path that the browser is sent to."""
    off = await client.get("/ops/sso", params={"next": "/ops/balance"})
    assert off.status_code == 303
    async with AsyncClient(trust_env=False) as browser:
        back = await browser.get(off.headers["location"])
    parts = urlsplit(back.headers["location"])
    assert f"{parts.scheme}://{parts.netloc}" == HOME
    return f"{parts.path}?{parts.query}"


async def through(client: AsyncClient) -> Response:
    return await client.get(await away(client))


async def test_in_by_the_provider(town: Town, client: AsyncClient, idp: OidcServer) -> None:
    assert "Fleet ID" in (await client.get("/ops/login")).text
    back = await through(client)
    assert (back.status_code, back.headers["location"]) == (303, "/ops/balance")
    assert idp.asked[0]["code_challenge_method"] == "S256"
    assert (await client.get("/ops")).status_code == 200
    assert (await client.get("/ops/access")).status_code == 403
    account = await town.staff.account("wang.fang")
    assert (account.role, account.subject) == (Role.TECHNICIAN, "u-1")
    wrong = await client.post(
        "/ops/login",
        data={"name": "wang.fang", "password": ""},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert wrong.status_code == 401, "it has no password"


async def test_the_role_is_the_providers_word_of_today(
    town: Town, client: AsyncClient, idp: OidcServer
) -> None:
    idp.person["groups"] = ["admins"]
    await through(client)
    assert (await client.get("/ops/access")).status_code == 200
    await town.staff.add("boss", Role.ADMIN, (await town.staff.account("wang.fang")).scope, "x")
    idp.person |= {"sub": "u-2", "preferred_username": "chen"}
    await through(client)  # another admin, so that the first is not the last
    idp.person |= {"sub": "u-1", "preferred_username": "wang.fang", "groups": ["watchers"]}
    await through(client)
    assert (await town.staff.account("wang.fang")).role is Role.VIEWER
    idp.person["groups"] = ["all-staff"]
    assert (await through(client)).status_code == 401
    await town.staff.switch("wang.fang", off=True, by="x")
    idp.person["groups"] = ["watchers"]
    assert (await through(client)).status_code == 401


async def test_no_account_of_ours_is_taken_over_by_its_name(
    town: Town, client: AsyncClient, idp: OidcServer
) -> None:
    await town.staff.add("boss", Role.ADMIN, EVERYWHERE, "x")
    idp.person["preferred_username"] = "Boss"
    await through(client)
    names = {each.name: each.role for each in await town.staff.all()}
    assert names["boss"] is Role.ADMIN
    assert len(names) == 2
    assert (await client.get("/ops/access")).status_code == 403


def _set(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda claims: claims.update({name: value})


LIES: tuple[Callable[[dict[str, Any]], Any], ...] = (
    _set("nonce", "another"),
    lambda claims: claims.pop("nonce"),
    _set("aud", "another"),
    _set("iss", "http://127.0.0.1:1"),
    _set("exp", 1_000_000_000),
    lambda claims: claims.pop("exp"),
    lambda claims: claims.pop("sub"),
    _set("azp", "another"),
    _set("groups", {"admins": True}),
)


async def test_a_token_that_does_not_hold_opens_nothing(
    town: Town, client: AsyncClient, idp: OidcServer
) -> None:
    for number, lie in enumerate(LIES):
        town.app.state.web.staff_throttle.__init__()
        idp.lie = lie
        assert (await through(client)).status_code == 401, number
        assert (await client.get("/ops")).status_code == 401
    idp.lie = lambda _: None
    for forged in (idp.sign_by_another, idp.sign_by_secret, idp.sign_not_at_all):
        idp.sign = forged
        assert (await through(client)).status_code == 401, forged
        assert (await client.get("/ops")).status_code == 401
    assert await town.staff.all() == []


async def test_only_the_browser_that_left_comes_back_once_and_soon(
    town: Town, client: AsyncClient
) -> None:
    path = await away(client)
    async with town.client() as other:
        assert (await other.get(path)).status_code == 401, "no cookie"
        await away(other)
        assert (await other.get(path)).status_code == 401, "another state"
    state = parse_qs(urlsplit(path).query)["state"][0]
    for query in (
        f"state={state}",
        f"state={state}&error=access_denied&code=x",
        "state=x&code=y",
        "state=é&code=y",
    ):
        await away(client)
        assert (await client.get(f"/ops/sso/back?{query}")).status_code == 401
    late = await away(client)
    town.clock.shift_ms += 11 * 60_000
    assert (await client.get(late)).status_code == 401
    town.clock.shift_ms -= 11 * 60_000
    again = await away(client)
    assert (await client.get(again)).status_code == 303
    assert (await client.get(again)).status_code == 401, "a code works once"


async def test_a_provider_that_is_away_is_said(town: Town, client: AsyncClient) -> None:
    made = OidcConfig("http://127.0.0.1:1", "a", "b", HOME, "Gone", "groups", GROUPS)
    object.__setattr__(town.app.state.web, "provider", OidcProvider(made, Seal(b"b" * 32)))
    assert (await client.get("/ops/sso")).status_code == 502
    assert (await client.get("/ops/login")).status_code == 200


def test_the_configuration_is_checked(tmp_path: Path) -> None:
    secret = tmp_path / "oidc.secret"
    secret.write_text("s3cret\n")
    base = '[oidc]\nissuer = "https://id.example"\nclient_id = "yizhan"\n'
    file = f'client_secret_file = "{secret}"\n'
    groups = 'admin_groups = "admins, chiefs"\n'
    seal = Seal(b"b" * 32)

    def made(text: str) -> Any:
        return provider_of(config.parse(text, "x", tmp_path, {}), HOME, seal)

    assert made("") is None
    assert made(base + file + groups).name == "SSO"
    for text in (base + groups, base + file, base.replace("https", "http") + file + groups):
        with pytest.raises(ConfigError, match="oidc"):
            made(text)
