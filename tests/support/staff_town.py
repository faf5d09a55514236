"""The pages over real accounts of staff in a real store, and how people come in there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from httpx2 import AsyncClient, Response

from fleet.core.access import EVERYWHERE, Role, Scope
from fleet.runtime.staff import StaffService
from fleet.stores import Stores, open_stores
from tests.support.fleet_fakes import Town, cabinet, serving
from tests.support.fleet_fakes_staff import accounts_over
from tests.support.stores import sqlite_store

SAME: Final = {"Sec-Fetch-Site": "same-origin"}
PASSWORD: Final = "correct horse battery"
OTHER: Final = "staple staple 0123"


@asynccontextmanager
async def staff_stores(folder: Path) -> AsyncIterator[Stores]:
    """A store with nobody in it."""
    async with open_stores(sqlite_store(folder / "staff.db")) as opened:
        yield opened


@asynccontextmanager
async def staff_town(stores: Stores) -> AsyncIterator[Town]:
    """The pages over its accounts."""
    fakes = Town()
    fakes.cabinets.put(cabinet())
    fakes.staff = accounts_over(stores, fakes.clock)
    async with serving(fakes, heartbeat_s=0.2) as running:
        yield running


def shift(town: Town, ms: int) -> None:
    """The clock goes on, both its hands."""
    town.clock.shift_ms += ms


def service(town: Town) -> StaffService:
    """The accounts behind the pages."""
    found: StaffService = town.staff
    return found


async def join(client: AsyncClient, token: str, name: str = "li.na") -> Response:
    """Use a one-time link."""
    given = {"token": token, "name": name, "password": PASSWORD, "again": PASSWORD}
    return await client.post("/ops/join", data=given)


async def member(town: Town, name: str, role: Role, scope: Scope = EVERYWHERE) -> None:
    """An account with a password, signed in nowhere."""
    token = await service(town).add(name, role, scope, "test")
    async with town.client(headers=SAME) as other:
        assert (await join(other, token)).status_code == 303
        await other.post("/ops/logout")


async def sign_in(
    client: AsyncClient, name: str, password: str = PASSWORD, code: str = ""
) -> Response:
    """By the form."""
    return await client.post("/ops/login", data={"name": name, "password": password, "code": code})
