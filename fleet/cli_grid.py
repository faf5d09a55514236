"""``fleetd grid``: check a grid's file, and export, import and list the versions that count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from fleet.cli import EXIT_FAILED, ConfigFile, Json, go, load, table
from fleet.errors import InvalidError

grid_app = typer.Typer(help="The grid that the 24-hour balance plans for.", no_args_is_help=True)


@grid_app.command("check", epilog="Example: fleetd grid check grid.toml")
def check(
    file: Annotated[Path, typer.Argument(help="The grid, a TOML file.")],
    as_json: Json = False,
) -> None:
    """Check a grid; a mistake is named with key, value and what is expected."""
    from fleet.adapters.grid_file import GridFile

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


Reason = Annotated[str, typer.Option(help="Why; it is kept with the version.")]


@grid_app.command("export", epilog="Example: fleetd grid export -c fleet.toml -o grid.toml")
def export(
    config: ConfigFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Where to write it; printed if left out.")
    ] = None,
    version: Annotated[
        int | None, typer.Option(help="Its number; the one that counts now if left out.")
    ] = None,
) -> None:
    """Write a version of the grid as a file."""
    from fleet import oneshot_grid as oneshot

    text = go(oneshot.export(load(config), version))
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        typer.echo(f"{out}: {error}", err=True)
        raise typer.Exit(EXIT_FAILED) from None


@grid_app.command(
    "import",
    epilog="Example: fleetd grid import grid.toml --from 2026-12-01T00:00 "
    "--reason 'winter tariff' -c fleet.toml",
)
def import_file(
    file: Annotated[Path, typer.Argument(help="The grid, a TOML file.")],
    config: ConfigFile,
    reason: Reason,
    *,
    begin: Annotated[
        str | None, typer.Option("--from", help="From when it counts; at once if left out.")
    ] = None,
    revision: Annotated[
        int | None,
        typer.Option(help="Of `grid history`: refuse if somebody changed the grid since."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Keep a file as the next version; a running fleetd takes it up at its time.

    It is checked as `grid check` does. From then on a change of the configured file is only told of.
    """
    from fleet import oneshot_grid as oneshot

    work = oneshot.import_file(load(config), file, begin=begin, reason=reason, revision=revision)
    version = go(work)
    typer.echo(oneshot.to_json({"version": version}) if as_json else f"version {version} is kept")


@grid_app.command("history", epilog="Example: fleetd grid history -c fleet.toml --json")
def history(config: ConfigFile, as_json: Json = False) -> None:
    """List the versions: from when, by whom, why."""
    from fleet import oneshot_grid as oneshot

    settings = load(config)
    revision, versions = go(oneshot.history(settings))
    if as_json:
        typer.echo(oneshot.to_json({"revision": revision, "versions": versions}))
        return
    table(
        [
            (
                str(each.version),
                f"from {oneshot.when(settings, each.valid_from_ms)}",
                each.source,
                each.actor,
                each.reason,
                f"withdrawn by {each.withdrawn_by}" if each.withdrawn_ms else "",
            )
            for each in versions
        ]
    )


@grid_app.command(
    "withdraw", epilog="Example: fleetd grid withdraw --reason 'wrong month' -c fleet.toml"
)
def withdraw(config: ConfigFile, reason: Reason) -> None:
    """Take back the last version before it begins."""
    from fleet import oneshot_grid as oneshot

    typer.echo(f"version {go(oneshot.withdraw(load(config), reason))} is withdrawn")
