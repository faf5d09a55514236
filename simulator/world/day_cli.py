"""``swapsim day``: what a charging policy is worth, in a table. Heavy imports stand inside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from simulator.world.day import Result

EXIT_FAILED: Final = 1
_SEEDS: Final = re.compile(r"([0-9]{1,9})(?:\.\.([0-9]{1,9}))?")


def day(
    *,
    cabinets: Annotated[int, typer.Option(min=1, max=20_000, help="How many cabinets.")] = 100,
    days: Annotated[int, typer.Option(min=1, max=31, help="How many days.")] = 2,
    swaps_per_day: Annotated[
        float, typer.Option(min=1, max=200, help="Riders per cabinet and day, on the mean.")
    ] = 30.0,
    seeds: Annotated[str, typer.Option(help="One seed, or FIRST..LAST.")] = "1..1",
    policy: Annotated[str, typer.Option(help="all, or names joined by commas.")] = "all",
    curve: Annotated[
        bool, typer.Option("--curve", help="Service against cost, over z and lead.")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="Write a picture here (PNG or SVG).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play days of a fleet, slot by slot, under each policy: cost, peak, lost swaps, end stock.

    Example: swapsim day --cabinets 1000 --days 7 --swaps-per-day 30 --seeds 1..3 --policy all
    """
    try:
        from simulator.world import day as engine
        from simulator.world import day_table, day_town
    except ModuleNotFoundError as error:
        typer.echo(
            f"swapsim day plans with the fleet's planner and lacks {error.name}: "
            "install yizhan with the fleet extra, for example pip install 'yizhan[fleet,simulator]'",
            err=True,
        )
        raise typer.Exit(EXIT_FAILED) from None
    chosen = _range(seeds)
    names = _names(policy, engine.POLICIES)
    towns = [day_town.build(cabinets, days, swaps_per_day, seed) for seed in chosen]
    if curve:
        points = day_table.curve(towns, _say)
        typer.echo(json.dumps(points, indent=2) if as_json else day_table.curve_text(points))
        if plot is not None:
            day_table.plot_curve(points, plot)
        return
    results = day_table.play(towns, names, _say)
    setting = {"cabinets": cabinets, "days": days, "swaps_per_day": swaps_per_day}
    _show(results, setting, chosen, as_json=as_json)
    if plot is not None:
        day_table.plot_loads(results[0], plot)


def _show(
    results: list[list[Result]], setting: dict[str, float], seeds: range, *, as_json: bool
) -> None:
    from simulator.world import day_table

    rows = day_table.rows(results)
    if as_json:
        facts = {
            **setting,
            "seeds": list(seeds),
            "policies": [day_table.facts(row) for row in rows],
            "runs": [[day_table.run_facts(run) for run in one] for one in results],
        }
        typer.echo(json.dumps(facts, indent=2))
        return
    typer.echo(
        f"{setting['cabinets']} cabinets, {setting['days']} days, {setting['swaps_per_day']:g} "
        f"riders a day, seeds {seeds.start}..{seeds.stop - 1}; synthetic demand"
    )
    typer.echo(day_table.text(rows))


def _say(what: str) -> None:
    typer.echo(what, err=True)


def _range(text: str) -> range:
    found = _SEEDS.fullmatch(text)
    first = int(found[1]) if found else 1
    last = int(found[2] or found[1]) if found else 0
    if first > last:
        message = f"{text!r}: expected a seed, or FIRST..LAST, for example 1..3"
        raise typer.BadParameter(message, param_hint="--seeds")
    return range(first, last + 1)


def _names(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if text == "all":
        return known
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in known:
            message = f"{name!r}: expected all, or some of {', '.join(known)}"
            raise typer.BadParameter(message, param_hint="--policy")
    return names
