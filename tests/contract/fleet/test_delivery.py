"""A whole fleetd in this process, a fake cabinet, and both brokers between them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiomqtt import MqttError
from starlette.applications import Starlette

from fleet import oneshot, oneshot_riders, service
from fleet.config import FleetConfig, parse
from fleet.core.records import BatteryRecord, CabinetRecord
from fleet.core.views import SwapView
from fleet.errors import RefusedError
from fleet.parts import Pages, Parts
from fleet.runtime import swaps
from protocols import signing
from protocols.messages import DesiredList, Kind, Result, Step, Telemetry, decode
from protocols.offline import parse_ticket
from tests.support.fake_cabinet import FakeCabinet
from tests.support.fleet import telemetry, until
from tests.support.machine import within_s
from tests.support.servers import BROKERS

A = "DH-0001"
STOP_S_MAX = within_s(5.0)
#: In place of twenty seconds: how long an order is good for that nobody answers.
SHORT_LIFE_MS = 3_000


@dataclass(slots=True)
class Town:
    config: FleetConfig
    parts: Parts
    cabinet: FakeCabinet
    stop: asyncio.Event
    url: str


@pytest.fixture(params=BROKERS)
def config(request: pytest.FixtureRequest, tmp_path: Path) -> FleetConfig:
    text = f'[http]\nport = 0\n[broker]\ntls = false\nport = 0\nprefer = "{request.param}"\n'
    return parse(text, "test.toml", tmp_path, {})


@asynccontextmanager
async def running(config: FleetConfig, credentials: dict[str, str]) -> AsyncIterator[Town]:
    parts: list[Parts] = []
    ready = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()

    def make_app(_: FleetConfig, got: Parts) -> Pages:
        parts.append(got)
        return Pages(Starlette(), lambda: None)

    task = asyncio.create_task(service.run(config, make_app, ready.set_result, stop=stop))
    try:
        await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        address = decode_ready(config)
        cabinet = FakeCabinet(A, credentials["mqtt_password"], credentials["command_key"], *address)
        yield Town(config, parts[0], cabinet, stop, ready.result())
    finally:
        stop.set()
        async with asyncio.timeout(STOP_S_MAX):
            await task


def decode_ready(config: FleetConfig) -> tuple[str, int]:
    ready = json.loads((config.data_dir / "ready.json").read_text())
    host, port = ready["mqtt"].removeprefix("mqtt://").split(":")
    return host, int(port)


@pytest.fixture
async def town(config: FleetConfig) -> AsyncIterator[Town]:
    credentials = await oneshot.add_cabinet(config, CabinetRecord(A, "One", 12))
    async with running(config, credentials) as town, town.cabinet.connected():
        await town.parts.riders.by_phone("+8613800138000", create=True)
        await until(lambda: town.parts.cabinets._live.view(A).online, "the cabinet is online")
        await until(lambda: town.parts.cabinets._live.view(A).full, "its telemetry is in")
        yield town


async def rider(town: Town, *serials: str) -> str:
    view = await town.parts.riders.by_phone("+8613800138000", create=True)
    assert view is not None
    records = [BatteryRecord(serial, None, None, f"rider:{view.id}") for serial in serials]
    records.append(BatteryRecord("FULL-1", None, None, f"slot:{A}:2"))
    await town.parts.stores.batteries.add(records, town.parts.clock.wall_ms())
    return view.id


async def start(town: Town, rider_id: str, key: str = "k1", kind: Kind = Kind.SWAP) -> SwapView:
    return await town.parts.swaps.start(
        rider_id=rider_id, cabinet_id=A, kind=kind, idempotency_key=key
    )


async def test_a_swap_from_tap_to_ledger(town: Town) -> None:
    rider_id = await rider(town, "P1")
    views: list[SwapView] = []

    async def watch(swap_id: str) -> None:
        async with town.parts.swaps.watch(swap_id) as stream:
            async for view in stream:
                views.append(view)
                if view.done:
                    return

    view = await start(town, rider_id)
    assert (view.step, view.rank, view.done) == (None, 0, False)
    watcher = asyncio.create_task(watch(view.id))
    cabinet = town.cabinet
    await until(lambda: cabinet.commands, "the cabinet is ordered", 2.0)
    command = cabinet.commands[0]
    assert (command.type, command.swap_id) == ("swap.start", view.id)
    assert command.args == {"kind": "swap", "rider_id": rider_id, "expected_serial": "P1"}
    await cabinet.report(*cabinet.reporter.swap_events(view.id, "P1", "FULL-1", rider=rider_id))
    await until(lambda: cabinet.acked and cabinet.acked.seq == 7, "everything is acknowledged")
    await asyncio.wait_for(watcher, 60)
    assert [v.step for v in views][-1] is Step.COMPLETED
    assert [v.rank for v in views] == sorted(v.rank for v in views)
    assert [m.serial for m in views[-1].movements] == ["P1", "FULL-1"]
    assert (await town.parts.riders.get(rider_id)).serials == ("FULL-1",)
    assert await town.parts.stores.audit.audit() == []
    assert len(cabinet.commands) == 1


async def test_the_same_key_is_the_same_swap_and_so_is_a_second_scan(town: Town) -> None:
    rider_id = await rider(town, "P1")
    first, again = await asyncio.gather(start(town, rider_id), start(town, rider_id))
    assert first.id == again.id
    assert (await start(town, rider_id, key="k2")).id == first.id
    await until(lambda: town.cabinet.commands, "ordered")
    assert {command.id for command in town.cabinet.commands} == {f"start-{first.id}"}


async def test_a_command_is_repeated_with_a_fresh_nonce_until_answered(town: Town) -> None:
    cabinet = town.cabinet
    silent = iter([True, False])
    cabinet.answer = lambda command: None if next(silent) else cabinet.accept(command)
    await start(town, await rider(town, "P1"))
    await until(lambda: len(cabinet.commands) == 2, "the repeat", 8.0)
    one, two = cabinet.commands
    assert (one.id, one.seq) == (two.id, two.seq)
    assert one.nonce != two.nonce


async def test_a_refusal_ends_the_swap_at_once(town: Town) -> None:
    cabinet = town.cabinet
    cabinet.answer = lambda command: Result(
        id=command.id, outcome="refused", boot_id="boot-1", reason="no-empty-slot"
    )
    view = await start(town, await rider(town, "P1"))
    async with town.parts.swaps.watch(view.id) as stream:
        async for latest in stream:
            if latest.done:
                break
    assert (latest.step, latest.reason) == (Step.REJECTED, "no-empty-slot")
    assert await town.parts.stores.audit.audit() == []


async def test_an_unanswered_swap_ends_and_a_late_report_revives_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swaps, "COMMAND_LIFE_MS", SHORT_LIFE_MS)
    cabinet = town.cabinet
    cabinet.answer = lambda _: None
    view = await start(town, await rider(town, "P1"))
    async with town.parts.swaps.watch(view.id) as stream:
        async for latest in stream:
            if latest.done:
                break
    assert (latest.step, latest.reason) == (Step.CANCELLED, "no-answer")
    assert await town.parts.stores.audit.audit() == []
    await cabinet.report(
        *cabinet.reporter.swap_events(view.id, "P1", "FULL-1", rider=view.rider_id)
    )
    await until(lambda: cabinet.acked and cabinet.acked.seq == 7, "acknowledged")
    assert (await town.parts.swaps.get(view.id)).step is Step.COMPLETED
    assert await town.parts.stores.audit.audit() == []


async def test_lists_are_retained_and_signed(town: Town) -> None:
    await rider(town, "P1", "P2")
    cabinet = town.cabinet

    def newest() -> tuple[str, ...]:
        return decode(cabinet.lists[-1][1], DesiredList).packs if cabinet.lists else ()

    await until(lambda: newest() == ("FULL-1", "P1", "P2"), "the import reaches the cabinet")
    document = decode(cabinet.lists[-1][1], DesiredList)
    assert signing.verify(document, cabinet.command_key)
    assert (document.cabinet, document.chunk, document.chunks) == (A, 0, 1)


async def test_a_block_reaches_the_cabinets_without_a_restart(town: Town) -> None:
    rider_id = await rider(town, "P1")
    cabinet = town.cabinet

    def blocked() -> set[str]:
        documents = [decode(payload, DesiredList) for _, payload in cabinet.lists if payload]
        version = max((each.version for each in documents), default=0)
        return {
            name for each in documents if each.version == version for name in each.denied_riders
        }

    view = await oneshot_riders.judge(town.config, rider_id, "pack sold", denied=True)
    await until(lambda: blocked() == {rider_id, f"no.{view.number}"}, "the block is on the list")
    assert signing.verify(decode(cabinet.lists[-1][1], DesiredList), cabinet.command_key)
    with pytest.raises(RefusedError) as refused:
        await start(town, rider_id)
    assert refused.value.code == "denied-rider"
    with pytest.raises(RefusedError):
        await town.parts.offline.passes(rider_id)
    await oneshot_riders.judge(town.config, view.number, "paid", denied=False)
    await until(lambda: not blocked(), "the block is off the list")
    passes = await town.parts.offline.passes(rider_id)
    ticket = parse_ticket(passes.ticket)
    assert signing.verify(ticket, cabinet.command_key)
    assert (ticket.rider_id, ticket.expected_serial) == (rider_id, "P1")


async def test_a_cabinet_added_while_running_may_connect(town: Town) -> None:
    credentials = await oneshot.add_cabinet(town.config, CabinetRecord("DH-0002", "Two", 12))
    host, port = decode_ready(town.config)
    other = FakeCabinet(
        "DH-0002", credentials["mqtt_password"], credentials["command_key"], host, port
    )
    await until(lambda: "DH-0002" in town.parts.cabinets._live.ids(), "fleetd noticed")
    async with AsyncExitStack() as stack:
        async with asyncio.timeout(60):  # the broker reads its files some time after the signal
            while True:
                try:
                    await stack.enter_async_context(other.connected())
                    break
                except MqttError:
                    await asyncio.sleep(0.05)
        await until(lambda: town.parts.cabinets._live.view("DH-0002").online, "it is online")
        await until(lambda: other.lists, "it has its lists")
        other.vanish()
    await until(lambda: not town.parts.cabinets._live.view("DH-0002").online, "its will is heard")


async def test_who_comes_online_is_told_the_watermark(town: Town) -> None:
    cabinet = town.cabinet
    await until(lambda: cabinet.acks, "an acknowledgement without any event")
    assert (cabinet.acks[0].epoch, cabinet.acks[0].seq) == (1, 0), "of the epoch that it speaks"


async def test_views_follow_the_telemetry_and_end_at_shutdown(town: Town) -> None:
    seen: list[int] = []

    async def watch() -> None:
        async with town.parts.cabinets.watch(A) as stream:
            async for view in stream:
                seen.append(view.full)  # noqa: PERF401 - read while it grows

    watcher = asyncio.create_task(watch())
    await until(lambda: seen == [3], "the present")
    change: Telemetry = telemetry(ready=5)
    await town.cabinet.tell(change)
    await until(lambda: seen == [3, 5], "the change")
    town.stop.set()
    await asyncio.wait_for(watcher, 60)
