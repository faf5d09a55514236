"""Orders of operators: over REST, and by the pages without a script."""

from __future__ import annotations

import re
from typing import Any

import pytest
from httpx2 import AsyncClient

from fleet.core.access import ORDER_NEEDS, Role, Who, may
from protocols.messages import Kind, Presence, Step
from tests.support.fleet_fakes import Town
from tests.unit.web.test_pages import key_of, submit

OPEN: dict[str, Any] = {
    "type": "slot.open",
    "staff": "zhang.wei",
    "reason": "pack is stuck",
    "slot": 1,
    "expect": {"presence": "present", "serial": "YZ48-000001"},
}
KEY = {"Idempotency-Key": "key-of-one-tap"}
AT = "/api/v1/cabinets/DH-0001"


async def test_an_order_over_rest(town: Town, operator: AsyncClient) -> None:
    first = await operator.post(f"{AT}/commands", json=OPEN, headers=KEY)
    assert first.status_code == 201, first.text
    order = first.json()
    assert order["outcome"] == "ordered"
    assert first.headers["location"] == f"/api/v1/commands/{order['id']}"
    again = await operator.post(f"{AT}/commands", json=OPEN, headers=KEY)
    assert again.json()["id"] == order["id"]
    town.operations.answer(order["id"], "refused", result="precondition", evidence="slot 1")
    seen = (await operator.get(f"/api/v1/commands/{order['id']}")).json()
    assert (seen["outcome"], seen["result"]) == ("refused", "precondition")
    listed = (await operator.get(f"{AT}/commands")).json()
    assert [each["id"] for each in listed] == [order["id"]]
    log = (await operator.get("/api/v1/audit", params={"cabinet": "DH-0001"})).json()
    assert [row["outcome"] for row in log] == ["refused", "ordered"]
    assert (await operator.get("/api/v1/audit", params={"staff": "li"})).json() == []


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"reason": "why"}, 422, "invalid"),
        ({"expect": None}, 422, "invalid"),
        ({"staff": "a b"}, 422, "staff-invalid"),
        ({"slot": 13}, 422, "invalid"),
        ({"type": "swap.start"}, 422, "invalid"),
    ],
)
async def test_a_bad_order_is_refused(
    operator: AsyncClient, changes: dict[str, Any], status: int, code: str
) -> None:
    reply = await operator.post(f"{AT}/commands", json=OPEN | changes, headers=KEY)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)


async def test_orders_are_for_operators_with_a_key(
    operator: AsyncClient, rider: AsyncClient
) -> None:
    assert (await operator.post(f"{AT}/commands", json=OPEN)).json()["error"]["code"] == (
        "idempotency-key"
    )
    for path, body in (
        (f"{AT}/commands", OPEN),
        (f"{AT}/load", {"technician": "x"}),
        (f"{AT}/unload", {"technician": "x", "slot": 1}),
    ):
        assert (await rider.post(path, json=body, headers=KEY)).status_code == 401
        foreign = {**KEY, "Sec-Fetch-Site": "cross-site"}
        assert (await operator.post(path, json=body, headers=foreign)).status_code == 403
    for path in (f"{AT}/commands", "/api/v1/audit", "/api/v1/commands/op-1"):
        assert (await rider.get(path)).status_code == 401
    for path in ("/ops/cabinets/DH-0001/slots/1", "/ops/audit", "/ops/orders/op-1"):
        assert (await rider.get(path)).status_code == 401


async def test_load_and_unload_over_rest(town: Town, operator: AsyncClient) -> None:
    reply = await operator.post(
        f"{AT}/unload",
        json={"technician": "zhang", "slot": 1, "expect": OPEN["expect"]},
        headers=KEY,
    )
    assert reply.status_code == 201, reply.text
    asked = town.swaps.served[0]
    assert (asked["kind"], asked["technician"], asked["slot"]) == (Kind.UNLOAD, "zhang", 1)
    assert asked["expected"].serial == "YZ48-000001"
    assert asked["reason"] == "unload by zhang"
    swap = reply.json()["id"]
    again = await operator.post(
        f"/api/v1/swaps/{swap}/resume", json={}, headers={"Idempotency-Key": "another-key"}
    )
    assert again.status_code == 200, "an operator acts for the technician"
    assert town.swaps.resumed == [swap]


async def test_an_operator_can_not_act_for_a_rider(
    town: Town, operator: AsyncClient, rider: AsyncClient
) -> None:
    swap = (
        await rider.post(
            "/api/v1/swaps",
            json={"cabinet_id": "DH-0001"},
            headers={"Idempotency-Key": "tap-tap-1"},
        )
    ).json()["id"]
    reply = await operator.post(
        f"/api/v1/swaps/{swap}/resume", json={}, headers={"Idempotency-Key": "another-key"}
    )
    assert reply.status_code == 401
    assert town.swaps.resumed == []


# --- pages --------------------------------------------------------------------------------------


async def test_a_door_is_opened_by_a_form(town: Town, operator: AsyncClient) -> None:
    detail = (await operator.get("/ops/cabinets/DH-0001")).text
    assert 'href="/ops/cabinets/DH-0001/slots/9"' in detail
    page = (await operator.get("/ops/cabinets/DH-0001/slots/9")).text
    for text in ("YZ48-000009", "55 %", "故障", "电芯过热", 'value="slot.open"', 'name="reason"'):
        assert text in page
    form = {"slot": "9", "presence": "present", "serial": "YZ48-000009", "staff": "zhang.wei"}
    path = "/ops/cabinets/DH-0001/orders"
    short = await submit(operator, path, what="slot.open", key=key_of(page), reason="x", **form)
    assert short.status_code == 422
    assert "请写明原因" in short.text
    taps = [
        await submit(
            operator, path, what="slot.open", key=key_of(page), reason="电池卡住了", **form
        )
        for _ in range(2)
    ]
    assert len({tap.headers["location"] for tap in taps}) == len(town.operations.views) == 1
    order_url = taps[0].headers["location"]
    page = (await operator.get(order_url)).text
    for text in ("已下单", "zhang.wei", "电池卡住了", "YZ48-000009", "data-live", "http-equiv"):
        assert text in page
    order_id = order_url.rpartition("/")[2]
    town.operations.answer(order_id, "failed", result="no-reply")
    page = (await operator.get(order_url)).text
    assert "没能完成" in page
    assert "锁没有应答" in page
    assert "data-live" not in page
    log = (await operator.get("/ops/audit")).text
    assert log.count("打开仓门") >= 2
    assert "没有符合的记录" in (await operator.get("/ops/audit?staff=li")).text
    page = (await operator.get("/ops/cabinets/DH-0001/slots/9")).text
    assert 'value="zhang.wei"' in page, "the next form knows who it is"


@pytest.mark.parametrize("role", list(Role))
async def test_a_form_offers_what_its_reader_may_order_and_in_his_own_name(
    town: Town, role: Role
) -> None:
    cookies = {"yz_ops": town.staff.seat(Who("S7", "wang", role))}
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with town.client(headers=headers, cookies=cookies) as client:
        for path in ("/slots/9", "/slots/10", "/orders", "/alarms/smoke"):
            page = (await client.get(f"/ops/cabinets/DH-0001{path}")).text
            offered = set(re.findall(r'name="what" value="([^"]+)"', page))
            assert all(may(Who("S7", "wang", role), ORDER_NEEDS[each]) for each in offered), path
            alarm_only = path.startswith("/alarms")
            able = {Role.TECHNICIAN, Role.ADMIN} | (set() if alarm_only else {Role.OPERATOR})
            assert bool(offered) is (role in able), path
            assert 'id="staff"' not in page, "nobody with an account types a name"
            assert ("wang" in page) or not offered
        town.cabinets.change("DH-0001", online=False)
        page = (await client.get("/ops/cabinets/DH-0001/slots/9?lang=en")).text
        assert "no connection now" in page, "said before the reason is typed, not after"


async def test_what_was_shown_is_what_is_sent(town: Town, operator: AsyncClient) -> None:
    page = (await operator.get("/ops/cabinets/DH-0001/slots/10")).text
    assert 'name="presence" value="absent"' in page
    assert 'name="serial" value=""' in page
    assert 'value="load"' in page
    assert 'value="unload"' not in page
    await submit(
        operator,
        "/ops/cabinets/DH-0001/orders",
        what="load",
        key=key_of(page),
        reason="refill after noon",
        staff="li",
        slot="10",
        presence="absent",
        serial="",
    )
    asked = town.swaps.served[0]
    assert (asked["kind"], asked["slot"], asked["technician"]) == (Kind.LOAD, 10, "li")
    assert asked["expected"].presence is Presence.ABSENT
    assert asked["expected"].serial is None


async def test_a_technicians_work_in_words(town: Town, operator: AsyncClient) -> None:
    swap = await town.swaps.serve(kind=Kind.UNLOAD, cabinet_id="DH-0001", technician="li")
    town.swaps.move(swap.id, Step.AWAIT_PICKUP, slot_out=3)
    page = (await operator.get(f"/s/{swap.id}")).text
    assert "从 3 号仓取出电池" in page
    assert 'id="reopen"' in page
    moved = (town.movement(1, "P3", "slot:DH-0001:3", "transit:li"),)
    town.swaps.move(swap.id, Step.COMPLETED, movements=moved)
    page = (await operator.get(f"/s/{swap.id}")).text
    for text in ("电池已取出", "P3", 'href="/ops/cabinets/DH-0001"'):
        assert text in page
    english = (await operator.get(f"/s/{swap.id}?lang=en")).text
    assert "Pack unloaded" in english


async def test_an_alarm_is_cleared_with_a_reason(town: Town, operator: AsyncClient) -> None:
    town.cabinets.change("DH-0001", alarms=("smoke",))
    detail = (await operator.get("/ops/cabinets/DH-0001")).text
    assert 'href="/ops/cabinets/DH-0001/alarms/smoke"' in detail
    page = (await operator.get("/ops/cabinets/DH-0001/alarms/smoke")).text
    assert '<option value="smoke">' in page
    assert 'value="slot.open"' not in page
    given = await submit(
        operator,
        "/ops/cabinets/DH-0001/orders",
        what="alarm.clear",
        code="smoke",
        key=key_of(page),
        staff="li",
        reason="false alarm, aired",
    )
    (view,) = town.operations.views.values()
    assert (view.type, view.code, view.slot) == ("alarm.clear", "smoke", None)
    assert given.headers["location"] == f"/ops/orders/{view.id}"


async def test_what_is_not_there_is_not_found(operator: AsyncClient) -> None:
    for path in (
        "/ops/cabinets/DH-0001/slots/0",
        "/ops/cabinets/DH-0001/slots/13",
        "/ops/cabinets/DH-9999/slots/1",
        "/ops/orders/op-1",
    ):
        assert (await operator.get(path)).status_code == 404, path


async def test_the_last_word_is_streamed(town: Town, operator: AsyncClient) -> None:
    order = (await operator.post(f"{AT}/commands", json=OPEN, headers=KEY)).json()
    seen: list[str] = []
    async with operator.stream("GET", f"/api/v1/commands/{order['id']}/stream") as reply:
        async for line in reply.aiter_lines():
            found = re.search(r'"outcome":"([a-z]+)"', line)
            if found is None:
                continue
            seen.append(found[1])
            if seen == ["ordered"]:
                town.operations.answer(order["id"], "accepted")
            elif seen[-1] == "accepted":
                town.operations.answer(order["id"], "done")
            elif seen[-1] == "done":
                break
    assert seen == ["ordered", "accepted", "done"]
