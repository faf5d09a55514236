"""The journal keeps its bound on a cabinet that has no fleet, or whose clock nobody keeps right."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cabinet.adapters import store as stores
from cabinet.adapters.store import Store
from cabinet.core.records import JournalRow
from cabinet.errors import StoreError
from cabinet.runtime.housekeeping import EVERY_S, FIRST_S, keep_small

ROWS = 30
KEPT = 7


class Clock:
    """Every sleep is over at once; ``slept`` says how long each was."""

    def __init__(self, *, synced: bool = False) -> None:
        self.synced = synced
        self.slept: list[float] = []
        self.turns = asyncio.Semaphore(0)

    def monotonic_ms(self) -> int:
        return 0

    def now_utc(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def wall_synced(self) -> bool:
        return self.synced

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        await self.turns.acquire()


async def _turns(clock: Clock, count: int) -> None:
    """Let it look so often; it sleeps once more than it has looked."""
    for _ in range(count):
        clock.turns.release()
    async with asyncio.timeout(60):
        while len(clock.slept) <= count:
            await asyncio.sleep(0)


async def test_the_journal_keeps_its_bound_without_a_trusted_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "JOURNAL_ROWS_MAX", KEPT)
    path = tmp_path / "cabinet.db"
    store = await Store.open(path)
    await store.commit([JournalRow(n, n, "boot", "swap", {}) for n in range(ROWS)])
    clock = Clock()
    task = asyncio.create_task(keep_small(store, clock))
    await _turns(clock, 2)
    task.cancel()
    await asyncio.wait({task})
    await store.close()
    assert clock.slept == [FIRST_S, EVERY_S, EVERY_S]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT COUNT(*), MAX(mono_ms) FROM journal").fetchone() == (
        KEPT,
        ROWS - 1,
    )
    connection.close()


class Failing:
    """A store that fails at its first look; keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[int | None] = []

    async def prune(self, wall_ms: int | None) -> int:
        self.told.append(wall_ms)
        if len(self.told) == 1:
            raise StoreError("no space left")
        return 0


async def test_a_store_that_fails_is_looked_at_again() -> None:
    store, clock = Failing(), Clock(synced=True)
    task = asyncio.create_task(keep_small(store, clock))
    await _turns(clock, 2)
    task.cancel()
    await asyncio.wait({task})
    wall_ms = int(clock.now_utc().timestamp() * 1000)
    assert store.told == [wall_ms, wall_ms]
