"""Pages and REST of orders to a whole cabinet, of quarantine, and of roll-outs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient
from msgspec.structs import replace

from fleet.core.access import Role, Scope, Who
from fleet.core.rollout_model import Member, Phase
from fleet.core.templates import Settings
from fleet.core.two_person import Ask
from protocols.messages import Door, Status
from tests.support.fleet_fakes import Town

AT = "/ops/cabinets/DH-0001"
API = "/api/v1/cabinets/DH-0001"
REASON = {"reason": "water in the street"}
KEY = {"Idempotency-Key": "key-of-one-tap"}


LI = Who("S1", "li", Role.ADMIN)


@pytest.fixture
async def operator(town: Town) -> AsyncIterator[AsyncClient]:
    """Somebody with an account, signed in."""
    cookies = {"yz_ops": town.staff.seat(LI)}
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with town.client(headers=headers, cookies=cookies) as client:
        yield client


def asked(town: Town, person: str = "S9", cabinet: str = "DH-0001") -> Ask:
    """What a colleague has asked for."""
    now_ms = town.clock.wall_ms()
    ask = Ask(
        id="ask-9",
        cabinet_id=cabinet,
        type="cabinet.open-all",
        reason="water in the street",
        asked_by=person,
        asked_name="zhang",
        asked_ms=now_ms,
        expires_ms=now_ms + 600_000,
    )
    town.asks.asks[ask.id] = ask
    return ask


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_restart_by_the_page(town: Town, operator: AsyncClient, language: str) -> None:
    form = await operator.get(f"{AT}/orders", params={"lang": language})
    assert form.status_code == 200, form.text
    key = re.search(r'name="key" value="([^"]+-r)"', form.text)
    assert key is not None
    body = {"key": key[1], "staff": "li", "what": "cabinet.restart", **REASON}
    given = await operator.post(f"{AT}/orders", data=body)
    assert given.status_code == 303
    target = given.headers["location"]
    order_id = target.rpartition("/")[2]
    assert town.operations.views[order_id].type == "cabinet.restart"
    town.operations.answer(order_id, "done", evidence="boot b2 after b1")
    shown = await operator.get(target)
    assert "boot b2 after b1" in shown.text
    bad = await operator.post(f"{AT}/orders", data=body | {"reason": "x", "key": "another-key"})
    assert (bad.status_code, 'id="restart-reason-wrong"' in bad.text) == (422, True)


async def test_opening_all_needs_somebody_else(town: Town, operator: AsyncClient) -> None:
    body = {"key": "key-of-one-tap", **REASON}
    assert (await operator.post(f"{AT}/asks", data=body)).status_code == 303
    (ask,) = town.asks.asks.values()
    assert ask.asked_by == "S1", "from the session, whatever a form says"
    page = (await operator.get(f"{AT}/orders")).text
    assert "admit" not in re.findall(rf'action="[^"]*{ask.id}/(\w+)"', page)
    mine = await operator.post(f"{AT}/asks/{ask.id}/admit")
    assert mine.headers["location"] == f"{AT}/orders?refused=same-person"
    assert (await operator.get(mine.headers["location"])).status_code == 200
    assert town.operations.views == {}, "nothing was ordered"
    theirs = asked(town)
    page = (await operator.get(f"{AT}/orders")).text
    assert f"{theirs.id}/admit" in page
    admitted = await operator.post(f"{AT}/asks/{theirs.id}/admit")
    (order,) = town.operations.views.values()
    assert admitted.headers["location"] == f"/ops/orders/{order.id}"
    again = await operator.post(f"{AT}/asks/{theirs.id}/admit")
    assert "ask-over" in again.headers["location"]
    assert len(town.operations.views) == 1


async def test_the_overview_calls_the_second_person(town: Town, operator: AsyncClient) -> None:
    ask = asked(town)
    link = f'href="{AT}/orders#ask-{ask.id}"'
    assert link in (await operator.get("/ops")).text
    elsewhere = Who("S5", "wu", Role.ADMIN, Scope(stations=frozenset({"ST-9"})))
    async with town.client(cookies={"yz_ops": town.staff.seat(elsewhere)}) as bound:
        assert link not in (await bound.get("/ops")).text
    town.clock.shift_ms += 600_000
    assert link not in (await operator.get("/ops")).text, "its time is over"


async def test_a_shared_seat_and_a_program_are_nobody(town: Town, operator: AsyncClient) -> None:
    asked(town)
    shared = Who("seat", "seat", Role.ADMIN, shared=True)
    cookies = {"yz_ops": town.staff.seat(shared)}
    town.staff.programs["yzt_good"] = Who("T1", "robot", Role.ADMIN)
    bearer = {"Authorization": "Bearer yzt_good", "Sec-Fetch-Site": "none"}
    here = {"Sec-Fetch-Site": "same-origin"}
    for given in ({"cookies": cookies, "headers": here}, {"headers": bearer}):
        async with town.client(**given) as client:
            for path, body in (("asks", REASON), ("asks/ask-9/admit", None)):
                reply = await client.post(f"{API}/{path}", json=body, headers=KEY)
                assert (reply.status_code, reply.json()["error"]["code"]) == (409, "not-a-person")
    async with town.client(cookies=cookies, headers=here) as client:
        reply = await client.post(f"{AT}/asks/ask-9/admit")
        assert "not-a-person" in reply.headers["location"]
        assert (await client.get(f"{AT}/orders")).text.count('id="staff"') == 1
    assert town.operations.views == {}
    assert len(town.asks.asks) == 1


async def test_nobody_opens_all_alone_by_the_form_of_orders(
    town: Town, operator: AsyncClient
) -> None:
    body = {"key": "key-of-one-tap", "staff": "li", "what": "cabinet.open-all", **REASON}
    reply = await operator.post(f"{AT}/orders", data=body)
    assert reply.status_code == 422
    order = {"type": "cabinet.open-all", "staff": "li", **REASON}
    assert (await operator.post(f"{API}/commands", json=order, headers=KEY)).status_code == 422
    assert town.operations.views == {}


async def test_an_ask_of_another_cabinet_is_not_found_here(
    town: Town, operator: AsyncClient
) -> None:
    town.cabinets.put(replace(town.cabinets.views["DH-0001"], id="DH-0002"))
    ask = asked(town, cabinet="DH-0002")
    for what in ("admit", "withdraw"):
        assert (await operator.post(f"{AT}/asks/{ask.id}/{what}")).status_code == 404
    assert (await operator.post(f"{API}/asks/{ask.id}/admit")).status_code == 404
    assert town.operations.views == {}


async def test_asks_over_rest(town: Town, operator: AsyncClient) -> None:
    reply = await operator.post(f"{API}/asks", json=REASON, headers=KEY)
    assert reply.status_code == 201, reply.text
    mine = reply.json()["id"]
    reply = await operator.post(f"{API}/asks/{mine}/admit")
    assert (reply.status_code, reply.json()["error"]["code"]) == (409, "same-person")
    asked(town)
    reply = await operator.post(f"{API}/asks/ask-9/admit")
    assert reply.json()["command_id"] in town.operations.views
    assert [each["id"] for each in (await operator.get(f"{API}/asks")).json()] == [mine, "ask-9"]


async def test_an_order_shows_what_the_sensors_see(town: Town, operator: AsyncClient) -> None:
    asked(town)
    await operator.post(f"{AT}/asks/ask-9/admit")
    (order,) = town.operations.views.values()
    url = f"/api/v1/commands/{order.id}?view=page&lang=en"
    shut = (await operator.get(url)).json()["parts"]["order"]
    slots = town.cabinets.views["DH-0001"].slots
    first = replace(slots[0], door=Door.OPEN)
    town.cabinets.change("DH-0001", slots=(first, *slots[1:]))
    seen = (await operator.get(url)).json()["parts"]["order"]
    assert seen["v"] != shut["v"]
    assert seen["html"].count("Slot ") == 12


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_battery_in_quarantine(town: Town, operator: AsyncClient, language: str) -> None:
    url = "/ops/batteries/YZ48-000001/quarantine"
    assert (await operator.get(url, params={"lang": language})).status_code == 200
    await operator.post(url, data={"what": "put", "reason": "swollen case"})
    assert list(town.quarantines.packs) == ["YZ48-000001"]
    assert "swollen case" in (await operator.get(url)).text
    twice = await operator.post(url, data={"what": "put", "reason": "swollen case"})
    assert (twice.status_code, 'value="swollen case"' in twice.text) == (409, True)
    await operator.post(url, data={"what": "release", "reason": "was looked at"})
    assert town.quarantines.packs == {}
    assert (await operator.get("/ops/batteries/NONE/quarantine")).status_code == 404


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_rollout_by_the_pages(town: Town, operator: AsyncClient, language: str) -> None:
    assert (await operator.get("/ops/rollouts", params={"lang": language})).status_code == 200
    bad = {"model": "yz12", "breaker_w": "3000", "set.target_soc_pct": "20"}
    reply = await operator.post("/ops/rollouts/templates", data=bad, params={"lang": language})
    assert reply.status_code == 422
    assert 'id="s-target_soc_pct-wrong"' in reply.text
    assert "充到" in reply.text if language == "zh" else "up to" in reply.text
    good = bad | {
        "set.target_soc_pct": "90",
        "set.offer_soc_pct": "60",
        "set.kiosk_note_zh": "今晚两点 停电",
        "set.remind_s": "",
        "set.power_max_w": "800",
        "own.power_max_w": "on",
        "cabinets": "DH-0001, DH-0002",
    }
    assert (await operator.post("/ops/rollouts/templates", data=good)).status_code == 303
    assert town.rollouts.models["yz12"].settings == {
        "power_max_w": None,
        "target_soc_pct": 90,
        "offer_soc_pct": 60,
        "kiosk_note_zh": "今晚两点 停电",
    }
    filled = (await operator.get("/ops/rollouts?model=yz12")).text
    assert 'value="今晚两点 停电"' in filled
    none = await operator.post(
        "/ops/rollouts/templates", data={"model": "yz12", "breaker_w": "3000"}
    )
    assert none.status_code == 422
    assert "settings: expected at least one" in none.text
    assert town.rollouts.cabinets["yz12"] == ("DH-0001", "DH-0002")
    new = {"model": "yz12", "stages": "0,100", "soak_min": "5", "reason": "summer targets"}
    wrong = await operator.post("/ops/rollouts", data=new | {"stages": "0;100"})
    assert (wrong.status_code, 'value="0;100"' in wrong.text) == (422, True)
    begun = await operator.post("/ops/rollouts", data=new)
    url = begun.headers["location"]
    assert url == "/ops/rollouts/rollout-1"
    shown = (await operator.get(url)).text
    assert "target_soc_pct=90" in shown
    view = town.rollouts.views["rollout-1"]
    member = Member(stage=0, version=17, sent_ms=1, online=False)
    town.rollouts.put(replace(view, members={"DH-0001": member}))
    document = (await operator.get("/api/v1/rollouts/rollout-1?view=page")).json()
    assert "17" in document["parts"]["rollout"]["html"]
    assert document["settled"] is False
    reply = await operator.post(url, data={"signal": "abort", "reason": "noise at night"})
    assert reply.status_code == 303
    assert town.rollouts.views["rollout-1"].phase is Phase.ROLLING_BACK
    reply = await operator.post(url, data={"signal": "resume", "reason": "noise at night"})
    assert reply.status_code == 409
    assert (await operator.post(url, data={"signal": "boom", "reason": "x" * 9})).status_code == 422


async def test_a_rollout_over_rest(town: Town, operator: AsyncClient) -> None:
    await town.rollouts.keep_template(
        model="yz12", breaker_w=3_000, settings={"target_soc_pct": 90}, name="li"
    )
    body = {"model": "yz12", "reason": "summer targets", "soak_s": 60}
    reply = await operator.post("/api/v1/rollouts", json=body)
    assert (reply.status_code, reply.headers["location"]) == (201, "/api/v1/rollouts/rollout-1")
    told = {"signal": "pause", "reason": "fair in the street"}
    reply = await operator.post("/api/v1/rollouts/rollout-1", json=told)
    assert reply.json()["phase"] == "paused"
    assert [each["id"] for each in (await operator.get("/api/v1/rollouts")).json()] == ["rollout-1"]


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ((0, {}, ""), "own"),
        ((7, {"target_soc_pct": 90, "air_trip_c": 55}, ""), "in-step"),
        ((6, {"target_soc_pct": 100, "air_trip_c": 60}, ""), "waits"),
        ((7, {"target_soc_pct": 90, "air_trip_c": 58}, ""), "drifted"),
        ((6, {"target_soc_pct": 100, "air_trip_c": 60}, "air_trip_c 55: is no good"), "refused"),
        ((7, {}, ""), "untold"),
        ((None, {}, ""), "untold"),
    ],
)
async def test_wished_and_actual_stand_side_by_side(
    town: Town,
    operator: AsyncClient,
    told: tuple[int | None, dict[str, int], str],
    state: str,
) -> None:
    version, values, fault = told
    if version != 0:
        town.rollouts.wished["DH-0001"] = Settings(7, {"target_soc_pct": 90, "air_trip_c": 55})
    if version is not None:
        town.rollouts.told["DH-0001"] = Status(
            online=True,
            session=1,
            boot_id="b",
            epoch=1,
            software="x",
            config_version=version,
            config_refused=7 if fault else 0,
            config_fault=fault,
            settings={**values},
        )
    view = (await operator.get(f"{API}/settings")).json()
    assert view["state"] == state
    rows = {each["name"]: (each["wished"], each["actual"]) for each in view["settings"]}
    assert rows["air_trip_c"] == (55 if version != 0 else None, values.get("air_trip_c"))
    for language, differs in (("zh", "不一致"), ("en", "differs")):
        shown = await operator.get(f"{AT}/settings", params={"lang": language})
        assert shown.status_code == 200, shown.text
        assert (f"{differs}</span>" in shown.text) == (state not in {"own", "in-step"})
        assert fault in shown.text
        cabinet = (await operator.get(AT, params={"lang": language})).text
        assert f'href="{AT}/settings"' in cabinet
        assert fault in cabinet
        assert ('class="note bad"' in cabinet) == (state in {"refused", "drifted"})


async def test_strangers_see_and_do_nothing(town: Town) -> None:
    asked(town)
    async with town.client() as stranger:
        for url in ("/api/v1/rollouts", f"{API}/asks"):
            assert (await stranger.get(url)).status_code == 401
        for url in (f"{API}/asks/ask-9/admit", f"{AT}/asks/ask-9/admit"):
            assert (await stranger.post(url)).status_code in {303, 401, 403}
    assert town.operations.views == {}
