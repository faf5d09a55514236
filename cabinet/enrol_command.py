"""``cabinetd enrol``: joins the fleet by a one-time token."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Final

import typer

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_UNREACHABLE: Final = 3
TOKEN_FILE_CHARS_MAX: Final = 1_000


def enrol(
    config: Annotated[Path, typer.Option("--config", help="The cabinet's configuration.")],
    *,
    token: Annotated[
        str, typer.Option("--token", help="The token; visible to other users of this computer.")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="A file with the token; - for stdin.")
    ] = None,
) -> None:
    """Join the fleet, or join it again: get certificate and keys by a one-time token.

    The token comes from `fleetd cabinet add` or `fleetd cabinet token`; without an option it is
    read from the terminal. The cabinet makes its own key, which never leaves it. What it had
    before is replaced in one step, or not at all.
    """
    from cabinet.adapters import enrolment
    from cabinet.adapters.clock import SystemClock
    from cabinet.adapters.credentials import Vault
    from cabinet.config import load
    from cabinet.errors import CabinetError, ConfigError, FleetUnreachableError
    from protocols.enrolment import parse_token
    from protocols.errors import MessageError

    try:
        settings = load(config)
        folder = settings.fleet.credentials_dir if settings.fleet else None
        if folder is None:
            raise ConfigError(
                f"{config}: no [fleet] credentials_dir; add: credentials_dir = "
                '"/var/lib/yizhan/cabinet/credentials"'
            )
        parsed = parse_token(_token(token, token_file))
        cabinet = settings.cabinet.id
        now = SystemClock().now_utc()
        grant, key_pem = enrolment.enrol(parsed, cabinet, version("yizhan"), now)
        Vault(folder).put(grant, key_pem)
    except MessageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_USAGE) from None
    except FleetUnreachableError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    except (CabinetError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAILED) from None
    typer.echo(f"{cabinet} has joined {grant.fleet_url} (epoch {grant.epoch}); keys in {folder}")


def _token(token: str, file: Path | None) -> str:
    if token:
        return token
    if file is None:
        return str(typer.prompt("Token", hide_input=True))
    if str(file) == "-":
        return sys.stdin.read(TOKEN_FILE_CHARS_MAX)
    with file.open(encoding="utf-8", errors="replace") as text:
        return text.read(TOKEN_FILE_CHARS_MAX)
