"""Backups by the clock, of SQLite and of PostgreSQL, and the drill: each is put back and audited."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from fleet import backups
from fleet.errors import InvalidError
from fleet.main import app
from fleet.stores import open_stores
from tests.support.healthy_ledger import healthy
from tests.support.servers import postgres_database, postgres_programs


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a store with a sound ledger in it."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            found = f"sqlite:///{tmp_path / 'data/fleet.db'}"
        else:
            folder = request.getfixturevalue("postgres")
            found = stack.enter_context(postgres_database(folder))
        asyncio.run(fill(found))
        yield found


@pytest.fixture
def scratch(request: pytest.FixtureRequest, url: str) -> Iterator[str]:
    if url.startswith("sqlite"):
        yield ""
        return
    with postgres_database(request.getfixturevalue("postgres"), empty=True) as empty:
        yield empty


@pytest.fixture
def config(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{postgres_programs()}:{os.environ['PATH']}")
    file = tmp_path / "fleet.toml"
    file.write_text(f'[fleet]\ndata_dir = "data"\n[store]\nurl = "{url}"\n')
    return file


async def fill(url: str) -> None:
    async with open_stores(url) as stores:
        await healthy(stores)


async def damage(url: str) -> None:
    """A pack is no longer where its last movement took it."""
    async with open_stores(url) as stores, stores.database.write() as connection:
        statement = (
            "UPDATE battery SET holder = 'lost' WHERE serial = (SELECT min(serial) FROM battery)"
        )
        await connection.execute(text(statement))


def run(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--config", str(config)])


def test_a_backup_by_the_clock_is_put_back_for_trial(
    config: Path, url: str, tmp_path: Path, scratch: str
) -> None:
    folder = tmp_path / "backups"
    taken = run(config, "backup", "--dir", str(folder), "--json")
    assert taken.exit_code == 0, taken.output
    file = Path(json.loads(taken.stdout)["file"])
    assert backups.NAME.fullmatch(file.name)
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    before = file.read_bytes()
    options = ["--scratch", scratch] if scratch else []
    drilled = run(config, "drill", str(folder), *options, "--json")
    assert drilled.exit_code == 0, drilled.output
    told = json.loads(drilled.stdout)
    assert (told["file"], told["violations"]) == (str(file), [])
    assert told["events"] > 0
    assert told["cabinets"] > 0
    assert file.read_bytes() == before
    if scratch:
        assert run(config, "drill", str(folder)).exit_code == 2, "it must be told where"
        again = run(config, "drill", str(folder), *options)
        assert again.exit_code == 0, "it was left as empty as it was found"
        filled = run(config, "drill", str(folder), "--scratch", url)
        assert filled.exit_code == 2, "never a database with something in it"
        assert "is not empty" in filled.output
        assert run(config, "audit").exit_code == 0


def test_the_store_lends_its_password_to_its_own_user_only() -> None:
    store = "postgresql://fleetd:x%40y@db/fleet"
    lent = backups.scratch_of("postgresql://fleetd@db/drill", store)
    assert lent == "postgresql://fleetd:x%40y@db/drill"
    for own in ("postgresql://other@db/drill", "postgresql://fleetd:z@db/drill"):
        assert backups.scratch_of(own, store) == own


def test_a_backup_of_a_damaged_ledger_fails_the_drill(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text('[fleet]\ndata_dir = "data"\n')
    url = f"sqlite:///{tmp_path / 'data/fleet.db'}"
    asyncio.run(fill(url))
    asyncio.run(damage(url))
    assert run(file, "backup", "--dir", str(tmp_path / "backups")).exit_code == 0
    drilled = run(file, "drill", str(tmp_path / "backups"))
    assert drilled.exit_code == 1, drilled.output
    assert "broken" in drilled.output


def test_only_the_newest_stay_and_nothing_of_others_goes(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'fleet.db'}"
    asyncio.run(fill(url))
    folder = tmp_path / "backups"
    folder.mkdir()
    old = [f"fleet-2020010{day}T000000Z.db" for day in range(1, 6)]
    for name in (*old, "fleet-monday.db", "notes.txt"):
        (folder / name).write_text("x")
    report = backups.take_into(url, folder, keep=3)
    kept = sorted(path.name for path in folder.iterdir())
    newest = Path(report.file).name
    assert kept == sorted([*old[-2:], newest, "fleet-monday.db", "notes.txt"])
    assert backups.newest(folder).name == newest


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="holds no backup"):
        backups.newest(tmp_path)
    (tmp_path / "x.db").write_text("not a database, and long enough to look into")
    with pytest.raises(InvalidError, match="no ledger"):
        asyncio.run(backups.drill(tmp_path / "x.db", ""))
    with pytest.raises(InvalidError, match="No such file"):
        asyncio.run(backups.drill(tmp_path / "nowhere", ""))
    config = tmp_path / "fleet.toml"
    config.write_text('[fleet]\ndata_dir = "data"\n')
    assert run(config, "backup").exit_code == 2
    both = run(config, "backup", str(tmp_path / "a"), "--dir", str(tmp_path))
    assert both.exit_code == 2
