"""The two commands about configuration, as a user types them."""

from __future__ import annotations

from pathlib import Path

import typer
from typer.testing import CliRunner

from cabinet.config_commands import check_config, example_config

app = typer.Typer()
app.command("check-config")(check_config)
app.command("example-config")(example_config)


def test_the_printed_example_passes_the_check(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["example-config", "--id", "DH-0042", "--run-dir", "/r"])
    assert printed.exit_code == 0
    file = tmp_path / "cabinet.toml"
    file.write_text(printed.stdout)
    checked = CliRunner().invoke(app, ["check-config", str(file)])
    assert checked.exit_code == 0
    assert "cabinet DH-0042, 12 slots, 30 devices" in checked.stdout


def test_every_fault_goes_to_stderr_with_exit_code_1(tmp_path: Path) -> None:
    printed = CliRunner().invoke(app, ["example-config"]).stdout
    file = tmp_path / "cabinet.toml"
    file.write_text(printed.replace("breaker_w", "braeker_w").replace("slots = 12", "slots = 0"))
    checked = CliRunner().invoke(app, ["check-config", str(file)])
    assert checked.exit_code == 1
    assert checked.stdout == ""
    assert len(checked.stderr.splitlines()) == 2
    assert "did you mean 'breaker_w'?" in checked.stderr
