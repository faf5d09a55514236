"""Opening the store: engines for SQLite and PostgreSQL, one writer, migrations at start."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from fleet.errors import ConfigError, FleetError

BUSY_TIMEOUT_MS: Final = 10_000  # how long one process waits for another's write
READERS_MAX: Final = 4
WAL_TRIES: Final = 100
WAL_RETRY_S: Final = 0.05
WAL_AUTOCHECKPOINT_PAGES: Final = 4_000
DIALECTS: Final = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
#: Drivers raise errors of their own, or the system's, while they connect.
_STORE_ERRORS: Final = (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
#: Connection lost, deadlock or serialisation, no resources, shut down by an operator.
_TRANSIENT_CLASSES: Final = frozenset({"08", "40", "53", "57"})
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_MIGRATION_LOCK: Final = 0x59495A48  # any number that nobody else locks


class StoreError(FleetError):
    """The store is out of reach: the same call may succeed later."""

    code = "store"
    status = 503


class Database:
    """One store. Reads run side by side; writes go through one connection, one at a time."""

    def __init__(self, url: str, *, read_ms_max: int | None = None) -> None:
        """``read_ms_max``: PostgreSQL ends a query that takes longer; of SQLite there is no bound."""
        self.dialect, full_url = _driver_url(url)
        self._writer = _engine(full_url, self.dialect, writer=True)
        self._readers = _engine(full_url, self.dialect, writer=False, read_ms_max=read_ms_max)

    async def migrate(self) -> None:
        """Bring the schema to this version's; processes that start together take turns."""
        async with self.write() as connection:
            if self.dialect == "postgresql":
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                await connection.execute(lock, {"key": _MIGRATION_LOCK})
            await connection.run_sync(_upgrade)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction of the only writer; committed durably when the block ends.

        Raises:
            StoreError: the store is out of reach; nothing is committed.
        """
        try:
            async with self._writer.begin() as connection:
                yield connection
        except _STORE_ERRORS as error:
            raise _outage(error) or error from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection that sees one snapshot; raise StoreError when it is out of reach."""
        try:
            async with self._readers.connect() as connection:
                yield connection
        except _STORE_ERRORS as error:
            raise _outage(error) or error from error

    async def close(self) -> None:
        """Close every connection."""
        await self._writer.dispose()
        await self._readers.dispose()


def chunks(values: Iterable[str], size: int = 10_000) -> Iterable[list[str]]:
    """Lists short enough for one IN clause of either dialect."""
    rows = sorted(set(values))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _outage(error: Exception) -> StoreError | None:
    """The failure of the store itself, or None when it is the rows' fault."""
    if isinstance(error, IntegrityError):
        return None
    if isinstance(error, DBAPIError):
        state = str(getattr(error.orig, "sqlstate", "") or "")
        lost = error.connection_invalidated or isinstance(error, OperationalError)
        if not lost and state[:2] not in _TRANSIENT_CLASSES:
            return None
    elif isinstance(error, SQLAlchemyError) and not isinstance(error, PoolTimeoutError):
        return None
    return StoreError(f"store: {error}")


def _driver_url(url: str) -> tuple[str, str]:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigError(f"store url: {error}") from error
    dialect = parsed.get_backend_name()
    if dialect not in DIALECTS:
        raise ConfigError(f"store url: {dialect!r} is not supported; use sqlite or postgresql")
    if dialect == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ConfigError("store url: SQLite needs a file, for example sqlite:///fleet.db")
        _make_folder(Path(parsed.database).parent)
    driver = parsed.set(drivername=DIALECTS[dialect])
    return dialect, driver.render_as_string(hide_password=False)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise FleetError(f"store: can't make {folder}: {error}") from error


def _engine(url: str, dialect: str, *, writer: bool, read_ms_max: int | None = None) -> AsyncEngine:
    size = 1 if writer else READERS_MAX
    options: dict[str, Any] = {"pool_size": size, "max_overflow": 0, "pool_pre_ping": True}
    if dialect == "postgresql" and not writer:
        options["isolation_level"] = "REPEATABLE READ"  # one snapshot, as SQLite gives it
        if read_ms_max is not None:
            settings = {"statement_timeout": str(read_ms_max)}
            options["connect_args"] = {"server_settings": settings}
    engine = create_async_engine(url, **options)
    if dialect == "sqlite":
        _configure_sqlite(engine, writer=writer)
    return engine


def _configure_sqlite(engine: AsyncEngine, *, writer: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, see below
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        _take_wal(connection, cursor)
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            f"wal_autocheckpoint={WAL_AUTOCHECKPOINT_PAGES}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once: a reader that upgrades later could fail as "busy".
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writer else "BEGIN")


def _take_wal(connection: Any, cursor: Any) -> None:
    """Switch to the write-ahead log.

    Of a new file only one may; the others are refused at once, whatever the busy time-out says.
    """
    for left in reversed(range(WAL_TRIES)):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if left == 0:
                raise
            connection.run_async(lambda _: asyncio.sleep(WAL_RETRY_S))
        else:
            return


def alembic_config(connection: Connection) -> Config:
    """Alembic over this connection."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    from fleet.store.schema import refuse_later  # noqa: PLC0415 - it needs this module

    refuse_later(connection)
    command.upgrade(alembic_config(connection), "head")
