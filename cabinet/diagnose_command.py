"""``cabinetd diagnose``: a bundle for the support, without secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

EXIT_FAILED: Final = 1


def diagnose(
    config: Annotated[Path, typer.Option("--config", help="The cabinet's configuration.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="The bundle; else cabinetd-TIME.tar.gz here.")
    ] = None,
    log: Annotated[
        list[Path] | None, typer.Option("--log", help="A log file to put in; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is in it as JSON.")] = False,
) -> None:
    """Pack configuration, state, journal check and logs for the support; secrets are taken out.

    Works beside a running daemon and without one. Passwords, keys, tokens and telephone numbers are
    replaced wherever they stand. Look into it before you send it: tar tzf FILE.
    """
    from cabinet.adapters.clock import SystemClock
    from cabinet.adapters.support_bundle import collect

    now = SystemClock().now_utc()
    path = out or Path(f"cabinetd-{now:%Y%m%dT%H%M%SZ}.tar.gz")
    if path.exists():
        typer.echo(f"{path}: exists; name another with --out", err=True)
        raise typer.Exit(EXIT_FAILED)
    bundle = collect(config, tuple(log or ()), now)
    try:
        bundle.write(path, now)
    except OSError as error:
        typer.echo(f"{path}: cannot be written: {error.strerror}", err=True)
        raise typer.Exit(EXIT_FAILED) from None
    if as_json:
        typer.echo(json.dumps({"file": str(path), "texts": sorted(bundle.texts)}))
    else:
        typer.echo(f"{path}: {len(bundle.texts)} texts; look into it before you send it")
