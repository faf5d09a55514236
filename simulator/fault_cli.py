"""``swapsim fault``: break wires, devices and slots on purpose, and mend them."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from simulator.calling import Http, Json, RunDir, ask, print_json

fault_app = typer.Typer(
    help="Break wires, devices and slots on purpose, and mend them.", no_args_is_help=True
)

Target = Annotated[str, typer.Argument(help="board-1, charger-03, bus-a, slot-03, cabinet …")]
Kind = Annotated[str, typer.Argument(help="See `swapsim fault kinds`.")]


@fault_app.command(epilog="Example: swapsim fault kinds --run-dir /tmp/cabinet")
def kinds(*, run_dir: RunDir = None, http: Http = None, as_json: Json = False) -> None:
    """Every kind of fault, what it does and what it can befall."""
    found = ask(run_dir, http, "GET", "/faults/kinds")
    if as_json:
        print_json(found)
        return
    for kind in found:
        number = f"  (value: {kind['unit']}, {kind['default']:g})" if kind["unit"] else ""
        typer.echo(f"{kind['kind']:<21} {kind['scope']:<8} {kind['does']}{number}")


@fault_app.command("list", epilog="Example: swapsim fault list --json")
def standing(*, run_dir: RunDir = None, http: Http = None, as_json: Json = False) -> None:
    """The faults that stand now."""
    _tell(ask(run_dir, http, "GET", "/faults"), as_json=as_json)


@fault_app.command("set", epilog="Example: swapsim fault set charger-03 slow --value 800 --count 5")
def begin(
    target: Target,
    kind: Kind,
    *,
    value: Annotated[float | None, typer.Option(help="The kind's number.")] = None,
    probability: Annotated[float, typer.Option(help="Of striking a transaction.")] = 1.0,
    count: Annotated[int | None, typer.Option(help="Transactions, then it ends.")] = None,
    duration: Annotated[float | None, typer.Option(help="Seconds, then it ends.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same choice.")] = 1,
    run_dir: RunDir = None,
    http: Http = None,
    as_json: Json = False,
) -> None:
    """Let a fault stand; one of the same kind at the same target is replaced."""
    body = {
        "target": target,
        "kind": kind,
        "value": value,
        "probability": probability,
        "count": count,
        "duration_s": duration,
        "seed": seed,
    }
    _tell({"faults": [ask(run_dir, http, "POST", "/faults", body)]}, as_json=as_json)


@fault_app.command(epilog="Example: swapsim fault clear --target charger-03")
def clear(
    *,
    target: Annotated[str | None, typer.Option(help="Only of this target.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    run_dir: RunDir = None,
    http: Http = None,
    as_json: Json = False,
) -> None:
    """Mend: the faults of a target, of a kind, of both, or all; shows those that stood."""
    asked = {"target": target, "kind": kind}
    query = urlencode({key: text for key, text in asked.items() if text is not None})
    _tell(ask(run_dir, http, "DELETE", f"/faults?{query}"), as_json=as_json)


def _tell(found: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    for fault in found["faults"]:
        left = "" if fault["left_s"] is None else f"  {fault['left_s']:.0f} s left"
        count = "" if fault["count"] is None else f" of {fault['count']}"
        chance = "" if fault["probability"] == 1.0 else f"  p={fault['probability']:g}"
        typer.echo(
            f"{fault['target']:<13} {fault['kind']:<21} struck {fault['struck']}{count}"
            f"{chance}{left}"
        )
