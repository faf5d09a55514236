"""The store on disks that are full, read-only, cut off in a write, or damaged."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from cabinet.adapters.store import Store
from cabinet.core.engine_model import Durable, decode_durable, encode_durable
from cabinet.core.records import EventRow, JournalRow, Restored, ResultRow, SnapshotRow
from cabinet.errors import StoreError, StoreFault
from protocols.messages import BootBody, Event, Result, raw
from tests.support.small_disk import SmallDisk, small_disk

FRAME = 24 + 4_096  # of the log: a header and a page
LOG_HEADER = 32


def event(seq: int) -> Event:
    body = raw(BootBody(software=f"v{seq}"))
    return Event(
        epoch=1, seq=seq, boot_id="b", mono_ms=seq, wall_ms=seq, wall_synced=True, type="boot", body=body
    )  # fmt: skip


def rows(seq: int) -> list:
    return [
        SnapshotRow(encode_durable(Durable(seq=seq))),
        JournalRow(seq, seq, "b", "test", {"seq": seq}),
        EventRow(event(seq)),
        ResultRow(Result(id=f"c{seq}", outcome="done", boot_id="b"), seq),
    ]


def check_whole(restored: Restored, events: list[Event], lines: int) -> int:
    """Everything tells the same story; return how far it goes."""
    if restored.snapshot is None:
        assert (restored.last_seq, events, lines, restored.results) == (0, [], 0, ())
        return 0
    seq = decode_durable(restored.snapshot).seq
    assert restored.last_seq == seq == lines == len(restored.results)
    assert [e.seq for e in events] == list(range(1, seq + 1))
    return seq


async def story(path: Path) -> int:
    store = await Store.open(path)
    try:
        restored = await store.load()
        return check_whole(
            restored, await store.events(1, range(1, 10_000)), len(await store.journal(10_000))
        )
    finally:
        await store.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 2_048) as mounted:
        yield mounted


# --- full ---------------------------------------------------------------------------------------


async def fill_up(store: Store, first: int) -> int:
    """Commit until it fails; the number that failed."""
    for seq in range(first, 10_000):
        try:
            await store.commit(rows(seq))
        except StoreError as error:
            caught = error
            break
    else:
        raise AssertionError("the disk never filled")
    assert caught.fault is StoreFault.FULL
    assert "free some space" in str(caught)
    return seq


async def test_a_real_full_disk_loses_nothing_and_heals(disk: SmallDisk) -> None:
    path = disk.where / "cabinet.db"
    store = await Store.open(path)
    for seq in range(1, 4):
        await store.commit(rows(seq))
    disk.fill()
    failed = await fill_up(store, 4)
    with pytest.raises(StoreError, match="full"):
        await store.commit(rows(failed))
    disk.free()
    restored = await store.load()
    assert restored.last_seq == failed - 1
    await store.commit(rows(failed))
    await store.close()
    assert await story(path) == failed


async def test_a_process_that_dies_on_a_full_disk_keeps_what_was_committed(disk: SmallDisk) -> None:
    path = disk.where / "cabinet.db"
    store = await Store.open(path)
    await store.commit(rows(1))
    disk.fill()
    failed = await fill_up(store, 2)
    for name in ("cabinet.db", "cabinet.db-wal"):  # as a kill -9 leaves the files
        shutil.copy(disk.where / name, disk.where.parent / name)
    await store.close()
    assert await story(disk.where.parent / "cabinet.db") == failed - 1


async def test_a_disk_that_is_full_from_the_start_is_named_so(disk: SmallDisk) -> None:
    disk.fill()
    store = Store(disk.where / "cabinet.db")
    with pytest.raises(StoreError) as caught:
        await store.load()
    assert caught.value.fault in {StoreFault.FULL, StoreFault.READ_ONLY, StoreFault.DISK}
    disk.free()
    assert await store.load() == Restored()
    await store.commit(rows(1))
    await store.close()


# --- read-only ----------------------------------------------------------------------------------


async def test_a_disk_that_turns_read_only_loses_nothing_and_heals(disk: SmallDisk) -> None:
    path = disk.where / "cabinet.db"
    store = await Store.open(path)
    await store.commit(rows(1))
    await store.close()
    disk.read_only(on=True)
    store = Store(path)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            await store.commit(rows(2))
        assert caught.value.fault is StoreFault.READ_ONLY
        assert "mount it for writing" in str(caught.value)
    disk.read_only(on=False)
    assert (await store.load()).last_seq == 1
    await store.commit(rows(2))
    await store.close()
    assert await story(path) == 2


# --- the tail of the log ------------------------------------------------------------------------


async def logged(tmp_path: Path, count: int) -> tuple[Path, list[bytes]]:
    """A store with so many transactions in its log, and the log as it was after each."""
    path = tmp_path / "a.db"
    store = await Store.open(path)
    logs = []
    for seq in range(1, count + 1):
        await store.commit(rows(seq))
        logs.append(path.with_name("a.db-wal").read_bytes())
    shutil.copy(path, tmp_path / "main")
    await store.close()
    return tmp_path / "main", logs


async def cut_story(main: Path, log: bytes, tmp_path: Path) -> int:
    copy = tmp_path / "cut.db"
    for side in ("", "-wal", "-shm", ".lock"):
        copy.with_name("cut.db" + side).unlink(missing_ok=True)
    shutil.copy(main, copy)
    copy.with_name("cut.db-wal").write_bytes(log)
    return await story(copy)


async def test_a_log_cut_anywhere_in_its_last_transactions_has_whole_ones_only(
    tmp_path: Path,
) -> None:
    main, logs = await logged(tmp_path, 5)
    whole = [len(log) for log in logs]
    log = logs[-1]
    frames = range(LOG_HEADER, len(log) + 1, FRAME)
    edges = {place + shift for place in frames for shift in (-1, 0, 1, 24, 25)}
    cuts = {*edges, *range(whole[2], len(log), 509), len(log)}
    for cut in sorted(cut for cut in cuts if whole[2] <= cut <= len(log)):
        told = await cut_story(main, log[:cut], tmp_path)
        assert told == sum(length <= cut for length in whole), f"cut at {cut} of {len(log)}"


async def test_nonsense_at_the_end_of_the_log_takes_only_what_was_not_finished(
    tmp_path: Path,
) -> None:
    main, logs = await logged(tmp_path, 4)
    log, before = logs[-1], len(logs[2])
    assert await cut_story(main, log + b"\xa5" * 9_000, tmp_path) == 4
    for place in (before + 1, before + 40, len(log) - 2_000, len(log) - 1):
        bent = bytearray(log)
        bent[place] ^= 0xFF
        assert await cut_story(main, bytes(bent), tmp_path) == 3, f"one bit bent at {place}"


async def test_every_answered_commit_survives_the_loss_of_what_came_after(tmp_path: Path) -> None:
    main, logs = await logged(tmp_path, 6)
    for seq, log in enumerate(logs, 1):
        assert await cut_story(main, log, tmp_path) == seq


# --- damage -------------------------------------------------------------------------------------


async def damaged(tmp_path: Path, how: str) -> Path:
    path = tmp_path / "cabinet.db"
    store = await Store.open(path)
    for seq in range(1, 150):
        await store.commit(rows(seq))
    await store.close()
    if how == "snapshot":
        connection = sqlite3.connect(path)
        connection.execute("UPDATE snapshot SET data = ?", (b'{"swap":{"state":"levitating"}}',))
        connection.commit()
        connection.close()
        return path
    data = bytearray(path.read_bytes())
    if how == "header":
        data[:100] = b"\0" * 100
    elif how == "pages":
        data[4_096:40_000] = b"\xa5" * (40_000 - 4_096)
    else:
        data = data[: len(data) // 2]
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("how", ["header", "pages", "half", "snapshot"])
async def test_a_damaged_file_is_named_with_its_remedy_and_left_alone(
    tmp_path: Path, how: str
) -> None:
    path = await damaged(tmp_path, how)
    before = path.read_bytes()
    store = Store(path)
    for _ in range(2):
        with pytest.raises(StoreError) as caught:
            await store.load()
        assert caught.value.fault is StoreFault.DAMAGED
        assert "cabinetd journal replace" in str(caught.value)
    await store.close()
    assert path.read_bytes() == before
