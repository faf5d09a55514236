"""The password is asked again before what would outlive a session; tokens follow those who made them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path

import pytest
from httpx2 import AsyncClient, Response
from sqlalchemy import delete

from fleet.core.access import EVERYWHERE, GRANTS, Permission, Role, Scope, may
from fleet.core.records import LogFilter
from fleet.core.staff import PROVEN_LIFE_MS, Account, ApiToken
from fleet.core.token_rights import Standing, common, rights, standing
from fleet.store.tables_staff import staff
from fleet.stores import Stores
from fleet.web import limits
from protocols.offline import step_of, totp
from tests.support.fleet_fakes import Town
from tests.support.staff_town import (
    OTHER,
    PASSWORD,
    SAME,
    member,
    service,
    shift,
    sign_in,
    staff_stores,
    staff_town,
)

TOKEN_FORM = {
    "name": "grafana", "role": "viewer", "stations": "", "partners": "", "days": "7",
    "grants": ["see-orders", "see-cabinets"],
}  # fmt: skip
#: What gives something away that lasts.
ASKING = (
    ("/ops/me/totp", {"code": "123456"}),
    ("/ops/me/codes", {}),
    ("/ops/access/staff", {"name": "wang", "role": "admin"}),
    ("/ops/access/staff/li.na/role", {"role": "admin"}),
    ("/ops/access/staff/li.na/reset", {}),
    ("/ops/access/staff/li.na/on", {}),
    ("/ops/access/tokens", TOKEN_FORM),
    ("/ops/access/tokens/{token}/adopt", {}),
)


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with staff_stores(tmp_path) as opened:
        yield opened


@pytest.fixture
async def town(stores: Stores) -> AsyncIterator[Town]:
    async with staff_town(stores) as running:
        await member(running, "boss", Role.ADMIN)
        await member(running, "li.na", Role.VIEWER)
        yield running


@pytest.fixture
async def client(town: Town) -> AsyncIterator[AsyncClient]:
    """An administrator, whose password was typed a while ago."""
    async with town.client(headers=SAME) as opened:
        await sign_in(opened, "boss")
        shift(town, PROVEN_LIFE_MS)
        yield opened


def again(page: Response) -> tuple[str, dict[str, list[str]]]:
    """Where the form that asks goes to, and what it carries."""
    action = re.search(r'<form class="card form" method="post" action="([^"]+)"', page.text)
    assert action, page.text
    carried: dict[str, list[str]] = {}
    for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', page.text):
        carried.setdefault(name, []).append(unescape(value))
    return action[1], carried


async def test_what_lasts_asks_for_the_password_and_changes_nothing_before(
    town: Town, client: AsyncClient
) -> None:
    made, _ = await service(town).add_token("bot", Role.VIEWER, EVERYWHERE, None, 7, "li.na")
    before = (await service(town).all(), await service(town).tokens())
    for path, form in ASKING:
        asked = await client.post(path.format(token=made.id), data=form)
        assert asked.status_code == 403, path
        assert again(asked)[0] == path.format(token=made.id)
        wrong = await client.post(path.format(token=made.id), data=form | {"proof_password": OTHER})
        assert wrong.status_code == 401, path
        assert 'aria-invalid="true"' in wrong.text
    assert (await client.get("/ops/me/totp")).status_code == 403
    assert (await service(town).all(), await service(town).tokens()) == before


async def test_what_was_typed_goes_on_with_the_password(town: Town, client: AsyncClient) -> None:
    action, carried = again(await client.post("/ops/access/tokens", data=TOKEN_FORM))
    made = await client.post(action, data=carried | {"proof_password": PASSWORD})
    assert "yzt_" in made.text
    (kept,) = await service(town).tokens()
    assert (kept.name, kept.grants) == (
        "grafana",
        frozenset({Permission.SEE_ORDERS, Permission.SEE_CABINETS}),
    )
    # For a while nothing asks any more, and then it does again.
    assert (
        await client.post("/ops/access/staff/li.na/role", data={"role": "operator"})
    ).status_code == 303
    shift(town, PROVEN_LIFE_MS)
    assert (await client.post("/ops/me/codes")).status_code == 403


async def test_a_page_that_asks_is_gone_on_to(client: AsyncClient) -> None:
    action, carried = again(await client.get("/ops/me/totp"))
    assert (action, carried) == ("/ops/me/prove", {"next": ["/ops/me/totp"]})
    wrong = await client.post(action, data=carried | {"proof_password": OTHER})
    action, carried = again(wrong)
    on = await client.post(action, data=carried | {"proof_password": PASSWORD})
    assert on.headers["location"] == "/ops/me/totp"
    assert (await client.get("/ops/me/totp")).status_code == 200
    away = {"next": "https://evil.example/ops"}
    assert (await client.post("/ops/me/prove", data=away)).headers["location"] == "/ops"


async def test_taking_away_is_never_held_up(town: Town, client: AsyncClient) -> None:
    made, _ = await service(town).add_token("bot", Role.VIEWER, EVERYWHERE, None, 7, "li.na")
    off = await client.post("/ops/access/staff/li.na/off")
    assert off.headers["location"] == "/ops/access#tokens", "where the tokens are that rest"
    revoked = await client.post(f"/ops/access/tokens/{made.id}/revoke")
    assert revoked.headers["location"] == "/ops/access"
    assert (await service(town).account("li.na")).off


async def test_a_password_is_not_guessed_by_it(town: Town, client: AsyncClient) -> None:
    for _ in range(limits.PROOFS_PER_ACCOUNT.times_max):
        assert (
            await client.post("/ops/me/codes", data={"proof_password": OTHER})
        ).status_code == 401
    last = await client.post("/ops/me/codes", data={"proof_password": PASSWORD})
    assert last.status_code == 429


async def test_the_second_factor_is_asked_with_it(town: Town, client: AsyncClient) -> None:
    secret = await service(town).offer_totp("boss")
    now = step_of(town.clock.wall_ms())
    first = await service(town).confirm_totp("boss", totp(secret, now))
    assert "proof_code" in (await client.post("/ops/me/codes")).text
    given = {"proof_password": PASSWORD}
    assert (await client.post("/ops/me/codes", data=given)).status_code == 401
    assert "10" in (await client.get("/ops/me")).text
    fresh = await client.post("/ops/me/codes", data=given | {"proof_code": first[0]})
    codes = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", fresh.text)
    assert len(codes) == 10
    assert not set(codes) & set(first)
    await client.post("/ops/logout")
    assert (await sign_in(client, "boss", code=first[1])).status_code == 401, "they have ended"
    assert (await sign_in(client, "boss", code=codes[0])).status_code == 303


async def test_one_who_has_no_password_is_sent_to_sign_in_anew(
    town: Town, client: AsyncClient
) -> None:
    await service(town).add("wang", Role.ADMIN, EVERYWHERE, "boss")
    link = await service(town).sign_in_link("wang")
    async with town.client(headers=SAME) as other:
        await other.get("/ops/login", params={"token": link})
        assert (await other.post("/ops/me/codes")).headers["location"] == "/ops/me?refused=totp-off"
        shift(town, PROVEN_LIFE_MS)
        asked = await other.post("/ops/me/codes")
        assert (asked.status_code, "proof_password" in asked.text) == (403, False)


# --- tokens and those who made them -----------------------------------------------------------------

ORDERS = "/api/v1/cabinets/DH-0001/commands"


async def test_a_token_rests_with_the_account_that_made_it(
    town: Town, client: AsyncClient, stores: Stores
) -> None:
    await member(town, "chen", Role.ADMIN)
    made, text = await service(town).add_token("bot", Role.ADMIN, EVERYWHERE, None, 7, "Chen")
    async with town.client(headers={"Authorization": f"Bearer {text}"}) as program:
        assert (await program.get("/api/v1/audit")).status_code == 200
        await service(town).switch("chen", off=True, by="boss")
        assert (await program.get("/api/v1/audit")).status_code == 401
        shown = (await client.get("/ops/access")).text
        assert "休眠" in shown
        await service(town).switch("chen", off=False, by="boss")
        assert (await program.get("/api/v1/audit")).status_code == 200
        await service(town).change("chen", Role.VIEWER, EVERYWHERE, "boss")
        assert (await program.get("/api/v1/audit")).status_code == 403
        assert (await program.get(ORDERS)).status_code == 200
        assert "收窄" in (await client.get("/ops/access")).text
        await service(town).change("chen", Role.ADMIN, Scope(frozenset({"DRUM"})), "boss")
        assert (await program.get("/api/v1/audit")).status_code == 403
        assert (await program.get(ORDERS)).status_code == 403
        await service(town).switch("chen", off=True, by="boss")
        adopted = await client.post(
            f"/ops/access/tokens/{made.id}/adopt", data={"proof_password": PASSWORD}
        )
        assert adopted.headers["location"] == "/ops/access#tokens"
        assert (await program.get("/api/v1/audit")).status_code == 200
        rows = await stores.audit_log.rows(LogFilter(None, "boss", None, 1))
        assert (rows[0].action, rows[0].reason) == ("token.adopt", "bot: from Chen")
        assert await stores.audit.audit() == []
        # A row that was taken out of the store by hand is nobody's permission.
        async with stores.database.write() as connection:
            await connection.execute(delete(staff).where(staff.c.name == "boss"))
        assert (await program.get("/api/v1/audit")).status_code == 401


async def test_a_token_of_the_machine_is_bound_by_nobody(town: Town) -> None:
    _, text = await service(town).add_token("bot", Role.ADMIN, EVERYWHERE, None, 7, "cli.root")
    who = await service(town).of_token(text)
    assert who is not None
    assert (who.role, who.scope, who.grants) == (Role.ADMIN, EVERYWHERE, None)


async def test_what_is_revoked_is_not_taken_over(town: Town, client: AsyncClient) -> None:
    made, text = await service(town).add_token("bot", Role.ADMIN, EVERYWHERE, None, 7, "li.na")
    await service(town).revoke(made.id, "boss")
    given = {"proof_password": PASSWORD}
    for token in (made.id, "nothing"):
        refused = await client.post(f"/ops/access/tokens/{token}/adopt", data=given)
        assert "refused=not-found" in refused.headers["location"]
    assert await service(town).of_token(text) is None


def _token(role: Role, scope: Scope, grants: frozenset[Permission] | None) -> ApiToken:
    return ApiToken("t", "bot", "yzt_x", role, scope, grants, "boss", 0, 1)


SCOPES = (
    EVERYWHERE,
    Scope(frozenset({"DRUM"})),
    Scope(frozenset({"DRUM", "BELL"})),
    Scope(None, frozenset({"p1"})),
    Scope(frozenset({"BELL"}), frozenset({"p1", "p2"})),
)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("role", Role)
def test_a_token_never_does_what_its_maker_may_not(role: Role, scope: Scope) -> None:
    """And nothing that it was not made for."""
    for own_role in Role:
        for own_scope in SCOPES:
            for grants in (None, frozenset({Permission.SEE_ORDERS, Permission.EDIT_GRID})):
                token = _token(own_role, own_scope, grants)
                maker = Account("m", "boss", role, scope)
                now, made = rights(token, maker), rights(token, None)
                assert now is not None
                assert made is not None
                person = Account("m", "boss", role, scope)
                for permission in Permission:
                    if may(now, permission):
                        assert may(made, permission)
                        assert permission in GRANTS[person.role]
                assert now.scope == common(own_scope, scope) == common(scope, own_scope)
                for mine, both in (
                    (own_scope.stations, now.scope.stations),
                    (scope.stations, now.scope.stations),
                    (own_scope.partners, now.scope.partners),
                    (scope.partners, now.scope.partners),
                ):
                    assert mine is None or (both is not None and both <= mine)
    assert (
        rights(_token(Role.VIEWER, EVERYWHERE, None), Account("m", "b", role, scope, off=True))
        is None
    )


def test_how_much_is_left_of_a_token() -> None:
    token = _token(Role.OPERATOR, EVERYWHERE, None)
    assert standing(token, None) is Standing.WHOLE
    assert standing(token, Account("m", "b", Role.ADMIN)) is Standing.WHOLE
    assert standing(token, Account("m", "b", Role.VIEWER)) is Standing.NARROWED
    assert standing(token, Account("m", "b", Role.ADMIN, SCOPES[1])) is Standing.NARROWED
    assert standing(token, Account("m", "b", Role.ADMIN, off=True)) is Standing.RESTS
