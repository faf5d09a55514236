"""``fleetd broker-files``: what an external broker has to read, and nothing of what it must not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from fleet.adapters import pki
from fleet.cli import ConfigFile, fail, load
from fleet.errors import FleetError

FILES: Final = (pki.CA_FILE, pki.SERVER_FILE, pki.CRL_FILE)
LOOK_EVERY_S: Final = 2.0
MODE: Final = 0o640  # the broker reads them by the folder's group


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(
        "broker-files",
        epilog="Example: fleetd broker-files /etc/mosquitto/yizhan --config fleet.toml",
    )(broker_files)


def broker_files(
    folder: Annotated[Path, typer.Argument(help="Where they go, readable by its group.")],
    config: ConfigFile,
    *,
    follow: Annotated[bool, typer.Option(help="Go on, and copy whatever changes.")] = False,
) -> None:
    """Copy authority, server certificate and revocation list to where an external broker reads them.

    The authority's own key stays where it is. fleetd makes the files at its first start.
    """
    source = load(config).data_dir / "pki"
    try:
        if follow:
            asyncio.run(_follow(source, folder))
        else:
            for name in copy_changed(source, folder):
                typer.echo(folder / name)
    except FleetError as error:
        fail(error)


def copy_changed(source: Path, folder: Path) -> list[str]:
    """Copy the files that differ, each in one step; their names.

    Raises:
        FleetError: one is missing, or can't be read or written.
    """
    changed = []
    for name in FILES:
        try:
            text = (source / name).read_bytes()
            if not _holds(folder / name, text):
                _write(folder / name, text)
                changed.append(name)
        except FileNotFoundError as error:
            raise FleetError(f"{error.filename} is not there: has fleetd run once?") from error
        except OSError as error:
            raise FleetError(f"broker-files: {error}") from error
    return changed


async def _follow(source: Path, folder: Path) -> None:
    while True:
        try:
            for name in copy_changed(source, folder):
                typer.echo(folder / name)
        except FleetError as error:
            typer.echo(str(error), err=True)  # fleetd may just be starting
        await asyncio.sleep(LOOK_EVERY_S)


def _holds(path: Path, text: bytes) -> bool:
    try:
        return path.read_bytes() == text
    except FileNotFoundError:
        return False


def _write(path: Path, text: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, MODE)
    with os.fdopen(descriptor, "wb") as out:
        os.fchmod(descriptor, MODE)
        out.write(text)
        out.flush()
        os.fsync(descriptor)
    part.replace(path)
