"""``fleetd grid check``: is a grid's file in order, and what is in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fleet.cli import EXIT_FAILED, Json
from fleet.errors import InvalidError

grid_app = typer.Typer(help="The grid that the 24-hour balance plans for.", no_args_is_help=True)


@grid_app.command("check", epilog="Example: fleetd grid check grid.toml")
def check(
    file: Annotated[Path, typer.Argument(help="The grid, a TOML file.")],
    as_json: Json = False,  # noqa: FBT002
) -> None:
    """Check a grid; a mistake is named with key, value and what is expected."""
    from fleet.adapters.grid_file import GridFile  # noqa: PLC0415

    try:
        grid = GridFile(file).load()
    except InvalidError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAILED) from None
    counts = {
        "regions": len(grid.regions),
        "feeders": len(grid.feeders),
        "cabinets": len(grid.cabinets),
    }
    warnings = grid.warnings()
    if as_json:
        typer.echo(json.dumps({**counts, "warnings": warnings}))
        return
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"{file}: ok, " + ", ".join(f"{count} {what}" for what, count in counts.items()))
