"""Opens the database file, checks it, and brings its schema up to date."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from cabinet.errors import StoreError

BUSY_TIMEOUT_MS: Final = 2_000
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
        raise StoreError(f"{path}: another daemon uses this store") from error
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
        raise StoreError(f"{path}: damaged: {verdict}")


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the missing versions, each in its own transaction with its number."""
    steps = migrations()
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = max(steps)
    if version > newest:
        raise StoreError(
            f"{path}: schema version {version}, this program knows up to {newest}; "
            "install the newer program again"
        )
    for number in range(version + 1, newest + 1):
        script = f"BEGIN IMMEDIATE;\n{steps[number]}\nPRAGMA user_version={number};\nCOMMIT;"
        try:
            connection.executescript(script)
        except sqlite3.Error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
