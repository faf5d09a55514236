"""What a ledger with years of many cabinets asks of the store, shown on a small one."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from sqlalchemy import insert, text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.core.audit import Link
from fleet.core.desk import PackFilter, SwapFilter
from fleet.core.offline import number_name
from fleet.core.plans import Plan
from fleet.store import audit, plans
from fleet.store import tables as t
from fleet.store.arrivals import arrived_between
from fleet.store.desk import DeskStore
from fleet.store.engine import StoreError
from fleet.stores import Stores, open_stores
from protocols.messages import Kind
from protocols.offline import rider_number
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, Reporter

DAY_MS = 86_400_000
STRANGE = rider_number(7_654_321)


async def test_a_swap_that_is_claimed_later_is_no_swap_of_that_day(town: Stores) -> None:
    a, who = Reporter(A), number_name(STRANGE)
    events = a.swap_events("N1", "P50", "P2", rider=who, authority="code")
    await town.events.commit([a.arrival(each) for each in events], T0_MS)
    assert await town.console.swap_counts(T0_MS) == (1, 1, 0)
    await town.riders.set_number("R2", STRANGE, "test", T0_MS + 3 * DAY_MS)
    assert [each.id for each in await town.swaps.of_rider("R2", 9)] == ["N1"]
    assert await town.console.swap_counts(T0_MS) == (1, 1, 0)
    assert await town.console.swap_counts(T0_MS + DAY_MS) == (0, 0, 0)
    assert await town.swaps.taken_by_interval(T0_MS + DAY_MS, T0_MS + 9 * DAY_MS, DAY_MS) == []
    assert await town.audit.audit() == []


async def test_events_are_found_by_when_they_came_over_epochs_and_gaps(stores: Stores) -> None:
    came: list[tuple[int, int, int]] = [(1, seq, seq * 10) for seq in range(1, 40) if seq % 7]
    came += [(2, seq, 400 + seq * 10) for seq in range(5, 30)]
    came += [(5, 1, 900)]
    rows = [
        {"cabinet": cabinet, "epoch": epoch, "seq": seq, "boot_id": "b", "mono_ms": 0, "wall_ms": 0,
         "wall_synced": True, "type": "x", "body": "{}", "received_ms": at_ms}
        for cabinet in (A, B)
        for epoch, seq, at_ms in came
    ]  # fmt: skip
    async with stores.database.write() as connection:
        await connection.execute(insert(t.event), rows)
    async with stores.database.read() as connection:
        for since_ms in (-5, 0, 10, 65, 70, 390, 391, 449, 450, 455, 690, 899, 900, 901):
            for until_ms in (since_ms, since_ms + 1, since_ms + 25, since_ms + 5_000):
                then = await arrived_between(connection, A, since_ms, until_ms)
                query = t.event.select().where(then).order_by(t.event.c.epoch, t.event.c.seq)
                found = [(row.epoch, row.seq) for row in await connection.execute(query)]
                assert found == [
                    (epoch, seq) for epoch, seq, at_ms in came if since_ms <= at_ms <= until_ms
                ], (since_ms, until_ms)
        then = await arrived_between(connection, "DH-0003", 0, 5_000)
        assert (await connection.execute(t.event.select().where(then))).first() is None


async def test_whoever_is_bound_to_thousands_of_cabinets_sees_their_packs(town: Stores) -> None:
    desk = DeskStore(town.database)
    many = frozenset({A, *(f"XX-{number:04}" for number in range(3_000))})
    found = await desk.packs(PackFilter(cabinets=many))
    assert [each.serial for each in found] == ["P2", "P3", "P4", "P5"]
    assert await desk.packs(PackFilter(cabinets=frozenset({B}))) == []
    assert await desk.packs(PackFilter(cabinets=frozenset())) == []


async def test_all_charges_are_in_a_riders_own_data(
    town: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "CHARGES_MAX", 2)
    await town.plans.add(Plan("single", "单次", "Single", "swap", 350, is_default=True), T0_MS)
    a, packs = Reporter(A), ["P1", "P2", "P3", "P4", "P5"]
    for number, (given, taken) in enumerate(pairwise(packs), start=1):
        events = a.swap_events(f"off-{number}", given, taken, authority="code")
        await town.events.commit([a.arrival(each) for each in events], T0_MS)
    assert len((await town.privacy.export("R1")).charges) == 4
    assert len(await town.plans.charges(t.swap.c.rider == "R1", 99)) == 2, "a page has its bound"


async def test_a_question_that_takes_too_long_keeps_nobody_from_the_store(store_url: str) -> None:
    if store_url.startswith("sqlite"):
        pytest.skip("SQLite bounds no query; it is for one machine and few cabinets")
    async with open_stores(store_url, read_ms_max=300) as stores:

        async def long() -> None:
            async with stores.database.read() as connection:
                await connection.execute(text("SELECT pg_sleep(300)"))

        async with asyncio.timeout(120):
            for answer in await asyncio.gather(*(long() for _ in range(6)), return_exceptions=True):
                assert isinstance(answer, StoreError), answer
            assert await stores.riders.get("R1") is None
            async with stores.database.write() as connection:
                await connection.execute(text("SELECT pg_sleep(0.6)"))


async def test_an_audit_takes_its_time_between_two_questions(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store_url.startswith("sqlite"):
        pytest.skip("SQLite ends no transaction for being idle")
    name = make_url(store_url).database
    async with open_stores(store_url) as stores, stores.database.write() as connection:
        idle = text(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '200ms'")
        await connection.execute(idle)
    read = audit._links

    async def worked_through(connection: AsyncConnection) -> list[Link]:
        links = await read(connection)
        await asyncio.sleep(1.0)  # as a million rows would take
        return links

    monkeypatch.setattr(audit, "_links", worked_through)
    async with open_stores(store_url) as stores:
        assert await stores.audit.audit() == []
        assert await stores.audit.differences() == []
        assert await stores.audit.rebuild("test", T0_MS) == []


async def test_a_cabinets_last_swaps_are_its_own(town: Stores) -> None:
    a = Reporter(A)
    events = a.swap_events("N1", "P1", "P2", authority="code")
    await town.events.commit([a.arrival(each) for each in events], T0_MS)
    desk = DeskStore(town.database)
    (swap,) = await desk.swaps(SwapFilter(cabinet=A))
    assert (swap.id, swap.kind) == ("N1", Kind.SWAP.value)
    told = await desk.swap_events(swap)
    assert {each.what for each in told} == {"step", "in", "out"}
    assert await desk.swaps(SwapFilter(cabinet=B)) == []
