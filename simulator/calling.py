"""What every one-shot command does alike: find the simulator, ask it, tell a failure.

Heavy imports stand inside the functions, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import typer

from simulator.errors import RequestRefusedError, SimulatorError, UnreachableError

EXIT_FAILED: Final = 1
EXIT_UNREACHABLE: Final = 3

RunDir = Annotated[
    Path | None,
    typer.Option(envvar="SWAPSIM_RUN_DIR", help="Directory of a running simulator."),
]
Http = Annotated[
    str | None,
    typer.Option(envvar="SWAPSIM_HTTP", help="Its control URL; wins over --run-dir."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Body: TypeAlias = Mapping[str, object]


def ask(
    run_dir: Path | None, url: str | None, method: str, path: str, body: Body | None = None
) -> Any:
    """One request to the control API; ends the command when it fails."""
    from simulator.control.client import call, find  # noqa: PLC0415

    try:
        return call(find(run_dir, url), method, path, body)
    except SimulatorError as error:
        raise failed(error) from error


def failed(error: SimulatorError) -> typer.Exit:
    """Tell it on standard error; the exit to raise."""
    lead = "refused: " if isinstance(error, RequestRefusedError) else ""
    typer.echo(f"{lead}{error}", err=True)
    unreachable = isinstance(error, UnreachableError)
    return typer.Exit(EXIT_UNREACHABLE if unreachable else EXIT_FAILED)


def print_json(value: Any) -> None:
    """For machines."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
