"""``fleetd rider``, ``ticket`` and ``group-key``: who may swap, with a network and without."""

from __future__ import annotations

from typing import Annotated

import typer

from fleet.cli import ConfigFile, Json, go, load, table

rider_app = typer.Typer(help="Register, list and block riders.", no_args_is_help=True)
ticket_app = typer.Typer(help="Tickets for riders without a phone.", no_args_is_help=True)
group_key_app = typer.Typer(help="The key that riders' codes come from.", no_args_is_help=True)

Rider = Annotated[str, typer.Argument(metavar="RIDER", help="Id or number of the rider.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept, and the rider may be told.")]


@rider_app.command(
    "add", epilog="Example: fleetd rider add --phone +8613800138000 --config fleet.toml --json"
)
def rider_add(
    config: ConfigFile,
    phone: Annotated[str, typer.Option(help="E.164, such as +8613800138000.")],
    as_json: Json = False,
) -> None:
    """Register a rider, or find the one of this phone; prints the id and the number."""
    from fleet import oneshot_riders as oneshot

    rider = go(oneshot.add(load(config), phone))
    if as_json:
        typer.echo(oneshot.to_json({"id": rider.id, "number": rider.number}))
    else:
        typer.echo(f"{rider.id} number {rider.number}")


@rider_app.command("list", epilog="Example: fleetd rider list --denied --config fleet.toml")
def rider_list(
    config: ConfigFile,
    denied: Annotated[bool, typer.Option("--denied", help="Only who is blocked.")] = False,
    as_json: Json = False,
) -> None:
    """List riders: id, number, end of the phone number, and why one is blocked."""
    from fleet import oneshot_riders as oneshot

    riders = go(oneshot.list_all(load(config), denied_only=denied))
    if as_json:
        typer.echo(oneshot.to_json(riders))
        return
    table(
        [
            (each.id, each.number, f"…{each.phone_tail}", _blocked(each.denied, each.denied_reason))
            for each in riders
        ]
    )


@rider_app.command(
    "deny", epilog='Example: fleetd rider deny R0123456789AB --reason "pack sold" -c fleet.toml'
)
def rider_deny(rider: Rider, config: ConfigFile, reason: Reason) -> None:
    """Block a rider everywhere, also at cabinets without a network once they have heard of it."""
    from fleet import oneshot_riders as oneshot

    view = go(oneshot.judge(load(config), rider, reason, denied=True))
    typer.echo(f"{view.id} is blocked: {view.denied_reason}")


@rider_app.command(
    "allow", epilog='Example: fleetd rider allow R0123456789AB --reason "paid" -c fleet.toml'
)
def rider_allow(rider: Rider, config: ConfigFile, reason: Reason) -> None:
    """End a rider's block."""
    from fleet import oneshot_riders as oneshot

    typer.echo(f"{go(oneshot.judge(load(config), rider, reason, denied=False)).id} may swap again")


@rider_app.command(
    "number", epilog="Example: fleetd rider number R0123456789AB 12345674 -c fleet.toml"
)
def rider_number(
    rider: Rider,
    number: Annotated[str, typer.Argument(help="The eight digits on the rider's phone.")],
    config: ConfigFile,
) -> None:
    """Give a rider a number that a cabinet reported and nobody has.

    For a rider who was registered again, say after a backup was restored. What was done under the
    number becomes the rider's.
    """
    from fleet import oneshot_riders as oneshot

    claimed = go(oneshot.set_number(load(config), rider, number))
    typer.echo(f"{rider} has the number {number}; {claimed} batteries were booked over")


@ticket_app.command(
    "issue", epilog="Example: fleetd ticket issue R0123456789AB --config fleet.toml"
)
def ticket_issue(
    rider: Rider,
    config: ConfigFile,
    cabinet: Annotated[
        str | None, typer.Option(help="Valid there only; anywhere if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the text of a ticket, to be shown as a QR code to a cabinet without a network.

    It lets the rider swap once, or pick up a battery if none is booked to him. Who asks is kept.
    """
    from fleet import oneshot_riders as oneshot

    view = go(oneshot.issue_ticket(load(config), rider, cabinet))
    if as_json:
        text = {
            "ticket": view.ticket,
            "kind": view.ticket_kind,
            "expires_ms": view.ticket_expires_ms,
        }
        typer.echo(oneshot.to_json(text))
    else:
        typer.echo(view.ticket)


@group_key_app.command("show", epilog="Example: fleetd group-key show --config fleet.toml")
def group_key_show(config: ConfigFile, as_json: Json = False) -> None:
    """Name the keys by their ids; the keys themselves are never printed."""
    from fleet import oneshot_riders as oneshot

    _keys(go(oneshot.show_group_keys(load(config))), as_json=as_json)


@group_key_app.command("rotate", epilog="Example: fleetd group-key rotate --config fleet.toml")
def group_key_rotate(config: ConfigFile, as_json: Json = False) -> None:
    """Mint a new key; phones go on with the previous one until it is retired.

    Let every cabinet fetch the new key, then run `fleetd group-key retire`.
    """
    from fleet import oneshot_riders as oneshot

    _keys(go(oneshot.rotate_group_key(load(config))), as_json=as_json)


@group_key_app.command("retire", epilog="Example: fleetd group-key retire --config fleet.toml")
def group_key_retire(
    config: ConfigFile,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Do not wait for cabinets that are away.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Forget the previous key, when every cabinet has the new one: phones change over."""
    from fleet import oneshot_riders as oneshot

    _keys(go(oneshot.retire_group_key(load(config), force=force)), as_json=as_json)


def _keys(ids: dict[str, str | None], *, as_json: bool) -> None:
    from fleet import oneshot_riders as oneshot

    if as_json:
        typer.echo(oneshot.to_json(ids))
    else:
        table([(name, key_id or "-") for name, key_id in ids.items()])


def _blocked(denied: bool, reason: str) -> str:
    return f"blocked: {reason}" if denied else ""
