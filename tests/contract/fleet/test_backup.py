"""Copies of a ledger: what is refused, what is kept aside, and that a copy is whole."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from fleet.core.records import CabinetRecord, Credential
from fleet.errors import FleetError, InvalidError
from fleet.store import backup as copies
from fleet.stores import open_stores


@pytest.fixture
async def ledger(tmp_path: Path) -> Path:
    """A ledger with one cabinet."""
    path = tmp_path / "fleet" / "fleet.db"
    async with open_stores(url(path)) as stores:
        await stores.cabinets.add(
            CabinetRecord("DH-0001", "One", 12), Credential("x", "y", None), 1
        )
    return path


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def cabinets(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [row[0] for row in db.execute("SELECT id FROM cabinet ORDER BY id")]


def test_a_copy_is_one_state_while_a_writer_is_at_work(ledger: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    with closing(sqlite3.connect(ledger, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE cabinet SET name = 'half'")
        report = copies.backup(url(ledger), copy)
        writer.execute("COMMIT")
    with closing(sqlite3.connect(copy)) as db:
        assert db.execute("SELECT name FROM cabinet").fetchall() == [("One",)]
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert (report.file, report.bytes, report.events) == (str(copy), copy.stat().st_size, 0)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.db", "fleet"]


def test_a_backup_refuses(ledger: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.db"
    taken.write_text("mine")
    with pytest.raises(InvalidError, match="never overwrites"):
        copies.backup(url(ledger), taken)
    assert taken.read_text() == "mine"
    with pytest.raises(InvalidError, match="pg_restore"):
        copies.put_back("postgresql://fleet@db/fleet", tmp_path / "pg.db", "1")
    with pytest.raises(FleetError, match="no ledger at"):
        copies.backup(url(tmp_path / "nowhere.db"), tmp_path / "copy.db")
    with pytest.raises(FleetError, match="backup"):
        copies.backup(url(ledger), tmp_path / "no" / "folder" / "copy.db")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fleet", "taken.db"]


def test_a_copy_is_put_back_and_the_ledger_so_far_is_kept_with_its_log(
    ledger: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    copies.backup(url(ledger), copy)
    # What was written since stands in the log file alone, as after a crash.
    writer = sqlite3.connect(ledger, isolation_level=None)
    columns = [row[1] for row in writer.execute("PRAGMA table_info(cabinet)")]
    late = (
        f"INSERT INTO cabinet ({', '.join(columns)}) "
        f"SELECT 'DH-0002', {', '.join(columns[1:])} FROM cabinet"
    )
    assert columns[0] == "id"
    writer.execute("PRAGMA wal_autocheckpoint=0")
    writer.execute(late)
    wal = Path(f"{ledger}-wal").read_bytes()
    writer.close()
    Path(f"{ledger}-wal").write_bytes(wal)

    aside = copies.put_back(url(ledger), copy, "7")
    assert aside == ledger.with_name("fleet.db.before-7")
    assert not Path(f"{ledger}-wal").exists()
    assert Path(f"{aside}-wal").read_bytes() == wal
    assert cabinets(ledger) == ["DH-0001"]
    assert cabinets(aside) == ["DH-0001", "DH-0002"]
    assert cabinets(copy) == ["DH-0001"], "the backup may be needed once more"


def test_what_is_no_ledger_is_not_put_back(ledger: Path, tmp_path: Path) -> None:
    text, other = tmp_path / "text.db", tmp_path / "other.db"
    text.write_text("not a database, whatever its name says" * 100)
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE shopping (item)")
        db.commit()
    for file, words in (
        (text, "is no ledger"),
        (other, "is no ledger"),
        (tmp_path / "none.db", "is not there"),
    ):
        with pytest.raises(InvalidError, match=words):
            copies.put_back(url(ledger), file, "7")
    assert cabinets(ledger) == ["DH-0001"]
    assert sorted(path.name for path in ledger.parent.iterdir()) == ["fleet.db"]


def test_a_ledger_is_put_where_none_is(ledger: Path, tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    assert copies.put_back(url(target), ledger, "7") is None
    assert cabinets(target) == ["DH-0001"]
