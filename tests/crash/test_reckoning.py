"""The harness's own reckoning: each way in which a run could have gone wrong is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.reckoning import Reckoning, Ridden, reckon

TRUTH = [("OLD", "slot:CR-0001:1"), ("NEW", "rider:R1"), ("IDLE", "slot:CR-0001:2")]
RIDES = [Ridden("S1", ("OLD", "NEW")), Ridden("S2", ())]


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript(
            "CREATE TABLE battery (serial, holder);"
            "CREATE TABLE swap (id, step, open, kind);"
            "CREATE TABLE movement (swap_id, serial);"
            "INSERT INTO swap VALUES ('S1', 'completed', 0, 'swap'), ('S2', 'cancelled', 0, 'swap');"
            "INSERT INTO movement VALUES ('S1', 'OLD'), ('S1', 'NEW'), (NULL, 'IDLE');"
        )
        db.executemany("INSERT INTO battery VALUES (?, ?)", TRUTH)
    return path


def test_all_is_well(ledger: Path) -> None:
    assert reckon(ledger, TRUTH, RIDES) == Reckoning()


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ("UPDATE battery SET holder = 'lost' WHERE serial = 'IDLE'", "lost", "pack IDLE"),
        ("DELETE FROM battery WHERE serial = 'NEW'", "lost", "pack NEW"),
        ("INSERT INTO battery VALUES ('GHOST', 'depot:A')", "lost", "pack GHOST"),
        ("DELETE FROM swap WHERE id = 'S2'", "lost", "swap S2: has no end"),
        ("UPDATE swap SET open = 1 WHERE id = 'S2'", "lost", "swap S2: has no end"),
        ("INSERT INTO swap VALUES ('S3', 'cancelled', 0, 'swap')", "lost", "swap S3: nobody's"),
        ("DELETE FROM movement WHERE serial = 'OLD'", "lost", "swap S1: 1 movements"),
        ("UPDATE movement SET serial = 'IDLE' WHERE serial = 'OLD'", "lost", "swap S1: hands"),
        ("INSERT INTO movement VALUES ('S1', 'OLD')", "double", "swap S1: 3 movements"),
    ],
)
def test_a_wrong_ledger(ledger: Path, change: str, kind: str, words: str) -> None:
    with closing(sqlite3.connect(ledger)) as db, db:
        db.execute(change)
    assert any(line.startswith(words) for line in getattr(reckon(ledger, TRUTH, RIDES), kind))


def test_one_pack_in_two_places_and_one_swap_for_two_taps(ledger: Path) -> None:
    twice = [*RIDES, Ridden("S1", ())]
    found = reckon(ledger, [*TRUTH, ("IDLE", "slot:CR-0002:5")], twice)
    assert found.double == ["pack IDLE: in 2 places", "swap S1: answers 2 taps"]


def test_a_swap_that_was_called_off_unanswered_may_answer_the_next_tap(ledger: Path) -> None:
    called_off = Ridden("S1", (), "no-answer")
    assert reckon(ledger, TRUTH, [called_off, *RIDES]) == Reckoning()
    assert reckon(ledger, TRUTH, [called_off, Ridden("S2", ())]).lost  # its hands are nobody's
    handled = Ridden("S1", ("OLD", "NEW"), "no-answer")
    assert reckon(ledger, TRUTH, [handled, *RIDES]) != Reckoning()
