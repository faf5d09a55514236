"""``fleetd rider-plan``, ``partner`` and ``rider-data``: what riders may take, who pays, what is kept."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fleet.cli import ConfigFile, Json, go, load, table
from fleet.core.partners import Partner
from fleet.core.plans import Plan

plan_app = typer.Typer(help="Plans that riders swap by.", no_args_is_help=True)
partner_app = typer.Typer(
    help="Delivery platforms that send and pay for riders.", no_args_is_help=True
)
data_app = typer.Typer(help="A rider's own data.", no_args_is_help=True)

PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="Id, such as monthly-60.")]
PartnerId = Annotated[str, typer.Argument(metavar="PARTNER", help="Id, such as meituan.")]
Rider = Annotated[str, typer.Argument(metavar="RIDER", help="Id or number of the rider.")]


@plan_app.command(
    "add",
    epilog="Example: fleetd rider-plan add monthly-60 --zh 月卡60次 --en 'Monthly 60' "
    "--per period --price 29900 --quota 60 --days 30 -c fleet.toml",
)
def plan_add(
    plan: PlanId,
    config: ConfigFile,
    zh: Annotated[str, typer.Option(help="Its name in Chinese.")],
    en: Annotated[str, typer.Option(help="Its name in English.")],
    per: Annotated[Literal["swap", "period"], typer.Option(help="What the price is of.")],
    *,
    price: Annotated[int, typer.Option(help="In the smallest unit (fen).")],
    currency: Annotated[str, typer.Option(help="Three letters.")] = "CNY",
    quota: Annotated[
        int | None, typer.Option(help="Swaps of a period; no limit if left out.")
    ] = None,
    quota_kwh: Annotated[
        float | None,
        typer.Option(help="Energy of a period from sockets; paid by use if left out."),
    ] = None,
    days: Annotated[int, typer.Option(help="Length of a period.")] = 30,
    default: Annotated[
        bool, typer.Option("--default", help="Riders without a plan of their own get it.")
    ] = False,
) -> None:
    """Put a plan on sale. From the first plan on, riders without one take no battery.

    What is used is counted from the ledger: a swap that handed nothing out counts nothing. With
    ``--quota-kwh`` so much energy from sockets is in the plan, and no more is given in a period.
    """
    from fleet import oneshot_accounts as oneshot

    quota_wh = None if quota_kwh is None else round(quota_kwh * 1_000)
    wanted = Plan(plan, zh, en, per, price, currency, quota, days, default, quota_wh)
    go(oneshot.add_plan(load(config), wanted))
    typer.echo(f"plan {plan} is on sale")


@plan_app.command("list", epilog="Example: fleetd rider-plan list -c fleet.toml")
def plan_list(config: ConfigFile, as_json: Json = False) -> None:
    """List the plans."""
    from fleet import oneshot_accounts as oneshot

    plans = go(oneshot.list_plans(load(config)))
    if as_json:
        typer.echo(oneshot.to_json(plans))
        return
    rows = [
        (
            each.id,
            each.name_zh,
            f"{each.price_minor / 100:.2f} {each.currency} per {each.per}",
            "no limit" if each.quota is None else f"{each.quota} swaps in {each.days} days",
            "" if each.quota_wh is None else f"{each.quota_wh / 1_000:g} kWh",
            "default" if each.is_default else "",
        )
        for each in plans
    ]
    table(rows)


@plan_app.command("default", epilog="Example: fleetd rider-plan default free -c fleet.toml")
def plan_default(
    config: ConfigFile,
    plan: Annotated[str | None, typer.Argument(help="Id; none if left out.")] = None,
) -> None:
    """What riders without a plan of their own have."""
    from fleet import oneshot_accounts as oneshot

    go(oneshot.make_default(load(config), plan))
    typer.echo(f"default plan: {plan or 'none'}")


@plan_app.command(
    "give",
    epilog="Example: fleetd rider-plan give R0123456789AB monthly-60 --days 30 -c fleet.toml",
)
def plan_give(
    rider: Rider,
    plan: PlanId,
    config: ConfigFile,
    days: Annotated[int | None, typer.Option(min=0, help="Until then; no end if left out.")] = None,
) -> None:
    """Give a rider a plan from now on, in place of the one before."""
    from fleet import oneshot_accounts as oneshot

    typer.echo(f"{go(oneshot.subscribe(load(config), rider, plan, days))} has the plan {plan}")


@partner_app.command(
    "add",
    epilog="Example: fleetd partner add meituan --name 美团 --link-key BASE64 --plan monthly-60 "
    "--quota-day 5000 --webhook https://swap.meituan.example/hook -c fleet.toml",
)
def partner_add(
    partner: PartnerId,
    config: ConfigFile,
    name: Annotated[str, typer.Option(help="As riders know it.")],
    link_key: Annotated[str, typer.Option(help="Its Ed25519 public key in base64, 32 bytes.")],
    *,
    plan: Annotated[str | None, typer.Option(help="What its riders get.")] = None,
    quota_day: Annotated[
        int | None, typer.Option(help="Swaps and sessions at sockets in any 24 hours.")
    ] = None,
    webhook: Annotated[str, typer.Option(help="Where it wants to be told of swaps.")] = "",
    colour: Annotated[str, typer.Option(help="Of its brand, #rrggbb.")] = "",
    phone: Annotated[str, typer.Option(help="Its riders' help line.")] = "",
) -> None:
    """Register a partner; prints its API token and the secret of its webhooks, once."""
    from fleet import oneshot_accounts as oneshot

    wanted = Partner(partner, name, link_key, plan, quota_day, webhook, phone, colour)
    token, secret = go(oneshot.add_partner(load(config), wanted))
    typer.echo(oneshot.to_json({"id": partner, "api_token": token, "webhook_secret": secret}))


@partner_app.command("list", epilog="Example: fleetd partner list -c fleet.toml")
def partner_list(config: ConfigFile, as_json: Json = False) -> None:
    """List partners with what their riders used in the last 24 hours."""
    from fleet import oneshot_accounts as oneshot

    partners = go(oneshot.list_partners(load(config)))
    if as_json:
        typer.echo(oneshot.to_json(partners))
        return
    table(
        [
            (each.id, each.name, each.plan or "-", f"{each.used_day} of {each.quota_day or '∞'}", "off" if each.off else "")
            for each in partners
        ]
    )  # fmt: skip


@partner_app.command("off", epilog="Example: fleetd partner off meituan -c fleet.toml")
def partner_off(partner: PartnerId, config: ConfigFile) -> None:
    """A partner's riders take no more packs; they may give theirs back."""
    from fleet import oneshot_accounts as oneshot

    go(oneshot.switch_partner(load(config), partner, off=True))
    typer.echo(f"partner {partner} is off")


@partner_app.command("on", epilog="Example: fleetd partner on meituan -c fleet.toml")
def partner_on(partner: PartnerId, config: ConfigFile) -> None:
    """A partner's riders may swap again."""
    from fleet import oneshot_accounts as oneshot

    go(oneshot.switch_partner(load(config), partner, off=False))
    typer.echo(f"partner {partner} is on")


@data_app.command("export", epilog="Example: fleetd rider-data export R0123456789AB -c fleet.toml")
def data_export(rider: Rider, config: ConfigFile) -> None:
    """Print everything that is kept of a rider, as JSON."""
    from fleet import oneshot_accounts as oneshot

    typer.echo(oneshot.to_json(go(oneshot.export(load(config), rider))))


@data_app.command("delete", epilog="Example: fleetd rider-data delete R0123456789AB -c fleet.toml")
def data_delete(
    rider: Rider,
    config: ConfigFile,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete what tells who a rider is; the ledger keeps the bare id. It can't be undone."""
    from fleet import oneshot_accounts as oneshot

    if not yes:
        typer.confirm(f"Delete the account of {rider} for good?", abort=True)
    typer.echo(f"{go(oneshot.forget(load(config), rider))} is deleted")
