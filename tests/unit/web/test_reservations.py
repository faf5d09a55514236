"""A full battery kept for a rider on the way, and the own one back: pages without a script, and REST."""

from __future__ import annotations

import pytest
from httpx2 import AsyncClient

from fleet.core.views import AskedView
from protocols.messages import Step
from tests.support.fleet_fakes import Town
from tests.unit.web.conftest import PHONE
from tests.unit.web.test_pages import key_of, submit

AT = "/api/v1/cabinets/DH-0001/reservation"
KEY = {"Idempotency-Key": "key-of-one-tap"}


def rider_id(town: Town) -> str:
    return town.riders.phones[PHONE]


async def test_a_battery_is_kept_by_a_form(town: Town, rider: AsyncClient) -> None:
    page = (await rider.get("/c/DH-0001")).text
    assert 'formaction="/c/DH-0001/reserve"' in page
    asked = await submit(rider, "/c/DH-0001/reserve")
    assert asked.headers["location"] == "/c/DH-0001"
    assert "正在请电柜留电池" in (await rider.get("/c/DH-0001")).text
    town.reservations.answer(rider_id(town), "held", slot=4)
    page = (await rider.get("/c/DH-0001")).text
    for text in ("4 号仓的满电电池已为你留好", "10:00", 'data-left="600"', 'id="release"'):
        assert text in page
    town.cabinets.change("DH-0001", full=0)
    page = (await rider.get("/c/DH-0001")).text
    assert 'value="swap">' in page, "the kept one is there for its rider"
    released = await submit(rider, "/c/DH-0001/release")
    assert released.headers["location"] == "/c/DH-0001"
    page = (await rider.get("/c/DH-0001")).text
    assert 'value="swap" disabled' in page
    assert 'id="reserve"' not in page, "nothing to keep"
    again = await submit(rider, "/c/DH-0001/release")
    assert again.headers["location"] == "/c/DH-0001?refused=no-reservation"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("no-shows", "已达 3 次"),
        ("reserved-elsewhere", "另一台电柜"),
        ("no-full-battery", "没有充满"),
    ],
)
async def test_why_not(town: Town, rider: AsyncClient, code: str, text: str) -> None:
    town.reservations.refusal = code
    asked = await submit(rider, "/c/DH-0001/reserve")
    assert asked.headers["location"] == f"/c/DH-0001?refused={code}"
    assert text in (await rider.get(asked.headers["location"])).text


async def test_what_the_cabinet_refused_is_told(town: Town, rider: AsyncClient) -> None:
    await submit(rider, "/c/DH-0001/reserve")
    town.reservations.answer(rider_id(town), "refused", reason="last-full-battery")
    assert "最后几块满电电池" in (await rider.get("/c/DH-0001")).text
    town.clock.shift_ms += 61_000
    assert "最后几块满电电池" not in (await rider.get("/c/DH-0001")).text


async def test_strangers_log_in_first(stranger: AsyncClient) -> None:
    assert "/reserve" not in (await stranger.get("/c/DH-0001")).text
    asked = await submit(stranger, "/c/DH-0001/reserve")
    assert asked.headers["location"].startswith("/login?")
    for method in ("GET", "POST", "DELETE"):
        headers = {"Content-Type": "application/json"}
        assert (await stranger.request(method, AT, headers=headers)).status_code == 401


async def test_reservations_over_rest(town: Town, rider: AsyncClient) -> None:
    missing = await rider.get(AT)
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "no-reservation")
    json = {"Content-Type": "application/json"}
    made = await rider.post(AT, headers=json)
    assert (made.status_code, made.json()["left_s"]) == (201, 600)
    assert (await rider.post(AT, json={"minutes": 30})).json() == made.json(), "one per rider"
    assert (await rider.get(AT)).json()["state"] == "asked"
    assert (await rider.delete(AT, headers=json)).json()["state"] == "released"
    for minutes in (0, 31, "x"):
        assert (await rider.post(AT, json={"minutes": minutes})).status_code == 422
    town.reservations.refusal = "no-shows"
    refused = await rider.post(AT, headers=json)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "no-shows")


async def test_the_own_battery_back_by_a_form(town: Town, rider: AsyncClient) -> None:
    tap = await submit(rider, "/c/DH-0001/swap", kind="swap", key="key-of-one-tap")
    swap_id = tap.headers["location"].removeprefix("/s/")
    me = f"rider:{rider_id(town)}"
    town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10)
    assert "give-back" not in (await rider.get(f"/s/{swap_id}")).text, "nothing is in yet"
    given = town.movement(1, "YZ48-000077", me, "slot:DH-0001:10")
    town.swaps.move(swap_id, Step.AWAIT_PICKUP, slot_in=10, slot_out=2, movements=(given,))
    page = (await rider.get(f"/s/{swap_id}")).text
    assert 'id="give-back"' in page
    taps = [await submit(rider, f"/s/{swap_id}/give-back", key=key_of(page)) for _ in range(2)]
    assert {each.headers["location"] for each in taps} == {f"/s/{swap_id}"}
    assert town.swaps.given_back == [swap_id], "one tap is one order"
    page = (await rider.get(f"/s/{swap_id}")).text
    assert "请先关好 2 号仓门" in page
    assert 'id="give-back"' not in page
    town.swaps.move(
        swap_id, Step.AWAIT_PICKUP, detail="giving-back", reason="own-battery", asked=None
    )
    page = (await rider.get(f"/s/{swap_id}")).text
    assert "请从 10 号仓取回你的电池" in page
    back = town.movement(2, "YZ48-000077", "slot:DH-0001:10", me)
    town.swaps.move(
        swap_id, Step.CANCELLED, reason="own-battery", movements=(given, back), detail=""
    )
    page = (await rider.get(f"/s/{swap_id}")).text
    for text in ("你取回了自己的电池", "没有换电", 'id="back"'):
        assert text in page
    assert "You have your own battery back" in (await rider.get(f"/s/{swap_id}?lang=en")).text


async def test_a_refused_wish_is_told_on_the_page(town: Town, rider: AsyncClient) -> None:
    tap = await submit(rider, "/c/DH-0001/swap", kind="swap", key="key-of-one-tap")
    swap_id = tap.headers["location"].removeprefix("/s/")
    asked = AskedView(type="swap.resume", outcome="refused", reason="door-not-shut")
    town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10, asked=asked)
    assert "仓门还开着" in (await rider.get(f"/s/{swap_id}")).text


async def test_the_own_battery_back_over_rest(town: Town, rider: AsyncClient) -> None:
    body = {"cabinet_id": "DH-0001"}
    swap = (await rider.post("/api/v1/swaps", json=body, headers=KEY)).json()["id"]
    path = f"/api/v1/swaps/{swap}/give-back"
    keyless = await rider.post(path, json={})
    assert keyless.json()["error"]["code"] == "idempotency-key"
    town.swaps.refusal = "nothing-returned"
    refused = await rider.post(path, json={}, headers=KEY)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "nothing-returned")
    town.swaps.refusal = None
    assert (await rider.post(path, json={}, headers=KEY)).status_code == 200
    assert town.swaps.given_back == [swap]
