"""Step, commit, adopt, act: in this order, and safe when the store is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cabinet.adapters.store import Store
from cabinet.core.act import protects
from cabinet.core.model import (
    Indicate,
    Input,
    Output,
    SetCharger,
    SetOutput,
    SetSlotAc,
    Unlock,
    UnlockResult,
)
from cabinet.core.records import JournalRow
from cabinet.core.swap_model import AwaitReturn, Completed, Idle, OpeningReturn
from cabinet.errors import DeviceRefusedError, LinkError
from protocols.messages import SlotState
from tests.support.cabinet_rig import Hole, Rig
from tests.support.pumping import Bench, running

SWAP = {"kind": "swap", "rider_id": "R2"}


async def test_a_whole_swap_through_a_real_store(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "a.db")
    bench = Bench(store=store)
    async with running(bench):
        await bench.order("swap.start", SWAP, swap_id="S")
        await bench.until(lambda: isinstance(bench.pump.state.durable.swap, AwaitReturn))
        bench.rig.put(3, "OLD-1")
        await bench.for_ms(200)
        bench.rig.shut(3)
        await bench.until(lambda: len(bench.unlocks()) == 2)
        bench.rig.take(1)
        await bench.for_ms(200)
        bench.rig.shut(1)
        await bench.until(lambda: isinstance(bench.pump.state.durable.swap, Completed))
    restored = await store.load()
    events = await store.events(1, range(1, 1_000))
    assert [e.type for e in events if e.type.startswith("battery")] == ["battery.in", "battery.out"]
    assert restored.last_seq == len(events) == bench.pump.state.durable.seq
    again = bench.rig.engine.initial(restored, "boot-2")
    assert again.durable == bench.pump.state.durable
    await store.close()


async def test_nothing_is_done_before_it_is_on_the_disk() -> None:
    bench = Bench()
    async with running(bench):
        bench.log.clear()
        await bench.order("swap.start", SWAP, swap_id="S")
        await bench.until(bench.unlocks)
        assert bench.log.index("commit") < bench.log.index(bench.unlocks()[0])


async def test_a_pulse_on_the_bus_holds_nobody_up() -> None:
    bench = Bench()
    async with running(bench):
        bench.hands.bus_free.clear()
        await bench.order("swap.start", SWAP, swap_id="S")
        await bench.until(bench.unlocks)
        bench.rig.contacts[Input.SMOKE] = True
        off = SetOutput(Output.CONTACTOR, on=False)
        await bench.until(lambda: off in bench.log)
        assert bench.rig.holes[3].door == "closed"
        bench.hands.bus_free.set()
        await bench.for_ms(300)


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (LinkError("board-1", "silent"), UnlockResult.NO_REPLY),
        (LinkError("board-1", "port gone", sent_maybe=False), UnlockResult.REFUSED),
        (DeviceRefusedError("board-1", "busy"), UnlockResult.REFUSED),
    ],
)
async def test_what_became_of_a_pulse_comes_back(error: Exception, result: UnlockResult) -> None:
    bench = Bench()
    async with running(bench):
        bench.hands.error = error
        await bench.order("slot.open", {"slot": 1})
        await bench.until(lambda: any(r.outcome == "failed" for r in bench.replies))
        rows = [r for r in bench.disk.rows if isinstance(r, JournalRow)]
        assert [r.detail["result"] for r in rows if r.kind == "unlock-outcome"] == [result.value]


async def test_listeners_hear_of_it_after_the_commit() -> None:
    bench = Bench()
    seen: list[tuple[int, int]] = []
    bench.pump.listen(
        lambda outcome: seen.append((outcome.state.durable.seq, bench.disk.restored.last_seq))
    )
    async with running(bench):
        await bench.order("swap.start", SWAP, swap_id="S")
        await bench.until(bench.unlocks)
    assert all(told == written for told, written in seen)
    assert seen[-1][0] > 0


async def test_a_failing_store_moves_nothing_and_makes_the_chargers_safe() -> None:
    rig = Rig()
    rig.holes[4] = Hole("YZ48-000004", 40)
    bench = Bench(rig)
    async with running(bench):
        await bench.until(lambda: rig.chargers.get(4) and rig.chargers[4].on)
        before = bench.pump.state
        order_fields = {"nonce": await bench.nonce()}
        bench.disk.fails = "clean"
        await bench.order("swap.start", SWAP, swap_id="S", **order_fields)
        await bench.until(lambda: bench.pump.store_error)
        await bench.for_ms(3_000)
        assert not bench.unlocks()
        assert isinstance(bench.pump.state.durable.swap, Idle)
        assert bench.pump.state.durable == before.durable
        assert not any(order.on for order in rig.chargers.values())
        assert "store" in bench.pump.telemetry().alarms
        bench.disk.fails = ""
        await bench.until(lambda: bench.pump.store_error is None)
        await bench.until(lambda: rig.chargers[4].on)
        assert "store" not in bench.pump.telemetry().alarms
        assert rig.outputs[Output.CONTACTOR]
        await bench.order("swap.start", SWAP, swap_id="S2")
        await bench.until(bench.unlocks)


async def test_smoke_while_the_store_fails_is_acted_on_and_not_forgotten() -> None:
    bench = Bench()
    async with running(bench):
        bench.disk.fails = "clean"
        bench.rig.contacts[Input.SMOKE] = True
        await bench.until(lambda: SetOutput(Output.SIREN, on=True) in bench.log)
        assert SetOutput(Output.CONTACTOR, on=False) in bench.log
        bench.rig.contacts[Input.SMOKE] = False
        await bench.for_ms(2_000)
        bench.disk.fails = ""
        await bench.until(lambda: bench.pump.store_error is None)
        await bench.until(lambda: bench.pump.state.durable.safety.trips)
        assert not bench.rig.outputs[Output.CONTACTOR]


async def test_protecting_effects_are_not_repeated_without_end() -> None:
    bench = Bench()
    async with running(bench):
        bench.disk.fails = "clean"
        bench.rig.contacts[Input.SMOKE] = True
        await bench.until(lambda: bench.pump.store_error)
        await bench.for_ms(5_000)
        assert bench.log.count(SetOutput(Output.SIREN, on=True)) <= 2


async def test_a_commit_that_failed_after_all_was_written_is_found_on_the_disk() -> None:
    bench = Bench()
    async with running(bench):
        nonce = await bench.nonce()
        bench.disk.fails = "late"
        await bench.order("swap.start", SWAP, swap_id="S", nonce=nonce)
        await bench.until(lambda: bench.pump.store_error)
        assert not bench.unlocks()
        bench.disk.fails = ""
        await bench.until(lambda: bench.pump.store_error is None)
        assert isinstance(bench.pump.state.durable.swap, OpeningReturn)
        # Its pulse never went out: the door is shut, so it is ordered again, as a new attempt.
        await bench.until(bench.unlocks)
        assert bench.unlocks()[0].attempt != "S:1"
        seqs = [r.event.seq for r in bench.disk.rows if hasattr(r, "event")]
        assert seqs == list(range(1, len(seqs) + 1))


async def test_ticks_come_without_news() -> None:
    bench = Bench()
    async with running(bench):
        turned_ms = bench.pump.last_turn_ms
        for _ in range(20):
            bench.clock.move(100)
            await asyncio.sleep(0.001)
        assert bench.pump.last_turn_ms - turned_ms >= 1_000


async def test_the_queue_is_bounded_and_the_sender_waits() -> None:
    bench = Bench()
    full: list[Any] = [asyncio.ensure_future(bench.nonce()) for _ in range(300)]
    await asyncio.sleep(0.01)
    assert bench.pump._queue.full()
    for task in full:
        task.cancel()
    await asyncio.gather(*full, return_exceptions=True)


async def test_telemetry_before_anything_was_read() -> None:
    bench = Bench()
    assert bench.pump.telemetry().slots == ()
    async with running(bench):
        assert bench.pump.telemetry().slots[0].state is SlotState.READY


@pytest.mark.parametrize(
    ("effect", "safe"),
    [
        (SetCharger(1, on=False), True),
        (SetCharger(1, on=True, voltage_v=54.6, current_a=5.0), False),
        (SetSlotAc(1, on=False), True),
        (SetSlotAc(1, on=True), False),
        (SetOutput(Output.CONTACTOR, on=False), True),
        (SetOutput(Output.CONTACTOR, on=True), False),
        (SetOutput(Output.SIREN, on=True), True),
        (SetOutput(Output.SIREN, on=False), False),
        (SetOutput(Output.EXTINGUISHER, on=True), True),
        (SetOutput(Output.FAN, on=True), False),
        (Unlock(1, "a"), False),
        (Indicate(1, "open"), False),
    ],
)
def test_what_needs_no_journal(effect: Any, safe: bool) -> None:
    assert protects(effect) is safe
