"""``fleetd staff`` and ``fleetd token``: who may come in, people and programs."""

from __future__ import annotations

from typing import Annotated

import typer

from fleet.cli import ConfigFile, Json, go, load, table

staff_app = typer.Typer(help="Accounts of staff.", no_args_is_help=True)
token_app = typer.Typer(help="API tokens of programs.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Such as zhang.wei.")]
RoleName = Annotated[str, typer.Option(help="viewer, operator, technician or admin.")]
Stations = Annotated[
    list[str] | None, typer.Option("--station", help="Only this station; may be repeated.")
]
Partners = Annotated[
    list[str] | None,
    typer.Option(
        "--partner", help="Only this partner, and no station but those named; may be repeated."
    ),
]


@staff_app.command(
    "add",
    epilog="Example: fleetd staff add zhang.wei --role technician --station DRUM -c fleet.toml",
)
def staff_add(
    name: Name,
    config: ConfigFile,
    *,
    role: RoleName,
    station: Stations = None,
    partner: Partners = None,
    as_json: Json = False,
) -> None:
    """Make an account; prints the link, good once and for a day, by which it gets its password."""
    from fleet import oneshot_access as oneshot

    link = go(oneshot.add(load(config), name, role, station or (), partner or ()))
    typer.echo(oneshot.to_json({"name": name, "link": link}) if as_json else link)


@staff_app.command("list", epilog="Example: fleetd staff list --json --config fleet.toml")
def staff_list(config: ConfigFile, as_json: Json = False) -> None:
    """List accounts: name, role, where, second factor, whether off."""
    from fleet import oneshot_access as oneshot

    accounts = go(oneshot.list_all(load(config)))
    if as_json:
        typer.echo(oneshot.to_json(accounts))
        return
    table(
        [
            (
                each.name,
                each.role.value,
                _where(each.scope.stations, each.scope.partners),
                "totp" if each.second_factor else each.issuer or "-",
                "off" if each.off else "on" if each.has_password or each.issuer else "invited",
            )
            for each in accounts
        ]
    )


@staff_app.command("roles", epilog="Example: fleetd staff roles --json")
def staff_roles(as_json: Json = False) -> None:
    """Print what each role may."""
    from fleet import oneshot_access as oneshot

    roles = oneshot.role_table()
    if as_json:
        typer.echo(oneshot.to_json(roles))
        return
    for role, permissions in roles.items():
        typer.echo(f"{role}: {', '.join(permissions)}")


@staff_app.command(
    "role", epilog="Example: fleetd staff role zhang.wei operator --station DRUM -c fleet.toml"
)
def staff_role(
    name: Name,
    role: Annotated[str, typer.Argument(help="viewer, operator, technician or admin.")],
    config: ConfigFile,
    *,
    station: Stations = None,
    partner: Partners = None,
    as_json: Json = False,
) -> None:
    """Give an account this role, at these stations and partners; without any, everywhere."""
    from fleet import oneshot_access as oneshot

    account = go(oneshot.change(load(config), name, role, station or (), partner or ()))
    where = _where(account.scope.stations, account.scope.partners)
    text = f"{account.name} is {account.role.value}: {where}"
    typer.echo(oneshot.to_json(account) if as_json else text)


@staff_app.command("disable", epilog="Example: fleetd staff disable zhang.wei --config fleet.toml")
def staff_disable(name: Name, config: ConfigFile, as_json: Json = False) -> None:
    """Switch an account off; its sessions and links end at once, and its API tokens rest."""
    _switch(name, config, off=True, as_json=as_json)


@staff_app.command("enable", epilog="Example: fleetd staff enable zhang.wei --config fleet.toml")
def staff_enable(name: Name, config: ConfigFile, as_json: Json = False) -> None:
    """Switch an account on again."""
    _switch(name, config, off=False, as_json=as_json)


def _switch(name: str, config: ConfigFile, *, off: bool, as_json: bool) -> None:
    from fleet import oneshot_access as oneshot

    account = go(oneshot.switch(load(config), name, off=off))
    text = f"{account.name} is {'off' if account.off else 'on'}"
    typer.echo(oneshot.to_json(account) if as_json else text)
    if account.off and not as_json:
        for each in go(oneshot.tokens_of(load(config), account)):
            text = (
                f"its token {each.prefix}… {each.name} rests: `fleetd token adopt`, or `revoke` it"
            )
            typer.echo(text)


@staff_app.command("reset", epilog="Example: fleetd staff reset zhang.wei --config fleet.toml")
def staff_reset(name: Name, config: ConfigFile, as_json: Json = False) -> None:
    """Take password, second factor and sessions; prints the link for a new password."""
    from fleet import oneshot_access as oneshot

    link = go(oneshot.reset(load(config), name))
    typer.echo(oneshot.to_json({"name": name, "link": link}) if as_json else link)


@staff_app.command("link", epilog="Example: fleetd staff link zhang.wei --config fleet.toml")
def staff_link(
    name: Name,
    config: ConfigFile,
    *,
    role: Annotated[str, typer.Option(help="Make the account with this role if needed.")] = "",
    as_json: Json = False,
) -> None:
    """Print a link that signs an account in, once, within the hour; it asks for no password."""
    from fleet import oneshot_access as oneshot

    link = go(oneshot.sign_in_link(load(config), name, role))
    typer.echo(oneshot.to_json({"name": name, "link": link}) if as_json else link)


@token_app.command(
    "add",
    epilog="Example: fleetd token add grafana --role viewer --grant see-balance --days 90 -c fleet.toml",
)
def token_add(
    name: Name,
    config: ConfigFile,
    *,
    role: RoleName,
    station: Stations = None,
    partner: Partners = None,
    grant: Annotated[
        list[str] | None,
        typer.Option(help="Only this permission of the role's; may be repeated."),
    ] = None,
    days: Annotated[int, typer.Option(help="How long it lives.")] = 90,
    as_json: Json = False,
) -> None:
    """Make an API token for `Authorization: Bearer`; it is printed this once and kept as a hash."""
    from fleet import oneshot_access as oneshot

    made, text = go(
        oneshot.add_token(load(config), name, role, station or (), partner or (), grant or (), days)
    )
    typer.echo(oneshot.to_json({"id": made.id, "token": text}) if as_json else text)


@token_app.command("list", epilog="Example: fleetd token list --json --config fleet.toml")
def token_list(config: ConfigFile, as_json: Json = False) -> None:
    """List API tokens: id, beginning, name, role, where, until when, last use."""
    from fleet import oneshot_access as oneshot
    from fleet.oneshot import utc_text

    tokens = go(oneshot.list_tokens(load(config)))
    if as_json:
        typer.echo(oneshot.to_json(tokens))
        return
    table(
        [
            (
                each.id,
                each.prefix + "…",
                each.name,
                each.role.value,
                _where(each.scope.stations, each.scope.partners),
                f"by {each.made_by}",
                "off" if each.off else utc_text(each.expires_ms),
                utc_text(each.used_ms) if each.used_ms is not None else "never used",
            )
            for each in tokens
        ]
    )


@token_app.command("adopt", epilog="Example: fleetd token adopt yzt_aB3xYz --config fleet.toml")
def token_adopt(
    token: Annotated[str, typer.Argument(help="Its id or its beginning.")],
    config: ConfigFile,
    as_json: Json = False,
) -> None:
    """Let a token go on without the account that made it, such as one that is off now."""
    from fleet import oneshot_access as oneshot

    kept = go(oneshot.adopt(load(config), token))
    typer.echo(oneshot.to_json(kept) if as_json else f"{kept.prefix}… of {kept.name} goes on")


@token_app.command("revoke", epilog="Example: fleetd token revoke yzt_aB3xYz --config fleet.toml")
def token_revoke(
    token: Annotated[str, typer.Argument(help="Its id or its beginning.")],
    config: ConfigFile,
    as_json: Json = False,
) -> None:
    """End an API token at once."""
    from fleet import oneshot_access as oneshot

    ended = go(oneshot.revoke(load(config), token))
    typer.echo(oneshot.to_json(ended) if as_json else f"{ended.prefix}… of {ended.name} is off")


def _where(stations: frozenset[str] | None, partners: frozenset[str] | None) -> str:
    parts = [
        f"{name} {', '.join(sorted(own)) or 'none'}"
        for name, own in (("stations", stations), ("partners", partners))
        if own is not None
    ]
    return "; ".join(parts) or "everywhere"
