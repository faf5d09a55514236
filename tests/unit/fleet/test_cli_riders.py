"""The commands about riders, tickets and the group key, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fleet.adapters.secret_files import command_key, group_keys
from fleet.main import app
from protocols import signing
from protocols.messages import Kind
from protocols.offline import key_id, parse_ticket, rider_number, valid_number

PHONE = "+8613800138000"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.toml"
    file.write_text(f'[fleet]\ndata_dir = "{tmp_path}/data"\n')
    return file


def fleetd(config: Path, *words: str, code: int = 0) -> str:
    result: Result = CliRunner().invoke(app, [*words, "--config", str(config)])
    assert result.exit_code == code, result.output
    return result.output


def rider(config: Path) -> dict[str, str]:
    answer: dict[str, str] = json.loads(fleetd(config, "rider", "add", "--phone", PHONE, "--json"))
    return answer


def test_a_rider_has_one_number_for_good(config: Path) -> None:
    first = rider(config)
    assert valid_number(first["number"])
    assert rider(config) == first
    assert first["number"] in fleetd(config, "rider", "add", "--phone", PHONE)


def test_a_rider_is_blocked_and_let_in_again(config: Path) -> None:
    known = rider(config)
    fleetd(config, "rider", "deny", known["id"], "--reason", "pack sold")
    (row,) = json.loads(fleetd(config, "rider", "list", "--denied", "--json"))
    assert (row["id"], row["denied_reason"]) == (known["id"], "pack sold")
    assert "blocked: pack sold" in fleetd(config, "rider", "list")
    fleetd(config, "ticket", "issue", known["id"], code=1)
    fleetd(config, "rider", "allow", known["number"], "--reason", "paid")
    assert fleetd(config, "rider", "list", "--denied") == ""
    fleetd(config, "rider", "deny", "R000000000000", "--reason", "x", code=1)
    fleetd(config, "rider", "deny", known["id"], "--reason", "", code=2)


def test_a_number_is_given_by_hand(config: Path) -> None:
    known, number = rider(config), rider_number(1_234_567)
    assert "0 batteries" in fleetd(config, "rider", "number", known["id"], number)
    assert rider(config)["number"] == number
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert "a typo?" in fleetd(config, "rider", "number", known["id"], wrong, code=2)


def test_a_ticket_is_signed_and_the_same_for_a_while(config: Path) -> None:
    known = rider(config)
    answer = json.loads(fleetd(config, "ticket", "issue", known["number"], "--json"))
    ticket = parse_ticket(answer["ticket"])
    public = signing.public_of(command_key(config.parent / "data"))
    assert signing.verify(ticket, public)
    assert (ticket.rider_id, ticket.kind, ticket.cabinet) == (known["id"], Kind.PICKUP, None)
    printed = fleetd(config, "ticket", "issue", known["id"], "--cabinet", "DH-0001")
    there = parse_ticket(printed.strip())
    assert there.cabinet == "DH-0001"
    assert there.id != ticket.id
    fleetd(config, "ticket", "issue", known["id"], "--cabinet", "no such", code=2)


def test_the_group_key_is_named_and_never_shown(config: Path) -> None:
    shown = fleetd(config, "group-key", "show")
    first = group_keys(config.parent / "data")
    assert key_id(first.current) in shown
    answer = json.loads(fleetd(config, "group-key", "rotate", "--json"))
    assert answer["previous"] == answer["codes"] == key_id(first.current)
    fleetd(config, "group-key", "rotate", code=1)
    answer = json.loads(fleetd(config, "group-key", "retire", "--json"))
    assert answer["previous"] is None
    assert answer["codes"] == answer["current"] != key_id(first.current)
    fleetd(config, "group-key", "retire", code=1)
