"""No list and no quota is answered by reading all that ever happened.

What the store asks is held before SQLite's own planner: a scan of a table that grows with every swap
is a page that takes seconds after a year, and a door that opens late.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from fleet.core.desk import SwapFilter
from fleet.store.desk import DeskStore
from fleet.store.entitlements import partner_used
from fleet.stores import Stores, open_stores

GROWING = {"swap", "socket_session", "charge", "event", "movement", "transfer"}
NOW_MS = 1_800_000_000_000


class Asked:
    """Every SELECT that was run, with its parameters."""

    def __init__(self) -> None:
        self.statements: list[tuple[str, Any]] = []

    def note(self, _conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            self.statements.append((statement, parameters))


@pytest.fixture
def asked() -> Iterator[Asked]:
    found = Asked()
    event.listen(Engine, "before_cursor_execute", found.note)
    yield found
    event.remove(Engine, "before_cursor_execute", found.note)


async def everything(stores: Stores) -> None:
    """What pages and doors ask of tables that grow."""
    desk = DeskStore(stores.database)
    for wanted in (
        SwapFilter(),
        SwapFilter(flagged=True),
        SwapFilter(since_ms=1, until_ms=NOW_MS),
        SwapFilter(before=(NOW_MS, "S1"), limit=500),
    ):
        await desk.swaps(wanted)
    await stores.swaps.flagged(10)
    await stores.console.swap_counts(NOW_MS)
    await stores.partners.sessions("meituan", NOW_MS, 100)
    await stores.partners.swaps("meituan", NOW_MS, 100)
    await stores.sockets.drawn_by_interval(1, NOW_MS, 900_000)
    async with stores.database.read() as connection:
        await partner_used(connection, "meituan", NOW_MS)


async def test_what_is_asked_every_day_goes_by_an_index(tmp_path: Path, asked: Asked) -> None:
    file = tmp_path / "fleet.db"
    async with open_stores(f"sqlite:///{file}") as stores:
        asked.statements.clear()
        await everything(stores)
    assert len(asked.statements) >= 10
    wrong = []
    with closing(sqlite3.connect(file)) as database:
        for statement, parameters in asked.statements:
            for row in database.execute(f"EXPLAIN QUERY PLAN {statement}", parameters):
                step = row[3].split()
                scans = step[0] == "SCAN" and step[1] in GROWING and "USING" not in step
                # Sorting what belongs to the few rows of a page is no matter.
                sorts = row[3] == "USE TEMP B-TREE FOR ORDER BY" and "FROM swap" in statement
                if scans or sorts:
                    wrong.append((row[3], statement))
    assert not wrong
