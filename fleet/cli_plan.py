"""``fleetd plan`` and ``fleetd plan-instance``: the 24-hour balance from file to file."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.errors import InvalidError

EXIT_FAILED = 1


def plan(
    instance: Annotated[Path, typer.Argument(help="The problem, an .npz file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write the plan (.npz).")],
    *,
    gap: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of the cost that may be left.")
    ] = 0.0002,
    time_limit: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so many seconds with the best plan.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Regions at a time.")] = 2,
    warm: Annotated[
        Path | None, typer.Option(help="The plan before, to start from (.npz).")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw load, limits and price (.png, .svg, .pdf).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Plan the next 24 hours: the cheapest charging within every limit, and how good it is."""
    from fleet.adapters.plan_files import load_instance, load_plan, save_plan
    from fleet.core.balance.solve import solve

    try:
        problem = load_instance(instance)
        _prepare()
        found = solve(
            problem,
            clock=time.perf_counter,
            gap=gap,
            time_limit_s=time_limit,
            threads=threads,
            warm=load_plan(warm) if warm else None,
            progress=lambda what, share: _say(f"\r{share:4.0%} {what:<20}"),
        )
        _say("\n")
        save_plan(out, found)
        if plot is not None:
            from fleet.adapters.plan_picture import draw_plan

            draw_plan(plot, problem, found)
    except (InvalidError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAILED) from None
    _print(_summary(found), as_json=as_json)


def _print(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(summary))
        return
    for key, value in summary.items():
        if key != "shorts":
            typer.echo(f"{key:<16}{value}")
    for short in summary["shorts"]:
        typer.echo(
            f"short: {short['limit']} {short['index']} in interval {short['interval']} "
            f"costs {short['shortfall_wh']} Wh"
        )


def plan_instance(
    cabinets: Annotated[int, typer.Option(help="How many cabinets.")],
    intervals: Annotated[int, typer.Option(help="Steps of the day, such as 96 or 288.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Where to write it (.npz).")],
    *,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    regions: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="How many regions; by size if left out.")
    ] = None,
    day_ahead: Annotated[
        bool, typer.Option("--day-ahead", help="A price of its own for each interval.")
    ] = False,
) -> None:
    """Make an instance of the public benchmark. The profile of swaps is synthetic."""
    from fleet.adapters.plan_files import save_instance
    from fleet.core.balance.generate import generate

    try:
        made = generate(cabinets, intervals, seed, day_ahead=day_ahead, regions=regions)
        save_instance(out, made)
    except (InvalidError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(EXIT_FAILED) from None
    cabinets, feeders, region_count, intervals = made.shape
    typer.echo(f"{cabinets} cabinets, {feeders} feeders, {region_count} regions, {intervals} steps")


def _prepare() -> None:
    """Compile, or load what was compiled before, on a problem of a few cabinets."""
    from fleet.core.balance.generate import generate
    from fleet.core.balance.solve import solve

    started_s = time.perf_counter()
    _say("\rpreparing (the first time takes about half a minute) …")
    small = generate(8, 24, 0)
    solve(small, clock=time.perf_counter, warm=solve(small, clock=time.perf_counter))
    _say(f"\rprepared in {time.perf_counter() - started_s:.1f} s{'':40}\n")


def _summary(found: Any) -> dict[str, Any]:
    return {
        "cost": found.cost,
        "lower_bound": found.lower_bound,
        "gap": found.gap,
        "solve_s": round(found.solve_s, 4),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "shortfall_wh": int(found.shortfall_wh.sum(dtype="int64")),
        "shorts": [
            {
                "limit": short.limit,
                "index": short.index,
                "interval": short.interval,
                "shortfall_wh": short.shortfall_wh,
            }
            for short in found.shorts[:20]
        ],
    }


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
