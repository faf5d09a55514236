"""What is printed and drawn is the table itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cabinet.core
from cabinet.core import swap_print
from cabinet.core.swap_model import EVENTS, STATES
from cabinet.core.swap_table import TABLE
from cabinet.main import app

README = Path(cabinet.core.__file__).with_name("README.md")
REMEDY = "write it anew: cabinetd swap-table --diagram, and cabinet.core.swap_print.faults()"


def test_the_readme_has_the_diagram_of_the_table() -> None:
    text = README.read_text(encoding="utf-8")
    assert f"```mermaid\n{swap_print.diagram()}```" in text, REMEDY
    assert swap_print.faults() in text, REMEDY


def test_every_pair_is_printed() -> None:
    text = "\n".join(swap_print.lines())
    assert text.count("refused: out-of-place") == sum(
        row.refuses == ("out-of-place",) for row in TABLE.values()
    )
    for state in STATES:
        block = text.split(f"\n{state.__name__}: ")[-1].split("\n\n")[0]
        assert all(f"  {event.__name__}" in block for event in EVENTS)
    assert f"{len(STATES)} states x {len(EVENTS)} events = {len(TABLE)} rows" in text


def test_every_state_and_every_arrow_is_drawn() -> None:
    drawn = swap_print.diagram()
    assert all(state.__name__ in drawn for state in STATES if state.__name__ != "Faulted")
    arrows = [line for line in drawn.splitlines() if "-->" in line and "[*]" not in line]
    assert len(arrows) > 35
    assert len(set(arrows)) == len(arrows)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["swap-table", *arguments])
    return result.exit_code, result.output


def test_the_command_prints_text_json_and_diagram() -> None:
    assert "OpeningReturn" in run()[1]
    code, text = run("--json")
    rows = json.loads(text)
    assert code == 0
    assert {(row["state"], row["event"]) for row in rows} == {
        (state.__name__, event.__name__) for state in STATES for event in EVENTS
    }
    assert all(row["outcomes"] or row["refused"] or row["about"] for row in rows)
    assert run("--diagram") == (0, swap_print.diagram())


@pytest.mark.parametrize("arguments", [("--json", "--diagram"), ("--table",)])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    assert run(*arguments)[0] == 2
