"""A fleet with all its parts: the desk, a station, accounts, and one of everything that has a page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from fleet.core.access import EVERYWHERE, Role, Scope, Who
from fleet.core.stations import AmenityKind, AmenityState
from fleet.ports_access import Came
from fleet.runtime.console import StationPlace
from fleet.runtime.staff import StaffService
from protocols.topics import Leaf
from tests.support.area import DRUM, AreaTown
from tests.support.desk import CABINET, NEW, OLD, RIDER, SWAP, DeskTown, desk_town
from tests.support.fleet_fakes import serving
from tests.support.fleet_fakes_staff import accounts_over

PASSWORD: Final = "correct horse battery"
CAME: Final = Came("10.0.0.1", "test")


class FakeProvider:
    """``fleet.ports_access.Provider`` that is never gone to."""

    name = "Example"


class WholeTown:
    """What ``desk_town`` has, and the rest."""

    def __init__(self, desk: DeskTown) -> None:
        self.desk, self.town, self.stores = desk, desk.town, desk.stores
        self.staff: StaffService = accounts_over(self.stores, self.town.clock)
        self.town.staff = self.staff
        self.town.provider = FakeProvider()
        self.area = AreaTown(self.town, self.stores)
        self.area.reporter = desk.reporter
        #: What stands in the paths of routes.
        self.named: dict[str, str] = {
            "cabinet_id": CABINET, "slot": "9", "code": "smoke", "serial": OLD, "swap_id": SWAP,
            "rider_id": RIDER, "station_id": "DRUM", "amenity": "1", "name": "boss",
            "partner_id": "meituan", "version": "1",
        }  # fmt: skip

    async def settle(self) -> None:
        now_ms, town = self.town.clock.wall_ms(), self.town
        await self.stores.stations.put(DRUM, now_ms)
        await self.stores.stations.place(CABINET, "DRUM")
        town.station_places.append(StationPlace("DRUM", DRUM.name, None, None, (CABINET,)))
        await self.stores.stations.set_amenity(
            "DRUM", kind=AmenityKind.SHOP, state=AmenityState.OK, note="九折", now_ms=now_ms
        )
        report = await town.area.reports.file(
            rider_id=RIDER, topic="cabinet", place="", text="door is slow", cabinet_id=CABINET
        )
        await town.rollouts.keep_template(
            model="yz12", breaker_w=3_000, settings={"target_soc_pct": 90}, name="li"
        )
        rollout = await town.rollouts.plan(
            model="yz12", name="li", reason="a new model", stages=(50, 100), soak_s=60
        )
        ask = await town.asks.ask(
            cabinet=CABINET, type_="cabinet.open-all", person="P9", name="li.na",
            reason="the lock board was changed", key="key-of-one-ask",
        )  # fmt: skip
        order = town.operations.give(CABINET, "cabinet.restart", "li", "it hangs")
        town.quarantines.holders |= {OLD: f"slot:{CABINET}:4", NEW: f"slot:{CABINET}:1"}
        town.records.recorder.of(CABINET)
        town.records.recorder.note(CABINET, Leaf.STATUS, b'{"online":true}')
        self.desk.change(alarms=("smoke:3", "store"))
        _, self.join = await self._accounts()
        made, _ = await self.staff.add_token("grafana", Role.VIEWER, EVERYWHERE, None, 30, "boss")
        self.named |= {
            "report_id": report.id, "rollout_id": rollout.id, "ask_id": ask.id,
            "command_id": order.id, "token_id": made.id,
        }  # fmt: skip

    async def _accounts(self) -> tuple[str, str]:
        """An administrator who is in, and somebody who was asked in."""
        link = await self.staff.add("boss", Role.ADMIN, EVERYWHERE, "test")
        session = await self.staff.use_link(link, "boss", PASSWORD, CAME)
        return session, await self.staff.add("li.na", Role.OPERATOR, EVERYWHERE, "boss")

    async def signed_in(self, role: Role, scope: Scope = EVERYWHERE) -> tuple[Who, str]:
        """Somebody of this role, and the token of the session."""
        known = await self.staff.all()
        name = f"{role.value}-{len(known)}"
        link = await self.staff.add(name, role, scope, "boss")
        session = await self.staff.use_link(link, name, PASSWORD, CAME)
        found = await self.staff.of_session(session)
        assert found is not None
        return found[0], session

    def browser_of(self, session: str) -> httpx2.AsyncClient:
        """Somebody's browser."""
        return self.town.client(
            headers={"Sec-Fetch-Site": "same-origin"}, cookies={"yz_ops": session}
        )

    def at(self, path: str) -> str:
        """A route's path with things that are there."""
        for name, value in self.named.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, f"{path}: say in `named` what stands there"
        return path


@asynccontextmanager
async def whole_town(
    folder: Path, *, plan: bool = False, **config: Any
) -> AsyncIterator[WholeTown]:
    """Served."""
    async with desk_town(folder, plan=plan) as desk:
        whole = WholeTown(desk)
        await whole.settle()
        async with serving(whole.town, **({"heartbeat_s": 0.2} | config)):
            yield whole
