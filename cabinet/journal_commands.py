"""``cabinetd journal check`` and ``cabinetd journal replace``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

journal = typer.Typer(help="Look at the journal, or begin a new one.", no_args_is_help=True)

_Config = Annotated[Path, typer.Option("--config", help="The cabinet's configuration.")]
_Json = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@journal.command(
    "check", epilog="Example: cabinetd journal check --config /etc/yizhan/cabinet.toml"
)
def check(config: _Config, *, as_json: _Json = False) -> None:
    """Tell whether the journal is sound, and what is in it. Changes nothing. Exit code 1: it is not."""
    from cabinet.adapters import journal_file

    report = journal_file.check(_path(config))
    if as_json:
        typer.echo(msgspec.json.encode(report.as_dict()).decode())
    elif report.trouble is not None:
        typer.echo(report.trouble, err=True)
    else:
        typer.echo(
            f"{report.path}: sound; epoch {report.epoch}, last event {report.last_seq}, "
            f"{report.unsent} not yet at the fleet, {report.size_bytes} bytes"
        )
        if report.open_swap:
            typer.echo(f"transaction under way: {report.open_swap}")
        if report.latched:
            typer.echo(f"latched trips: {', '.join(report.latched)}")
    if report.trouble is not None:
        raise typer.Exit(1)


@journal.command(
    "replace", epilog="Example: cabinetd journal replace --config /etc/yizhan/cabinet.toml"
)
def replace(
    config: _Config,
    *,
    epoch: Annotated[
        int | None, typer.Option("--epoch", min=1, help="The new journal's epoch, if known.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Even when it is sound.")] = False,
    as_json: _Json = False,
) -> None:
    """Put a broken journal aside and begin a new one. Stop the daemon first; nothing is deleted.

    The new one knows of no transaction and no latched trip, and takes what stands in the slots as
    given: look at the cabinet before you start the daemon.
    """
    from datetime import UTC, datetime

    from cabinet.adapters import journal_file
    from cabinet.errors import StoreError

    path = _path(config)
    if path.exists() and journal_file.check(path).trouble is None and not force:
        typer.echo(f"{path}: it is sound, so nothing was done (--force replaces it)", err=True)
        raise typer.Exit(1)
    try:
        aside, new_epoch = journal_file.replace(
            path,
            datetime.now(UTC),  # noqa: TID251 - only a file's name
            epoch=epoch,
        )
    except StoreError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        old = str(aside) if aside else None
        typer.echo(msgspec.json.encode({"aside": old, "epoch": new_epoch}).decode())
    else:
        typer.echo(f"old journal: {aside or 'there was none'}")
        typer.echo(f"new journal: {path}, epoch {new_epoch}; start cabinetd")


def _path(config: Path) -> Path:
    from cabinet.adapters.store_schema import STORE_FILE
    from cabinet.config import ConfigProblemsError, load

    try:
        return load(config).cabinet.data_dir / STORE_FILE
    except ConfigProblemsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
