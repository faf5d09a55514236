"""The commands about the grid's versions, as they are typed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fleet.core.balance.grid import parse_grid
from fleet.main import app
from tests.support.balance_rig import GRID


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.toml"
    file.write_text(f'[fleet]\ndata_dir = "{tmp_path}/data"\n')
    return file


def fleetd(config: Path, *words: str, code: int = 0) -> str:
    result: Result = CliRunner().invoke(app, ["grid", *words, "--config", str(config)])
    assert result.exit_code == code, result.output
    return result.output


def test_a_grid_goes_in_comes_out_and_is_withdrawn(config: Path, tmp_path: Path) -> None:
    fleetd(config, "export", code=1)
    file, out = tmp_path / "grid.toml", tmp_path / "out.toml"
    file.write_text(GRID)
    assert "version 1" in fleetd(config, "import", str(file), "--reason", "the first")
    fleetd(config, "export", "-o", str(out))
    assert parse_grid(out.read_text()) == parse_grid(GRID)
    told = json.loads(fleetd(config, "history", "--json"))
    assert [(each["version"], each["reason"]) for each in told["versions"]] == [(1, "the first")]
    later = ("--from", "2099-01-01T00:00", "--reason", "too far")
    fleetd(config, "import", str(file), *later, code=2)
    fleetd(config, "import", str(file), "--from", "soon", "--reason", "when", code=2)
    fleetd(config, "import", str(file), "--revision", "0", "--reason", "old look", code=1)
    fleetd(config, "import", str(file), "--reason", "", code=2)
    file.write_text(GRID.replace('region = "east"', 'region = "west"', 1))
    fleetd(config, "import", str(file), "--reason", "a typo", code=2)
    fleetd(config, "withdraw", "--reason", "begun already", code=1)
    assert "the first" in fleetd(config, "history")


def test_a_number_without_a_name_is_written_down_as_it_is(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unnamed() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", unnamed)
    file = tmp_path / "grid.toml"
    file.write_text(GRID)
    fleetd(config, "import", str(file), "--reason", "from a container")
    assert f"cli:{os.getuid()}" in fleetd(config, "history", "--json")
