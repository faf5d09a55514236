"""Copies of a ledger in SQLite: taken while fleetd runs, put back while it does not.

By SQLite's own backup, so that a copy is one state of the ledger however much is being written, and
needs no log files beside it. What a copy lacks the cabinets send again once it has a new
incarnation. PostgreSQL has tools of its own for this.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from fleet.errors import ConfigError, InvalidError
from fleet.store.engine import StoreError

BUSY_TIMEOUT_S: Final = 10.0
_LOGS: Final = ("-wal", "-shm")


class Report(Struct, frozen=True):
    """What a backup holds."""

    file: str
    bytes: int
    events: int | None  # None: not counted
    incarnation: str | None
    log_head: str = ""  # number and hash of the log's last row: keep it elsewhere


def sqlite_file(url: str) -> Path:
    """The file of a SQLite store; raise InvalidError for any other."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"store url: {error}") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        raise InvalidError(
            "the store is not SQLite: put a dump back with `pg_restore`, then run "
            "`fleetd restored` before fleetd starts"
        )
    return Path(parsed.database)


def backup(url: str, file: Path) -> Report:
    """Copy the ledger of this store into a new file, check the copy, and tell what it holds.

    Raises:
        InvalidError: the file is there already, or the store is not SQLite.
        StoreError: the ledger can't be read or the file not be written; no file is left.
    """
    source = sqlite_file(url)
    if file.exists():
        raise InvalidError(f"{file} is there already: a backup never overwrites one")
    if not source.exists():
        raise StoreError(f"store: no ledger at {source}")
    part = file.with_name(f".{file.name}.part")
    try:
        report = _copy(source, part)
        part.replace(file)
        _sync(file.parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"backup {file}: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return msgspec.structs.replace(report, file=str(file))


def put_back(url: str, file: Path, stamp: str) -> Path | None:
    """Put a backup in the place of the ledger; where the ledger so far is kept, if there was one.

    The log files of the ledger so far go with it: beside another database they would be played
    into it. Nobody may have the store open.

    Raises:
        InvalidError: it is no backup of a ledger, or the store is not SQLite.
        StoreError: it can't be read or written; the ledger is as it was.
    """
    target = sqlite_file(url)
    part = target.with_name(f".{target.name}.restoring")
    aside = target.with_name(f"{target.name}.before-{stamp}")
    try:
        if not file.is_file():
            raise InvalidError(f"{file} is not there")
        _copy(file, part)
        had_one = target.exists()
        if had_one:
            os.link(target, aside)  # so that there is a ledger here at every instant
        for tail in _LOGS:
            if (old := Path(f"{target}{tail}")).exists():
                old.rename(f"{aside}{tail}")
        part.replace(target)
        _sync(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"restore {file}: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return aside if had_one else None


def _copy(source: Path, target: Path) -> Report:
    """One state of ``source``, checked and on the disk; raise InvalidError when it is no ledger."""
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    with (
        closing(sqlite3.connect(source, timeout=BUSY_TIMEOUT_S)) as old,
        closing(sqlite3.connect(target, isolation_level=None)) as new,
    ):
        try:
            old.backup(new)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise InvalidError(f"{source}: is no ledger: {error}") from error
        new.execute("PRAGMA journal_mode=DELETE")
        verdict = new.execute("PRAGMA quick_check").fetchone()[0]
        try:
            (events,) = new.execute("SELECT count(*) FROM event").fetchone()
            row = new.execute("SELECT value FROM meta WHERE name = 'incarnation'").fetchone()
            head = new.execute("SELECT value FROM meta WHERE name = 'audit-head'").fetchone()
        except sqlite3.OperationalError as error:
            raise InvalidError(f"{source}: is no ledger: {error}") from error
    if verdict != "ok":
        raise InvalidError(f"{source}: is damaged: {verdict}")
    with target.open("rb") as copy:
        os.fsync(copy.fileno())
    return Report(
        str(target), target.stat().st_size, events, row and row[0], head[0] if head else ""
    )


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
