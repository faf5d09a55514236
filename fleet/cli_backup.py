"""Commands of ``fleetd`` around backups: take one, try one, put one back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet.cli import EXIT_FAILED, ConfigFile, Json, fail, go, load
from fleet.errors import FleetError, InvalidError


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command(
        epilog="Example: fleetd backup --dir /var/backups/yizhan --keep 14 --config fleet.toml"
    )(backup)
    app.command(epilog="Example: fleetd drill /var/backups/yizhan --config fleet.toml")(drill)
    app.command(epilog="Example: fleetd restore /backup/fleet-monday.db --config fleet.toml")(
        restore
    )
    app.command(epilog="Example: fleetd restored --config fleet.toml")(restored)


def backup(
    config: ConfigFile,
    file: Annotated[Path | None, typer.Argument(help="Where it goes; never overwritten.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Instead: a folder, named by the time.")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, max=1_000, help="In that folder: so many.")] = 14,
    as_json: Json = False,
) -> None:
    """Copy the ledger while fleetd runs or not; PostgreSQL by its own pg_dump.

    The keys in the data folder are not in it; keep a copy of them apart.
    """
    from fleet import backups

    try:
        if (file is None) == (folder is None):
            raise InvalidError("give a file, or a folder with --dir")
        url = load(config).store_url
        if folder is not None:
            report = backups.take_into(url, folder, keep)
        else:
            assert file is not None
            report = backups.take(url, file)
    except FleetError as error:
        fail(error)
    if as_json:
        typer.echo(backups.to_json(report))
    else:
        events = "" if report.events is None else f"{report.events} events, "
        typer.echo(f"{report.file}: {report.bytes} bytes, {events}checked")
        if report.log_head:
            typer.echo(f"the log of orders ends at {report.log_head}; keep this line elsewhere")


def drill(
    source: Annotated[Path, typer.Argument(help="A backup, or a folder: its newest.")],
    config: ConfigFile,
    scratch: Annotated[
        str, typer.Option(help="PostgreSQL: the URL of an empty database to try it in.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Put a backup back for trial, beside the ledger: migrate it, audit it, say what it holds.

    Neither the backup nor the ledger changes, and fleetd may run. Exit code 1 when an invariant of
    the ledger is broken.
    """
    from fleet import backups

    url = load(config).store_url
    try:
        trial = backups.scratch_of(scratch, url)
    except FleetError as error:
        fail(error)
    found = go(backups.drill(source, trial))
    if as_json:
        typer.echo(backups.to_json(found))
    else:
        for violation in found.violations:
            typer.echo(violation)
        verdict = "broken" if found.violations else "whole"
        typer.echo(
            f"{found.file}: {found.events} events, {found.cabinets} cabinets, {verdict}; "
            f"put back and audited in {found.took_s:.1f} s"
        )
    if found.violations:
        raise typer.Exit(EXIT_FAILED)


def restore(
    file: Annotated[Path, typer.Argument(help="What `fleetd backup` wrote.")],
    config: ConfigFile,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the ledger, with fleetd stopped; the present one is kept aside.

    At the next start cabinets send again the events that the backup does not know.
    """
    from fleet import oneshot

    answer = go(oneshot.restore(load(config), file))
    if as_json:
        typer.echo(oneshot.to_json(answer))
        return
    if answer["aside"] is not None:
        typer.echo(f"the ledger so far is kept as {answer['aside']}")
    typer.echo(f"restored {file}; new incarnation {answer['incarnation']}")


def restored(config: ConfigFile) -> None:
    """Say that the database came from a backup by other means, with fleetd stopped.

    Cabinets then send again the events that the backup does not know. A fleetd that was not told
    finds it out from the first cabinet to which it had acknowledged more than it now has.
    """
    from fleet import oneshot

    typer.echo(f"new incarnation {go(oneshot.restored(load(config)))}")
