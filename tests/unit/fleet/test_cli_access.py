"""The commands about accounts and tokens, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fleet.main import app
from fleet.service import only_one


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.toml"
    file.write_text(f'[fleet]\ndata_dir = "{tmp_path}/data"\n')
    return file


def fleetd(config: Path, *words: str, code: int = 0) -> str:
    result: Result = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert result.exit_code == code, result.output
    return result.output


def test_an_account_from_its_invitation_to_its_end(config: Path) -> None:
    told = json.loads(fleetd(config, "staff", "add", "zhang.wei", "--role", "viewer", "--json"))
    assert told["name"] == "zhang.wei"
    assert "/ops/" in told["link"]
    fleetd(config, "staff", "add", "zhang.wei", "--role", "viewer", code=2)
    fleetd(config, "staff", "add", "li", "--role", "emperor", code=2)
    fleetd(config, "staff", "add", "no spaces", "--role", "viewer", code=2)
    assert "technician: stations DRUM" in fleetd(
        config, "staff", "role", "zhang.wei", "technician", "--station", "DRUM"
    )
    assert fleetd(config, "staff", "reset", "zhang.wei").strip() != told["link"]
    assert "zhang.wei is off" in fleetd(config, "staff", "disable", "zhang.wei")
    (account,) = json.loads(fleetd(config, "staff", "list", "--json"))
    assert (account["name"], account["role"], account["off"]) == ("zhang.wei", "technician", True)
    assert account["scope"]["stations"] == ["DRUM"]
    assert "zhang.wei is on" in fleetd(config, "staff", "enable", "zhang.wei")
    fleetd(config, "staff", "disable", "nobody", code=1)


def test_a_token_is_told_once_and_ends_when_it_is_revoked(config: Path) -> None:
    made = json.loads(fleetd(config, "token", "add", "grafana", "--role", "viewer", "--json"))
    fleetd(config, "token", "add", "grafana", "--role", "viewer", "--days", "0", code=2)
    fleetd(config, "token", "add", "grafana", "--role", "viewer", "--grant", "fly", code=2)
    shown = fleetd(config, "token", "list", "--json")
    assert made["token"] not in shown
    (token,) = json.loads(shown)
    assert made["token"].startswith(token["prefix"])
    assert "is off" in fleetd(config, "token", "revoke", made["id"])
    assert json.loads(fleetd(config, "token", "list", "--json"))[0]["off"]
    fleetd(config, "token", "revoke", "yzt_never", code=1)


def test_a_second_fleetd_leaves_the_first_administrators_link_alone(config: Path) -> None:
    fleetd(config, "staff", "list")  # makes the data folder
    with only_one(config.parent / "data"):
        assert "another fleetd runs here" in fleetd(config, "run", code=1)


def test_a_token_that_rests_is_named_and_taken_over(config: Path) -> None:
    made = json.loads(fleetd(config, "token", "add", "grafana", "--role", "viewer", "--json"))
    assert "rests" not in fleetd(config, "staff", "add", "li.na", "--role", "admin")
    (token,) = json.loads(fleetd(config, "token", "list", "--json"))
    assert token["maker"] is None, "it was made on the machine"
    assert "goes on" in fleetd(config, "token", "adopt", made["id"])
    fleetd(config, "token", "adopt", "yzt_never", code=1)


def test_a_rollout_that_never_was_is_not_ended(config: Path) -> None:
    said = ("--staff", "li.na", "--reason", "the disk was full")
    fleetd(config, "rollout", "end", "01JD", *said, code=1)
    fleetd(config, "rollout", "end", "01JD", "--staff", "li.na", "--reason", "", code=2)
