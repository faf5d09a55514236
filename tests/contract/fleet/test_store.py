"""Store operations besides the ledger, on both databases."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select

import fleet.store
from fleet.core.records import (
    BatteryRecord,
    CabinetRecord,
    Credential,
    LatestRow,
    ListsState,
    NewCommand,
    NewSwap,
)
from fleet.core.swaps import FLEET_VERDICT_RANK, LedgerFacts
from fleet.errors import ConfigError, InvalidError, NotFoundError, RefusedError
from fleet.store import engine
from fleet.store import tables as t
from fleet.store.engine import Database, StoreError
from fleet.stores import Stores, open_stores
from protocols.messages import Kind, Step
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, Reporter


def wish(
    swap: str = "S1", *, rider: str = "R1", cabinet: str = A, key: str = "k", kind: Kind = Kind.SWAP
) -> NewSwap:
    return NewSwap(swap, f"start-{swap}", cabinet, rider, kind, key, T0_MS, T0_MS + 20_000)


def yes(_: LedgerFacts) -> None:
    return None


def no(code: str) -> Callable[[LedgerFacts], str]:
    return lambda _: code


async def test_the_migrations_build_what_the_tables_say(stores: Stores) -> None:
    for module in pkgutil.iter_modules(fleet.store.__path__, "fleet.store."):
        importlib.import_module(module.name)  # some tables are known to their own stores only
    async with stores.database.read() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), t.metadata)
        )
    assert differences == []


async def test_migrating_again_and_at_once_changes_nothing(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 120_000)  # on a busy machine the last waits long
    together = [Database(empty_url) for _ in range(5)]
    try:
        await asyncio.gather(*(database.migrate() for database in together))
        await together[0].migrate()
    finally:
        for database in together:
            await database.close()


async def test_a_write_that_fails_leaves_nothing(town: Stores) -> None:
    async def write() -> None:
        async with town.database.write() as connection:
            row = {
                "id": "R9",
                "phone_hash": "h9",
                "phone_tail": "9",
                "created_ms": 1,
                "number": "9",
            }
            await connection.execute(insert(t.rider).values(**row))
            raise LookupError

    with pytest.raises(LookupError):
        await write()
    assert await town.riders.get("R9") is None


# --- swaps --------------------------------------------------------------------------------------


async def test_beginning_a_swap_reserves_and_orders_in_one_go(town: Stores) -> None:
    command = await town.swaps.begin(wish(), yes)
    assert not isinstance(command, str)
    assert (command.cabinet, command.seq, command.type, command.swap_id) == (
        A,
        T0_MS,
        "swap.start",
        "S1",
    )
    assert command.args == {"kind": "swap", "rider_id": "R1", "expected_serial": "P1"}
    assert await town.commands.waiting() == [command]
    view = await town.swaps.view("S1")
    assert (view.step, view.rank, view.done, view.created_ms) == (None, 0, False, T0_MS)
    async with town.database.read() as connection:
        rows = (await connection.execute(select(t.transfer).order_by(t.transfer.c.leg))).all()
    assert [(r.leg, r.state, r.from_holder, r.to_holder, r.serial) for r in rows] == [
        ("in", "reserved", "rider:R1", None, "P1"),
        ("out", "reserved", None, "rider:R1", None),
    ]
    assert await town.audit.audit() == []


async def test_what_the_rules_are_told(town: Stores) -> None:
    told: list[LedgerFacts] = []

    def listen(facts: LedgerFacts) -> str | None:
        told.append(facts)
        return None

    await town.swaps.begin(wish(), listen)
    with pytest.raises(RefusedError):
        await town.swaps.begin(wish("S2", key="k2"), lambda f: (told.append(f), "open-swap")[1])
    with pytest.raises(RefusedError):
        await town.swaps.begin(wish("S3", rider="R2"), lambda f: (told.append(f), "busy")[1])
    assert told == [
        LedgerFacts(rider_serials=("P1",)),
        LedgerFacts(rider_serials=("P1",), rider_open_swap="S1"),
        LedgerFacts(rider_serials=(), cabinet_open_swap="S1"),
    ]


async def test_a_refusal_writes_nothing(town: Stores) -> None:
    with pytest.raises(RefusedError) as refused:
        await town.swaps.begin(wish(), no("no-full-battery"))
    assert refused.value.code == "no-full-battery"
    assert await town.commands.waiting() == []
    with pytest.raises(NotFoundError):
        await town.swaps.view("S1")


async def test_a_key_means_one_swap_of_one_rider(town: Stores) -> None:
    await town.swaps.begin(wish(), yes)
    assert await town.swaps.begin(wish("S2"), no("busy")) == "S1"
    with pytest.raises(InvalidError) as reused:
        await town.swaps.begin(wish("S2", kind=Kind.RETURN), yes)
    assert reused.value.code == "key-reused"
    other = await town.swaps.begin(wish("S3", rider="R2", cabinet=B), yes)
    assert not isinstance(other, str), "another rider's key is another key"


async def test_two_taps_at_once_are_one_swap(town: Stores) -> None:
    def once(facts: LedgerFacts) -> str | None:
        return "open-swap" if facts.rider_open_swap else None

    taps = [town.swaps.begin(wish(f"S{n}"), once) for n in range(8)]
    answers = await asyncio.gather(*taps)
    begun = [answer for answer in answers if not isinstance(answer, str)]
    assert len(begun) == 1
    assert {answer for answer in answers if isinstance(answer, str)} == {begun[0].swap_id}


async def test_two_riders_at_once_at_one_cabinet(store_url: str, town: Stores) -> None:
    def alone(facts: LedgerFacts) -> str | None:
        return "busy" if facts.cabinet_open_swap else None

    async with open_stores(store_url) as elsewhere:  # as another process would
        answers = await asyncio.gather(
            town.swaps.begin(wish("S1"), alone),
            elsewhere.swaps.begin(wish("S2", rider="R2"), alone),
            return_exceptions=True,
        )
    assert sorted(type(answer).__name__ for answer in answers) == ["QueuedCommand", "RefusedError"]


@pytest.mark.parametrize("missing", ["rider", "cabinet"])
async def test_who_is_not_registered(town: Stores, missing: str) -> None:
    with pytest.raises(NotFoundError):
        await town.swaps.begin(wish(**{missing: "R9" if missing == "rider" else "DH-9999"}), yes)


async def test_a_riders_swaps_come_newest_first(town: Stores) -> None:
    a = Reporter(A)
    for number in (1, 2, 3):
        await town.swaps.begin(wish(f"S{number}", key=f"k{number}"), yes)
        steps = [a.arrival(a.step(f"S{number}", Step.CANCELLED))]
        await town.events.commit(steps, T0_MS + number)
    assert [view.id for view in await town.swaps.of_rider("R1", 2)] == ["S3", "S2"]


# --- commands -----------------------------------------------------------------------------------


async def test_sequence_numbers_rise_per_cabinet_and_survive(store_url: str, town: Stores) -> None:
    def command(name: str, cabinet: str) -> NewCommand:
        return NewCommand(name, cabinet, "slot.open", {"slot": 3}, "T1", T0_MS, T0_MS + 1)

    first = await town.commands.add(command("c1", A))
    await town.commands.settle(first, "done", T0_MS)
    await town.commands.add(command("c2", B))
    async with open_stores(store_url) as again:
        await again.commands.add(command("c3", A))
        waiting = await again.commands.waiting()
    assert [(c.id, c.cabinet, c.seq) for c in waiting] == [
        ("c3", A, T0_MS + 1),  # above the one before, though the clock stands
        ("c2", B, T0_MS),
    ]


async def test_a_clock_set_back_does_not_lower_a_sequence_number(town: Stores) -> None:
    def command(name: str, now_ms: int) -> NewCommand:
        return NewCommand(name, A, "slot.open", {"slot": 3}, "T1", now_ms, now_ms + 1)

    await town.commands.add(command("c1", T0_MS))
    late = await town.commands.add(command("c2", T0_MS - 3_600_000))
    assert late.seq == T0_MS + 1


async def test_a_queue_is_bounded(town: Stores) -> None:
    for number in range(16):
        await town.commands.add(NewCommand(f"c{number}", A, "slot.open", {}, "T1", 1, 2))
    with pytest.raises(RefusedError) as refused:
        await town.commands.add(NewCommand("c16", A, "slot.open", {}, "T1", 1, 2))
    assert refused.value.code == "busy"


async def test_a_verdict_ends_a_swap_until_the_cabinet_says_otherwise(town: Stores) -> None:
    command = await town.swaps.begin(wish(), yes)
    assert not isinstance(command, str)
    ended = await town.commands.settle(
        command, "expired", T0_MS, reason="no-answer", verdict=Step.CANCELLED
    )
    assert ended is not None
    view = await town.swaps.view("S1")
    assert (view.step, view.rank, view.done) == (Step.CANCELLED, FLEET_VERDICT_RANK, True)
    assert await town.audit.audit() == []
    a = Reporter(A)
    await town.events.commit([a.arrival(e) for e in a.swap_events("S1", "P1", "P2")], T0_MS)
    view = await town.swaps.view("S1")
    assert (view.step, view.done, len(view.movements)) == (Step.COMPLETED, True, 2)
    assert await town.audit.audit() == []


async def test_a_verdict_never_overrules_the_cabinet(town: Stores) -> None:
    command = await town.swaps.begin(wish(), yes)
    assert not isinstance(command, str)
    a = Reporter(A)
    await town.events.commit([a.arrival(a.step("S1", Step.RESERVED))], T0_MS)
    settled = await town.commands.settle(command, "expired", T0_MS, verdict=Step.CANCELLED)
    assert settled is None
    assert (await town.swaps.view("S1")).step is Step.RESERVED


# --- registers ----------------------------------------------------------------------------------


async def test_a_cabinet_is_registered_once(town: Stores) -> None:
    with pytest.raises(InvalidError, match=A):
        await town.cabinets.add(CabinetRecord(A, A, 12), Credential(A, "x", None), T0_MS)
    assert [record.id for record in await town.cabinets.all()] == [A, B]
    assert [user.username for user in await town.cabinets.credentials()] == [A, B]


async def test_an_import_keeps_what_sensors_know(town: Stores) -> None:
    outcome = await town.batteries.add(
        [
            BatteryRecord("P2", "60V", 1500, "depot:MAIN"),
            BatteryRecord("P3", "60V", 1500, f"slot:{A}:3"),
            BatteryRecord("P8", None, None, "lost"),
        ],
        T0_MS,
    )
    assert (outcome.added, outcome.updated, outcome.kept) == (1, 2, ("P2",))
    battery, rows = await town.batteries.history("P2")
    assert (battery["holder"], battery["model"], len(rows)) == (f"slot:{A}:2", "60V", 1)
    assert await town.audit.audit() == []


async def test_an_import_registers_what_a_sensor_saw_first(town: Stores) -> None:
    a = Reporter(A)
    await town.events.commit([a.arrival(a.inventory({7: "NEW-1"}))], T0_MS)
    await town.batteries.add([BatteryRecord("NEW-1", None, None, "depot:MAIN")], T0_MS)
    battery, _ = await town.batteries.history("NEW-1")
    assert (battery["state"], battery["holder"]) == ("registered", f"slot:{A}:7")


async def test_an_import_never_puts_two_in_a_slot(town: Stores) -> None:
    with pytest.raises(InvalidError, match="P2"):
        await town.batteries.add(
            [
                BatteryRecord("X1", None, None, "lost"),
                BatteryRecord("X2", None, None, f"slot:{A}:2"),
            ],
            T0_MS,
        )
    with pytest.raises(NotFoundError):
        await town.batteries.history("X1")


async def test_revisions_rise_with_the_registers(town: Stores) -> None:
    cabinets, batteries = await town.meta.revisions()
    await town.batteries.add([BatteryRecord("X1", None, None, "lost")], T0_MS)
    assert await town.meta.revisions() == (cabinets, batteries + 1)
    await town.cabinets.add(CabinetRecord("DH-0003", "", 1), Credential("DH-0003", "x", None), 1)
    assert await town.meta.revisions() == (cabinets + 1, batteries + 1)


async def test_an_incarnation_lasts_until_it_is_renewed(town: Stores) -> None:
    assert await town.meta.incarnation("one") == "one"
    assert await town.meta.incarnation("two") == "one"
    await town.meta.renew_incarnation("three")
    assert await town.meta.incarnation("four") == "three"


async def test_a_phone_is_one_rider(town: Stores) -> None:
    assert not await town.riders.add("R9", "hash-1", "0001", T0_MS)
    rider = await town.riders.by_hash("hash-1")
    assert rider is not None
    assert (rider.id, rider.serials) == ("R1", ("P1",))


async def test_the_latest_is_kept_in_halves(town: Stores) -> None:
    await town.cabinets.save_latest([LatestRow(A, telemetry="{}", received_ms=5)])
    await town.cabinets.save_latest([LatestRow(A, status="[]", session=7)])
    rows = {row.cabinet: row for row in await town.cabinets.latest()}
    assert rows[A] == LatestRow(A, "{}", 5, "[]", 7)
    assert rows[B] == LatestRow(B)


async def test_published_lists_are_remembered(town: Stores) -> None:
    await town.cabinets.save_lists_state([ListsState(A, 1, 2), ListsState(B, 1, 2)], T0_MS)
    await town.cabinets.save_lists_state([ListsState(A, 5, 1)], T0_MS)
    await town.cabinets.save_lists_state([], T0_MS)
    states = await town.cabinets.lists_state()
    assert (states[A].version, states[A].chunks, states[B].version) == (5, 1, 1)


# --- outages ------------------------------------------------------------------------------------


async def test_a_store_out_of_reach_says_so_and_comes_back(store_url: str, town: Stores) -> None:
    a = Reporter(A)
    if store_url.startswith("sqlite"):
        pytest.skip("a file does not go away")
    elsewhere = Database(store_url)
    async with elsewhere.write() as connection:
        await connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await elsewhere.close()
    arrivals = [a.arrival(a.alarm())]
    for _ in range(3):
        try:
            await town.events.commit(arrivals, T0_MS)
            break
        except StoreError:
            continue
    assert (await town.events.watermarks())[A].seq == 1


async def test_nobody_listens() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreError):
        await database.migrate()
    await database.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        Database(url)
