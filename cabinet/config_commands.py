"""``cabinetd check-config`` and ``cabinetd example-config``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cabinet.config import ConfigProblemsError, load
from cabinet.config_devices import TRAITS
from cabinet.config_example import CHOICES, DEFAULT, Choice
from cabinet.config_example import example_config as example_text
from cabinet.config_schema import nearest


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
    *,
    locks: Annotated[str, typer.Option(help="Type of what drives the locks.")] = DEFAULT.locks,
    charger: Annotated[str, typer.Option(help="Type of the chargers.")] = DEFAULT.charger,
    bms: Annotated[str, typer.Option(help="Type of the packs' boards.")] = DEFAULT.bms,
    meter: Annotated[str, typer.Option(help="Type of the energy meter.")] = DEFAULT.meter,
    lights: Annotated[
        str, typer.Option(help="Type of the board with the slots' lamps; none without.")
    ] = DEFAULT.lights,
    sockets: Annotated[
        int, typer.Option(min=0, max=8, help="Sockets of a charging area beside it.")
    ] = 0,
) -> None:
    """Print a full, commented configuration of a 12-slot cabinet.

    The types are those that ``cabinetd devices`` lists.
    """
    given = {"locks": locks, "charger": charger, "bms": bms, "meter": meter, "lights": lights}
    for key, type_ in given.items():
        fitting = [name for name, traits in TRAITS.items() if traits.role is CHOICES[key]]
        if type_ not in fitting and (type_ or key != "lights"):
            raise typer.BadParameter(f"{type_!r} for --{key}: {nearest(type_, fitting)}")
    try:
        choice = Choice(**given)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    text = example_text(
        cabinet_id, run_dir=run_dir, data_dir=data_dir, choice=choice, sockets=sockets
    )
    typer.echo(text, nl=False)
