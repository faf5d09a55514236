"""A stream ends with the right to it: by any change of who opened it, soon, and at once when told here.

The streams are those that the application has; one that is added must be named in ``AT``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from httpx2 import AsyncClient

from fleet.core.access import EVERYWHERE, Role, Scope
from fleet.core.login import SESSION_LIFE_MS as RIDER_SESSION_LIFE_MS
from fleet.core.staff import SESSION_LIFE_MS
from fleet.errors import FleetError
from fleet.ports_access import Came
from fleet.runtime.staff import StaffService
from fleet.web import lasting
from tests.support.area import AreaTown, area_town
from tests.support.fleet_fakes import serving
from tests.support.fleet_fakes_staff import accounts_over
from tests.support.routes import ways_of, whole_app

SAME: Final = {"Sec-Fetch-Site": "same-origin"}
CAME: Final = Came("10.0.0.1", "test")
PASSWORD: Final = "correct horse battery"
PHONE: Final = "+8613800138000"
WITHIN_S: Final = 60.0
NEVER_S: Final = 3_600.0
DAY_MS: Final = 86_400_000
#: Every stream, and where it is looked at here. ``{swap}`` and so on are made by the test.
AT: Final = {
    "/api/v1/cabinets/stream": "/api/v1/cabinets/stream",
    "/api/v1/cabinets/{cabinet_id}/stream": "/api/v1/cabinets/DH-0001/stream?view=ops",
    "/api/v1/swaps/{swap_id}/stream": "/api/v1/swaps/{swap}/stream",
    "/api/v1/commands/{command_id}/stream": "/api/v1/commands/{order}/stream",
    "/api/v1/ops/map/stream": "/api/v1/ops/map/stream",
    "/api/v1/ops/cabinets/stream": "/api/v1/ops/cabinets/stream?ids=DH-0001",
    "/api/v1/rollouts/{rollout_id}/stream": "/api/v1/rollouts/{rollout}/stream",
    "/api/v1/sessions/{session_id}/stream": "/api/v1/sessions/{session}/stream",
}
#: Those that a rider has, or anybody.
RIDERS: Final = (
    "/api/v1/cabinets/DH-0001/stream?view=page",
    "/api/v1/swaps/{swap}/stream?view=page",
    "/api/v1/sessions/{session}/stream",
)


class Fleet:
    """An area with accounts, one of everything that has a stream, and a rider who is logged in."""

    def __init__(self, area: AreaTown, staff: StaffService, rider: AsyncClient) -> None:
        self.area, self.staff, self.rider = area, staff, rider
        self.made: dict[str, str] = {}

    async def settle(self) -> None:
        town = self.area.town
        await town.log_in(self.rider, PHONE)
        rider_id = town.riders.phones[PHONE]
        town.riders.give(rider_id, "YZ48-000077")
        await self.area.know(rider_id)
        key = {"Idempotency-Key": "key-of-one-tap"}
        asked = {"cabinet_id": "DH-0001"}
        swap = await self.rider.post("/api/v1/swaps", json=asked, headers=key)
        at = "/api/v1/cabinets/DH-0001/sockets/1/sessions"
        session = await self.rider.post(at, json={}, headers=key)
        assert session.status_code == 201, session.text
        await town.rollouts.keep_template(
            model="M", breaker_w=3_000, settings={"target_soc_pct": 90}, name="li"
        )
        rollout = await town.rollouts.plan(
            model="M", name="li", reason="a new model", stages=(100,), soak_s=60
        )
        order = town.operations.give("DH-0001", "cabinet.restart", "li", "it hangs")
        self.made = {
            "swap": swap.json()["id"],
            "session": session.json()["id"],
            "order": order.id,
            "rollout": rollout.id,
        }

    def paths(self, of: Iterable[str]) -> list[str]:
        return [each.format(**self.made) for each in of]

    async def member(self, name: str = "li.na", role: Role = Role.ADMIN) -> AsyncClient:
        """Somebody with an account, signed in; two, so that nobody is the last administrator."""
        for each in ("boss", name):
            link = await self.staff.add(each, role if each == name else Role.ADMIN, EVERYWHERE, "t")
            await self.staff.use_link(link, each, PASSWORD, CAME)
        return await self.signed_in(name)

    async def signed_in(self, name: str) -> AsyncClient:
        token = await self.staff.sign_in(name, PASSWORD, "", CAME)
        return self.area.town.client(headers=SAME, cookies={"yz_ops": token})

    def pass_time(self, by_ms: int) -> None:
        self.area.town.clock.shift_ms += by_ms


@asynccontextmanager
async def fleet_of(folder: Path, **config: Any) -> AsyncIterator[Fleet]:
    async with area_town(folder) as area:
        area.town.staff = staff = accounts_over(area.stores, area.town.clock)
        async with serving(area.town, heartbeat_s=0.2, **config), area.town.client() as rider:
            fleet = Fleet(area, staff, rider)
            await fleet.settle()
            yield fleet


@pytest.fixture
async def asking(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Streams ask again all the time, as for a change that another process made."""
    async with fleet_of(tmp_path, recheck_s=0.1) as fleet:
        yield fleet


@pytest.fixture
async def waiting(tmp_path: Path) -> AsyncIterator[Fleet]:
    """Streams ask again only when they are told to."""
    async with fleet_of(tmp_path, recheck_s=NEVER_S) as fleet:
        yield fleet


class Look:
    """One open stream."""

    def __init__(self, client: AsyncClient, path: str) -> None:
        self.path = path
        self.begun = asyncio.Event()
        self.last: dict[str, Any] = {}
        self.task = asyncio.create_task(self._read(client))

    async def _read(self, client: AsyncClient) -> None:
        async with client.stream("GET", self.path) as reply:
            assert reply.status_code == 200, self.path
            async for line in reply.aiter_lines():
                if line.startswith("data:"):
                    self.last = json.loads(line[5:])
                    self.begun.set()


async def look(client: AsyncClient, paths: list[str]) -> list[Look]:
    looks = [Look(client, path) for path in paths]
    async with asyncio.timeout(WITHIN_S):
        for each in looks:
            begun = asyncio.create_task(each.begun.wait())
            await asyncio.wait({begun, each.task}, return_when=asyncio.FIRST_COMPLETED)
            if each.task.done():
                each.task.result()
            await begun
    return looks


async def ended(looks: list[Look]) -> None:
    """Each has ended, and said that it may no more."""
    done, left = await asyncio.wait([each.task for each in looks], timeout=WITHIN_S)
    for task in left:
        task.cancel()
    assert not left, [each.path for each in looks if each.task in left]
    for task in done:
        task.result()
    assert {each.path: each.last for each in looks} == {
        each.path: {"type": "ended"} for each in looks
    }


async def goes_on(looks: list[Look]) -> None:
    """Each still tells something."""
    for each in looks:
        each.begun.clear()
    async with asyncio.timeout(WITHIN_S):
        for each in looks:
            await each.begun.wait()
    assert not any(each.task.done() or each.last["type"] == "ended" for each in looks)


def test_every_stream_is_named_here() -> None:
    assert {way.path for way in ways_of(whole_app()) if way.path.endswith("/stream")} == AT.keys()


async def _expired(fleet: Fleet) -> None:
    fleet.pass_time(SESSION_LIFE_MS)


async def _out(fleet: Fleet) -> None:
    account = await fleet.staff.account("li.na")
    for each in await fleet.staff.sessions(account.id):
        await fleet.staff.end_session(account.id, each.id)


CHANGES: Final[dict[str, Callable[[Fleet], Awaitable[object]]]] = {
    "disabled": lambda fleet: fleet.staff.switch("li.na", off=True, by="boss"),
    "reset": lambda fleet: fleet.staff.reset("li.na", "boss"),
    "signed-out": _out,
    "another-role": lambda fleet: fleet.staff.change("li.na", Role.VIEWER, EVERYWHERE, "boss"),
    "another-scope": lambda fleet: fleet.staff.change(
        "li.na", Role.ADMIN, Scope(stations=frozenset({"DRUM"})), "boss"
    ),
    "expired": _expired,  # the last one: it is everybody's end
}


async def test_a_change_from_anywhere_ends_all_streams_of_a_session(asking: Fleet) -> None:
    paths = asking.paths(AT.values())
    await (await asking.member()).aclose()
    async with await asking.signed_in("boss") as other:
        others = await look(other, paths)
        for name, change in CHANGES.items():
            await asking.staff.switch("li.na", off=False, by="boss")
            await asking.staff.change("li.na", Role.ADMIN, EVERYWHERE, "boss")
            link = await asking.staff.reset("li.na", "boss")
            await asking.staff.use_link(link, "li.na", PASSWORD, CAME)
            async with await asking.signed_in("li.na") as client:
                looks = await look(client, paths)
                await change(asking)
                await ended(looks)
            if name != "expired":
                await goes_on(others)
        await ended(others)  # before the client goes, which would break them off


async def test_a_token_that_ends_ends_its_streams(asking: Fleet) -> None:
    for change in ("revoked", "expired"):
        made, text = await asking.staff.add_token("bot", Role.ADMIN, EVERYWHERE, None, 1, "test")
        async with asking.area.town.client(headers={"Authorization": f"Bearer {text}"}) as program:
            looks = await look(program, asking.paths(AT.values()))
            if change == "revoked":
                await asking.staff.revoke(made.id, "test")
            else:
                asking.pass_time(DAY_MS)
            await ended(looks)


async def test_a_tokens_streams_end_when_its_makers_rights_shrink(waiting: Fleet) -> None:
    """At once, when it is done on our pages: nothing here asks again by itself."""
    await (await waiting.member()).aclose()
    _, text = await waiting.staff.add_token("bot", Role.ADMIN, EVERYWHERE, None, 1, "li.na")
    bearer = {"Authorization": f"Bearer {text}"}
    async with (
        await waiting.signed_in("boss") as boss,
        waiting.area.town.client(headers=bearer) as program,
    ):
        for path, data in (("role", {"role": "viewer"}), ("off", {})):
            paths = waiting.paths(AT.values())
            own = paths if path == "role" else [p for p in paths if "rollout" not in p]
            looks = await look(program, own)
            done = await boss.post(f"/ops/access/staff/li.na/{path}", data=data)
            assert done.status_code == 303
            await ended(looks)


async def test_what_is_done_on_our_pages_ends_streams_at_once(waiting: Fleet) -> None:
    made, text = await waiting.staff.add_token("bot", Role.ADMIN, EVERYWHERE, None, 1, "test")
    paths = waiting.paths(AT.values())
    await (await waiting.member()).aclose()
    steps: tuple[tuple[str, str, dict[str, str]], ...] = (
        ("boss", "/ops/access/staff/li.na/role", {"role": "operator"}),
        ("boss", "/ops/access/staff/li.na/off", {}),
        ("boss", "/ops/access/staff/li.na/on", {}),
        ("li.na", "/ops/me/password", {"old": PASSWORD, "password": "x" + PASSWORD, "again": "x" + PASSWORD}),
        ("li.na", "/ops/logout", {}),
        ("boss", "/ops/access/staff/li.na/reset", {}),
    )  # fmt: skip
    async with await waiting.signed_in("boss") as boss:
        for by, path, data in steps:
            if not path.endswith("/on"):
                role = (await waiting.staff.account("li.na")).role
                own = paths if role is Role.ADMIN else [p for p in paths if "rollout" not in p]
                password = "x" + PASSWORD if by == "li.na" and not data else PASSWORD
                if path.endswith("reset"):
                    password = "x" + PASSWORD
                token = await waiting.staff.sign_in("li.na", password, "", CAME)
                mine = waiting.area.town.client(headers=SAME, cookies={"yz_ops": token})
                looks = await look(mine, own)
                acting = mine if by == "li.na" else boss
                assert (await acting.post(path, data=data)).status_code in {200, 303}, path
                await ended(looks)
                await mine.aclose()
            else:
                await boss.post(path, data=data)
        async with waiting.area.town.client(headers={"Authorization": f"Bearer {text}"}) as program:
            looks = await look(program, paths)
            await boss.post(f"/ops/access/tokens/{made.id}/revoke")
            await ended(looks)


async def test_one_of_the_own_sessions_is_ended_from_another(waiting: Fleet) -> None:
    async with await waiting.member() as client, await waiting.signed_in("li.na") as phone:
        looks = await look(client, waiting.paths(AT.values()))
        account = await waiting.staff.account("li.na")
        older = (await waiting.staff.sessions(account.id))[1]
        assert (await phone.post(f"/ops/me/sessions/{older.id}/end")).status_code == 303
        await ended(looks)


async def test_a_riders_streams_end_with_his_session(waiting: Fleet) -> None:
    async with waiting.area.town.client() as stranger, waiting.area.town.client() as other:
        await waiting.area.town.log_in(other, "+8613800138001")
        looks = await look(waiting.rider, waiting.paths(RIDERS))
        strangers = await look(stranger, ["/api/v1/cabinets/DH-0001/stream"])
        others = await look(other, ["/api/v1/cabinets/DH-0001/stream?view=page"])
        assert (await waiting.rider.post("/logout", headers=SAME)).status_code == 303
        await ended(looks)
        await goes_on(strangers + others)
        for each in strangers + others:
            each.task.cancel()


async def test_a_riders_streams_end_when_the_session_expires(asking: Fleet) -> None:
    looks = await look(asking.rider, asking.paths(RIDERS))
    asking.pass_time(RIDER_SESSION_LIFE_MS)
    await ended(looks)


async def test_a_store_that_is_silent_is_no_permission(
    asking: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with await asking.member() as client:
        looks = await look(client, asking.paths(AT.values()))

        async def silent(*_: object) -> None:
            raise FleetError("the store does not answer")

        monkeypatch.setattr(lasting, "who_asks", silent)
        done, _ = await asyncio.wait([each.task for each in looks], timeout=WITHIN_S)
        assert len(done) == len(looks)
        assert not any(each.last == {"type": "ended"} for each in looks), "it may come again"


async def test_a_bound_persons_stream_follows_where_cabinets_stand(asking: Fleet) -> None:
    """It is not the list of the moment at which the stream was opened."""
    scope = Scope(stations=frozenset({"DRUM"}))
    _, text = await asking.staff.add_token("bot", Role.VIEWER, scope, None, 1, "test")
    town = asking.area.town
    async with town.client(headers={"Authorization": f"Bearer {text}"}) as program:
        (seen,) = await look(program, ["/api/v1/cabinets/stream"])

        async def told(full: int) -> list[str]:
            async with asyncio.timeout(WITHIN_S):
                while True:
                    town.cabinets.change("DH-0001", full=full)
                    seen.begun.clear()
                    await seen.begun.wait()
                    if seen.last["type"] == "cabinets" and not seen.last["all"]:
                        return [each["id"] for each in seen.last["cabinets"]]

        assert await told(3) == ["DH-0001"]
        await asking.area.stores.stations.place("DH-0001", None)
        assert await told(2) in ([], ["DH-0001"])  # one that was on its way
        assert await told(1) == []
        seen.task.cancel()
