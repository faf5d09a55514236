"""``fleetd cabinet token`` and ``disable``, ``fleetd command-key``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fleet.cli import ConfigFile, Json, go, load
from fleet.core.enrolment import TOKEN_HOURS

Hours = Annotated[int, typer.Option(help="How long the token is good for.")]

command_key_app = typer.Typer(
    help="The key that signs what cabinets obey: look, rotate.", no_args_is_help=True
)


def show_token(answer: dict[str, Any]) -> None:
    """Print a token for people."""
    typer.echo(f"cabinet  {answer['id']}")
    typer.echo(f"token    {answer['token']}")
    typer.echo(f"         good once, until {answer['expires_at']}, at {answer['device_url']}")
    typer.echo("on the cabinet:  cabinetd enrol --config cabinet.toml --token TOKEN")


def cabinet_token(
    cabinet: Annotated[str, typer.Argument(metavar="ID", help="Such as DH-0001.")],
    *,
    config: ConfigFile,
    hours: Hours = TOKEN_HOURS,
    as_json: Json = False,
) -> None:
    """Make a new one-time token, to enrol a cabinet again or after its token has expired.

    When it is used, the certificates that the cabinet had before are refused.
    """
    from fleet import enrol_oneshot, oneshot

    answer = go(enrol_oneshot.renew_token(load(config), cabinet, hours))
    if as_json:
        typer.echo(oneshot.to_json(answer))
    else:
        show_token(answer)


def cabinet_disable(
    cabinet: Annotated[str, typer.Argument(metavar="ID", help="Such as DH-0001.")],
    config: ConfigFile,
) -> None:
    """Shut a cabinet out: its certificates and tokens are refused until it is enrolled again."""
    from fleet import enrol_oneshot

    go(enrol_oneshot.disable_cabinet(load(config), cabinet))
    typer.echo(f"{cabinet} is shut out; `fleetd cabinet token {cabinet}` lets it in again")


@command_key_app.command("status", epilog="Example: fleetd command-key status --config fleet.toml")
def command_key_status(config: ConfigFile, as_json: Json = False) -> None:
    """Show the public keys, and which cabinets have not fetched them yet."""
    from fleet import enrol_oneshot

    _show(go(enrol_oneshot.command_key_status(load(config))), as_json=as_json)


@command_key_app.command("rotate", epilog="Example: fleetd command-key rotate --config fleet.toml")
def command_key_rotate(
    config: ConfigFile,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Do not wait for cabinets that are away.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the next key, which the cabinets then fetch; called again, let it sign from now on."""
    from fleet import enrol_oneshot

    _show(go(enrol_oneshot.rotate_command_key(load(config), force=force)), as_json=as_json)


def register(cabinet_app: typer.Typer) -> None:
    """Put the commands beside the others about cabinets."""
    example = "Example: fleetd cabinet {} DH-0001 --config fleet.toml"
    cabinet_app.command("token", epilog=example.format("token"))(cabinet_token)
    cabinet_app.command("disable", epilog=example.format("disable"))(cabinet_disable)


def _show(status: dict[str, Any], *, as_json: bool) -> None:
    from fleet import oneshot

    if as_json:
        typer.echo(oneshot.to_json(status))
        return
    typer.echo(f"current  {status['current']}")
    waiting = status["waiting_for"]
    if status["next"] is not None:
        typer.echo(f"next     {status['next']}")
        have = status["cabinets"] - len(waiting)
        typer.echo(f"{have} of {status['cabinets']} cabinets have it; rotate again when all do")
    for cabinet in waiting:
        typer.echo(f"waiting for {cabinet}")
