"""``cabinetd swap-table``."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from cabinet.core import swap_print


def swap_table(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Every row as JSON.")] = False,
    diagram: Annotated[bool, typer.Option("--diagram", help="A Mermaid state diagram.")] = False,
) -> None:
    """Print the whole swap table: every state with every event, and what may come of it."""
    if as_json and diagram:
        typer.echo("--json and --diagram: choose one", err=True)
        raise typer.Exit(2)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(swap_print.rows())).decode())
    elif diagram:
        typer.echo(swap_print.diagram(), nl=False)
    else:
        typer.echo("\n".join(swap_print.lines()))
