"""Backups of either kind of store: into a folder that keeps the newest, and a trial of putting one back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from fleet.adapters.clock import SystemClock
from fleet.errors import ConfigError, FleetError, InvalidError
from fleet.store import backup as sqlite
from fleet.store import backup_postgres as postgres
from fleet.store.backup import Report
from fleet.stores import open_stores

#: By the second, so that the order of the names is that of the times.
NAME: Final = re.compile(r"fleet-\d{8}T\d{6}Z\.(?:db|dump)")


class Drill(Struct, frozen=True):
    """What came of putting a backup back for trial."""

    file: str
    events: int
    cabinets: int
    took_s: float
    violations: tuple[str, ...]


def take(url: str, file: Path) -> Report:
    """Copy the ledger of this store into a new file.

    Raises:
        InvalidError: the file is there already.
        FleetError: the ledger can't be read or the file not be written; no file is left.
    """
    if not _is_postgres(url):
        return sqlite.backup(url, file)
    if file.exists():
        raise InvalidError(f"{file} is there already: a backup never overwrites one")
    return postgres.dump(url, file)


def take_into(url: str, folder: Path, keep: int) -> Report:
    """The same into a folder, under the name of the time; then only the newest ``keep`` stay.

    Raises:
        FleetError: as ``take``; nothing was removed then.
    """
    now = datetime.fromtimestamp(SystemClock().wall_ms() / 1_000, UTC)
    tail = "dump" if _is_postgres(url) else "db"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        report = take(url, folder / f"fleet-{now:%Y%m%dT%H%M%SZ}.{tail}")
        for old in _ours(folder)[:-keep]:
            old.unlink()
    except OSError as error:
        raise FleetError(f"backup {folder}: {error}") from error
    return report


def newest(folder: Path) -> Path:
    """The newest backup in a folder; raise InvalidError when there is none."""
    found = _ours(folder)
    if not found:
        raise InvalidError(f"{folder}: holds no backup (fleet-TIME.db or fleet-TIME.dump)")
    return found[-1]


async def drill(source: Path, scratch_url: str) -> Drill:
    """Put a backup, or the newest of a folder, back beside the ledger, and audit it there.

    Raises:
        InvalidError: it is no backup, or ``scratch_url`` does not fit it.
        FleetError: it could not be put back.
    """
    file, is_dump = _chosen(source)
    if is_dump and not scratch_url:
        raise InvalidError(f"{file} is of PostgreSQL: name an empty database with --scratch")
    clock = SystemClock()
    started_ms = clock.monotonic_ms()
    async with _put_back(file, scratch_url if is_dump else None) as url, open_stores(url) as stores:
        violations = await stores.audit.audit()
        events = sum(mark.seq for mark in (await stores.events.watermarks()).values())
        cabinets = len(await stores.cabinets.all())
    return Drill(
        file=str(file),
        events=events,
        cabinets=cabinets,
        took_s=(clock.monotonic_ms() - started_ms) / 1_000,
        violations=tuple(f"{each.code} {each.subject}: {each.detail}" for each in violations),
    )


def _chosen(source: Path) -> tuple[Path, bool]:
    """The backup that is meant, and whether it is PostgreSQL's."""
    try:
        file = newest(source) if source.is_dir() else source
        with file.open("rb") as opened:
            return file, opened.read(len(postgres.MAGIC)) == postgres.MAGIC
    except OSError as error:
        raise InvalidError(f"{source}: {error.strerror}") from error


@asynccontextmanager
async def _put_back(file: Path, scratch_url: str | None) -> AsyncIterator[str]:
    """The URL of a store with what the backup holds, which is gone afterwards."""
    if scratch_url is None:
        with TemporaryDirectory(prefix="fleetd-drill-") as folder:
            url = f"sqlite:///{folder}/fleet.db"
            sqlite.put_back(url, file, "drill")
            yield url
        return
    await postgres.refuse_filled(scratch_url)
    postgres.load_into(scratch_url, file)
    try:
        yield scratch_url
    finally:
        await postgres.clear(scratch_url)


def scratch_of(scratch_url: str, store_url: str) -> str:
    """The URL of the database for trials, with the store's password where it is the same user's.

    Raises:
        ConfigError: it is no URL.
    """
    if not scratch_url:
        return ""
    try:
        scratch, store = make_url(scratch_url), make_url(store_url)
    except ArgumentError as error:
        raise ConfigError(f"--scratch: {error}") from error
    if scratch.password is None and scratch.username == store.username:
        scratch = scratch.set(password=store.password)
    return scratch.render_as_string(hide_password=False)


def to_json(value: Struct) -> str:
    """One line."""
    return msgspec.json.encode(value).decode()


def _ours(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def _is_postgres(url: str) -> bool:
    try:
        return make_url(url).get_backend_name() == "postgresql"
    except ArgumentError as error:
        raise ConfigError(f"store url: {error}") from error
