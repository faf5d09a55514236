"""The grid's versions in the loop: the file first, then the desk's, each at its time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fleet.adapters.grid_file import GridFile
from fleet.core.balance.grid_edit import FeederEdit, edited
from fleet.errors import InvalidError, RefusedError
from fleet.runtime.desk import GridService
from fleet.runtime.grids import GridVersions
from fleet.store.engine import StoreError
from fleet.stores import Stores, open_stores
from tests.support.balance_rig import GRID
from tests.support.fleet import ManualClock
from tests.support.stores import sqlite_store

HOUR_MS = 3_600_000


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[Stores]:
    async with open_stores(sqlite_store(tmp_path / "fleet.db")) as opened:
        yield opened


class Loop:
    """A fleetd's view of the grid."""

    def __init__(self, stores: Stores, folder: Path) -> None:
        self.file = folder / "grid.toml"
        self.clock = ManualClock()
        self.stores = stores
        self.desk = GridService(stores.grids, self.clock, self.clock)
        self.grids = self.start()

    def start(self) -> GridVersions:
        self.grids = GridVersions(
            self.stores.grids, GridFile(self.file), day=self.clock, real=self.clock
        )
        return self.grids

    def write(self, text: str) -> None:
        before = self.file.stat().st_mtime_ns if self.file.exists() else 0
        self.file.write_text(text)
        os.utime(self.file, ns=(before + 1_000_000, before + 1_000_000))

    async def change(self, limit_kw: str, after_ms: int | None = None) -> int:
        _, known = await self.desk.history()
        text = edited(await self.desk.text(known[-1].version), FeederEdit("F1", "east", limit_kw))
        return await self.desk.propose(
            text,
            valid_from_ms=None if after_ms is None else self.clock.wall + after_ms,
            reason="a narrower line",
            actor="op:zhang",
            source="console",
            revision=None,
        )

    def limit(self) -> int:
        return self.grids.load().feeders[0].limit_w


@pytest.fixture
async def loop(stores: Stores, tmp_path: Path) -> Loop:
    made = Loop(stores, tmp_path)
    made.write(GRID)
    await made.grids.open()
    return made


async def test_the_file_is_the_first_version_and_a_changed_one_the_next(loop: Loop) -> None:
    assert loop.limit() == 5_000
    assert not loop.grids.changed()
    loop.write(GRID.replace("limit_w = 5000\n\n", "limit_w = 4000\n\n"))
    await loop.grids.look()
    assert loop.grids.changed()
    assert loop.limit() == 4_000
    _, known = await loop.desk.history()
    assert [(each.version, each.source) for each in known] == [(1, "file"), (2, "file")]
    loop.start()
    await loop.grids.open()
    assert len((await loop.desk.history())[1]) == 2, "a restart makes none"


async def test_a_broken_file_is_told_and_the_grid_holds_until_it_is_mended(loop: Loop) -> None:
    loop.grids.load()
    loop.write("region = 3")
    await loop.grids.look()
    assert loop.grids.changed()
    with pytest.raises(InvalidError, match="region"):
        loop.grids.load()
    assert not loop.grids.changed(), "told once"
    loop.write(GRID)
    await loop.grids.look()
    assert loop.grids.changed()
    assert loop.limit() == 5_000


async def test_a_version_takes_effect_at_its_time_and_not_before(loop: Loop) -> None:
    loop.limit()
    await loop.change("3", after_ms=HOUR_MS)
    await loop.grids.look()
    assert not loop.grids.changed()
    loop.clock.move(HOUR_MS - 1)
    assert not loop.grids.changed()
    loop.clock.move(1)
    assert loop.grids.changed()
    assert loop.limit() == 3_000
    loop.start()
    await loop.grids.open()
    assert loop.limit() == 3_000, "after a restart as well"


async def test_once_made_at_the_desk_the_file_is_only_told_of(loop: Loop) -> None:
    await loop.change("3")
    await loop.grids.look()
    assert loop.limit() == 3_000
    loop.write(GRID.replace("limit_w = 5000\n\n", "limit_w = 4000\n\n"))
    await loop.grids.look()
    with pytest.raises(InvalidError, match="fleetd grid import"):
        loop.grids.load()
    assert len((await loop.desk.history())[1]) == 2
    loop.start()
    await loop.grids.open()
    await loop.grids.look()
    assert loop.limit() == 3_000, "a restart does not undo the desk, nor tells it anew"
    loop.file.unlink()
    loop.start()
    await loop.grids.open()
    assert loop.limit() == 3_000
    loop.write(await loop.desk.text(2))
    await loop.grids.look()
    assert loop.limit() == 3_000, "what the desk knows is no news"


async def test_what_is_to_come_can_be_withdrawn_and_two_editors_do_not_meet(loop: Loop) -> None:
    revision, _ = await loop.desk.history()
    last = await loop.change("3", after_ms=HOUR_MS)
    with pytest.raises(RefusedError) as caught:
        await loop.desk.withdraw(last, reason="wrong day", actor="op:li", revision=revision)
    assert caught.value.code == "grid-changed"
    await loop.desk.withdraw(last, reason="wrong day", actor="op:li", revision=revision + 1)
    await loop.grids.look()
    loop.clock.move(2 * HOUR_MS)
    assert loop.limit() == 5_000


async def test_a_changed_file_is_not_forgotten_when_the_store_is_away(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop.stores.grids.add

    async def away(_: object) -> int:
        raise StoreError("store: gone")

    monkeypatch.setattr(loop.stores.grids, "add", away)
    loop.write(GRID.replace("limit_w = 5000\n\n", "limit_w = 4000\n\n"))
    with pytest.raises(StoreError):
        await loop.grids.look()
    monkeypatch.setattr(loop.stores.grids, "add", real)
    await loop.grids.look()
    assert loop.limit() == 4_000


async def test_a_clock_that_is_put_back_does_not_undo_what_has_begun(loop: Loop) -> None:
    loop.clock.move(HOUR_MS)
    await loop.change("3")
    await loop.grids.look()
    assert loop.limit() == 3_000
    loop.clock.wall -= 2_000
    assert not loop.grids.changed()
    assert loop.limit() == 3_000
