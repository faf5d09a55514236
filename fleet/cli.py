"""What the commands of ``fleetd`` share: options, exit codes, tables, errors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer

from fleet import config as configuration
from fleet.config import FleetConfig
from fleet.errors import ConfigError, FleetError, InvalidError

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
_UNREACHABLE_CODES: Final = frozenset({"store", "broker", "fleetd"})

T = TypeVar("T")

ConfigFile = Annotated[
    Path, typer.Option("--config", "-c", help="Configuration file.", envvar="FLEETD_CONFIG")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns."""
    if not rows:
        return
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def load(file: Path) -> FleetConfig:
    """The configuration; a mistake in it ends the program."""
    try:
        return configuration.load(file, os.environ)
    except ConfigError as error:
        fail(error)


def go(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine; its failure ends the program."""
    try:
        return asyncio.run(work)
    except FleetError as error:
        fail(error)


def fail(error: FleetError) -> NoReturn:
    """Say what is wrong and end with the exit code that fits."""
    typer.echo(str(error), err=True)
    if isinstance(error, InvalidError):
        raise typer.Exit(EXIT_USAGE)
    raise typer.Exit(EXIT_UNREACHABLE if error.code in _UNREACHABLE_CODES else EXIT_FAILED)
