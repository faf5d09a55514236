"""The fleet's store on both databases, each test on an empty one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert

from fleet.adapters.passwords import mosquitto_hash
from fleet.core.records import BatteryRecord, CabinetRecord, Credential
from fleet.store import tables as t
from fleet.stores import Stores, open_stores
from tests.support.fleet import T0_MS
from tests.support.servers import postgres_database, postgres_server
from tests.support.stores import sqlite_store

A, B = "DH-0001", "DH-0002"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    with postgres_server() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database with the fleet's schema and without a row."""
    if request.param == "sqlite":
        yield sqlite_store(tmp_path / "fleet.db")
        return
    with postgres_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database that was never migrated."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'fleet.db'}"
        return
    with postgres_database(request.getfixturevalue("postgres"), empty=True) as url:
        yield url


@pytest.fixture
async def stores(store_url: str) -> AsyncIterator[Stores]:
    async with open_stores(store_url) as opened:
        yield opened


@pytest.fixture
async def town(stores: Stores) -> Stores:
    """Two cabinets, a rider who holds a pack, four packs in the slots of the first."""
    for cabinet in (A, B):
        credential = Credential(cabinet, mosquitto_hash("secret"), None)
        await stores.cabinets.add(CabinetRecord(cabinet, cabinet, 12), credential, T0_MS)
    await stores.riders.add("R1", "hash-1", "0001", T0_MS)
    await stores.riders.add("R2", "hash-2", "0002", T0_MS)
    packs = [BatteryRecord(f"P{n}", "48V", 1200, f"slot:{A}:{n}") for n in range(2, 6)]
    packs.append(BatteryRecord("P1", "48V", 1200, "rider:R1"))
    packs.append(BatteryRecord("P9", "48V", 1200, "depot:MAIN"))
    await stores.batteries.add(packs, T0_MS)
    return stores


async def add_swap(stores: Stores, number: int, **values: object) -> None:
    """A row of a swap that has ended."""
    row = {
        "id": f"01J{number:05d}",
        "cabinet": A,
        "rider": "R1",
        "kind": "swap",
        "idempotency_key": f"key-{number}",
        "step": "completed",
        "rank": 100,
        "open": False,
        "created_ms": T0_MS,
        "updated_ms": T0_MS,
    }
    async with stores.database.write() as connection:
        await connection.execute(insert(t.swap).values(row | values))
