"""``cabinetd check-config`` and ``cabinetd example-config``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabinet.config import ConfigProblemsError, load
from cabinet.config_example import example_config as example_text


def check_config(
    file: Annotated[Path, typer.Argument(help="The configuration to check.")],
) -> None:
    """Check a configuration; every fault with its line, key and remedy. Exit code 1 on a fault."""
    try:
        config = load(file)
    except ConfigProblemsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    slots, devices = len(config.slots), len(config.devices)
    typer.echo(f"{file}: ok: cabinet {config.cabinet.id}, {slots} slots, {devices} devices")


def example_config(
    cabinet_id: Annotated[str, typer.Option("--id", help="The cabinet's id.")] = "DH-0001",
    run_dir: Annotated[Path, typer.Option("--run-dir", help="Where the serial ports are.")] = Path(
        "/run/yizhan"
    ),
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Where journal and outbox go.")
    ] = Path("/var/lib/yizhan/cabinet"),
) -> None:
    """Print a full, commented configuration of the default 12-slot cabinet."""
    typer.echo(example_text(cabinet_id, run_dir=run_dir, data_dir=data_dir), nl=False)
