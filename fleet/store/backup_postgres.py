"""Copies of a ledger in PostgreSQL, by its own tools: ``pg_dump`` and ``pg_restore``.

They come with PostgreSQL and may be newer than the server, never older. The password goes to them
by the environment: a command line is everybody's to read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import text
from sqlalchemy.engine import make_url

from fleet.errors import ConfigError, InvalidError
from fleet.store.backup import Report
from fleet.store.engine import Database, StoreError

DUMP_TIMEOUT_S: Final = 6 * 3_600.0
MAGIC: Final = b"PGDMP"
_SAID_CHARS_MAX: Final = 500


def dump(url: str, file: Path) -> Report:
    """Copy the ledger into a new file of ``pg_dump --format=custom``, and read the file's list.

    Raises:
        ConfigError: pg_dump is not installed.
        StoreError: it failed; no file is left.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600))
        _run("pg_dump", url, "--format=custom", "--no-password", f"--file={part}")
        _run("pg_restore", None, "--list", str(part))
        with part.open("rb") as copy:
            os.fsync(copy.fileno())
        part.replace(file)
    except OSError as error:
        raise StoreError(f"backup {file}: {error}") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return Report(str(file), file.stat().st_size, None, None)


async def refuse_filled(scratch_url: str) -> None:
    """Raise InvalidError unless this is an empty database of PostgreSQL, which may be thrown away."""
    if make_url(scratch_url).get_backend_name() != "postgresql":
        raise InvalidError("--scratch: expected postgresql://user@host/an_empty_database")
    async with _opened(scratch_url) as database, database.read() as connection:
        found = await connection.execute(
            text("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        )
        if found.scalar_one():
            raise InvalidError(
                "--scratch: the database is not empty: name one that is for trials only"
            )


async def clear(scratch_url: str) -> None:
    """Empty a database again that was empty before the trial."""
    async with _opened(scratch_url) as database, database.write() as connection:
        await connection.execute(text("DROP SCHEMA public CASCADE"))
        await connection.execute(text("CREATE SCHEMA public"))


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


def load_into(scratch_url: str, file: Path) -> None:
    """Put a dump into an empty database.

    Raises:
        ConfigError: pg_restore is not installed.
        StoreError: it failed; the database is as it was.
    """
    _run(
        "pg_restore",
        scratch_url,
        *("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"),
        str(file),
    )


def _run(program: str, url: str | None, *arguments: str) -> None:
    path = shutil.which(program)
    if path is None:
        raise ConfigError(f"{program} is not installed: apt install postgresql-client")
    environment, place = dict(os.environ), []
    if url is not None:
        parsed = make_url(url)
        if parsed.password is not None:
            environment["PGPASSWORD"] = str(parsed.password)
        bare = parsed.set(drivername="postgresql", password=None)
        place = [f"--dbname={bare.render_as_string(hide_password=False)}"]
    try:
        ran = subprocess.run(  # noqa: S603 - found on PATH, arguments are ours
            [path, *place, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=DUMP_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"{program} did not end within {DUMP_TIMEOUT_S:g} s") from error
    if ran.returncode:
        said = ran.stderr.decode(errors="replace").strip()[-_SAID_CHARS_MAX:]
        raise StoreError(f"{program} failed: {said}")
