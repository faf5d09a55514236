"""Orders and technicians' work over real databases: once per key, logged, settled."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import func, select, text

from fleet.core.commands import QueuedCommand
from fleet.core.operations import TECHNICIAN
from fleet.core.records import LogFilter, NewCommand, NewSwap
from fleet.core.two_person import ASK_LIFE_MS, check_doors, doors_alone
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.engine import Database, alembic_config
from fleet.stores import Stores, open_stores
from protocols.messages import Kind, Precondition, Presence, Result, Step
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, Reporter

SEEN = Precondition(slot=2, presence=Presence.PRESENT, serial="P2")


def new(id_: str = "op-1", **values: object) -> NewCommand:
    given: dict[str, object] = {
        "id": id_,
        "cabinet": A,
        "type": "slot.open",
        "args": {"slot": 2},
        "actor": "operator:zhang",
        "now_ms": T0_MS,
        "expires_ms": T0_MS + 20_000,
        "reason": "pack is stuck",
        "precondition": SEEN,
    }
    return NewCommand(**(given | values))  # type: ignore[arg-type]


async def order(stores: Stores, wanted: NewCommand) -> QueuedCommand:
    queued = await stores.operations.order(wanted)
    assert queued is not None
    return queued


def result(outcome: str, id_: str = "op-1", **values: object) -> Result:
    return Result(id=id_, outcome=outcome, boot_id="boot-1", **values)  # type: ignore[arg-type]


async def log(stores: Stores, **wanted: object) -> list[tuple[str, str, str]]:
    rows = await stores.audit_log.rows(LogFilter(**wanted))  # type: ignore[arg-type]
    return [(row.action, row.outcome, row.reason) for row in reversed(rows)]


async def test_an_order_is_logged_sent_and_settled(town: Stores) -> None:
    queued = await order(town, new())
    assert queued.precondition == SEEN
    assert await town.commands.waiting() == [queued]
    view = await town.operations.view("op-1")
    assert (view.outcome, view.slot, view.expected_serial) == ("ordered", 2, "P2")
    await town.commands.settle(queued, "accepted", T0_MS + 100)
    assert (await town.operations.view("op-1")).outcome == "accepted"
    late = result("done", evidence="door open")
    assert await town.commands.finish(A, late, T0_MS + 900)
    assert not await town.commands.finish(A, late, T0_MS + 950), "the last word is one"
    view = await town.operations.view("op-1")
    assert (view.outcome, view.evidence, view.answered_ms) == ("done", "door open", T0_MS + 900)
    assert await log(town) == [
        ("slot.open", "ordered", "pack is stuck"),
        ("slot.open", "accepted", "pack is stuck"),
        ("slot.open", "done", "pack is stuck"),
    ]
    assert await town.audit.audit() == []


async def test_half_of_the_doors_one_by_one_and_then_two_people(town: Stores) -> None:
    def opening(number: int, now_ms: int = T0_MS, **values: object) -> NewCommand:
        return new(f"op-{now_ms}-{number}", args={"slot": number}, now_ms=now_ms, **values)

    for number in (1, 2, 3):
        assert await town.operations.order(opening(number), 3) is not None
    assert await town.operations.order(opening(3), 3) is None, "the same tap"
    again = opening(3, T0_MS + 1, actor="operator:li")
    assert await town.operations.order(again, 3) is not None, "a door that is open already"
    with pytest.raises(RefusedError) as caught:
        await town.operations.order(opening(4, T0_MS + 2, actor="operator:li"), 3)
    assert caught.value.code == "second-person"
    assert ("slot.open", "ordered", "pack is stuck") in await log(town)
    assert len(await town.operations.of_cabinet(A, 10)) == 4, "nothing of it was queued"
    assert await town.operations.order(opening(4, cabinet=B), 3) is not None
    # What the cabinet refused opened nothing; and after a while it is another day's work.
    first = next(each for each in await town.commands.waiting() if each.args == {"slot": 1})
    await town.commands.settle(first, "refused", T0_MS + 3, reason="precondition")
    assert await town.operations.order(opening(5, T0_MS + 4), 3) is not None
    later = T0_MS + ASK_LIFE_MS + 5
    assert await town.operations.order(opening(6, later), 3) is not None
    assert await town.audit.audit() == []


def test_how_many_are_half() -> None:
    assert [doors_alone(slots) for slots in (1, 2, 3, 12, 13)] == [1, 1, 1, 6, 6]
    check_doors({1, 2}, 2)
    with pytest.raises(RefusedError):
        check_doors({1, 2, 3}, 2)


async def test_nobody_answers_for_another_cabinet_or_after_the_end(town: Stores) -> None:
    queued = await order(town, new())
    await town.commands.settle(queued, "accepted", T0_MS)
    assert not await town.commands.finish(B, result("done"), T0_MS)
    assert not await town.commands.finish(A, result("done", "op-2"), T0_MS)
    refused = await order(town, new("op-3"))
    await town.commands.settle(refused, "refused", T0_MS, reason="precondition")
    assert not await town.commands.finish(A, result("done", "op-3"), T0_MS)
    assert (await town.operations.view("op-3")).result == "precondition"


async def test_one_key_is_one_order(town: Stores) -> None:
    await order(town, new())
    assert await town.operations.order(new()) is None
    assert len(await log(town)) == 1
    for other in ({"type": "slot.quarantine"}, {"args": {"slot": 3}}, {"actor": "operator:li"}):
        with pytest.raises(InvalidError) as caught:
            await town.operations.order(new(**other))
        assert caught.value.code == "key-reused"
    assert [view.id for view in await town.operations.of_cabinet(A, 10)] == ["op-1"]
    assert await town.operations.of_cabinet(B, 10) == []
    for unknown in ("op-9", "start-S1"):
        with pytest.raises(NotFoundError):
            await town.operations.view(unknown)


async def test_an_order_that_is_not_taken_is_not_logged(town: Stores) -> None:
    with pytest.raises(NotFoundError):
        await town.operations.order(new(cabinet="DH-9999"))
    assert await log(town) == []
    assert await town.audit.audit() == []


async def test_the_log_is_filtered(town: Stores) -> None:
    await order(town, new())
    await order(town, new("op-2", cabinet=B, actor="operator:li", type="slot.quarantine"))
    clear = {"type": "alarm.clear", "args": {"code": "smoke"}, "precondition": None}
    await order(town, new("op-3", **clear))
    assert [row[0] for row in await log(town, cabinet=B)] == ["slot.quarantine"]
    assert [row[0] for row in await log(town, staff="li")] == ["slot.quarantine"]
    assert [row[0] for row in await log(town, action="alarm.clear")] == ["alarm.clear:smoke"]
    assert [row[0] for row in await log(town, action="slot%")] == []
    assert len(await log(town, limit=2)) == 2


# --- load and unload ----------------------------------------------------------------------------


def work(kind: Kind, key: str = "key-1", **values: object) -> NewSwap:
    given: dict[str, object] = {
        "id": f"W-{key}",
        "command_id": f"start-W-{key}",
        "cabinet": A,
        "rider": "zhang",
        "kind": kind,
        "key": key,
        "now_ms": T0_MS,
        "expires_ms": T0_MS + 20_000,
        "slot": 7 if kind is Kind.LOAD else 3,
        "actor": TECHNICIAN + "zhang",
        "reason": "refill",
    }
    return NewSwap(**(given | values))  # type: ignore[arg-type]


async def test_a_load_and_an_unload_are_one_movement_each(town: Stores) -> None:
    reporter = Reporter(A)
    unload = await town.swaps.begin(work(Kind.UNLOAD), lambda _: None)
    assert isinstance(unload, QueuedCommand)
    assert unload.args == {"kind": "unload", "rider_id": "zhang", "slot": 3}
    await town.commands.settle(unload, "accepted", T0_MS)
    events = [
        reporter.step("W-key-1", Step.OPENING_PICKUP, rider="zhang", kind=Kind.UNLOAD, slot_out=3),
        reporter.battery("out", "P3", 3, swap="W-key-1", rider="zhang", cause="technician"),
        reporter.step("W-key-1", Step.COMPLETED, rider="zhang", kind=Kind.UNLOAD, slot_out=3),
    ]
    await town.events.commit([reporter.arrival(event) for event in events], T0_MS)
    view = await town.swaps.view("W-key-1")
    assert [(m.from_holder, m.to_holder, m.flags) for m in view.movements] == [
        (f"slot:{A}:3", "transit:zhang", ())
    ]
    load = await town.swaps.begin(work(Kind.LOAD, "key-2"), lambda _: None)
    assert isinstance(load, QueuedCommand)
    assert load.args["expected_serial"] == "P3", "the only pack in the van"
    events = [
        reporter.step("W-key-2", Step.VERIFYING, rider="zhang", kind=Kind.LOAD, slot_in=7),
        reporter.battery("in", "P3", 7, swap="W-key-2", rider="zhang", cause="technician"),
        reporter.step("W-key-2", Step.COMPLETED, rider="zhang", kind=Kind.LOAD, slot_in=7),
    ]
    await town.events.commit([reporter.arrival(event) for event in events], T0_MS)
    view = await town.swaps.view("W-key-2")
    assert [(m.from_holder, m.to_holder, m.flags) for m in view.movements] == [
        ("transit:zhang", f"slot:{A}:7", ())
    ]
    actions = [(action, outcome) for action, outcome, _ in await log(town)]
    assert actions == [
        ("swap.start:unload", "ordered"),
        ("swap.start:unload", "accepted"),
        ("swap.start:load", "ordered"),
    ]
    assert await town.audit.audit() == []


async def test_a_technician_is_no_rider_and_one_key_is_one_work(town: Stores) -> None:
    assert isinstance(await town.swaps.begin(work(Kind.LOAD), lambda _: None), QueuedCommand)
    assert await town.swaps.begin(work(Kind.LOAD), lambda _: None) == "W-key-1"
    with pytest.raises(RefusedError):
        await town.swaps.begin(
            work(Kind.LOAD, "key-2", rider="li"),
            lambda facts: "busy" if facts.cabinet_open_swap else None,
        )
    async with town.database.read() as connection:
        count = select(func.count()).select_from(t.transfer)
        assert (await connection.execute(count)).scalar_one() == 1, "one leg"


async def test_what_was_logged_before_the_chain_begins_it(store_url: str) -> None:
    database = Database(store_url)
    try:
        await database.migrate()
        async with database.write() as connection:
            await connection.run_sync(lambda c: command.downgrade(alembic_config(c), "0002"))
        async with database.write() as connection:
            old = text("INSERT INTO audit_log (at_ms, actor, action, subject, detail)"
                       " VALUES (:at, 'cli', 'rider.deny', 'R1', 'pack sold')")  # fmt: skip
            await connection.execute(old, [{"at": T0_MS}, {"at": T0_MS + 1}])
        await database.migrate()
    finally:
        await database.close()
    async with open_stores(store_url) as stores:
        rows = await stores.audit_log.rows(LogFilter())
        assert [(row.id, row.subject, row.reason) for row in rows] == [
            (2, "R1", "pack sold"),
            (1, "R1", "pack sold"),
        ]
        assert await stores.audit.audit() == []
