"""A forged, expired, cross-site or under-privileged request never moves a door.

Under-privileged, forged and without anything: ``test_access_table``, by the routes. Orders that were
forged on the way to a cabinet: ``tests/system/test_command_abuse.py``. Here: what was good once. Each
way to a door that there is, of riders and of staff, by page and by program, is tried with a session
or token that has ended, from another site, and last as it should be, which moves something.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from httpx2 import AsyncClient

from fleet.core.access import EVERYWHERE, Role
from fleet.core.login import SESSION_LIFE_MS as RIDER_SESSION_LIFE_MS
from fleet.core.staff import SESSION_LIFE_MS
from protocols.messages import Step
from tests.support.routes import ways_of, whole_app
from tests.support.whole_town import WholeTown, whole_town

PHONE: Final = "+8613800138009"
SAME: Final = {"Sec-Fetch-Site": "same-origin"}
ELSEWHERE: Final = ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"})
REASON: Final = "pack is stuck"
SEEN: Final = {"presence": "present", "serial": "YZ48-000001"}
AT: Final = "/api/v1/cabinets/DH-0001"
DAY_MS: Final = 86_400_000

Try = tuple[str, dict[str, Any]]
#: Ways of the staff. The same key again would be the same order, so each try has its own.
STAFFS: Final[dict[str, Callable[[str], Try]]] = {
    "/api/v1/cabinets/{cabinet_id}/commands": lambda key: (
        f"{AT}/commands",
        {"json": {"type": "slot.open", "staff": "li", "slot": 1, "reason": REASON, "expect": SEEN}, "headers": {"Idempotency-Key": key}},
    ),
    "/api/v1/cabinets/{cabinet_id}/load": lambda key: (
        f"{AT}/load", {"json": {"technician": "li", "slot": 10, "reason": REASON}, "headers": {"Idempotency-Key": key}},
    ),
    "/api/v1/cabinets/{cabinet_id}/unload": lambda key: (
        f"{AT}/unload", {"json": {"technician": "li", "slot": 1, "reason": REASON}, "headers": {"Idempotency-Key": key}},
    ),
    "/ops/cabinets/{cabinet_id}/orders": lambda key: (
        "/ops/cabinets/DH-0001/orders",
        {"data": {"what": "slot.open", "key": key, "staff": "li", "slot": 1, "reason": REASON, **SEEN}},
    ),
}  # fmt: skip
#: These need a person, so no token.
PERSONS: Final[dict[str, Callable[[str], Try]]] = {
    "/ops/cabinets/{cabinet_id}/asks": lambda key: (
        "/ops/cabinets/DH-0001/asks", {"data": {"key": key, "reason": "the board was changed"}},
    ),
    "/api/v1/cabinets/{cabinet_id}/asks": lambda key: (
        f"{AT}/asks", {"json": {"reason": "the board was changed"}, "headers": {"Idempotency-Key": key}},
    ),
    "/ops/cabinets/{cabinet_id}/asks/{ask_id}/admit": lambda _: (
        "/ops/cabinets/DH-0001/asks/ask-key-of-one-ask/admit", {},
    ),
    "/api/v1/cabinets/{cabinet_id}/asks/{ask_id}/admit": lambda _: (
        f"{AT}/asks/ask-key-of-one-ask/admit", {"json": {}},
    ),
}  # fmt: skip
RIDERS: Final[dict[str, Callable[[str], Try]]] = {
    "/api/v1/swaps": lambda key: (
        "/api/v1/swaps", {"json": {"cabinet_id": "DH-0001"}, "headers": {"Idempotency-Key": key}},
    ),
    "/c/{cabinet_id}/swap": lambda key: ("/c/DH-0001/swap", {"data": {"kind": "swap", "key": key}}),
    "/api/v1/cabinets/{cabinet_id}/reservation": lambda key: (
        f"{AT}/reservation", {"json": {"minutes": 10}, "headers": {"Idempotency-Key": key}},
    ),
    "/c/{cabinet_id}/reserve": lambda key: ("/c/DH-0001/reserve", {"data": {"key": key}}),
    "/api/v1/swaps/{swap_id}/resume": lambda key: (
        "/api/v1/swaps/{swap}/resume", {"json": {}, "headers": {"Idempotency-Key": key}},
    ),
    "/s/{swap_id}/resume": lambda key: ("/s/{swap}/resume", {"data": {"key": key}}),
    "/api/v1/swaps/{swap_id}/give-back": lambda key: (
        "/api/v1/swaps/{swap}/give-back", {"json": {}, "headers": {"Idempotency-Key": key}},
    ),
    "/s/{swap_id}/give-back": lambda key: ("/s/{swap}/give-back", {"data": {"key": key}}),
}  # fmt: skip
#: What moves no door of a slot: one's own account, papers, limits, and what ends or takes back.
NO_DOORS: Final = (
    "/api/v1/login", "/api/v1/logout", "/login", "/logout", "/me/", "/ops/login", "/ops/logout",
    "/ops/join", "/ops/me", "/ops/access", "/ops/views", "/ops/grid", "/ops/riders", "/ops/partners",
    "/ops/stations", "/ops/reports", "/ops/rollouts", "/ops/batteries", "/ops/alarms", "/reports",
    "/api/v1/reports", "/api/v1/grid", "/api/v1/balance", "/api/v1/partner", "/api/v1/rollouts",
    "/api/v1/rest-stations", "/st/", "/e/", "/p/", "/api/v1/sessions", "/cancel", "/release",
    "/withdraw", "/note", "/sessions", "/settings", "/model",
)  # fmt: skip


@pytest.fixture
async def whole(tmp_path: Path) -> AsyncIterator[WholeTown]:
    async with whole_town(tmp_path) as made:
        made.desk.change(alarms=())
        yield made


def moved(whole: WholeTown) -> tuple[int, ...]:
    """How often something was ordered, asked, admitted, started, opened again or kept."""
    town = whole.town
    return (
        len(town.operations.views), len(town.swaps.views), len(town.swaps.served),
        len(town.swaps.resumed), len(town.swaps.given_back), len(town.reservations.views),
        len(town.asks.asks), sum(each.state != "asked" for each in town.asks.asks.values()),
        len(whole.area.sent.orders),
    )  # fmt: skip


def test_every_way_to_a_door_is_here() -> None:
    known = STAFFS.keys() | PERSONS.keys() | RIDERS.keys()
    ways = {way.path for way in ways_of(whole_app()) if {"POST", "PUT"} & set(way.methods)}
    left = {path for path in ways - known if not any(part in path for part in NO_DOORS)}
    assert left == set()
    assert known <= ways


def tries(
    ways: dict[str, Callable[[str], Try]], name: str, swap: str = ""
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for number, (way, made) in enumerate(ways.items()):
        path, given = made(f"key-{name}-{number}")
        yield way, path.format(swap=swap), given


async def nothing(
    whole: WholeTown,
    client: AsyncClient,
    ways: dict[str, Callable[[str], Try]],
    name: str,
    **more: Any,
) -> None:
    before = moved(whole)
    swap, headers = more.get("swap", ""), more.get("headers", {})
    for way, path, given in tries(ways, name, swap):
        sent = {**given, "headers": given.get("headers", {}) | headers}
        reply = await client.post(path, **sent)
        assert moved(whole) == before, (name, way)
        assert reply.status_code in more.get("fine", {303, 401, 403}), (
            name,
            way,
            reply.status_code,
        )


async def something(
    whole: WholeTown, client: AsyncClient, ways: dict[str, Callable[[str], Try]], name: str
) -> None:
    for way, path, given in tries(ways, name):
        whole.town.asks.asks.clear()
        await whole.town.asks.ask(
            cabinet="DH-0001", type_="cabinet.open-all", person="P9", name="li.na",
            reason="the lock board was changed", key="key-of-one-ask",
        )  # fmt: skip
        before = moved(whole)
        reply = await client.post(path, **given)
        assert moved(whole) != before, (way, reply.status_code, reply.text[:300])


async def test_a_session_of_staff_that_was_good_opens_nothing(whole: WholeTown) -> None:
    ways = STAFFS | PERSONS
    for end in ("signed-out", "disabled", "demoted", "expired"):
        who, session = await whole.signed_in(Role.TECHNICIAN)
        async with whole.browser_of(session) as client:
            match end:
                case "signed-out":
                    await whole.staff.sign_out(session)
                case "disabled":
                    await whole.staff.switch(who.name, off=True, by="boss")
                case "demoted":
                    await whole.staff.change(who.name, Role.VIEWER, EVERYWHERE, "boss")
                case _:
                    whole.town.clock.shift_ms += SESSION_LIFE_MS
            await nothing(whole, client, ways, end)
    _, session = await whole.signed_in(Role.TECHNICIAN)
    for number, headers in enumerate(ELSEWHERE):
        async with whole.town.client(cookies={"yz_ops": session}) as client:
            await nothing(whole, client, ways, f"site-{number}", headers=headers)
    async with whole.browser_of(session) as client:
        await something(whole, client, ways, "good")


async def test_a_token_that_was_good_opens_nothing(whole: WholeTown) -> None:
    api = {way: made for way, made in STAFFS.items() if way.startswith("/api/")}

    def program(text: str) -> AsyncClient:
        return whole.town.client(headers={"Authorization": f"Bearer {text}"})

    scope = EVERYWHERE
    made, text = await whole.staff.add_token("bot", Role.TECHNICIAN, scope, None, 1, "boss")
    async with program(text) as client:
        await something(whole, client, api, "good")
        await nothing(whole, client, PERSONS, "no-person", fine={401, 403, 409})
        await nothing(whole, client, {w: m for w, m in STAFFS.items() if w not in api}, "page")
        await whole.staff.revoke(made.id, "boss")
        await nothing(whole, client, api, "revoked")
    _, text = await whole.staff.add_token("bot2", Role.TECHNICIAN, scope, None, 1, "boss")
    whole.town.clock.shift_ms += DAY_MS
    async with program(text) as client:
        await nothing(whole, client, api, "expired")
    _, text = await whole.staff.add_token("bot3", Role.TECHNICIAN, scope, frozenset(), 1, "boss")
    async with program(text) as client:
        await nothing(whole, client, api, "nothing-granted")


async def test_a_riders_session_that_was_good_opens_nothing(whole: WholeTown) -> None:
    town = whole.town
    async with town.client(headers=SAME) as rider, town.client() as stranger:
        await town.log_in(rider, PHONE)
        town.riders.give(town.riders.phones[PHONE], "YZ48-000077")
        way = "/api/v1/swaps"
        path, given = RIDERS[way]("key-of-the-first")
        swap = (await rider.post(path, **given)).json()["id"]
        town.swaps.move(swap, Step.AWAIT_PICKUP, slot_in=10, slot_out=2)
        stolen = rider.cookies["yz_session"]
        for number, headers in enumerate(ELSEWHERE):
            async with town.client(cookies={"yz_session": stolen}) as client:
                await nothing(whole, client, RIDERS, f"site-{number}", swap=swap, headers=headers)
        await nothing(whole, stranger, RIDERS, "nobody", swap=swap, headers=SAME)
        async with town.client(headers=SAME) as other:
            await town.log_in(other, "+8613800138008")
            theirs = {way: made for way, made in RIDERS.items() if "{swap_id}" in way}
            await nothing(whole, other, theirs, "another", swap=swap)
        before = moved(whole)
        path, given = RIDERS["/api/v1/swaps/{swap_id}/resume"]("key-of-mine")
        await rider.post(path.format(swap=swap), **given)
        assert moved(whole) != before
        await rider.post("/logout")
        async with town.client(headers=SAME, cookies={"yz_session": stolen}) as client:
            await nothing(whole, client, RIDERS, "logged-out", swap=swap)
        town.clock.shift_ms += DAY_MS
        await town.log_in(rider, PHONE)
        town.clock.shift_ms += RIDER_SESSION_LIFE_MS
        await nothing(whole, rider, RIDERS, "expired", swap=swap)
