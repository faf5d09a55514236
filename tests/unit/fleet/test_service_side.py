"""What a service manager and a container ask of fleetd: health, schema, watchdog, the store's password."""

from __future__ import annotations

import asyncio
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fleet.adapters.clock import SystemClock
from fleet.adapters.notify import ALIVE, READY, STOPPING, Notifier
from fleet.cli_broker import FILES
from fleet.config import load, parse
from fleet.errors import ConfigError, FleetError
from fleet.main import app
from fleet.stores import open_stores


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.toml"
    file.write_text('[fleet]\ndata_dir = "data"\n')
    return file


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


# --- health ------------------------------------------------------------------------------------


@contextmanager
def answering(config: Path, status: int, checks: dict[str, bool]) -> Iterator[None]:
    """A fleetd that says so at /readyz."""
    body = json.dumps({"ready": status == 200, "checks": checks}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        data = config.parent / "data"
        data.mkdir()
        ready = {"http": url, "mqtt": "mqtts://x:1", "broker": "external", "broker_pid": None}
        (data / "ready.json").write_text(json.dumps({**ready, "pid": 1}))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_health_is_the_answer_of_the_running_one(config: Path) -> None:
    assert run(config, "health").exit_code == 3
    with answering(config, 200, {"broker": True, "store": True}):
        good = run(config, "health")
        assert (good.exit_code, good.stdout) == (0, "broker: ok\nstore: ok\n")
    assert run(config, "health").exit_code == 3, "its file is there, but nobody answers"


def test_health_names_what_is_missing(config: Path) -> None:
    with answering(config, 503, {"broker": False, "store": True}):
        bad = run(config, "health")
    assert (bad.exit_code, bad.stdout) == (1, "broker: missing\nstore: ok\n")


# --- schema ------------------------------------------------------------------------------------


def database_of(config: Path) -> Path:
    return config.parent / "data/fleet.db"


def to_revision(config: Path, revision: str) -> None:
    with closing(sqlite3.connect(database_of(config))) as db, db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))


async def open_once(config: Path) -> None:
    async with open_stores(load(config, {}).store_url):
        pass


def test_a_later_schema_is_told_and_never_touched(config: Path) -> None:
    fresh = json.loads(run(config, "schema", "--json").stdout)
    assert fresh["database"] is None
    assert not database_of(config).exists(), "asking makes nothing"
    asyncio.run(open_once(config))
    same = run(config, "schema", "--json")
    assert json.loads(same.stdout) == {"database": fresh["release"], "release": fresh["release"]}
    to_revision(config, "9999")
    before = database_of(config).read_bytes()
    later = run(config, "schema")
    assert (later.exit_code, later.stdout) == (
        1,
        f"database 9999, this release {fresh['release']}\n",
    )
    with pytest.raises(FleetError, match="run the release that migrated it, or put back a backup"):
        asyncio.run(open_once(config))
    assert database_of(config).read_bytes() == before
    assert run(config, "audit").exit_code == 1, "in words, not in a traceback"


# --- the service manager -----------------------------------------------------------------------


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        yield listening


async def test_the_watchdog_is_fed_while_the_loop_turns(
    manager: socket.socket, tmp_path: Path
) -> None:
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000"}
    notifier = Notifier(environment)
    stop = asyncio.Event()

    async def work() -> None:
        notifier.tell(READY)
        await stop.wait()

    task = asyncio.create_task(notifier.watch(work(), SystemClock()))
    heard = [await asyncio.to_thread(manager.recv, 99) for _ in range(4)]
    assert sorted({each.decode() for each in heard}) == [READY, ALIVE]
    stop.set()
    await task
    while (said := manager.recv(99).decode()) != STOPPING:
        assert said == ALIVE
    feeders = [task for task in asyncio.all_tasks() if task.get_name() == "watchdog"]
    assert all(task.cancelling() for task in feeders), "a sign of life is the work's, not its own"


async def test_without_a_manager_only_the_work_is_done() -> None:
    done: list[bool] = []

    async def work() -> None:
        done.append(True)

    await Notifier({}).watch(work(), SystemClock())
    assert done == [True]


async def test_a_failure_of_the_work_comes_out_as_it_is(
    manager: socket.socket, tmp_path: Path
) -> None:
    async def work() -> None:
        raise FleetError("no port")

    with pytest.raises(FleetError, match="no port"):
        await Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).watch(work(), SystemClock())


# --- the store's password ----------------------------------------------------------------------

URL = "postgresql://fleetd@db.example:5432/fleet?ssl=require"


def parsed(folder: Path, store: str) -> str:
    return parse(f"[store]\n{store}\n", "fleet.toml", folder, {}).store_url


def test_the_password_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a b/c@d:e%\n")
    url = parsed(tmp_path, f'url = "{URL}"\npassword_file = "password"')
    assert url == "postgresql://fleetd:a%20b%2Fc%40d%3Ae%25@db.example:5432/fleet?ssl=require"


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ('password_file = "password"', "is for PostgreSQL"),
        ('url = "sqlite:///x.db"\npassword_file = "password"', "is for PostgreSQL"),
        ('url = "postgresql://db/x"\npassword_file = "password"', "needs a user"),
        ('url = "postgresql://a:b@db/x"\npassword_file = "password"', "give one of the two"),
        (f'url = "{URL}"\npassword_file = "nowhere"', "can't be read"),
        (f'url = "{URL}"\npassword_file = "empty"', "is empty"),
    ],
)
def test_a_password_that_does_not_fit_is_refused(tmp_path: Path, store: str, told: str) -> None:
    (tmp_path / "password").write_text("x")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match=told) as caught:
        parsed(tmp_path, store)
    assert "store.password_file" in str(caught.value)


# --- files for an external broker --------------------------------------------------------------


def test_a_broker_gets_its_files_and_not_the_authoritys_key(config: Path, tmp_path: Path) -> None:
    pki, target = tmp_path / "data/pki", tmp_path / "broker"
    target.mkdir()
    early = run(config, "broker-files", str(target))
    assert early.exit_code == 1
    assert "has fleetd run once?" in early.output
    pki.mkdir(parents=True)
    for name in (*FILES, "root.pem"):
        (pki / name).write_text(name)
    first = run(config, "broker-files", str(target))
    assert first.stdout.splitlines() == [str(target / name) for name in FILES]
    assert sorted(path.name for path in target.iterdir()) == sorted(FILES)
    assert {path.stat().st_mode & 0o777 for path in target.iterdir()} == {0o640}
    (pki / "revoked.crl").write_text("one more")
    again = run(config, "broker-files", str(target))
    assert again.stdout.splitlines() == [str(target / "revoked.crl")]
    assert (target / "revoked.crl").read_text() == "one more"
