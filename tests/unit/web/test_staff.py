"""Accounts of staff on the pages, over a real store: in, out, second factor, links, tokens."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from httpx2 import AsyncClient
from starlette.requests import HTTPConnection

from fleet.core.access import EVERYWHERE, Permission, Role, Scope
from fleet.core.records import LogFilter
from fleet.core.staff import (
    LINK_LIFE_MS,
    SESSION_LIFE_MS,
    LinkFor,
    totp_step,
)
from fleet.store.tables_staff import api_token, staff, staff_link, staff_recovery, staff_session
from fleet.stores import Stores
from fleet.web import limits
from fleet.web.sessions import address
from protocols.offline import step_of, totp
from tests.support.fleet_fakes import Town
from tests.support.staff_town import (
    OTHER,
    PASSWORD,
    SAME,
    join,
    member,
    service,
    shift,
    sign_in,
    staff_stores,
    staff_town,
)


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with staff_stores(tmp_path) as opened:
        yield opened


@pytest.fixture
async def town(stores: Stores) -> AsyncIterator[Town]:
    async with staff_town(stores) as running:
        yield running


@pytest.fixture
async def client(town: Town) -> AsyncIterator[AsyncClient]:
    async with town.client(headers=SAME) as opened:
        yield opened


async def test_the_first_administrator_comes_by_a_link_that_works_once(
    town: Town, client: AsyncClient
) -> None:
    link = await service(town).first_link()
    assert link is not None
    looked = await client.get("/ops/login", params={"token": link})
    assert looked.headers["location"].startswith("/ops/join?token=")
    assert (await client.get(looked.headers["location"])).status_code == 200
    weak = {"token": link, "name": "li.na", "password": "li.na-12345", "again": "li.na-12345"}
    assert "太弱" in (await client.post("/ops/join", data=weak)).text
    assert (await join(client, link)).headers["location"] == "/ops/me"
    assert (await client.get("/ops/access")).status_code == 200
    assert "li.na" in (await client.get("/ops/me")).text
    async with town.client(headers=SAME) as second:
        assert (await second.get("/ops/join", params={"token": link})).status_code == 403
        assert (await join(second, link, "mallory")).status_code == 403
        assert (await second.get("/ops")).status_code == 401
    assert await service(town).first_link() is None


async def test_a_first_link_outlives_a_name_that_is_taken(town: Town, client: AsyncClient) -> None:
    """Nobody can come in any more: the link is the only way back."""
    await member(town, "li.na", Role.ADMIN)
    await service(town).reset("li.na", "test")
    link = await service(town).first_link()
    assert link is not None
    taken = await join(client, link, "Li.Na")
    assert taken.status_code == 422
    assert "已经有同名账号" in taken.text
    assert (await join(client, link, "zhang.wei")).headers["location"] == "/ops/me"


async def test_a_newer_first_link_ends_the_older_and_each_expires(
    town: Town, client: AsyncClient
) -> None:
    older = await service(town).first_link()
    newer = await service(town).first_link()
    assert older
    assert newer
    assert (await join(client, older)).status_code == 403
    shift(town, LINK_LIFE_MS[LinkFor.FIRST])
    assert (await join(client, newer)).status_code == 403
    assert await service(town).all() == []


async def test_in_and_out(town: Town, client: AsyncClient) -> None:
    await member(town, "zhang.wei", Role.TECHNICIAN)
    asked = await client.get("/ops/audit?cabinet=DH-0001")
    assert asked.status_code == 401
    assert 'name="next" value="/ops/audit?cabinet=DH-0001"' in asked.text
    for name, password in (("zhang.wei", OTHER), ("nobody", PASSWORD), ("", ""), ("zhang.wei", "")):
        wrong = await sign_in(client, name, password)
        assert wrong.status_code == 401
        assert "账号、密码或验证码不对" in wrong.text
        assert "set-cookie" not in wrong.headers
    given = {"name": "Zhang.Wei", "password": PASSWORD, "next": "/ops/audit"}
    right = await client.post("/ops/login", data=given)
    assert (right.status_code, right.headers["location"]) == (303, "/ops/audit")
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert (await client.get("/ops")).status_code == 200
    assert (await client.get("/ops/access")).status_code == 403
    token = client.cookies["yz_ops"]
    await client.post("/ops/logout")
    async with town.client(headers=SAME, cookies={"yz_ops": token}) as thief:
        assert (await thief.get("/ops")).status_code == 401


@pytest.mark.parametrize(
    "onwards", ["//evil.example", "https://evil.example/ops", "/ops/logout", "/\\evil"]
)
async def test_nobody_is_led_elsewhere_after_signing_in(
    town: Town, client: AsyncClient, onwards: str
) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    given = {"name": "zhang.wei", "password": PASSWORD, "next": onwards}
    assert (await client.post("/ops/login", data=given)).headers["location"] == "/ops"


async def test_a_session_ends_by_itself_and_with_the_account(
    town: Town, client: AsyncClient
) -> None:
    await member(town, "boss", Role.ADMIN)
    await member(town, "zhang.wei", Role.VIEWER)
    await sign_in(client, "zhang.wei")
    assert (await client.get("/ops")).status_code == 200
    shift(town, SESSION_LIFE_MS)
    assert (await client.get("/ops")).status_code == 401
    await sign_in(client, "zhang.wei")
    await service(town).switch("zhang.wei", off=True, by="boss")
    assert (await client.get("/ops")).status_code == 401
    assert (await sign_in(client, "zhang.wei")).status_code == 401
    await service(town).switch("zhang.wei", off=False, by="boss")
    assert (await sign_in(client, "zhang.wei")).status_code == 303


async def test_a_role_counts_from_the_next_request(town: Town, client: AsyncClient) -> None:
    await member(town, "boss", Role.ADMIN)
    await member(town, "zhang.wei", Role.ADMIN)
    await sign_in(client, "zhang.wei")
    assert (await client.get("/ops/access")).status_code == 200
    await service(town).change("zhang.wei", Role.VIEWER, EVERYWHERE, "boss")
    assert (await client.get("/ops/access")).status_code == 403


async def test_the_second_factor(town: Town, client: AsyncClient) -> None:
    await member(town, "zhang.wei", Role.OPERATOR)
    await sign_in(client, "zhang.wei")
    shown = (await client.get("/ops/me/totp")).text
    secret = await service(town).offer_totp("zhang.wei")
    assert "<svg" in shown
    step = step_of(town.clock.wall_ms())
    wrong = await client.post("/ops/me/totp", data={"code": f"{int(totp(secret, step)) ^ 1:06d}"})
    assert wrong.status_code == 422
    codes = (await client.post("/ops/me/totp", data={"code": totp(secret, step)})).text
    recovery = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", codes)
    assert len(recovery) == 10
    await client.post("/ops/logout")
    assert (await sign_in(client, "zhang.wei")).status_code == 401
    assert (await sign_in(client, "zhang.wei", code=totp(secret, step))).status_code == 401  # used
    assert (await sign_in(client, "zhang.wei", OTHER, totp(secret, step + 1))).status_code == 401
    assert (await sign_in(client, "zhang.wei", code=totp(secret, step + 1))).status_code == 303
    await client.post("/ops/logout")
    typed = recovery[0].upper().replace("-", " ")
    assert (await sign_in(client, "zhang.wei", code=typed)).status_code == 303
    await client.post("/ops/logout")
    assert (await sign_in(client, "zhang.wei", code=recovery[0])).status_code == 401
    town.app.state.web.staff_throttle.__init__()
    assert (await sign_in(client, "zhang.wei", code=recovery[1])).status_code == 303
    for password, code in ((OTHER, recovery[2]), (PASSWORD, ""), (PASSWORD, recovery[1])):
        given = {"password": password, "code": code}
        refused = await client.post("/ops/me/totp/off", data=given)
        assert "refused=sign-in" in refused.headers["location"], given
    given = {"password": PASSWORD, "code": recovery[2]}
    assert (await client.post("/ops/me/totp/off", data=given)).headers["location"] == "/ops/me"
    assert (await sign_in(client, "zhang.wei")).status_code == 303


def test_totp_by_the_table_of_rfc_6238() -> None:
    """Appendix B, SHA-1, the last six of its eight digits."""
    secret = b"12345678901234567890"
    for seconds, code in ((59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")):
        step = seconds // 30
        assert totp_step(secret, code, seconds * 1_000, -1) == step
        assert totp_step(secret, f" {code[:3]} {code[3:]} ", seconds * 1_000, step - 1) == step
        assert totp_step(secret, code, seconds * 1_000, step) is None, "a code works once"
        assert totp_step(secret, code, (seconds + 90) * 1_000, -1) is None
    for typed in ("", "28708", "2870822", "２８７０８２", "28708a"):
        assert totp_step(secret, typed, 59_000, -1) is None


async def test_a_password_is_changed_and_all_sessions_end(town: Town, client: AsyncClient) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    async with town.client(headers=SAME) as other:
        await sign_in(other, "zhang.wei")
        await sign_in(client, "zhang.wei")
        wrong = {"old": OTHER, "password": OTHER, "again": OTHER}
        assert (
            "refused=sign-in"
            in (await client.post("/ops/me/password", data=wrong)).headers["location"]
        )
        differs = {"old": PASSWORD, "password": OTHER, "again": PASSWORD}
        reply = await client.post("/ops/me/password", data=differs)
        assert "refused=password-differs" in reply.headers["location"]
        right = {"old": PASSWORD, "password": OTHER, "again": OTHER}
        reply = await client.post("/ops/me/password", data=right)
        assert reply.headers["location"] == "/ops/login"
        assert (await other.get("/ops")).status_code == 401
    assert (await sign_in(client, "zhang.wei")).status_code == 401
    assert (await sign_in(client, "zhang.wei", OTHER)).status_code == 303


async def test_one_ends_a_session_of_ones_own_and_of_nobody_else(
    town: Town, client: AsyncClient
) -> None:
    await member(town, "zhang.wei", Role.VIEWER)
    await member(town, "li.na", Role.VIEWER)
    async with town.client(headers=SAME) as mine, town.client(headers=SAME) as theirs:
        await sign_in(mine, "zhang.wei")
        await sign_in(theirs, "li.na")
        await sign_in(client, "zhang.wei")
        found = re.findall(r"/ops/me/sessions/(\w+)/end", (await client.get("/ops/me")).text)
        assert len(found) == 1, "one other session, and not this one"
        foreign = (await service(town).sessions((await service(town).account("li.na")).id))[0].id
        for each in (*found, foreign):
            await client.post(f"/ops/me/sessions/{each}/end")
        assert (await mine.get("/ops")).status_code == 401
        assert (await theirs.get("/ops")).status_code == 200
        assert (await client.get("/ops")).status_code == 200


async def test_an_administrator_manages_accounts(town: Town, client: AsyncClient) -> None:
    await member(town, "boss", Role.ADMIN)
    await sign_in(client, "boss")
    given = {"name": "li.na", "role": "technician", "stations": "DRUM, BELL", "partners": ""}
    shown = (await client.post("/ops/access/staff", data=given)).text
    link = re.search(r"/ops/join\?token=([\w-]+)", shown)
    assert link
    account = await service(town).account("li.na")
    assert account.scope == Scope(stations=frozenset({"DRUM", "BELL"}))
    async with town.client(headers=SAME) as other:
        assert (await join(other, link[1])).status_code == 303
        assert (await other.get("/ops")).status_code == 200
        again = await client.post("/ops/access/staff/li.na/reset")
        assert "/ops/join?token=" in again.text
        assert (await other.get("/ops")).status_code == 401
    for path, values, code in (
        ("/staff", given, "name-taken"),
        ("/staff", given | {"name": "LI.NA"}, "name-taken"),
        ("/staff", given | {"name": "a b"}, "staff-invalid"),
        ("/staff/boss/role", {"role": "viewer"}, "last-admin"),
        ("/staff/boss/role", {"role": "admin", "stations": "DRUM"}, "last-admin"),
        ("/staff/boss/off", {}, "last-admin"),
    ):
        refused = await client.post(f"/ops/access{path}", data=values)
        if path != "/staff":
            assert f"refused={code}" in refused.headers["location"], path
            continue
        assert refused.status_code == 422
        assert 'aria-invalid="true" autofocus' in refused.text, code
        assert 'value="DRUM, BELL"' in refused.text, "what was typed is still there"
    assert (await service(town).account("boss")).role is Role.ADMIN
    assert not (await service(town).account("boss")).off


async def test_an_api_token(town: Town, client: AsyncClient) -> None:
    await member(town, "boss", Role.ADMIN)
    await sign_in(client, "boss")
    given = {
        "name": "grafana",
        "role": "operator",
        "days": "7",
        "grants": ["see-orders", "edit-grid"],
    }
    shown = (await client.post("/ops/access/tokens", data=given)).text
    token = re.search(r"yzt_[\w-]{40,}", shown)
    assert token
    bearer = {"Authorization": f"Bearer {token[0]}"}
    async with town.client(headers=bearer) as program:
        orders = "/api/v1/cabinets/DH-0001/commands"
        assert (await program.get(orders)).status_code == 200
        assert (await program.get("/api/v1/audit")).status_code == 403  # not granted
        assert (await program.get("/api/v1/balance/curve")).status_code == 403
        assert (await program.get("/ops")).status_code == 401  # pages take no tokens
        listed = (await client.get("/ops/access")).text
        assert token[0] not in listed
        assert token[0][:10] in listed
        kept = (await service(town).tokens())[0]
        assert kept.used_ms == town.clock.wall_ms() or kept.used_ms is not None
        shift(town, 7 * 86_400_000)
        assert (await program.get(orders)).status_code == 401
        shift(town, -7 * 86_400_000)
        assert (await program.get(orders)).status_code == 200
        await client.post(f"/ops/access/tokens/{kept.id}/revoke")
        assert (await program.get(orders)).status_code == 401


async def test_a_programs_calls_are_bounded(town: Town, client: AsyncClient) -> None:
    _, text = await service(town).add_token("bot", Role.VIEWER, EVERYWHERE, None, 1, "test")
    web = town.app.state.web
    who = await service(town).of_token(text)
    assert who is not None
    for _ in range(limits.TOKEN_CALLS.times_max):
        web.throttle.spend(limits.TOKEN_CALLS, who.id, web.clock.monotonic_ms())
    reply = await client.get("/api/v1/audit", headers={"Authorization": f"Bearer {text}"})
    assert reply.status_code == 429


async def test_nothing_that_opens_a_door_is_in_the_store(
    town: Town, client: AsyncClient, stores: Stores
) -> None:
    link = await service(town).add("li.na", Role.OPERATOR, EVERYWHERE, "test")
    await join(client, link)
    secret = await service(town).offer_totp("li.na")
    codes = await service(town).confirm_totp("li.na", totp(secret, step_of(town.clock.wall_ms())))
    grants = frozenset({Permission.SEE_ORDERS})
    _, text = await service(town).add_token("bot", Role.VIEWER, EVERYWHERE, grants, 1, "test")
    reset = await service(town).reset("li.na", "test")
    session = client.cookies["yz_ops"]
    kept = ""
    async with stores.database.read() as connection:
        for table in (staff, staff_link, staff_session, staff_recovery, api_token):
            kept += repr((await connection.execute(table.select())).all())
    for opens in (PASSWORD, link, session, text, reset, secret.hex(), repr(secret), *codes):
        assert opens not in kept


async def test_changes_of_access_stand_in_the_log_which_holds(town: Town, stores: Stores) -> None:
    await member(town, "boss", Role.ADMIN)
    await service(town).add("li.na", Role.VIEWER, EVERYWHERE, "boss")
    await service(town).change("li.na", Role.OPERATOR, Scope(frozenset({"DRUM"})), "boss")
    await service(town).switch("li.na", off=True, by="boss")
    made, _ = await service(town).add_token("bot", Role.VIEWER, EVERYWHERE, None, 1, "boss")
    await service(town).revoke(made.id, "boss")
    rows = await stores.audit_log.rows(LogFilter(None, "boss", None, 100))
    assert [row.action for row in rows][:5] == [
        "token.revoke", "token.add", "staff.disable", "staff.role", "staff.add",
    ]  # fmt: skip
    assert rows[3].reason == "operator; stations DRUM"
    assert await stores.audit.audit() == []


# --- as somebody would who wants in -----------------------------------------------------------------


async def test_signing_in_is_not_done_for_one_by_another_site(town: Town) -> None:
    """Else one would work, unknowing, in the account of whoever made that site."""
    await member(town, "mallory", Role.ADMIN)
    link = await service(town).add("trent", Role.OPERATOR, EVERYWHERE, "test")
    mine = {"name": "mallory", "password": PASSWORD, "code": ""}
    joined = {"token": link, "name": "trent", "password": PASSWORD, "again": PASSWORD}
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        async with town.client(headers=headers) as led:
            for path, data in (("/ops/login", mine), ("/ops/join", joined), ("/ops/logout", {})):
                reply = await led.post(path, data=data)
                assert (reply.status_code, "set-cookie" in reply.headers) == (403, False), path
    assert await service(town).link(link) is not None


async def test_a_session_that_was_put_into_the_browser_is_not_taken_up(
    town: Town, client: AsyncClient
) -> None:
    await member(town, "li.na", Role.ADMIN)
    client.cookies.set("yz_ops", "put-there-by-somebody")
    own = (await sign_in(client, "li.na")).cookies["yz_ops"]
    assert own != "put-there-by-somebody"
    async with town.client(cookies={"yz_ops": "put-there-by-somebody"}) as other:
        assert (await other.get("/ops")).status_code == 401


async def test_signing_in_again_ends_the_session_that_the_browser_had(
    town: Town, client: AsyncClient
) -> None:
    await member(town, "li.na", Role.ADMIN)
    older = (await sign_in(client, "li.na")).cookies["yz_ops"]
    newer = (await sign_in(client, "li.na")).cookies["yz_ops"]
    for token, status in ((older, 401), (newer, 200)):
        async with town.client(cookies={"yz_ops": token}) as other:
            assert (await other.get("/ops")).status_code == status


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_of_ipv6_the_network_is_the_caller(host: str, known: str) -> None:
    connection = HTTPConnection({"type": "http", "client": (host, 1), "headers": []})
    assert address(connection) == known


async def test_no_token_passes_for_a_person_and_no_person_for_a_token(
    town: Town, client: AsyncClient
) -> None:
    """Both act under their name in the log of orders."""
    await member(town, "boss", Role.ADMIN)
    await sign_in(client, "boss")
    form = {"name": "Boss", "role": "viewer", "days": "1"}
    refused = await client.post("/ops/access/tokens", data=form)
    assert (refused.status_code, 'id="token-name-wrong"' in refused.text) == (422, True)
    await service(town).add_token("Grafana", Role.VIEWER, EVERYWHERE, None, 1, "boss")
    refused = await client.post("/ops/access/staff", data={"name": "grafana", "role": "viewer"})
    assert (refused.status_code, 'id="new-name-wrong"' in refused.text) == (422, True)


@pytest.mark.parametrize("name", ["li\x00na", "li\nna", "x" * 300, "\u202eil", ""])
async def test_odd_names_are_just_wrong(town: Town, client: AsyncClient, name: str) -> None:
    await member(town, "li.na", Role.ADMIN)
    assert (await sign_in(client, name)).status_code == 401
