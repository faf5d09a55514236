"""``fleetd moves``: what the running fleetd proposes, in a table or as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fleet.main import app

MOVES = {
    "version": 7,
    "moves": [
        {
            "giver": "DH-0007",
            "taker": "DH-0001",
            "packs": 3,
            "by_ms": 1_772_589_900_000,
            "distance_m": 1_234,
            "why": "busy",
            "lost": 4.5,
        }
    ],
    "lost": 6.0,
    "lost_after": 3.0,
}


class Running:
    """A fleetd that answers."""

    def get(self, path: str) -> Any:
        assert path == "/api/v1/balance/moves"
        return MOVES


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "fleet.toml"
    path.write_text("")
    return str(path)


def test_it_prints_from_where_to_where_and_by_when(
    config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleet.cli_balance.open_local", lambda _config: Running())
    told = CliRunner().invoke(app, ["moves", "--config", config])
    assert told.exit_code == 0, told.output
    assert "DH-0007  ->  DH-0001  3 packs  by 10:05  1.2 km  4.5 riders" in told.output
    assert "1 moves; riders without a battery in the next 24 h: 6, then 3" in told.output
    as_json = CliRunner().invoke(app, ["moves", "--config", config, "--json"])
    assert json.loads(as_json.stdout) == MOVES


def test_without_a_running_fleetd_it_is_out_of_reach(config: str) -> None:
    told = CliRunner().invoke(app, ["moves", "--config", config])
    assert told.exit_code == 3
    assert "no fleetd runs here" in told.output
