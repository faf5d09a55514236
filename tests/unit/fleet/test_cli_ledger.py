"""The commands on the ledger: a battery's life in words and in JSON, the present rebuilt."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fleet.config import load
from fleet.main import app
from fleet.stores import open_stores
from tests.support.healthy_ledger import healthy


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.toml"
    file.write_text('[fleet]\ndata_dir = "data"\n')
    return file


async def fill(config: Path) -> dict[str, str]:
    async with open_stores(load(config, {}).store_url) as stores:
        return await healthy(stores)


def run(config: Path, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert result.exit_code == code, result.output
    return result.output


def run_json(config: Path, *words: str, code: int = 0) -> Any:
    return json.loads(run(config, *words, "--json", code=code))


def test_a_battery_has_a_life_and_a_present_that_follows(config: Path) -> None:
    named = asyncio.run(fill(config))
    pack = named["own-pack"]
    told = run(config, "ledger", "battery", pack)
    assert told.splitlines()[0] == f"{pack} at rider:R2 (registered)"
    first, last = told.splitlines()[1], told.splitlines()[-1]
    assert "import" in first
    assert first.endswith("papers")
    assert f"swap {named['own']} cancelled" in last
    assert last.endswith("battery.out")
    life = run_json(config, "ledger", "battery", pack)
    assert life["holder"] == "rider:R2"
    assert life["life"][-1]["person"] == "rider:R2"
    assert life["life"][-1]["told_by"]["type"] == "battery.out"
    assert [row["id"] for row in life["life"]] == sorted(row["id"] for row in life["life"])
    run(config, "ledger", "battery", "NONE", code=1)
    disputed = run(config, "ledger", "battery", named["disputed"])
    assert "disputed" in disputed.splitlines()[0]

    assert "follows" in run(config, "ledger", "rebuild", "--check")
    database = load(config, {}).store_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(database)) as db:
        db.execute("UPDATE battery SET holder = 'lost' WHERE serial = ?", (pack,))
        db.commit()
    assert f"{pack}: its movements say rider:R2" in run(
        config, "ledger", "rebuild", "--check", code=1
    )
    assert run_json(config, "audit", code=1)[0]["code"] == "wrong-holder"
    assert "1 mended" in run(config, "ledger", "rebuild")
    assert "follows" in run(config, "ledger", "rebuild", "--check")
    log = run_json(config, "audit-log", "--action", "ledger.rebuild")
    assert [(row["actor"], row["subject"]) for row in log] == [("cli", pack)]
    assert "ok" in run(config, "audit")
