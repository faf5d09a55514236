"""``fleetd``: the daemon, and commands that work on its store while it runs or not.

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 store or broker out of reach. Heavy imports stand
inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from fleet import (
    cli_backup,
    cli_broker,
    cli_health,
    cli_ledger,
    cli_rollout,
    cli_staff,
    enrol_commands,
)
from fleet import config as configuration
from fleet.cli import EXIT_FAILED, ConfigFile, Json
from fleet.cli import go as _go
from fleet.cli import load as _load
from fleet.cli import table as _table
from fleet.cli_access import staff_app, token_app
from fleet.cli_accounts import data_app, partner_app, plan_app
from fleet.cli_balance import moves
from fleet.cli_grid import grid_app
from fleet.cli_plan import plan, plan_instance
from fleet.cli_riders import group_key_app, rider_app, ticket_app
from fleet.cli_stations import station_app
from fleet.core.enrolment import TOKEN_HOURS
from fleet.enrol_commands import Hours, show_token

app = typer.Typer(
    name="fleetd",
    help="Fleet service of a battery-swap network: ledger, broker, REST, rider and operator pages.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
cabinet_app = typer.Typer(help="Register and list cabinets.", no_args_is_help=True)
battery_app = typer.Typer(help="Register batteries.", no_args_is_help=True)
ledger_app = typer.Typer(help="Read the custody ledger.", no_args_is_help=True)
app.add_typer(cabinet_app, name="cabinet")
app.add_typer(battery_app, name="battery")
app.add_typer(rider_app, name="rider")
app.add_typer(ticket_app, name="ticket")
app.add_typer(plan_app, name="rider-plan")
app.add_typer(partner_app, name="partner")
app.add_typer(staff_app, name="staff")
app.add_typer(token_app, name="token")
app.add_typer(data_app, name="rider-data")
app.add_typer(group_key_app, name="group-key")
app.add_typer(ledger_app, name="ledger")
app.add_typer(station_app, name="station")
app.add_typer(grid_app, name="grid")
app.command(
    "plan",
    epilog="Example: fleetd plan instance.npz -o plan.npz --gap 0.001 --plot plan.png --json",
)(plan)
app.command(
    "plan-instance",
    epilog="Example: fleetd plan-instance --cabinets 1000 --intervals 96 --seed 1 -o instance.npz",
)(plan_instance)
app.command("moves", epilog="Example: fleetd moves --config fleet.toml --json")(moves)
app.add_typer(enrol_commands.command_key_app, name="command-key")


@app.command(epilog="Example: fleetd run --config fleet.toml")
def run(
    config: ConfigFile,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens.")] = False,
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C; prints `ready URL` when the pages answer."""
    from fleet import logs, oneshot_access, pages, service
    from fleet.adapters.clock import SystemClock
    from fleet.adapters.notify import READY, Notifier

    loaded = _load(config)
    logs.start(loaded.log.format, "info" if verbose else loaded.log.level)
    notifier = Notifier()
    first = _go(oneshot_access.first_link(loaded))

    def ready(url: str) -> None:
        notifier.tell(READY)
        typer.echo(f"ready {url}")
        if first is not None:
            home = loaded.http.public_url or url.rstrip("/")
            link = oneshot_access.join_url(home, first)
            typer.echo(f"first administrator, once, within a day: {link}")

    _go(notifier.watch(service.run(loaded, pages.make_app, ready), SystemClock()))


@app.command("check-config", epilog="Example: fleetd check-config fleet.toml")
def check_config(file: Annotated[Path, typer.Argument(help="Configuration file.")]) -> None:
    """Check a configuration; each mistake is named with line, key and remedy."""
    _load(file)
    typer.echo(f"{file}: ok")


@app.command("example-config", epilog="Example: fleetd example-config > fleet.toml")
def example_config() -> None:
    """Print a commented configuration with every key at its default."""
    typer.echo(configuration.example(), nl=False)


@app.command(epilog="Example: fleetd audit --config fleet.toml")
def audit(config: ConfigFile, as_json: Json = False) -> None:
    """Check the ledger's invariants; exit code 1 when one is broken, and each is named."""
    from fleet import oneshot

    violations = _go(oneshot.audit(_load(config)))
    if as_json:
        typer.echo(oneshot.to_json(violations))
    for violation in () if as_json else violations:
        typer.echo(f"{violation.code} {violation.subject}: {violation.detail}")
    if violations:
        raise typer.Exit(EXIT_FAILED)
    if not as_json:
        typer.echo("ok: the ledger holds together")


@cabinet_app.command(
    "add",
    epilog='Example: fleetd cabinet add DH-0001 --name "Dongmen 1" --slots 12 --lat 22.54 '
    "--lon 114.12 --config fleet.toml --json",
)
def cabinet_add(
    cabinet: Annotated[str, typer.Argument(metavar="ID", help="Such as DH-0001.")],
    *,
    config: ConfigFile,
    name: Annotated[str, typer.Option(help="What riders read; the id when left out.")] = "",
    slots: Annotated[int, typer.Option(help="How many slots it has.")] = 12,
    lat: Annotated[float | None, typer.Option(help="Latitude in degrees.")] = None,
    lon: Annotated[float | None, typer.Option(help="Longitude in degrees.")] = None,
    hours: Hours = TOKEN_HOURS,
    as_json: Json = False,
) -> None:
    """Register a cabinet and print the one-time token by which it joins; only a hash is kept."""
    from fleet import oneshot
    from fleet.core.records import CabinetRecord

    record = CabinetRecord(cabinet, name or cabinet, slots, lat, lon)
    answer = _go(oneshot.add_cabinet(_load(config), record, hours))
    if as_json:
        typer.echo(oneshot.to_json(answer))
    elif "token" in answer:
        show_token(answer)
    else:
        _table([(key, str(value)) for key, value in answer.items()])


@cabinet_app.command("list", epilog="Example: fleetd cabinet list --config fleet.toml")
def cabinet_list(config: ConfigFile, as_json: Json = False) -> None:
    """List the registered cabinets."""
    from fleet import oneshot

    records = _go(oneshot.list_cabinets(_load(config)))
    if as_json:
        typer.echo(oneshot.to_json(records))
    else:
        _table([(record.id, f"{record.slots} slots", record.name) for record in records])


@battery_app.command(
    "import", epilog="Example: fleetd battery import batteries.csv --config fleet.toml"
)
def battery_import(
    file: Annotated[Path, typer.Argument(help="CSV: serial,model,capacity_wh,holder.")],
    config: ConfigFile,
    as_json: Json = False,
) -> None:
    """Register batteries where the papers say they are.

    A battery that is known already keeps its place: sensors know better than papers.
    """
    from fleet import oneshot

    outcome = _go(oneshot.import_batteries(_load(config), file))
    if as_json:
        typer.echo(oneshot.to_json(outcome))
        return
    typer.echo(f"{outcome.added} added, {outcome.updated} known already")
    for serial in outcome.kept:
        typer.echo(f"{serial} is elsewhere; its place was kept")


@ledger_app.command("swap", epilog="Example: fleetd ledger swap 01JD… --config fleet.toml --json")
def ledger_swap(
    swap: Annotated[str, typer.Argument(metavar="ID", help="Id of the swap.")],
    config: ConfigFile,
    as_json: Json = False,
) -> None:
    """Show a swap and its movements."""
    from fleet import oneshot

    view = _go(oneshot.swap_view(_load(config), swap))
    if as_json:
        typer.echo(oneshot.to_json(view))
        return
    step = view.step.value if view.step else "asked for"
    reason = f" ({view.reason})" if view.reason else ""
    by = "" if view.authority == "fleet" else f", by {view.authority} without a network"
    flags = f" [{' '.join(view.flags)}]" if view.flags else ""
    typer.echo(
        f"{view.kind.value} of {view.rider_id} at {view.cabinet_id}{by}: {step}{reason}{flags}"
    )
    _movements(view.movements)


def _movements(movements: Sequence[Any]) -> None:
    _table(
        [
            (str(row.id), row.serial, row.from_holder, "->", row.to_holder, " ".join(row.flags))
            for row in movements
        ]
    )


cli_backup.register(app)
cli_broker.register(app)
cli_health.register(app)
cli_ledger.register(ledger_app)
cli_rollout.register(app)
cli_staff.register(app, cabinet_app)
enrol_commands.register(cabinet_app)
