"""The fleet's store with its schema in place: migrated once in each process, and copied for each test."""

from __future__ import annotations

import asyncio
import atexit
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from fleet.store.engine import Database


def migrate(url: str) -> None:
    """Bring the schema up to date; to be called also where a loop runs."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, _migrate(url)).result()


async def _migrate(url: str) -> None:
    database = Database(url)
    try:
        await database.migrate()
    finally:
        await database.close()


def sqlite_store(file: Path) -> str:
    """The URL of a new store in this file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_migrated(), file)
    return f"sqlite:///{file}"


@cache
def _migrated() -> Path:
    folder = Path(mkdtemp(prefix="yz-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "fleet.db"
    migrate(f"sqlite:///{file}")
    return file
