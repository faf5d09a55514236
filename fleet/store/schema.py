"""Which schema a database has, beside the one that this release knows; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.engine import make_url

from fleet.errors import FleetError
from fleet.store.engine import MIGRATIONS, Database


@dataclass(frozen=True, slots=True)
class Schemas:
    """Revisions; ``database`` None: nothing is in it yet."""

    database: str | None
    release: str
    later: bool  # the database's is none that this release knows


async def compare(url: str) -> Schemas:
    """Of this database.

    Raises:
        FleetError: it is out of reach.
    """
    if is_new(url):  # opening it would make it
        return Schemas(None, _release(), later=False)
    database = Database(url)
    try:
        async with database.read() as connection:
            return await connection.run_sync(compare_on)
    finally:
        await database.close()


def compare_on(connection: Connection) -> Schemas:
    """Of the database of this connection."""
    found = MigrationContext.configure(connection).get_current_revision()
    known = {each.revision for each in _scripts().walk_revisions()}
    return Schemas(found, _release(), found is not None and found not in known)


def is_new(url: str) -> bool:
    """Whether this is SQLite, and its file is not there yet."""
    parsed = make_url(url)
    return parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def _release() -> str:
    head = _scripts().get_current_head()
    assert head is not None
    return head


def refuse_later(connection: Connection) -> None:
    """Raise FleetError when a later release migrated this database."""
    found = compare_on(connection)
    if found.later:
        raise FleetError(
            f"store: the database has schema {found.database}, this release knows them up to "
            f"{found.release}: run the release that migrated it, or put back a backup from before "
            "(fleetd restore)"
        )
