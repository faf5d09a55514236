"""A journal that cannot be written: every order is refused with a reason, and nothing moves."""

from __future__ import annotations

import asyncio
from pathlib import Path

from cabinet.adapters.store import Store
from cabinet.core.engine import Engine
from cabinet.core.engine_model import CommandReceived, Durable, encode_durable
from cabinet.core.model import Input, Output, SetOutput
from cabinet.core.records import JournalRow, Restored, SnapshotRow
from cabinet.core.safety_state import Code, SafetyState, Trip
from cabinet.core.swap_model import AwaitReturn, Idle, Job
from cabinet.errors import StoreError
from cabinet.runtime.pump import Pump
from protocols.messages import Door, Kind
from tests.support.cabinet_rig import Hole, Rig
from tests.support.pumping import Bench, running

SWAP = {"kind": "swap", "rider_id": "R2"}


async def test_an_order_that_could_not_be_written_is_refused() -> None:
    bench = Bench()
    async with running(bench):
        nonce = await bench.nonce()
        bench.disk.fails = "clean"
        await bench.order("swap.start", SWAP, swap_id="S", nonce=nonce)
        await bench.until(lambda: bench.pump.store_error)
        assert not [r for r in bench.replies if r.outcome == "refused"], "nobody knows yet"
        bench.disk.fails = ""
        await bench.until(lambda: bench.replies[-1].reason == "store")
        assert bench.replies[-1].outcome == "refused"
        assert isinstance(bench.pump.state.durable.swap, Idle)
        assert not bench.unlocks()


async def test_an_order_that_was_written_after_all_gets_its_own_answer() -> None:
    bench = Bench()
    async with running(bench):
        nonce = await bench.nonce()
        bench.disk.fails = "late"
        await bench.order("swap.start", SWAP, swap_id="S", nonce=nonce)
        await bench.until(lambda: bench.pump.store_error)
        bench.disk.fails = ""
        await bench.until(lambda: bench.replies[-1].outcome == "accepted")
        assert not [r for r in bench.replies if r.reason == "store"]


async def test_orders_in_the_meantime_are_refused_with_the_reason_and_nonces_still_come() -> None:
    rig = Rig()
    rig.holes[4] = Hole("YZ48-000004", 40)
    bench = Bench(rig)
    async with running(bench):
        bench.disk.fails = "clean"
        await bench.until(lambda: rig.chargers.get(4))
        await bench.order("slot.service-off", {"slot": 2})
        await bench.until(lambda: bench.pump.store_error)
        await bench.order("swap.start", SWAP, swap_id="S")
        await bench.until(lambda: bench.replies[-1].reason == "store")
        await bench.order("slot.open", {"slot": 1})
        before = len(bench.replies)
        await bench.until(lambda: len(bench.replies) > before)
        assert (bench.replies[-1].outcome, bench.replies[-1].reason) == ("refused", "store")
        assert "disk full" in bench.replies[-1].evidence or "failing" in bench.replies[-1].evidence
        assert not bench.unlocks()
        assert not any(order.on for order in rig.chargers.values())


async def test_an_order_that_was_decided_before_keeps_its_answer() -> None:
    bench = Bench()
    async with running(bench):
        order = bench.rig.order("slot.service-off", {"slot": 2}, nonce=await bench.nonce())
        await bench.pump.submit(CommandReceived(order))
        await bench.until(lambda: bench.replies[-1].outcome == "done")
        bench.disk.fails = "clean"
        await bench.order("slot.service-off", {"slot": 3})
        await bench.until(lambda: bench.pump.store_error)
        before = len(bench.replies)
        await bench.pump.submit(CommandReceived(order))
        await bench.until(lambda: len(bench.replies) > before)
        assert (bench.replies[-1].id, bench.replies[-1].outcome) == (order.id, "done")


async def test_a_full_disk_that_can_be_read_does_not_flap(tmp_path: Path) -> None:
    """Reading works all the time, so only a line that was written proves that writing works."""
    store = await Store.open(tmp_path / "a.db")
    rig = Rig()
    rig.holes[4] = Hole("YZ48-000004", 40)
    bench = Bench(rig, store=store)

    def shrink(connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    async def full(work):
        """A disk that is full for every new connection too."""

        def both(connection):
            shrink(connection)
            return work(connection)

        return await real(both)

    real = store._run
    async with running(bench):
        await bench.until(lambda: rig.chargers.get(4) and rig.chargers[4].on)
        store._run = full  # type: ignore[method-assign]
        await store_until_full(store)
        await bench.order("swap.start", SWAP, swap_id="S")
        await bench.until(lambda: bench.pump.store_error)
        began = len(bench.log)
        await bench.for_ms(10_000)
        assert not [e for e in bench.log[began:] if getattr(e, "on", False)], "nothing turned on"
        assert bench.pump.store_error
        store._run = real  # type: ignore[method-assign]
        await bench.until(lambda: bench.pump.store_error is None)
        await bench.until(lambda: rig.chargers[4].on)
    assert "store-works-again" in [row[1] for row in await store.journal()]
    await store.close()


async def store_until_full(store: Store) -> None:
    for seq in range(10_000):
        try:
            await store.commit([JournalRow(seq, seq, "b", "fill", {"x": "y" * 500})])
        except StoreError:
            return
    raise AssertionError("it never filled")


# --- broken from the start ----------------------------------------------------------------------


def broken_from_the_start(bench: Bench, engine: Engine, on_disk: Durable) -> None:
    """The pump as the daemon makes it when the journal cannot be read."""
    bench.disk.restored = Restored(snapshot=encode_durable(on_disk))
    bench.disk.fails = "clean"
    bench.pump = Pump(
        engine=engine,
        state=engine.initial(Restored(), "boot-9"),
        store=bench.disk,
        actuator=bench.hands,
        images=bench.hands,
        clock=bench.clock,
        store_error="damaged",
    )
    bench.pump.listen(lambda outcome: bench.replies.extend(outcome.replies))


async def test_without_a_journal_nothing_moves_and_safety_works() -> None:
    bench = Bench()
    broken_from_the_start(bench, bench.rig.engine, Durable())
    pump = asyncio.ensure_future(bench.pump.run())
    await bench.for_ms(3_000)
    assert bench.pump.telemetry().alarms == ("store",)
    assert not bench.pump.state.ready
    assert not any(getattr(effect, "on", False) for effect in bench.log)
    bench.rig.contacts[Input.SMOKE] = True
    await bench.until(lambda: SetOutput(Output.SIREN, on=True) in bench.log)
    assert not bench.unlocks()
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)


async def test_a_journal_that_comes_back_brings_its_swap_and_its_trips() -> None:
    bench = Bench()
    job = Job(swap_id="S", kind=Kind.SWAP, rider_id="R2", slot_in=3, slot_out=1)
    trips = SafetyState(trips=(Trip(Code.AIR_TRIP, 2, 0),))
    before = Durable(
        seq=9,
        epoch=3,
        adopted=True,
        swap=AwaitReturn(job=job, since_ms=0),
        safety=trips,
        inventory={1: "YZ48-000001", 2: "YZ48-000002"},
    )
    broken_from_the_start(bench, bench.rig.engine, before)
    pump = asyncio.ensure_future(bench.pump.run())
    await bench.for_ms(2_000)
    bench.rig.holes[3].door = Door.OPEN
    bench.disk.fails = ""
    await bench.until(lambda: bench.pump.state.ready)
    state = bench.pump.state
    assert isinstance(state.durable.swap, AwaitReturn)
    assert (state.durable.epoch, state.durable.inventory) == (3, before.inventory)
    assert state.safety.has(Code.AIR_TRIP, 2)
    assert not bench.rig.ac.get(2)
    rows = [row for row in bench.disk.rows if isinstance(row, SnapshotRow)]
    assert rows
    pump.cancel()
    await asyncio.gather(pump, return_exceptions=True)
