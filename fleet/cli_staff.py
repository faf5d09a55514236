"""Commands of ``fleetd`` for staff: load and unload, the log of orders."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.cli import EXIT_FAILED, ConfigFile, Json, fail, go, load, table
from fleet.errors import FleetError

Slot = Annotated[int | None, typer.Option(help="Which slot.")]
Technician = Annotated[str, typer.Option(help="Staff number; the pack moves from or to this van.")]
Reason = Annotated[str, typer.Option(help="Why; it goes into the log of orders.")]
Cabinet = Annotated[str, typer.Argument(metavar="ID", help="Such as DH-0001.")]

_DONE_STEPS = frozenset({"completed", "rejected", "cancelled", "faulted"})
_WORDS = {
    None: "asked the cabinet",
    "reserved": "reserved",
    "opening-return": "door {slot} is opening",
    "await-return": "door {slot} is open: put the pack in and shut the door",
    "verifying": "reading the pack in slot {slot}",
    "giving-back": "the pack is refused: take it out of slot {slot}",
    "opening-pickup": "door {slot} is opening",
    "await-pickup": "door {slot} is open: take the pack out and shut the door",
    "await-close": "shut door {slot}",
}


def register(app: typer.Typer, cabinet_app: typer.Typer) -> None:
    """Add the commands of this module."""
    example = "Example: fleetd cabinet {} DH-0001 {}--technician zhang.wei --config fleet.toml"
    cabinet_app.command("load", epilog=example.format("load", ""))(cabinet_load)
    cabinet_app.command("unload", epilog=example.format("unload", "--slot 3 "))(cabinet_unload)
    app.command("audit-log", epilog="Example: fleetd audit-log --config fleet.toml --json")(
        audit_log
    )


def cabinet_load(
    cabinet: Cabinet,
    *,
    config: ConfigFile,
    technician: Technician,
    slot: Slot = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Put a pack into a cabinet: the best empty slot opens, or the one named. Needs a running fleetd.

    Each step is printed as it happens; exit code 1 when the pack was not taken in.
    """
    body = {"technician": technician, "slot": slot, "reason": reason}
    _work("load", cabinet, config, body, as_json=as_json)


def cabinet_unload(
    cabinet: Cabinet,
    *,
    config: ConfigFile,
    technician: Technician,
    slot: Annotated[int, typer.Option(help="Which slot.")],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Take the pack out of a slot. Needs a running fleetd.

    Each step is printed as it happens; exit code 1 when the pack was not taken out.
    """
    body = {"technician": technician, "slot": slot, "reason": reason}
    _work("unload", cabinet, config, body, as_json=as_json)


def _work(
    kind: str, cabinet: str, config_file: Path, body: dict[str, Any], *, as_json: bool
) -> None:
    from fleet import oneshot

    fleet = open_local(load(config_file))
    try:
        swap = fleet.post(f"/api/v1/cabinets/{cabinet}/{kind}", body, secrets.token_urlsafe(18))
        last: tuple[Any, ...] | None = None
        for view in fleet.stream(f"/api/v1/swaps/{swap['id']}/stream"):
            swap = view
            now = (view["step"], view["slot_in"], view["slot_out"])
            if not as_json and now != last and view["step"] not in _DONE_STEPS:
                words = _WORDS.get(view["step"], str(view["step"]))
                typer.echo(words.format(slot=view["slot_in"] or view["slot_out"]))
            last = now
            if view["done"] and (view["step"] != "completed" or view["movements"]):
                break
    except FleetError as error:
        fail(error)
    if as_json:
        typer.echo(oneshot.to_json(swap))
    else:
        reason_text = f" ({swap['reason']})" if swap["reason"] else ""
        typer.echo(f"{kind} {swap['id']}: {swap['step']}{reason_text}")
        for row in swap["movements"]:
            typer.echo(f"{row['serial']}  {row['from_holder']} -> {row['to_holder']}")
    if swap["step"] != "completed":
        raise typer.Exit(EXIT_FAILED)


def open_local(config: Any) -> Any:
    """A session with the running fleetd of this configuration; its failure ends the program."""
    from fleet.adapters.local import LocalFleet, running_url
    from fleet.adapters.secret_files import local_token
    from fleet.places import READY_FILE

    try:
        url = running_url(config.data_dir / READY_FILE)
        return LocalFleet(url, local_token(config.operator_token_file), config.http.tls_cert_file)
    except FleetError as error:
        fail(error)


def audit_log(
    *,
    config: ConfigFile,
    cabinet: Annotated[str | None, typer.Option(help="Only of this cabinet.")] = None,
    staff: Annotated[str | None, typer.Option(help="Only by this person.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this order, such as slot.open.")] = None,
    limit: Annotated[int, typer.Option(help="How many rows.", min=1, max=10_000)] = 100,
    as_json: Json = False,
) -> None:
    """Show the orders of operators and technicians, newest first: who, what, where, why, outcome.

    ``fleetd audit`` checks that no row was changed, taken out or put in.
    """
    from fleet import oneshot
    from fleet.core.records import LogFilter

    rows = go(oneshot.log_rows(load(config), LogFilter(cabinet, staff, action, limit)))
    if as_json:
        typer.echo(oneshot.to_json(rows))
        return
    table(
        [
            (
                str(row.id),
                oneshot.utc_text(row.at_ms),
                row.actor,
                row.action,
                row.cabinet_id or row.subject,
                str(row.slot or "-"),
                row.outcome + (f" ({row.result})" if row.result else ""),
                row.reason,
                row.evidence,
            )
            for row in rows
        ]
    )
