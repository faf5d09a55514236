"""Partners' links, plans, receipts and a rider's own data, as pages and API."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient
from msgspec.structs import replace

from fleet.core.account_views import ChargeView
from fleet.web.pages import BRAND_COOKIE
from protocols.messages import Kind, Step
from tests.support.fleet_fakes import Town, cabinet, serving
from tests.support.fleet_fakes_members import API_TOKEN, FakeMembership, plan
from tests.unit.web.conftest import PHONE

SAME = {"Sec-Fetch-Site": "same-origin"}
BEARER = {"Authorization": f"Bearer {API_TOKEN}"}


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    fakes = Town()
    fakes.membership = FakeMembership(fakes.riders, fakes.clock)
    fakes.cabinets.put(cabinet())
    async with serving(fakes) as running:
        yield running


def link(town: Town, **claims: object) -> str:
    return str(town.membership.platform.link(town.clock.wall_ms() // 1_000, **claims))


def charge(state: str, amount_minor: int = 350) -> ChargeView:
    return ChargeView(
        swap_id="s",
        rider_id="r",
        plan_id="single",
        amount_minor=amount_minor,
        currency="CNY",
        state=state,
        created_ms=0,
        cabinet_id="DH-0001",
        kind="swap",
        name_zh="单次",
        name_en="Single",
    )


async def test_a_partners_link_logs_in_once_and_leaves_the_address(
    town: Town, stranger: AsyncClient
) -> None:
    path = f"/c/DH-0001?pt={link(town)}"
    reply = await stranger.get(path)
    assert (reply.status_code, reply.headers["location"]) == (303, "/c/DH-0001")
    assert reply.headers["referrer-policy"] == "no-referrer"
    page = (await stranger.get("/c/DH-0001")).text
    assert "do-pickup" in page
    assert "× 美团" in page
    assert 'fill="#ffd000"' in page
    assert 'href="tel:10109777"><span>打给美团 <span class="tel">10109777' in page, (
        "its own help line"
    )
    async with town.client() as thief:
        again = await thief.get(path)
        assert again.status_code == 403
        assert "已用过" in again.text
        assert "do-pickup" not in (await thief.get("/c/DH-0001")).text
    await stranger.post("/logout", headers=SAME)
    assert "美团" not in (await stranger.get("/c/DH-0001")).text


async def test_a_partners_link_to_the_first_page_works_the_same(
    town: Town, stranger: AsyncClient
) -> None:
    path = f"/?pt={link(town)}"
    reply = await stranger.get(path)
    assert (reply.status_code, reply.headers["location"]) == (303, "/")
    assert "× 美团" in (await stranger.get("/")).text
    assert (await stranger.get(path)).status_code == 403
    assert (await stranger.get("/?pt=rubbish")).status_code == 403


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"exp": 1, "iat": 0}, "已过期"),
        ({"aud": "https://elsewhere.example"}, "无效"),
        ({"sub": "a b"}, "无效"),
    ],
)
async def test_a_bad_link_says_so_and_lets_nobody_in(
    town: Town, stranger: AsyncClient, claims: dict[str, object], text: str
) -> None:
    reply = await stranger.get(f"/c/DH-0001?pt={link(town, **claims)}")
    assert reply.status_code == 403
    assert text in reply.text
    assert "重新进入" in reply.text
    assert "set-cookie" not in reply.headers
    assert (await stranger.get("/c/DH-0001?pt=rubbish")).status_code == 403
    assert (await stranger.get("/api/v1/me")).status_code == 401


async def test_a_brand_that_was_tampered_with_is_none(stranger: AsyncClient) -> None:
    for value in ("zz", "5b5d", b'{"name":1}'.hex(), "7b" * 600):
        stranger.cookies.set(BRAND_COOKIE, value)
        assert (await stranger.get("/")).status_code == 200
    evil = b'{"name":"<i>x","colour":"red;x","phone":""}'.hex()
    stranger.cookies.set(BRAND_COOKIE, evil)
    page = (await stranger.get("/")).text
    assert "<i>x" not in page
    assert "red;x" not in page


async def test_a_used_up_plan_says_so_and_still_takes_batteries_back(
    town: Town, rider: AsyncClient
) -> None:
    town.membership.plan = plan(used=60, left=0, refusal="quota-exhausted")
    page = (await rider.get("/c/DH-0001")).text
    assert "次数已用完" in page
    assert 'id="do-swap" form="go" name="kind" value="swap" disabled' in page
    assert 'value="return" disabled' not in page
    assert 'id="reserve"' not in page
    assert 'id="my-plan" href="/me#plan"' in page, "where it says until when"
    account = (await rider.get("/me")).text
    assert "60 次，共 60 次" in account
    assert "¥299.00" in account
    assert "Monthly 60" in (await rider.get("/me?lang=en")).text


async def test_what_a_battery_did_not_tell_is_said_not_to_be_known(
    town: Town, rider: AsyncClient
) -> None:
    assert "满电 23.5 安时 · 循环 312 次" in (await rider.get("/me")).text
    town.membership.told = {}
    page = (await rider.get("/me")).text
    assert page.count("<dd>未知") == 2, "neither its charge nor its health"


async def test_a_receipt_tells_the_charge_of_both_batteries(town: Town, rider: AsyncClient) -> None:
    swap = await town.swaps.start(
        rider_id=town.riders.phones[PHONE],
        cabinet_id="DH-0001",
        kind=Kind.SWAP,
        idempotency_key="k" * 12,
    )
    given = town.movement(1, "YZ48-000077", f"rider:{swap.rider_id}", "slot:DH-0001:3")
    taken = town.movement(2, "YZ48-000001", "slot:DH-0001:1", f"rider:{swap.rider_id}")
    told = (replace(given, swap_id=swap.id, soc_pct=12), replace(taken, swap_id=swap.id))
    town.swaps.move(swap.id, Step.COMPLETED, movements=told)
    page = (await rider.get(f"/s/{swap.id}")).text
    assert "3 号仓 · 电量 12%" in page
    assert "1 号仓 · 电量未知" in page


async def test_the_account_tells_of_the_battery(town: Town, rider: AsyncClient) -> None:
    page = (await rider.get("/me")).text
    for text in ("YZ48-000077", "97%", "1.15 kWh", "累计借出 31 次"):
        assert text in page


@pytest.mark.parametrize(
    ("state", "step", "text"),
    [
        ("void", Step.FAULTED, "不收费、不计次"),
        ("charged", Step.COMPLETED, "¥3.50"),
    ],
)
async def test_a_receipt_tells_what_it_cost(
    town: Town, rider: AsyncClient, state: str, step: Step, text: str
) -> None:
    reply = await rider.post(
        "/api/v1/swaps", json={"cabinet_id": "DH-0001"}, headers={"Idempotency-Key": "k" * 8}
    )
    swap_id = reply.json()["id"]
    town.membership.charges[swap_id] = charge(state)
    holder = f"rider:{town.riders.phones[PHONE]}"
    moved = (town.movement(1, "YZ48-000002", "slot:DH-0001:2", holder),)
    town.swaps.move(swap_id, step, movements=moved if state == "charged" else ())
    assert text in (await rider.get(f"/s/{swap_id}")).text


async def test_older_swaps_are_one_tap_away(town: Town, rider: AsyncClient) -> None:
    for number in range(25):
        swap = await town.swaps.start(
            rider_id=town.riders.phones[PHONE],
            cabinet_id="DH-0001",
            kind=Kind.SWAP,
            idempotency_key=f"key-{number:08}",
        )
        town.swaps.move(swap.id, Step.CANCELLED, reason="rider")
    short, whole = [(await rider.get(path)).text for path in ("/me", "/me?all=1")]
    assert (short.count('href="/s/'), whole.count('href="/s/')) == (20, 25)
    assert 'href="/me?all=1#history"' in short
    assert 'id="older"' not in whole


async def test_my_data_can_be_taken_along_and_forgotten(town: Town, rider: AsyncClient) -> None:
    assert "/me/data.json" in (await rider.get("/me/data")).text
    file = await rider.get("/me/data.json")
    assert "attachment" in file.headers["content-disposition"]
    assert file.json()["phone_tail"] == "8000"
    refused = await rider.post("/me/delete", headers=SAME)
    assert refused.headers["location"] == "/me/data?refused=holds-battery"
    assert "还有电池" in (await rider.get(refused.headers["location"])).text
    rider_id = town.riders.phones[PHONE]
    town.riders.give(rider_id)
    done = await rider.post("/me/delete", headers=SAME)
    assert (done.status_code, town.membership.forgotten) == (303, [rider_id])
    assert (await rider.get("/api/v1/me")).status_code == 401


async def test_strangers_and_other_sites_get_nothing(town: Town, rider: AsyncClient) -> None:
    async with town.client() as stranger:
        for path in ("/me", "/me/data", "/me/data.json"):
            assert (await stranger.get(path)).status_code == 303
        assert (await stranger.post("/me/delete", headers=SAME)).status_code == 401
    foreign = await rider.post("/me/delete", headers={"Sec-Fetch-Site": "cross-site"})
    assert foreign.status_code == 403
    assert town.membership.forgotten == []


async def test_a_partner_asks_by_its_token(town: Town, stranger: AsyncClient) -> None:
    assert (await stranger.get("/api/v1/partner")).status_code == 401
    wrong = {"Authorization": "Bearer swp_live_no"}
    assert (await stranger.get("/api/v1/partner", headers=wrong)).status_code == 403
    found = (await stranger.get("/api/v1/partner", headers=BEARER)).json()
    assert (found["id"], found["used_day"], found["quota_day"]) == ("meituan", 3, 100)
    town.membership.charges["s"] = charge("void")
    for path in ("swaps", "sessions"):  # more than a database holds
        beyond = await stranger.get(f"/api/v1/partner/{path}?since_ms={10**30}", headers=BEARER)
        assert beyond.status_code == 422
    rows = (await stranger.get("/api/v1/partner/swaps?limit=5", headers=BEARER)).json()
    assert [row["state"] for row in rows] == ["void"]
    assert (await stranger.get("/api/v1/partner/sessions")).status_code == 401
    assert (await stranger.get("/api/v1/partner/sessions", headers=BEARER)).json() == []
    path = "/api/v1/partner/riders/courier-7/plan"
    reply = await stranger.put(path, json={"until_ms": 5}, headers=BEARER)
    assert reply.json() == {"subject": "courier-7", "until_ms": 5}
    assert (await stranger.put(path, json={"until_ms": -5}, headers=BEARER)).status_code == 422
    assert town.membership.set == [("courier-7", 5)]


async def test_where_no_plans_are_kept_there_are_no_such_pages(town: Town) -> None:
    bare = Town()
    bare.cabinets.put(cabinet())
    async with serving(bare) as running, running.client() as client:
        await running.log_in(client)
        assert (await client.get("/me")).status_code == 200
        assert (await client.get("/me/data")).status_code == 404
        assert (await client.get("/api/v1/partner", headers=BEARER)).status_code == 404
        assert (await client.get("/c/DH-0001?pt=x.y.z")).status_code == 404
