"""Opens the database file, checks it, and brings its schema up to date."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

import msgspec

from cabinet.errors import StoreError, StoreFault

STORE_FILE: Final = "cabinet.db"
BUSY_TIMEOUT_MS: Final = 2_000
#: What a technician can do about each fault.
REMEDIES: Final = {
    StoreFault.FULL: (
        "free some space on this disk, for example old logs; the daemon goes on by itself"
    ),
    StoreFault.READ_ONLY: (
        "the file or its disk can only be read: mount it for writing and check its owner, or "
        "replace a worn-out card; the daemon goes on by itself"
    ),
    StoreFault.DAMAGED: (
        "stop cabinetd, look with `cabinetd journal check`, put the broken file aside and begin "
        "a new journal with `cabinetd journal replace`, then start cabinetd"
    ),
    StoreFault.DISK: (
        "the disk reports errors: check cable, power and card, and replace it; the daemon goes "
        "on by itself once it can write again"
    ),
    StoreFault.OTHER: "look with `cabinetd journal check`; the daemon tries again by itself",
}
_FAULTS: Final = {
    sqlite3.SQLITE_FULL: StoreFault.FULL,
    sqlite3.SQLITE_READONLY: StoreFault.READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: StoreFault.READ_ONLY,
    sqlite3.SQLITE_PERM: StoreFault.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: StoreFault.DAMAGED,
    sqlite3.SQLITE_NOTADB: StoreFault.DAMAGED,
    sqlite3.SQLITE_IOERR: StoreFault.DISK,
}
_ERRNO_FAULTS: Final = {
    errno.ENOSPC: StoreFault.FULL,
    errno.EDQUOT: StoreFault.FULL,
    errno.EROFS: StoreFault.READ_ONLY,
    errno.EACCES: StoreFault.READ_ONLY,
    errno.EPERM: StoreFault.READ_ONLY,
    errno.EIO: StoreFault.DISK,
}


def explained(path: Path, error: Exception) -> StoreError:
    """The error as one of ours: what is wrong with the file, and what to do about it."""
    fault = StoreFault.OTHER
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        fault = _FAULTS.get(code & 0xFF, fault) if code is not None else fault
    elif isinstance(error, OSError):
        fault = _ERRNO_FAULTS.get(error.errno or 0, fault)
    elif isinstance(error, msgspec.MsgspecError):
        fault = StoreFault.DAMAGED
    return StoreError(f"{path}: {error}; {REMEDIES[fault]}", fault)


_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",  # a commit that was answered is on the disk
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA foreign_keys=ON",
)


def migrations() -> dict[int, str]:
    """Schema version to the SQL that leads to it from the one before."""
    folder = resources.files("cabinet.adapters") / "migrations"
    return {
        int(item.name.removesuffix(".sql")): item.read_text(encoding="utf-8")
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".sql")
    }


def lock_file(path: Path) -> int:
    """Keep other daemons away from this store for as long as the descriptor lives."""
    lock = os.open(
        path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(
            f"{path}: another daemon uses this store; stop it first", StoreFault.IN_USE
        ) from error
    return lock


def connect(path: Path) -> sqlite3.Connection:
    """A checked connection of the present schema; raises sqlite3.Error, OSError or StoreError."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        _check(connection, path)
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreError(
            f"{path}: damaged: {verdict}; {REMEDIES[StoreFault.DAMAGED]}", StoreFault.DAMAGED
        )


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the missing versions, each in its own transaction with its number."""
    steps = migrations()
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = max(steps)
    if version > newest:
        raise StoreError(
            f"{path}: schema version {version}, this program knows up to {newest}; "
            "install the newer program again",
            StoreFault.TOO_NEW,
        )
    for number in range(version + 1, newest + 1):
        script = f"BEGIN IMMEDIATE;\n{steps[number]}\nPRAGMA user_version={number};\nCOMMIT;"
        try:
            connection.executescript(script)
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
