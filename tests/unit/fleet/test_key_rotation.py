"""A rotation of the command key and the log of orders: no key signs that is not written down."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from fleet.adapters.command_keys import SecretKeeper, begin_rotation, next_command_key
from fleet.config import FleetConfig, load
from fleet.core.records import LogFilter
from fleet.enrol_oneshot import rotate_command_key
from fleet.stores import open_stores
from protocols import signing
from tests.support.stores import sqlite_store

#: A disk that is full, as far as the log of orders is concerned.
FULL = "CREATE TRIGGER full BEFORE INSERT ON audit_log BEGIN SELECT RAISE(ABORT, 'disk full'); END"


@pytest.fixture
def config(tmp_path: Path) -> FleetConfig:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    file = tmp_path / "fleet.toml"
    url = sqlite_store(data / "fleet.db")
    file.write_text(f'[fleet]\ndata_dir = "{data}"\n[store]\nurl = "{url}"\n')
    return load(file, {})


async def log(config: FleetConfig) -> list[tuple[str, str, str]]:
    async with open_stores(config.store_url) as stores:
        rows = await stores.audit_log.rows(LogFilter())
        return [(row.action, row.outcome, row.subject) for row in reversed(rows)]


async def run(config: FleetConfig, statement: str) -> None:
    async with open_stores(config.store_url) as stores, stores.database.write() as connection:
        await connection.execute(text(statement))


async def test_each_step_is_written_down_before_and_after(config: FleetConfig) -> None:
    told = await rotate_command_key(config)
    await rotate_command_key(config)
    following = told["next"]
    assert await log(config) == [
        ("command-key.begin", "ordered", ""),
        ("command-key.begin", "done", following),
        ("command-key.end", "ordered", following),
        ("command-key.end", "done", following),
    ]
    assert signing.public_of(SecretKeeper(config.data_dir).current) == following


async def test_without_a_log_no_key_changes(config: FleetConfig) -> None:
    first = SecretKeeper(config.data_dir).current
    await run(config, FULL)
    with pytest.raises(Exception, match="disk full"):
        await rotate_command_key(config)
    assert next_command_key(config.data_dir) is None
    begin_rotation(config.data_dir)
    with pytest.raises(Exception, match="disk full"):
        await rotate_command_key(config)
    assert SecretKeeper(config.data_dir).current == first, "the old one signs on"
    await run(config, "DROP TRIGGER full")
    await rotate_command_key(config)
    assert [row[:2] for row in await log(config)] == [
        ("command-key.end", "ordered"), ("command-key.end", "done"),
    ]  # fmt: skip
