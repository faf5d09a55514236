"""A small town behind a real server, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient

from tests.support.fleet_fakes import OPERATOR_TOKEN, Town, cabinet, serving

PHONE = "+8613800138000"


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    """One healthy cabinet, DH-0001."""
    fakes = Town()
    fakes.cabinets.put(cabinet())
    async with serving(fakes, heartbeat_s=0.2) as running:
        yield running


@pytest.fixture
async def stranger(town: Town) -> AsyncIterator[AsyncClient]:
    """Nobody is logged in."""
    async with town.client() as client:
        yield client


@pytest.fixture
async def rider(town: Town) -> AsyncIterator[AsyncClient]:
    """Logged in, holding a pack."""
    async with town.client() as client:
        await town.log_in(client, PHONE)
        town.riders.give(town.riders.phones[PHONE], "YZ48-000077")
        yield client


@pytest.fixture
async def operator(town: Town) -> AsyncIterator[AsyncClient]:
    """Logged in at the operator's pages."""
    async with town.client() as client:
        reply = await client.get("/ops/login", params={"token": OPERATOR_TOKEN})
        assert reply.status_code == 303
        yield client
