"""A pump on a toy cabinet: a clock that is moved by hand, wires that log, a store that can fail."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from cabinet.core.engine import ChallengeReceived, CommandReceived
from cabinet.core.model import Effect, Image, SetCharger, SetOutput, SetSlotAc, Unlock, UnlockResult
from cabinet.core.records import EventRow, Restored, ResultRow, SnapshotRow, Write
from cabinet.errors import StoreError
from cabinet.runtime.pump import Pump
from protocols.messages import Challenge, Door, Result
from tests.support.cabinet_rig import WALL_MS, Rig

TURNS_MAX: Final = 4_000  # of the event loop, until something is thought never to come


class HandClock:
    """Time stands still until it is moved."""

    def __init__(self) -> None:
        self.ms = 1_000_000
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def monotonic_ms(self) -> int:
        return self.ms

    def now_utc(self) -> datetime:
        return datetime.fromtimestamp((WALL_MS + self.ms) / 1000, UTC)

    def wall_synced(self) -> bool:
        return True

    async def sleep(self, delay_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self.ms + round(delay_s * 1000), self._count, future))
        await future

    def move(self, ms: int) -> None:
        self.ms += ms
        while self._sleepers and self._sleepers[0][0] <= self.ms:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)


class Disk:
    """A store in memory. ``fails``: "" works, "clean" writes nothing, "late" writes, then fails."""

    def __init__(self, log: list[Any]) -> None:
        self.log = log
        self.fails = ""
        self.rows: list[Write] = []
        self.restored = Restored()

    async def commit(self, writes: Sequence[Write]) -> None:
        await asyncio.sleep(0)
        if self.fails == "clean":
            raise StoreError("disk full")
        for row in writes:
            self._keep(row)
        if self.fails == "late":
            raise StoreError("the last flush failed")
        if writes:
            self.log.append("commit")

    def _keep(self, row: Write) -> None:
        self.rows.append(row)
        if isinstance(row, SnapshotRow):
            self.restored = replace(self.restored, snapshot=row.data)
        elif isinstance(row, ResultRow):
            self.restored = replace(self.restored, results=(*self.restored.results, row.result))
        elif isinstance(row, EventRow):
            self.restored = replace(self.restored, last_seq=row.event.seq)

    async def load(self) -> Restored:
        if self.fails:
            raise StoreError("still failing")
        return self.restored


class Hands:
    """Actuator and image source over the rig's holes."""

    def __init__(self, rig: Rig, clock: HandClock, log: list[Any]) -> None:
        self.rig = rig
        self.clock = clock
        self.log = log
        self.changed = asyncio.Event()
        self.bus_free = asyncio.Event()
        self.bus_free.set()
        self.error: Exception | None = None

    def image(self) -> Image:
        self.rig.now_ms = self.clock.ms
        return self.rig.image()

    async def apply(self, effect: Effect) -> UnlockResult | None:
        self.log.append(effect)
        match effect:
            case Unlock(slot=slot):
                await self.bus_free.wait()
                if self.error is not None:
                    raise self.error
                self.rig.holes[slot].door = Door.OPEN
                return UnlockResult.SENT
            case SetCharger(slot=slot):
                self.rig.chargers[slot] = effect
            case SetSlotAc(slot, on):
                self.rig.ac[slot] = on
            case SetOutput(output, on):
                self.rig.outputs[output] = on
        return None


class Bench:
    """Everything around one pump."""

    def __init__(self, rig: Rig | None = None, store: Any = None) -> None:
        self.rig = rig or Rig()
        self.clock = HandClock()
        self.log: list[Any] = []
        self.disk = Disk(self.log)
        self.hands = Hands(self.rig, self.clock, self.log)
        self.replies: list[Result] = []
        self.pump = Pump(
            engine=self.rig.engine,
            state=self.rig.state,
            store=store or self.disk,
            actuator=self.hands,
            images=self.hands,
            clock=self.clock,
        )
        self.pump.listen(lambda outcome: self.replies.extend(outcome.replies))

    async def until(self, what: Callable[[], Any], step_ms: int = 50) -> None:
        """Let time pass until it is so; fail when it never comes."""
        for _ in range(TURNS_MAX):
            if what():
                return
            self.hands.changed.set()
            self.clock.move(step_ms)
            await asyncio.sleep(0.0002)  # the store's thread needs real time, if little
        raise AssertionError(f"never came: {self.pump.state.durable}")

    async def for_ms(self, ms: int) -> None:
        end_ms = self.clock.ms + ms
        await self.until(lambda: self.clock.ms >= end_ms)

    async def order(self, kind: str, args: dict[str, Any] | None = None, **more: Any) -> None:
        self.rig.state = self.pump.state
        fields = {"nonce": await self.nonce(), **more}
        await self.pump.submit(CommandReceived(self.rig.order(kind, args, **fields)))

    async def nonce(self) -> str:
        before = len(self.replies)
        await self.pump.submit(ChallengeReceived(Challenge(id="c")))
        await self.until(lambda: len(self.replies) > before)
        return self.replies[-1].nonces[0]

    def unlocks(self) -> list[Unlock]:
        return [entry for entry in self.log if isinstance(entry, Unlock)]


@contextlib.asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    task = asyncio.ensure_future(bench.pump.run())
    try:
        await bench.until(lambda: bench.pump.state.ready or task.done())
        yield bench
        assert not task.done(), task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
