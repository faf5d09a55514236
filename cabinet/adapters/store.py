"""The cabinet's store: SQLite in a thread of its own, one transaction per decision.

Write-ahead log with ``synchronous=FULL``: when ``commit`` returns, the rows survive a power cut.
Everything that goes wrong is a ``StoreError``; the connection is then opened afresh at the next
call, and the caller must ``load`` again before it trusts what it has in memory, since a commit
whose last flush failed may or may not have reached the disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from cabinet.adapters.store_schema import connect, explained, lock_file
from cabinet.core.engine_model import RESULTS_MAX, decode_durable
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
    Write,
    encode_detail,
)
from cabinet.errors import StoreError
from protocols.messages import Ack, Event, Result

#: About a year of a busy cabinet.
JOURNAL_ROWS_MAX: Final = 500_000
RESULT_ROWS_MAX: Final = 10_000
#: ``acked_ms`` of an event acknowledged while the wall clock was not known to be right.
UNKNOWN_TIME: Final = -1

T = TypeVar("T")


class Store:
    """One database file. It is opened at the first call, and again after every failure."""

    def __init__(self, path: Path, *, make_folder: bool = False) -> None:
        self._path = path
        self._make_folder = make_folder
        self._connection: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Open or create the file, check it and bring its schema up to date.

        Raises:
            StoreError: it is damaged, too new, not writable, or used by another daemon.
        """
        store = cls(path)
        try:
            await store._run(lambda _: None)
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Close the file; whatever was committed stays."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._end)
        self._thread.shutdown(wait=True)

    async def load(self) -> Restored:
        """Everything that the engine and the sender start from."""
        return await self._run(_load)

    async def commit(self, writes: Sequence[Write]) -> None:
        """All rows or none, on the disk when this returns.

        Raises:
            StoreError: nothing may be done on the strength of these rows.
        """
        await self._run(lambda connection: _commit(connection, writes))

    async def events(self, epoch: int, numbers: range) -> list[Event]:
        """The events of an epoch with these sequence numbers, in order."""
        return await self._run(lambda connection: _events(connection, epoch, numbers))

    async def acknowledge(self, ack: Ack, wall_ms: int | None) -> None:
        """Remember what the ledger has; less than before after the ledger was restored.

        ``wall_ms`` is None while the wall clock is not known to be right.
        """
        await self._run(lambda connection: _acknowledge(connection, ack, wall_ms))

    async def prune(self, wall_ms: int | None) -> int:
        """Forget what is old; how many events that was. Call it now and then.

        ``wall_ms`` is None while the wall clock is not known to be right: then no event is old yet,
        but the journal keeps its bound all the same.
        """
        return await self._run(lambda connection: _prune(connection, wall_ms))

    async def journal(self, limit: int = 100) -> list[tuple[int, str, bytes]]:
        """The newest journal lines, newest first: wall time, kind, detail as JSON."""
        return await self._run(
            lambda connection: connection.execute(
                "SELECT wall_ms, kind, detail FROM journal ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        )

    # --- the thread -----------------------------------------------------------------------------

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._lock is None:
                if self._make_folder:
                    self._path.parent.mkdir(parents=True, exist_ok=True)
                self._lock = lock_file(self._path)
            if self._connection is None:
                self._connection = connect(self._path)
            return work(self._connection)
        except StoreError:
            self._drop()
            raise
        except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
            self._drop()
            raise explained(self._path, error) from error

    def _drop(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _end(self) -> None:
        self._drop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _transaction(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = work()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise
    return result


# --- writing ------------------------------------------------------------------------------------


def _commit(connection: sqlite3.Connection, writes: Sequence[Write]) -> None:
    def work() -> None:
        for row in writes:
            _write(connection, row)

    _transaction(connection, work)


def _write(connection: sqlite3.Connection, row: Write) -> None:
    match row:
        case SnapshotRow(data):
            connection.execute(
                "INSERT INTO snapshot (id, data) VALUES (1, ?) "
                "ON CONFLICT (id) DO UPDATE SET data = excluded.data",
                (data,),
            )
        case EventRow(event):
            _write_event(connection, event)
        case JournalRow(mono_ms, wall_ms, boot_id, kind, detail):
            connection.execute(
                "INSERT INTO journal (mono_ms, wall_ms, boot_id, kind, detail) "
                "VALUES (?, ?, ?, ?, ?)",
                (mono_ms, wall_ms, boot_id, kind, encode_detail(detail)),
            )
        case ResultRow(result, wall_ms):
            connection.execute(
                "INSERT INTO result (command_id, wall_ms, data) VALUES (?, ?, ?) "
                "ON CONFLICT (command_id) DO UPDATE SET data = excluded.data",
                (result.id, wall_ms, msgspec.json.encode(result)),
            )
        case ListsRow(lists):
            connection.execute(
                "INSERT INTO lists (id, version, data) VALUES (1, ?, ?) ON CONFLICT (id) "
                "DO UPDATE SET version = excluded.version, data = excluded.data",
                (lists.version, msgspec.json.encode(lists)),
            )
        case EpochRow(old, new):
            _renumber(connection, old, new)


def _write_event(connection: sqlite3.Connection, event: Event) -> None:
    connection.execute(
        "INSERT INTO outbox (epoch, seq, boot_id, mono_ms, wall_ms, wall_synced, type, body) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.epoch,
            event.seq,
            event.boot_id,
            event.mono_ms,
            event.wall_ms,
            event.wall_synced,
            event.type,
            bytes(event.body),
        ),
    )


def _renumber(connection: sqlite3.Connection, old: int, new: int) -> None:
    """Events that the ledger has not acknowledged become the first ones of the new epoch."""
    connection.execute(
        "INSERT INTO outbox (epoch, seq, boot_id, mono_ms, wall_ms, wall_synced, type, body) "
        "SELECT ?, ROW_NUMBER() OVER (ORDER BY seq), boot_id, mono_ms, wall_ms, wall_synced, "
        "type, body FROM outbox WHERE epoch = ? AND acked_ms IS NULL",
        (new, old),
    )
    connection.execute(
        "UPDATE outbox SET acked_ms = ? WHERE epoch = ? AND acked_ms IS NULL", (UNKNOWN_TIME, old)
    )


def _acknowledge(connection: sqlite3.Connection, ack: Ack, wall_ms: int | None) -> None:
    at_ms = UNKNOWN_TIME if wall_ms is None else wall_ms

    def work() -> None:
        connection.execute(
            "UPDATE outbox SET acked_ms = ? WHERE epoch = ? AND seq <= ? AND acked_ms IS NULL",
            (at_ms, ack.epoch, ack.seq),
        )
        connection.execute(
            "UPDATE outbox SET acked_ms = NULL WHERE epoch = ? AND seq > ? "
            "AND acked_ms IS NOT NULL",
            (ack.epoch, ack.seq),
        )
        values = {
            "acked_epoch": str(ack.epoch),
            "acked_seq": str(ack.seq),
            "incarnation": ack.incarnation,
        }
        connection.executemany(
            "INSERT INTO meta (key, value) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            values.items(),
        )

    _transaction(connection, work)


def _prune(connection: sqlite3.Connection, wall_ms: int | None) -> int:
    def work() -> int:
        gone = 0
        if wall_ms is not None:
            connection.execute(
                "UPDATE outbox SET acked_ms = ? WHERE acked_ms = ?", (wall_ms, UNKNOWN_TIME)
            )
            gone = connection.execute(
                "DELETE FROM outbox WHERE acked_ms IS NOT NULL AND acked_ms < ?",
                (wall_ms - KEEP_ACKED_MS,),
            ).rowcount
        for table, key, most in (
            ("journal", "id", JOURNAL_ROWS_MAX),
            ("result", "number", RESULT_ROWS_MAX),
        ):
            connection.execute(
                f"DELETE FROM {table} WHERE {key} <= (SELECT MAX({key}) FROM {table}) - ?",  # noqa: S608 - names from the line above
                (most,),
            )
        return gone

    return _transaction(connection, work)


# --- reading ------------------------------------------------------------------------------------


def _one(connection: sqlite3.Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None


def _load(connection: sqlite3.Connection) -> Restored:
    snapshot = _one(connection, "SELECT data FROM snapshot WHERE id = 1")
    if snapshot is not None:
        decode_durable(snapshot)  # what makes no sense is damage, found here and not in mid-swap
    lists = _one(connection, "SELECT data FROM lists WHERE id = 1")
    results = connection.execute(
        "SELECT data FROM result ORDER BY number DESC LIMIT ?", (RESULTS_MAX,)
    ).fetchall()
    epoch = _one(connection, "SELECT MAX(epoch) FROM outbox")
    acked_epoch = _one(connection, "SELECT value FROM meta WHERE key = 'acked_epoch'")
    acked_seq = _one(connection, "SELECT value FROM meta WHERE key = 'acked_seq'")
    return Restored(
        snapshot=snapshot,
        lists=msgspec.json.decode(lists, type=Lists) if lists else Lists(),
        results=tuple(msgspec.json.decode(row[0], type=Result) for row in reversed(results)),
        epoch=epoch,
        last_seq=_one(connection, "SELECT MAX(seq) FROM outbox WHERE epoch = ?", epoch) or 0,
        acked_seq=int(acked_seq) if acked_epoch and int(acked_epoch) == epoch else 0,
        incarnation=_one(connection, "SELECT value FROM meta WHERE key = 'incarnation'"),
    )


def _events(connection: sqlite3.Connection, epoch: int, numbers: range) -> list[Event]:
    rows = connection.execute(
        "SELECT seq, boot_id, mono_ms, wall_ms, wall_synced, type, body FROM outbox "
        "WHERE epoch = ? AND seq >= ? AND seq < ? ORDER BY seq",
        (epoch, numbers.start, numbers.stop),
    )
    return [
        Event(
            epoch=epoch,
            seq=seq,
            boot_id=boot_id,
            mono_ms=mono_ms,
            wall_ms=wall_ms,
            wall_synced=bool(wall_synced),
            type=kind,
            body=msgspec.Raw(body),
        )
        for seq, boot_id, mono_ms, wall_ms, wall_synced, kind, body in rows
    ]
