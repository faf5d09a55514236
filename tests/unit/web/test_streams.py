"""Server-sent events: whole states, heartbeats, bounds, and an end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from httpx2 import AsyncClient

from fleet.web import sse
from fleet.web.app import stop_streams
from protocols.messages import Step
from tests.support.fleet_fakes import DEADLINE_S, Town, cabinet, serving

KEY = {"Idempotency-Key": "key-of-one-tap"}
Events = AsyncIterator[dict[str, Any]]


@asynccontextmanager
async def events(client: AsyncClient, path: str) -> AsyncIterator[Events]:
    async with client.stream("GET", path) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in reply.headers

        async def parsed() -> Events:
            async for line in reply.aiter_lines():
                assert not line.startswith("event:"), "only default events reach every browser"
                if line.startswith("data:"):
                    yield json.loads(line[5:])

        yield parsed()


async def until(stream: Events, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        async for event in stream:
            if wanted(event):
                return event
    raise AssertionError("the stream ended")


async def start(client: AsyncClient) -> str:
    reply = await client.post("/api/v1/swaps", json={"cabinet_id": "DH-0001"}, headers=KEY)
    swap_id: str = reply.json()["id"]
    return swap_id


async def test_a_swaps_stream(town: Town, rider: AsyncClient) -> None:
    swap_id = await start(rider)
    async with events(rider, f"/api/v1/swaps/{swap_id}/stream") as stream:
        first = await until(stream, lambda event: event["type"] == "swap")
        assert (first["id"], first["step"]) == (swap_id, None)
        town.swaps.move(swap_id, Step.AWAIT_RETURN, slot_in=10)
        moved = await until(stream, lambda event: event.get("step") == "await-return")
        assert (moved["slot_in"], moved["done"], "parts" in moved) == (10, False, False)
        for _ in range(3):
            await until(stream, lambda event: event == {"type": "heartbeat"})


async def test_the_pages_stream_carries_its_parts(town: Town, rider: AsyncClient) -> None:
    swap_id = await start(rider)
    async with events(rider, f"/api/v1/swaps/{swap_id}/stream?view=page") as stream:
        town.swaps.move(swap_id, Step.AWAIT_PICKUP, slot_out=2)
        event = await until(stream, lambda event: event.get("step") == "await-pickup")
        assert set(event["parts"]) == {"stage", "deed"}
        assert "<b>2</b>" in event["parts"]["stage"]["html"]
        assert "98%" in event["parts"]["stage"]["html"]
        assert "2 号仓" in event["say"]
        assert event["settled"] is False
    polled = (await rider.get(f"/api/v1/swaps/{swap_id}?view=page")).json()
    assert polled["parts"]["deed"]["v"] == event["parts"]["deed"]["v"]


async def test_a_cabinets_stream(town: Town, stranger: AsyncClient) -> None:
    async with events(stranger, "/api/v1/cabinets/DH-0001/stream") as stream:
        first = await until(stream, lambda event: event["type"] == "cabinet")
        assert first["cabinet"]["full"] == 4
        town.cabinets.change("DH-0001", full=3)
        second = await until(stream, lambda event: event["type"] == "cabinet" and event["cabinet"]["full"] == 3)  # fmt: skip
        assert second["cabinet"]["slots"][0]["serial"] is None
    async with events(stranger, "/api/v1/cabinets/DH-0001/stream?view=page") as stream:
        event = await until(stream, lambda event: event["type"] == "cabinet")
        assert set(event["parts"]) == {"why", "state", "act", "keep", "offer"}


async def test_the_operators_stream(town: Town, operator: AsyncClient) -> None:
    town.cabinets.put(cabinet("DH-0002"))
    async with events(operator, "/api/v1/cabinets/stream") as stream:
        begin = await until(stream, lambda event: event["type"] == "cabinets")
        assert (begin["all"], begin["cabinets"]) == (True, []), "the list is read page by page"
        town.cabinets.change("DH-0002", full=0)
        changed = await until(stream, lambda event: event["type"] == "cabinets")
        assert [each["id"] for each in changed["cabinets"]] == ["DH-0002"]
        assert changed["cabinets"][0]["slots"][0]["serial"] == "YZ48-000001"


async def test_too_many_changes_become_one_whole(
    town: Town, operator: AsyncClient, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sse, "PENDING_MAX", 2)
    for number in range(2, 6):
        town.cabinets.put(cabinet(f"DH-{number:04d}"))
    async with events(operator, "/api/v1/cabinets/stream") as stream:
        await until(stream, lambda event: event["type"] == "cabinets" and event["all"])
        for number in range(1, 6):
            town.cabinets.change(f"DH-{number:04d}", full=0)
        whole = await until(stream, lambda event: event["type"] == "cabinets")
        assert (whole["all"], whole["cabinets"]) == (True, [])


async def test_a_closed_page_leaves_nothing_behind(town: Town, rider: AsyncClient) -> None:
    swap_id = await start(rider)
    streams = town.app.state.web.streams
    async with events(rider, f"/api/v1/swaps/{swap_id}/stream") as stream:
        await until(stream, lambda event: event["type"] == "swap")
        assert (streams.open, town.swaps.watched.count) == (1, 1)
    async with asyncio.timeout(DEADLINE_S):
        while streams.open or town.swaps.watched.count:
            await asyncio.sleep(0.01)


async def test_there_is_a_most_of_open_streams(town: Town, stranger: AsyncClient) -> None:
    streams = town.app.state.web.streams
    streams.open = sse.STREAMS_MAX
    reply = await stranger.get("/api/v1/cabinets/DH-0001/stream")
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "streams-full")
    streams.open = 0


async def test_strangers_leave_room_for_who_is_logged_in(
    town: Town, stranger: AsyncClient, rider: AsyncClient
) -> None:
    swap_id = await start(rider)
    streams = town.app.state.web.streams
    streams.open = sse.STREAMS_MAX - sse.STREAMS_MAX // sse.KEPT_OF
    assert (await stranger.get("/api/v1/cabinets/DH-0001/stream")).status_code == 503
    async with events(rider, f"/api/v1/swaps/{swap_id}/stream") as stream:
        await until(stream, lambda event: event["type"] == "swap")
    streams.open = 0


async def test_the_server_stops_with_streams_open() -> None:
    town = Town()
    town.cabinets.put(cabinet())
    async with serving(town, heartbeat_s=60.0):  # its exit fails when the server hangs
        client = town.client()
        async with events(client, "/api/v1/cabinets/DH-0001/stream") as stream:
            await until(stream, lambda event: event["type"] == "cabinet")
            stop_streams(town.app)
            async with asyncio.timeout(DEADLINE_S):
                assert [event async for event in stream if event["type"] == "cabinet"] == []
        reply = await client.get("/api/v1/cabinets/DH-0001/stream")
        assert reply.status_code == 503
        await client.aclose()
