"""The journal as a file on a technician's bench: is it sound, and how to begin a new one.

Nothing is ever deleted: a replaced journal is put aside, next to the new one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from cabinet.adapters.folders import sync_folder
from cabinet.adapters.store_schema import REMEDIES, connect, explained, lock_file
from cabinet.core.engine_model import Durable, decode_durable, encode_durable
from cabinet.core.swap_model import is_active, job_of
from cabinet.errors import StoreFault

_SIDES: Final = ("", "-wal", "-shm")
ASIDE: Final = "broken"


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. ``trouble`` is None for a sound journal; unknown numbers are None."""

    path: str
    trouble: str | None = None
    size_bytes: int | None = None
    epoch: int | None = None
    last_seq: int | None = None
    unsent: int | None = None
    open_swap: str | None = None
    latched: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def check(path: Path) -> Report:
    """Look at the file without changing it; it may be in use."""
    if not path.exists():
        return Report(str(path), "there is no journal yet; the daemon makes one when it starts")
    size = sum(_size(side) for side in _files(path))
    try:
        with contextlib.closing(_reader(path)) as connection:
            verdict = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if verdict != "ok":
                trouble = f"{path}: damaged: {verdict}; {REMEDIES[StoreFault.DAMAGED]}"
                return Report(str(path), trouble, size)
            return _look(connection, path, size)
    except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
        return Report(str(path), str(explained(path, error)), size)


def _reader(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _files(path: Path) -> list[Path]:
    return [path.with_name(path.name + side) for side in _SIDES]


def _one(connection: sqlite3.Connection, query: str, *values: object) -> Any:
    row = connection.execute(query, values).fetchone()
    return row[0] if row else None


def _look(connection: sqlite3.Connection, path: Path, size: int) -> Report:
    data = _one(connection, "SELECT data FROM snapshot WHERE id = 1")
    durable = decode_durable(data) if data is not None else Durable()
    job = job_of(durable.swap) if is_active(durable.swap) else None
    return Report(
        path=str(path),
        size_bytes=size,
        epoch=durable.epoch,
        last_seq=durable.seq,
        unsent=_one(connection, "SELECT COUNT(*) FROM outbox WHERE acked_ms IS NULL"),
        open_swap=job.swap_id if job else None,
        latched=tuple(sorted({trip.code for trip in durable.safety.trips})),
    )


def replace(path: Path, now: datetime, *, epoch: int | None = None) -> tuple[Path | None, int]:
    """Put the journal aside and begin a new one; where the old one went, and the new epoch.

    The new epoch is above every one that can still be read in the old file, unless it is given.
    An epoch that turns out too low does no harm: the fleet's first acknowledgement raises it.

    Raises:
        StoreError: a daemon uses it, or the disk cannot be written.
    """
    try:
        lock = lock_file(path)
        try:
            new_epoch = epoch if epoch is not None else _highest_epoch(path) + 1
            aside = _put_aside(path, now)
            _begin(path, new_epoch)
        finally:
            os.close(lock)
    except (sqlite3.Error, OSError) as error:
        raise explained(path, error) from error
    return aside, new_epoch


def _highest_epoch(path: Path) -> int:
    """What can still be read of it; the first epoch where nothing can."""
    found = [1]
    for query in (
        "SELECT MAX(epoch) FROM outbox",
        "SELECT value FROM meta WHERE key = 'acked_epoch'",
        "SELECT json_extract(data, '$.epoch') FROM snapshot WHERE id = 1",
    ):
        with contextlib.suppress(sqlite3.Error, OSError, ValueError):
            with contextlib.closing(_reader(path)) as connection:
                value = _one(connection, query)
            if value is not None:
                found.append(int(value))
    return max(found)


def _put_aside(path: Path, now: datetime) -> Path | None:
    """All get their second name before the first loses its own, and the main file loses it first.

    So a cut in between leaves the journal whole where it was, or none there: SQLite drops a log
    that has no file. Never the file without its log, which would be what was true some time ago.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        name = f"{path.name}.{ASIDE}-{stamp}" + ("" if number == 1 else f"-{number}")
        aside = path.with_name(name)
        if not any(side.exists() for side in _files(aside)):
            break
        number += 1
    there = [both for both in zip(_files(path), _files(aside), strict=True) if both[0].exists()]
    for old, new in there:
        os.link(old, new)
    sync_folder(path.parent)
    for old, _ in there:
        old.unlink()
        sync_folder(path.parent)
    return aside if there else None


def _begin(path: Path, epoch: int) -> None:
    with contextlib.closing(connect(path)) as connection:
        connection.execute(
            "INSERT INTO snapshot (id, data) VALUES (1, ?)",
            (encode_durable(Durable(epoch=epoch)),),
        )
