"""Every role at every route of the staff, by the routes that the application has.

The table is made of what the routes declare; what each role may is in ``fleet.core.access``. What is
checked here is that the declaration is obeyed: who may is let in, everybody else is refused, and
nothing has moved.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from httpx2 import AsyncClient

from fleet.core.access import (
    EVERYWHERE,
    FLEET_WIDE,
    ORDER_NEEDS,
    AtStation,
    Permission,
    Role,
    Scope,
    Who,
    may,
)
from tests.support.area import AreaTown, area_town
from tests.support.fleet_fakes import LOCAL_TOKEN, cabinet, serving
from tests.support.fleet_fakes_staff import accounts_over
from tests.support.routes import Way, ways_of, whole_app

SAME: Final = {"Sec-Fetch-Site": "same-origin"}
KEY: Final = {"Idempotency-Key": "key-of-one-tap"}
#: What stands in paths. Things that are not there are fine: who may not must not learn so.
NAMED: Final = {
    "cabinet_id": "DH-0001", "slot": "1", "code": "smoke", "command_id": "op-1", "report_id": "rep-1",
    "station_id": "DRUM", "amenity": "1", "name": "zhang.wei", "token_id": "t1", "session_id": "s1",
}  # fmt: skip
ROLES: Final = tuple(Role)
REFUSED: Final = {401, 403}


def guarded() -> Iterator[tuple[str, str, Way]]:
    """Method, path and declaration of every route that needs a permission."""
    for way in ways_of(whole_app()):
        if way.need is not None and way.need.permission is not None:
            names = [part[1:-1].split(":")[0] for part in way.path.split("/") if "{" in part]
            path = way.path
            for name in names:
                path = path.replace(f"{{{name}}}", NAMED.get(name, "x-1"))
            for method in way.methods:
                yield method, path, way


TABLE: Final = tuple(guarded())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def area(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AreaTown]:
    folder: Path = tmp_path_factory.mktemp("table")
    async with area_town(folder) as made, serving(made.town, heartbeat_s=0.2):
        made.town.staff.behind = accounts_over(made.stores, made.town.clock)
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(client: AsyncClient, method: str, path: str, **given: Any) -> tuple[int, str]:
    """Status and error code; of a stream only its beginning is read."""
    body: dict[str, Any] = {}
    if method not in {"GET", "HEAD"}:
        body = {"json": {}} if path.startswith("/api/") else {"data": {"x": "1"}}
    async with client.stream(method, path, **body, **given) as reply:
        code = ""
        if reply.headers.get("content-type", "").startswith("application/json"):
            found = json.loads(await reply.aread() or "null")  # a list of lines may have none
            code = found["error"]["code"] if isinstance(found, dict) and "error" in found else ""
        return reply.status_code, code


def unmoved(area: AreaTown) -> bool:
    """No order, no load or unload, nothing sent."""
    town = area.town
    return not (town.operations.views or town.swaps.served or area.sent.orders)


def seated(area: AreaTown, who: Who, **headers: str) -> AsyncClient:
    cookies = {"yz_ops": area.town.staff.seat(who)}
    return area.town.client(headers=SAME | headers, cookies=cookies)


async def test_the_table_is_whole() -> None:
    assert len(TABLE) >= 20
    asked = {way.need.permission for _, _, way in TABLE if way.need}
    assert asked | set(ORDER_NEEDS.values()) >= set(Permission), "permissions that open nothing"


@pytest.mark.parametrize("role", ROLES)
async def test_every_role_at_every_route(area: AreaTown, role: Role) -> None:
    who = Who("S1", "zhang.wei", role, EVERYWHERE)
    wrong = []
    async with seated(area, who) as client:
        for method, path, way in TABLE:
            status, _ = await ask(client, method, path, headers=KEY)
            assert way.need is not None
            assert way.need.permission is not None
            allowed = may(who, way.need.permission)
            # An empty order is refused for want of the order's own permission.
            empty_order = way.path.endswith("/orders") and method == "POST"
            if (status not in REFUSED) is not allowed and not (empty_order and allowed):
                wrong.append((method, path, status))
            if status >= 500 or (status not in REFUSED and not allowed):
                wrong.append((method, path, status))
    assert not wrong
    assert unmoved(area)


@pytest.mark.parametrize("role", ROLES)
async def test_every_role_by_its_token_at_every_route_of_the_api(
    area: AreaTown, role: Role
) -> None:
    who = Who("T1", "grafana", role, EVERYWHERE)
    area.town.staff.programs["yzt_good"] = who
    wrong = []
    async with area.town.client(headers={"Authorization": "Bearer yzt_good"} | KEY) as client:
        for method, path, way in TABLE:
            status, _ = await ask(client, method, path)
            assert way.need is not None
            assert way.need.permission is not None
            allowed = may(who, way.need.permission)
            expected = allowed if path.startswith("/api/") else False  # pages take no tokens
            if path.startswith("/api/") or method == "GET":
                if (status not in REFUSED) is not expected:
                    wrong.append((method, path, status))
            elif status not in REFUSED:
                wrong.append((method, path, status))
    assert not wrong
    assert unmoved(area)


async def _all_refused(client: AsyncClient, area: AreaTown, status: int) -> None:
    wrong = []
    for method, path, _ in TABLE:
        if status == 403 and method in {"GET", "HEAD"}:
            continue
        got, _ = await ask(client, method, path, headers=KEY)
        if got != status:
            wrong.append((method, path, got))
    assert not wrong
    assert unmoved(area)


async def test_nobody_is_let_in_without_a_session(area: AreaTown) -> None:
    async with area.town.client(headers=SAME) as client:
        await _all_refused(client, area, 401)


async def test_a_forged_cookie_opens_nothing(area: AreaTown) -> None:
    async with area.town.client(headers=SAME, cookies={"yz_ops": "seat-0-forged"}) as client:
        await _all_refused(client, area, 401)


@pytest.mark.parametrize(
    "token", ["yzt_forged", "x", LOCAL_TOKEN[:-1], LOCAL_TOKEN + "x", "Bearer"]
)
async def test_a_forged_token_opens_nothing(area: AreaTown, token: str) -> None:
    area.town.app.state.web.throttle.__init__()
    headers = SAME | {"Authorization": f"Bearer {token}"}
    async with area.town.client(headers=headers) as client:
        await _all_refused(client, area, 401)


async def test_a_riders_session_is_none_of_the_staffs(area: AreaTown) -> None:
    async with area.town.client(headers=SAME) as client:
        await area.town.log_in(client, "+8613800138000")
        await _all_refused(client, area, 401)
        stolen = client.cookies["yz_session"]
    async with area.town.client(headers=SAME, cookies={"yz_ops": stolen}) as client:
        await _all_refused(client, area, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_another_site_moves_nothing_in_an_admins_name(
    area: AreaTown, headers: dict[str, str]
) -> None:
    admin = Who("S1", "zhang.wei", Role.ADMIN, EVERYWHERE)
    cookies = {"yz_ops": area.town.staff.seat(admin)}
    async with area.town.client(headers=headers, cookies=cookies) as client:
        await _all_refused(client, area, 403)
        for path, given in _orders("slot.open"):
            assert (await client.post(path, headers=KEY, **given)).status_code == 403
    assert unmoved(area)


# --- scopes -------------------------------------------------------------------------------------


async def test_who_is_bound_to_stations_sees_those_only(area: AreaTown) -> None:
    """DH-0001 stands at DRUM."""
    wrong = []
    for stations, here in ((frozenset({"DRUM"}), True), (frozenset({"BELL"}), False)):
        who = Who("S1", "zhang.wei", Role.ADMIN, Scope(stations=stations))
        async with seated(area, who) as client:
            for method, path, way in TABLE:
                assert way.need is not None
                assert way.need.permission is not None
                status, code = await ask(client, method, path, headers=KEY)
                placed = "{cabinet_id}" in way.path or "{station_id}" in way.path
                if way.need.permission in FLEET_WIDE:
                    fine = status == 403
                elif placed:
                    allowed = may(who, way.need.permission, AtStation("DRUM"))
                    assert allowed is here
                    empty_order = way.path.endswith("/orders") and method == "POST"
                    fine = (status not in REFUSED) is here or empty_order
                elif way.need.narrows:
                    fine = status not in REFUSED
                else:  # the whole fleet, or an order or report that nobody knows
                    fine = status in ({403, 404} if "{" in way.path else {403})
                if not fine:
                    wrong.append((sorted(stations), method, path, status, code))
    assert not wrong
    assert unmoved(area)


async def test_lists_are_cut_to_the_scope(area: AreaTown) -> None:
    for stations, seen in ((frozenset({"DRUM"}), True), (frozenset({"BELL"}), False)):
        who = Who("S1", "zhang.wei", Role.OPERATOR, Scope(stations=stations))
        async with seated(area, who) as client:
            for path in (
                *("/api/v1/cabinets?view=ops", "/api/v1/cabinets"),
                *("/ops/cabinets", "/ops/cabinets.csv"),
            ):
                reply = await client.get(path)
                assert reply.status_code == 200
                assert ("DH-0001" in reply.text) is seen, path
            listed = (await client.get("/ops/stations")).text
            assert ("/ops/stations/DRUM" in listed) is seen


async def test_who_is_bound_to_partners_alone_is_at_no_cabinet(area: AreaTown) -> None:
    who = Who("S1", "zhang.wei", Role.OPERATOR, Scope(partners=frozenset({"meituan"})))
    async with seated(area, who) as client:
        for path, given in _orders("slot.open"):
            assert (await client.post(path, headers=KEY, **given)).status_code == 403, path
        assert (await client.get("/ops/cabinets/DH-0001")).status_code == 403
        for path in ("/api/v1/cabinets?view=ops", "/ops/cabinets", "/ops/cabinets.csv"):
            assert "DH-0001" not in (await client.get(path)).text, path
    assert unmoved(area)


async def test_a_bound_program_reads_all_its_cabinets_page_by_page(area: AreaTown) -> None:
    """Others stand between them: a page that they leave short is not the last one."""
    for number in range(1, 4):
        area.town.cabinets.put(cabinet(f"AA-000{number}"))
    who = Who("S1", "li.na", Role.VIEWER, Scope(stations=frozenset({"DRUM"})))
    async with seated(area, who) as client:
        first = (await client.get("/api/v1/cabinets?limit=1")).json()
        assert [each["id"] for each in first] == ["DH-0001"]
        assert (await client.get("/api/v1/cabinets?limit=1&after=DH-0001")).json() == []


# --- orders: the order's own permission ------------------------------------------------------------


def _orders(what: str) -> list[tuple[str, dict[str, Any]]]:
    """The same order by the API and by the form."""
    at = "/api/v1/cabinets/DH-0001"
    seen = {"presence": "present", "serial": "YZ48-000001"}
    common = {"slot": 1, "reason": "pack is stuck"}
    form = {"what": what, "key": f"form-{what}", "staff": "li", **common, **seen}
    if what == "alarm.clear":
        form["code"] = "smoke"
        body: dict[str, Any] = {"type": what, "staff": "li", "code": "smoke", **common}
    elif what in {"load", "unload"}:
        body = {"technician": "li", **common}
        return [(f"{at}/{what}", {"json": body}), ("/ops/cabinets/DH-0001/orders", {"data": form})]
    elif what == "cabinet.restart":
        del form["slot"], form["presence"], form["serial"]
        body = {"type": what, "staff": "li", "reason": common["reason"]}
    else:
        body = {"type": what, "staff": "li", "expect": seen, **common}
    return [(f"{at}/commands", {"json": body}), ("/ops/cabinets/DH-0001/orders", {"data": form})]


#: Needs a second person, on a form of its own, whose routes stand in the table above.
BY_TWO: Final = {"cabinet.open-all"}


@pytest.mark.parametrize("what", sorted(ORDER_NEEDS.keys() - BY_TWO))
async def test_every_role_at_every_order(tmp_path: Path, what: str) -> None:
    async with area_town(tmp_path) as area, serving(area.town, heartbeat_s=0.2):
        for number, role in enumerate(ROLES):
            who = Who("S1", "zhang.wei", role, EVERYWHERE)
            async with seated(area, who) as client:
                for path, given in _orders(what):
                    before = len(area.town.operations.views) + len(area.town.swaps.served)
                    if "data" in given:
                        given["data"]["key"] += str(number)
                    key = {"Idempotency-Key": f"key-{what}-{role}"}
                    reply = await client.post(path, headers=key, **given)
                    after = len(area.town.operations.views) + len(area.town.swaps.served)
                    allowed = may(who, ORDER_NEEDS[what])
                    assert after - before == int(allowed), (path, role, reply.text)
                    assert (reply.status_code == 403) is not allowed
                    if allowed and area.town.swaps.served:
                        assert area.town.swaps.served[-1]["technician"] == "zhang.wei"


async def test_the_log_has_the_name_of_who_is_signed_in(tmp_path: Path) -> None:
    async with area_town(tmp_path) as area, serving(area.town, heartbeat_s=0.2):
        async with seated(area, Who("S1", "zhang.wei", Role.ADMIN)) as client:
            path, given = _orders("slot.open")[0]
            own = (await client.post(path, headers=KEY, **given)).json()
        token = {"Authorization": f"Bearer {LOCAL_TOKEN}", "Idempotency-Key": "another-key"}
        async with area.town.client(headers=token) as client:
            named = (await client.post(path, **given)).json()
        assert own["actor"].endswith(":zhang.wei")
        assert named["actor"].endswith(":li")
