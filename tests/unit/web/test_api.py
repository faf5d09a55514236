"""REST over a real server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient

from fleet.config import FleetConfig, parse
from fleet.errors import ConfigError
from fleet.web.limits import starts_per_rider
from protocols.messages import Step
from tests.support.fleet_fakes import Town

KEY = {"Idempotency-Key": "key-of-one-tap"}
START = {"cabinet_id": "DH-0001", "kind": "swap"}


def error_of(reply: Any) -> str:
    body = reply.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message"}
    assert body["error"]["message"]
    code: str = body["error"]["code"]
    return code


# --- login --------------------------------------------------------------------------------------


async def test_login_by_phone_and_code(town: Town, stranger: AsyncClient) -> None:
    asked = await stranger.post("/api/v1/login/code", json={"phone": "138 0013 8000"})
    assert (asked.status_code, asked.json()) == (202, {"sent": True, "resend_after_s": 60})
    phone, text = town.sms.sent[0]
    assert phone == "+8613800138000"
    assert "123456" in text
    assert (await stranger.get("/api/v1/me")).status_code == 401
    entered = await stranger.post("/api/v1/login", json={"phone": phone, "code": "１２３ ４５６"})
    assert entered.status_code == 200
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "max-age=2592000" in cookie
    assert "secure" not in cookie
    me = (await stranger.get("/api/v1/me")).json()
    assert (me["id"], me["phone_tail"]) == (entered.json()["rider_id"], "8000")
    await stranger.post("/api/v1/logout", json={})
    assert (await stranger.get("/api/v1/me")).status_code == 401


async def test_the_answer_is_the_same_for_known_and_unknown_numbers(
    town: Town, stranger: AsyncClient
) -> None:
    town.riders.add("+8613800138001")
    known = await stranger.post("/api/v1/login/code", json={"phone": "13800138001"})
    unknown = await stranger.post("/api/v1/login/code", json={"phone": "13800138002"})
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    wrong = [
        (await stranger.post("/api/v1/login", json={"phone": phone, "code": "999999"})).content
        for phone in ("13800138001", "13800138002", "13800138003")
    ]
    assert len(set(wrong)) == 1


async def test_five_wrong_tries_kill_a_code(stranger: AsyncClient) -> None:
    await stranger.post("/api/v1/login/code", json={"phone": "13800138000"})
    for _ in range(5):
        reply = await stranger.post(
            "/api/v1/login", json={"phone": "13800138000", "code": "000000"}
        )
        assert (reply.status_code, error_of(reply)) == (422, "code-wrong")
    reply = await stranger.post("/api/v1/login", json={"phone": "13800138000", "code": "123456"})
    assert error_of(reply) == "code-wrong"


async def test_a_code_is_resent_after_a_minute_only(town: Town, stranger: AsyncClient) -> None:
    body = {"phone": "13800138000"}
    assert (await stranger.post("/api/v1/login/code", json=body)).status_code == 202
    again = await stranger.post("/api/v1/login/code", json=body)
    assert (again.status_code, error_of(again)) == (429, "limited")
    assert 55 <= int(again.headers["retry-after"]) <= 60
    town.clock.shift_ms += 60_000
    assert (await stranger.post("/api/v1/login/code", json=body)).status_code == 202


async def test_one_address_gets_so_many_codes(town: Town, stranger: AsyncClient) -> None:
    replies = [
        await stranger.post("/api/v1/login/code", json={"phone": f"138001380{n:02d}"})
        for n in range(21)
    ]
    assert [reply.status_code for reply in replies] == [202] * 20 + [429]
    assert len(town.sms.sent) == 20


async def test_a_code_that_was_not_sent_may_be_asked_again(
    town: Town, stranger: AsyncClient
) -> None:
    town.sms.broken = True
    failed = await stranger.post("/api/v1/login/code", json={"phone": "13800138000"})
    assert (failed.status_code, error_of(failed)) == (500, "sms-failed")
    town.sms.broken = False
    await town.log_in(stranger)


async def test_a_session_ends_after_thirty_days(town: Town, rider: AsyncClient) -> None:
    town.clock.shift_ms += 30 * 86_400_000 - 60_000
    assert (await rider.get("/api/v1/me")).status_code == 200
    town.clock.shift_ms += 120_000
    assert (await rider.get("/api/v1/me")).status_code == 401


# --- swaps --------------------------------------------------------------------------------------


async def test_the_same_key_is_the_same_swap(town: Town, rider: AsyncClient) -> None:
    first = await rider.post("/api/v1/swaps", json=START, headers=KEY)
    second = await rider.post("/api/v1/swaps", json=START, headers=KEY)
    assert first.status_code == second.status_code == 201
    assert first.json() == second.json()
    assert len(town.swaps.views) == 1
    assert first.headers["location"] == f"/api/v1/swaps/{first.json()['id']}"
    assert first.json()["step"] is None


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "short"}, {"Idempotency-Key": "a b c d e f"}])  # fmt: skip
async def test_without_a_key_no_door_opens(
    town: Town, rider: AsyncClient, headers: dict[str, str]
) -> None:
    reply = await rider.post("/api/v1/swaps", json=START, headers=headers)
    assert (reply.status_code, error_of(reply)) == (400, "idempotency-key")
    assert "Idempotency-Key" in reply.json()["error"]["message"]
    assert not town.swaps.views


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"cabinet_id": "DH-9999"}, 404, "not-found"),
        ({"cabinet_id": "DH-0001", "kind": "unload"}, 422, "invalid"),
        ({"cabinet_id": "DH-0001", "kind": "pickup"}, 409, "has-battery"),
        ({}, 422, "invalid"),
        ({"cabinet_id": "D" * 40}, 422, "invalid"),
    ],
)
async def test_what_cannot_start(
    rider: AsyncClient, body: dict[str, str], status: int, code: str
) -> None:
    reply = await rider.post("/api/v1/swaps", json=body, headers=KEY)
    assert (reply.status_code, error_of(reply)) == (status, code)


async def test_taps_are_limited_per_rider(town: Town, rider: AsyncClient) -> None:
    town.swaps.refusal = "busy"
    codes = [
        error_of(
            await rider.post(
                "/api/v1/swaps", json=START, headers={"Idempotency-Key": f"tap-{n:08d}"}
            )
        )
        for n in range(21)
    ]
    assert codes == ["busy"] * 20 + ["limited"]


def test_an_operator_may_set_how_often_a_rider_taps(tmp_path: Path) -> None:
    def parsed(number: str) -> FleetConfig:
        return parse(f"[limits]\nstarts_per_minute = {number}\n", "fleet.toml", tmp_path, {})

    assert parsed("7").limits.starts_per_minute == 7
    assert starts_per_rider(7).times_max == 7
    with pytest.raises(ConfigError, match=r"fleet\.toml:2: limits\.starts_per_minute is 0"):
        parsed("0")


async def test_a_swap_is_its_riders_and_the_operators_only(
    town: Town, rider: AsyncClient, stranger: AsyncClient, operator: AsyncClient
) -> None:
    swap = (await rider.post("/api/v1/swaps", json=START, headers=KEY)).json()
    path = f"/api/v1/swaps/{swap['id']}"
    assert (await rider.get(path)).json() == swap
    assert (await operator.get(path)).json() == swap
    for url in (path, f"{path}/stream", f"/s/{swap['id']}"):
        assert (await stranger.get(url)).status_code in (303, 401)
    await town.log_in(stranger, "+8613900139000")
    for url in (path, f"{path}/stream", f"/s/{swap['id']}"):
        assert (await stranger.get(url)).status_code == 403
    for action in ("resume", "cancel"):
        reply = await stranger.post(f"{path}/{action}", json={}, headers=KEY)
        assert (reply.status_code, error_of(reply)) == (403, "denied")
    assert not town.swaps.resumed
    assert (await rider.get("/api/v1/swaps/01JDUNKNOWN")).status_code == 404


async def test_since_spares_what_is_known(town: Town, rider: AsyncClient) -> None:
    swap = (await rider.post("/api/v1/swaps", json=START, headers=KEY)).json()
    town.swaps.move(swap["id"], Step.AWAIT_RETURN, slot_in=10)
    path = f"/api/v1/swaps/{swap['id']}"
    assert (await rider.get(path, params={"since": 20})).json()["step"] == "await-return"
    assert (await rider.get(path, params={"since": 30})).status_code == 204


async def test_a_door_is_reopened_once_per_key(town: Town, rider: AsyncClient) -> None:
    swap = (await rider.post("/api/v1/swaps", json=START, headers=KEY)).json()
    path = f"/api/v1/swaps/{swap['id']}/resume"
    assert (await rider.post(path, json={})).status_code == 400
    for key in ("resume-0001", "resume-0001", "resume-0002"):
        reply = await rider.post(path, json={}, headers={"Idempotency-Key": key})
        assert reply.status_code == 200
    assert len(town.swaps.resumed) == 2
    town.swaps.refusal = "offline"
    refused = await rider.post(path, json={}, headers={"Idempotency-Key": "resume-0003"})
    assert error_of(refused) == "offline"
    town.swaps.refusal = None
    await rider.post(path, json={}, headers={"Idempotency-Key": "resume-0003"})
    assert len(town.swaps.resumed) == 3, "a refused try must not use up its key"


async def test_cancel_and_history(town: Town, rider: AsyncClient) -> None:
    swap = (await rider.post("/api/v1/swaps", json=START, headers=KEY)).json()
    reply = await rider.post(f"/api/v1/swaps/{swap['id']}/cancel", json={})
    assert (reply.json()["step"], reply.json()["reason"]) == ("cancelled", "rider")
    mine = (await rider.get("/api/v1/swaps")).json()
    assert [each["id"] for each in mine] == [swap["id"]]


# --- cabinets -----------------------------------------------------------------------------------


async def test_serials_are_for_operators(stranger: AsyncClient, operator: AsyncClient) -> None:
    public = (await stranger.get("/api/v1/cabinets/DH-0001")).json()
    full = (await operator.get("/api/v1/cabinets/DH-0001")).json()
    assert (public["full"], public["online"], len(public["slots"])) == (4, True, 12)
    assert {slot["serial"] for slot in public["slots"]} == {None}
    assert full["slots"][0]["serial"] == "YZ48-000001"
    listed = (await stranger.get("/api/v1/cabinets")).json()
    assert listed == [public]
    assert (await stranger.get("/api/v1/cabinets?after=DH-0001")).json() == []
    assert (await stranger.get("/api/v1/cabinets?limit=501")).status_code == 422
    missing = await stranger.get("/api/v1/cabinets/NOPE")
    assert (missing.status_code, error_of(missing)) == (404, "not-found")


@pytest.mark.parametrize(
    "path",
    ["/api/v1/cabinets/stream", "/api/v1/ops/map", "/api/v1/ops/map/stream", "/api/v1/ops/day", "/api/v1/ops/cabinets?ids=DH-0001", "/api/v1/ops/cabinets/stream?ids=DH-0001", "/api/v1/cabinets/DH-0001?view=ops", "/api/v1/cabinets/DH-0001/stream?view=ops"],
)  # fmt: skip
async def test_operators_views_are_closed(stranger: AsyncClient, path: str) -> None:
    reply = await stranger.get(path)
    assert (reply.status_code, error_of(reply)) == (401, "login-required")


# --- errors and documents -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/v1/nothing", 404, "not-found"),
        ("DELETE", "/api/v1/cabinets", 405, "method-not-allowed"),
        ("GET", "/api/v1/swaps?limit=0", 422, "invalid"),
        ("GET", "/api/v1/swaps", 401, "login-required"),
    ],
)
async def test_errors_have_one_shape(
    stranger: AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    reply = await stranger.request(method, path, headers=headers)
    assert (reply.status_code, error_of(reply)) == (status, code)


async def test_a_malformed_body_is_named(rider: AsyncClient) -> None:
    headers = {**KEY, "Content-Type": "application/json"}
    reply = await rider.post("/api/v1/swaps", content=b"{", headers=headers)
    assert (reply.status_code, error_of(reply)) == (422, "invalid")


async def test_openapi_names_every_path_and_the_key(stranger: AsyncClient) -> None:
    document = (await stranger.get("/api/v1/openapi.json")).json()
    assert set(document["paths"]) == {
        "/api/v1/login/code",
        "/api/v1/login",
        "/api/v1/logout",
        "/api/v1/me",
        "/api/v1/me/offline",
        "/api/v1/cabinets",
        "/api/v1/cabinets/stream",
        "/api/v1/cabinets/{cabinet_id}",
        "/api/v1/cabinets/{cabinet_id}/stream",
        "/api/v1/swaps",
        "/api/v1/swaps/{swap_id}",
        "/api/v1/swaps/{swap_id}/stream",
        "/api/v1/swaps/{swap_id}/resume",
        "/api/v1/swaps/{swap_id}/cancel",
        "/api/v1/swaps/{swap_id}/give-back",
        "/api/v1/cabinets/{cabinet_id}/reservation",
        "/api/v1/audit",
        "/api/v1/balance/curve",
        "/api/v1/balance/moves",
        "/api/v1/balance/what-if",
        "/api/v1/grid",
        "/api/v1/grid/feeders",
        "/api/v1/grid/regions",
        "/api/v1/grid/versions",
        "/api/v1/grid/versions/{version}",
        "/api/v1/grid/versions/{version}/withdraw",
        "/api/v1/stations",
        "/api/v1/commands/{command_id}",
        "/api/v1/partner",
        "/api/v1/partner/sessions",
        "/api/v1/partner/swaps",
        "/api/v1/partner/riders/{subject}/plan",
        "/api/v1/commands/{command_id}/stream",
        "/api/v1/cabinets/{cabinet_id}/commands",
        "/api/v1/cabinets/{cabinet_id}/settings",
        "/api/v1/cabinets/{cabinet_id}/asks",
        "/api/v1/cabinets/{cabinet_id}/asks/{ask_id}/admit",
        "/api/v1/rollouts",
        "/api/v1/rollouts/{rollout_id}",
        "/api/v1/rollouts/{rollout_id}/stream",
        "/api/v1/cabinets/{cabinet_id}/load",
        "/api/v1/cabinets/{cabinet_id}/unload",
    }
    for path in ("/api/v1/swaps", "/api/v1/swaps/{swap_id}/resume"):
        names = [each["name"] for each in document["paths"][path]["post"]["parameters"]]
        assert "Idempotency-Key" in names
    references = {
        each.split('"')[0] for each in json.dumps(document).split("#/components/schemas/")[1:]
    }
    assert references <= set(document["components"]["schemas"])
    assert {"SwapView", "CabinetView", "RiderView", "OfflinePass", "Error"} <= references
