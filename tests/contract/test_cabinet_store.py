"""The store on a real disk: all or nothing, crash safe, upgradable, honest about failure."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from cabinet.adapters import store_schema
from cabinet.adapters.store import Store
from cabinet.core.engine_model import Durable, decode_durable, encode_durable
from cabinet.core.outbox import KEEP_ACKED_MS
from cabinet.core.records import (
    EpochRow,
    EventRow,
    JournalRow,
    Lists,
    ListsRow,
    Restored,
    ResultRow,
    SnapshotRow,
)
from cabinet.core.swap_model import AwaitPickup, Job
from cabinet.errors import StoreError
from protocols.messages import Ack, BootBody, Event, Kind, Result, Step, raw


def event(seq: int, epoch: int = 1) -> Event:
    return Event(
        epoch=epoch,
        seq=seq,
        boot_id="b",
        mono_ms=seq,
        wall_ms=1_000 + seq,
        wall_synced=True,
        type="boot",
        body=raw(BootBody(software=f"v{seq}")),
    )


def rows(seq: int) -> list:
    return [
        SnapshotRow(encode_durable(Durable(seq=seq))),
        JournalRow(seq, seq, "b", "test", {"seq": seq}),
        EventRow(event(seq)),
    ]


def snapshot_seq(restored: Restored) -> int:
    assert restored.snapshot is not None
    return decode_durable(restored.snapshot).seq


@pytest.fixture
async def store(tmp_path: Path):
    opened = await Store.open(tmp_path / "cabinet.db")
    yield opened
    await opened.close()


async def test_a_new_store_is_empty(store: Store) -> None:
    assert await store.load() == Restored()


async def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "a.db")
    lists = Lists(version=3, packs=frozenset({"YZ48-000001"}), denied_riders=frozenset({"R2"}))
    result = Result(id="c1", outcome="done", boot_id="b")
    await store.commit([*rows(1), ListsRow(lists), ResultRow(result, 5)])
    await store.commit(rows(2))
    await store.acknowledge(Ack(epoch=1, seq=1, incarnation="i"), 7)
    await store.close()

    store = await Store.open(tmp_path / "a.db")
    restored = await store.load()
    assert snapshot_seq(restored) == 2
    assert restored.lists == lists
    assert restored.results == (result,)
    assert (restored.epoch, restored.last_seq, restored.acked_seq) == (1, 2, 1)
    assert restored.incarnation == "i"
    assert await store.events(1, range(1, 3)) == [event(1), event(2)]
    assert await store.events(1, range(2, 200)) == [event(2)]
    assert [row[1] for row in await store.journal()] == ["test", "test"]
    await store.close()


async def test_one_bad_row_takes_all_of_its_transaction_with_it(store: Store) -> None:
    await store.commit(rows(1))
    with pytest.raises(StoreError):
        await store.commit([*rows(2), EventRow(event(1))])  # number 1 is taken
    restored = await store.load()
    assert snapshot_seq(restored) == 1
    assert restored.last_seq == 1
    await store.commit(rows(2))
    assert (await store.load()).last_seq == 2


async def test_a_later_answer_to_a_command_replaces_the_earlier_one(store: Store) -> None:
    for outcome in ("accepted", "done"):
        await store.commit([ResultRow(Result(id="c", outcome=outcome, boot_id="b"), 1)])
    assert [r.outcome for r in (await store.load()).results] == ["done"]


async def test_a_power_cut_at_any_byte_of_the_log_loses_whole_transactions_only(
    tmp_path: Path,
) -> None:
    """Copies of database and log, the log cut at many places, as a disk might be found."""
    path = tmp_path / "a.db"
    store = await Store.open(path)
    for seq in range(1, 9):
        await store.commit(rows(seq))
    log = path.with_name("a.db-wal").read_bytes()
    seen = set()
    for cut in [*range(0, len(log), 1_777), len(log)]:
        copy = tmp_path / f"cut-{cut}.db"
        shutil.copy(path, copy)
        copy.with_name(copy.name + "-wal").write_bytes(log[:cut])
        again = await Store.open(copy)
        restored = await again.load()
        if restored.snapshot is not None:
            assert snapshot_seq(restored) == restored.last_seq
            events = await again.events(1, range(1, 100))
            assert [e.seq for e in events] == list(range(1, restored.last_seq + 1))
            assert len(await again.journal()) == restored.last_seq
        seen.add(restored.last_seq)
        await again.close()
    assert {0, 4, 8} <= seen
    await store.close()


async def test_a_copy_taken_while_running_has_everything_that_was_answered(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = await Store.open(path)
    for seq in range(1, 4):
        await store.commit(rows(seq))
        for name in ("a.db", "a.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / f"copy{seq}{name[1:]}")
        again = await Store.open(tmp_path / f"copy{seq}.db")
        assert (await again.load()).last_seq == seq
        await again.close()
    await store.close()


async def test_it_is_really_synchronous(store: Store) -> None:
    def ask(connection: sqlite3.Connection) -> tuple[str, int]:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        return mode, connection.execute("PRAGMA synchronous").fetchone()[0]

    assert await store._run(ask) == ("wal", 2)


# --- failure ------------------------------------------------------------------------------------


async def test_a_full_disk_is_a_store_error_and_heals(store: Store) -> None:
    await store.commit(rows(1))

    def shrink(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    await store._run(shrink)
    big = JournalRow(1, 1, "b", "big", {"text": "x" * 200_000})
    with pytest.raises(StoreError, match="full"):
        await store.commit([*rows(2), big])
    restored = await store.load()  # opens afresh, without the limit
    assert restored.last_seq == snapshot_seq(restored) == 1
    await store.commit([*rows(2), big])
    assert (await store.load()).last_seq == 2


async def test_a_file_that_can_only_be_read_is_a_store_error(store: Store) -> None:
    await store.commit(rows(1))
    await store._run(lambda connection: connection.execute("PRAGMA query_only=ON"))
    with pytest.raises(StoreError):
        await store.commit(rows(2))
    await store.commit(rows(2))


async def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    store = await Store.open(path)
    for seq in range(1, 200):
        await store.commit(rows(seq))
    await store.close()
    data = bytearray(path.read_bytes())
    data[4_096:40_000] = b"\xa5" * (40_000 - 4_096)
    path.write_bytes(data)
    with pytest.raises(StoreError):
        await Store.open(path)


async def test_no_database_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"this is no database, but long enough to look at" * 100)
    with pytest.raises(StoreError):
        await Store.open(path)
    with pytest.raises(StoreError):
        await Store.open(tmp_path / "missing" / "a.db")


async def test_two_daemons_never_share_a_store(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    first = await Store.open(path)
    with pytest.raises(StoreError, match="another daemon"):
        await Store.open(path)
    await first.close()
    second = await Store.open(path)
    await second.close()


# --- migrations ---------------------------------------------------------------------------------


def old_store(path: Path, durable: bytes) -> None:
    """A version 1 file as the first release left it, with a swap in flight."""
    connection = sqlite3.connect(path)
    connection.executescript(store_schema.migrations()[1] + "PRAGMA user_version=1;")
    connection.execute("INSERT INTO snapshot VALUES (1, ?)", (durable,))
    for seq in range(1, 6):
        one = event(seq)
        connection.execute(
            "INSERT INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (1, seq, "b", one.mono_ms, one.wall_ms, 1, one.type, bytes(one.body)),
        )
    values = [("acked_epoch", "1"), ("acked_seq", "3"), ("incarnation", "i")]
    connection.executemany("INSERT INTO meta VALUES (?, ?)", values)
    connection.commit()
    connection.close()


async def test_an_upgrade_with_a_swap_in_flight_takes_it_along(tmp_path: Path) -> None:
    job = Job(
        swap_id="S",
        kind=Kind.SWAP,
        rider_id="R2",
        slot_in=3,
        slot_out=1,
        serial_in="OLD",
        serial_out="FULL",
        step=Step.AWAIT_PICKUP,
    )
    swap = AwaitPickup(job=job, since_ms=5)
    old = msgspec.json.encode({"seq": 5, "swap": msgspec.to_builtins(swap)})
    path = tmp_path / "a.db"
    old_store(path, old)
    store = await Store.open(path)
    restored = await store.load()
    assert restored.snapshot is not None
    assert decode_durable(restored.snapshot).swap == swap
    assert restored.lists == Lists()
    assert (restored.last_seq, restored.acked_seq) == (5, 3)
    assert [e.seq for e in await store.events(1, range(1, 10))] == [1, 2, 3, 4, 5]
    await store.commit([EventRow(event(6))])
    unacked = await store._run(
        lambda c: c.execute("SELECT seq FROM outbox WHERE acked_ms IS NULL").fetchall()
    )
    assert unacked == [(4,), (5,), (6,)]
    await store.close()


async def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.db"
    old_store(path, b"{}")
    steps = store_schema.migrations()
    broken = {1: steps[1], 2: steps[2] + "\nINSERT INTO nowhere VALUES (1);"}
    monkeypatch.setattr(store_schema, "migrations", lambda: broken)
    with pytest.raises(StoreError):
        await Store.open(path)
    monkeypatch.undo()
    store = await Store.open(path)
    assert (await store.load()).last_seq == 5
    await store.close()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StoreError, match="newer program"):
        await Store.open(path)


async def test_a_folder_that_cannot_be_made_is_a_fault_like_others_and_is_tried_again(
    tmp_path: Path,
) -> None:
    """A data disk that is not mounted must not keep the daemon, and its safety rules, away."""
    mount = tmp_path / "mount"
    mount.write_text("no folder")
    store = Store(mount / "cabinet" / "cabinet.db", make_folder=True)
    with pytest.raises(StoreError, match="cabinetd journal check"):
        await store.load()
    mount.unlink()
    assert (await store.load()).snapshot is None
    await store.close()


# --- acknowledgements ---------------------------------------------------------------------------


async def test_a_restored_ledger_gets_what_it_lost(store: Store) -> None:
    for seq in range(1, 6):
        await store.commit([EventRow(event(seq))])
    await store.acknowledge(Ack(epoch=1, seq=5, incarnation="a"), 100)
    await store.acknowledge(Ack(epoch=1, seq=2, incarnation="b"), 200)
    restored = await store.load()
    assert (restored.acked_seq, restored.incarnation) == (2, "b")
    assert await store.prune(200 + KEEP_ACKED_MS + 1) == 2
    assert [e.seq for e in await store.events(1, range(1, 6))] == [3, 4, 5]


async def test_acknowledged_events_are_kept_for_a_month(store: Store) -> None:
    for seq in range(1, 4):
        await store.commit([EventRow(event(seq))])
    await store.acknowledge(Ack(epoch=1, seq=1, incarnation="a"), 1_000)
    await store.acknowledge(Ack(epoch=1, seq=2, incarnation="a"), None)  # clock not trusted
    assert await store.prune(None) == 0, "nobody knows how old anything is"
    assert await store.prune(1_000 + KEEP_ACKED_MS) == 0
    assert await store.prune(1_001 + KEEP_ACKED_MS) == 1
    assert await store.prune(1_001 + 2 * KEEP_ACKED_MS) == 1
    assert [e.seq for e in await store.events(1, range(1, 4))] == [3]


async def test_a_new_epoch_takes_unsent_events_along_from_one(store: Store) -> None:
    for seq in range(1, 6):
        await store.commit([EventRow(event(seq))])
    await store.acknowledge(Ack(epoch=1, seq=2, incarnation="a"), 1)
    await store.commit([EpochRow(1, 2), EventRow(event(4, epoch=2))])
    moved = await store.events(2, range(1, 10))
    assert [e.seq for e in moved] == [1, 2, 3, 4]
    assert [bytes(e.body) for e in moved[:3]] == [bytes(event(n).body) for n in (3, 4, 5)]
    restored = await store.load()
    assert (restored.epoch, restored.last_seq, restored.acked_seq) == (2, 4, 0)


async def test_calls_from_many_tasks_are_served_one_after_the_other(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        for seq in range(1, 31):
            group.create_task(store.commit([EventRow(event(seq))]))
    assert (await store.load()).last_seq == 30
