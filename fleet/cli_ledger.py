"""Commands of ``fleetd`` on the custody ledger: a battery's life, and the present out of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fleet.cli import EXIT_FAILED, ConfigFile, Json, go, load, table

if TYPE_CHECKING:
    from fleet.core.views import LifeView


def register(ledger_app: typer.Typer) -> None:
    """Add the commands of this module."""
    ledger_app.command(
        "battery", epilog="Example: fleetd ledger battery YZ48-000001 --config fleet.toml"
    )(battery)
    ledger_app.command(
        "rebuild", epilog="Example: fleetd ledger rebuild --check --config fleet.toml"
    )(rebuild)


def battery(
    serial: Annotated[str, typer.Argument(help="Serial of the battery.")],
    config: ConfigFile,
    as_json: Json = False,
) -> None:
    """Tell a battery's whole life in order: when, from where to where, by which swap, why.

    The last column names what each row was told by: the cabinet's event (cabinet/epoch/number), or
    papers. A row in brackets moved nothing: it is evidence of what the ledger knew already.
    """
    from fleet import oneshot

    state, life = go(oneshot.battery_life(load(config), serial))
    if as_json:
        typer.echo(oneshot.to_json({**state, "life": life}))
        return
    disputed = ", disputed" if state["disputed"] else ""
    typer.echo(f"{serial} at {state['holder']} ({state['state']}{disputed})")
    table([_row(each) for each in life])


def _row(each: LifeView) -> tuple[str, ...]:
    from fleet import oneshot

    way = f"{each.from_holder} -> {each.to_holder}"
    swap = "-"
    if each.swap_id is not None:
        swap = f"{each.swap_kind or '?'} {each.swap_id} {each.swap_step or ''}".rstrip()
    told = "papers"
    if each.told_by is not None:
        by = each.told_by
        told = f"{by.cabinet}/{by.epoch}/{by.seq} {by.type or 'MISSING'}"
        if by.wall_synced is False:
            told += ", clock not synced"
    return (
        str(each.id),
        oneshot.utc_text(each.at_ms),
        way if each.moves else f"({way})",
        each.cause,
        swap,
        " ".join(each.flags) or "-",
        told,
    )


def rebuild(
    config: ConfigFile,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Only compare; exit code 1 when they differ.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Work out from the movements where every battery is, and bring what is stored in line.

    With fleetd stopped. What is changed goes into the log of orders.
    """
    from fleet import oneshot

    wrong = go(oneshot.rebuild(load(config), check_only=check))
    if as_json:
        typer.echo(oneshot.to_json(wrong))
    for each in () if as_json else wrong:
        stored = "not stored"
        if each.stored is not None:
            stored = f"stored at {each.stored.holder}, version {each.stored.version}"
        past = f"{each.past.holder}, version {each.past.version}"
        typer.echo(f"{each.serial}: its movements say {past}; {stored}")
    if check and wrong:
        raise typer.Exit(EXIT_FAILED)
    if not as_json:
        done = "the present follows from the past" if not wrong else f"{len(wrong)} mended"
        typer.echo(f"ok: {done}")
