"""`python -m tests.bench.balance`: the planner against HiGHS on the same instances, in one run.

Each size in a process of its own, so that peak memory is its own; the planner is compiled before the
clock runs. HiGHS (interior point, no crossover, the same threads) is given ``--limit`` seconds and is
left out where it would need more memory than the machine has. Figures are medians of ``--repeats``.
"""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from typing import Annotated, Any, Final

import numpy as np
import typer

from fleet.core.balance.generate import generate
from fleet.core.balance.instance import Instance
from fleet.core.balance.solve import solve
from tests.support.plan_check import faults
from tests.support.plan_lp import optimum

SIZES: Final = ((1_000, 96), (1_000, 288), (10_000, 96), (10_000, 288), (75_000, 96), (75_000, 288))
QUICK: Final = ((1_000, 96), (4_000, 96))
GAP: Final = 0.0002
WARM_GAP: Final = 0.0005
#: Above it the matrix of the linear programme does not fit a machine of 24 GiB.
HIGHS_CELLS_MAX: Final = 3_000_000
CHANGED: Final = 0.01

app = typer.Typer(add_completion=False)


@app.command()
def main(
    *,
    full: Annotated[bool, typer.Option("--full", help="All sizes, up to 75,000 x 288.")] = False,
    limit_s: Annotated[float, typer.Option("--limit", help="Seconds for HiGHS.")] = 600.0,
    repeats: Annotated[int, typer.Option(min=1, help="Solves of each kind.")] = 3,
    peer: Annotated[bool, typer.Option(help="Run HiGHS too.")] = True,
    one: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Print the table; exit 1 when a plan is wrong."""
    if one:
        cabinets, intervals = map(int, one.split("x"))
        print(json.dumps(measure(cabinets, intervals, limit_s, repeats, peer=peer)))
        return
    load = ", ".join(f"{each:.2f}" for each in os.getloadavg())
    print(f"{os.cpu_count()} cores, load average {load}; HiGHS up to {limit_s:.0f} s")
    print(
        f"{'cabinets x T':>14}{'cold':>9}{'gap':>10}{'memory':>10}{'1 % new':>9}{'M known':>9}"
        f"{'day-ahead':>10}{'HiGHS':>10}{'ratio':>8}{'over it':>10}"
    )
    rows = []
    for cabinets, intervals in SIZES if full else QUICK:
        row = _alone(cabinets, intervals, limit_s, repeats, peer=peer)
        rows.append(row)
        _print(row)
    _exponents(rows)
    sys.exit(1 if any(row["faults"] for row in rows) else 0)


def _alone(cabinets: int, intervals: int, limit_s: float, repeats: int, *, peer: bool) -> Any:
    command = [sys.executable, "-m", "tests.bench.balance", "--one", f"{cabinets}x{intervals}"]
    command += ["--limit", str(limit_s), "--repeats", str(repeats)]
    command += [] if peer else ["--no-peer"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])  # HiGHS greets on standard output


def measure(
    cabinets: int, intervals: int, limit_s: float, repeats: int, *, peer: bool
) -> dict[str, Any]:
    """All figures of one size."""
    small = generate(8, 24, 0)
    solve(small, clock=time.perf_counter, warm=solve(small, clock=time.perf_counter))
    instance = _lean(generate(cabinets, intervals, 1))
    plan, cold_s = _median(lambda: solve(instance, clock=time.perf_counter, gap=GAP), repeats)
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    row: dict[str, Any] = {
        "cabinets": cabinets,
        "intervals": intervals,
        "cold_s": cold_s,
        "gap": plan.gap,
        "memory_mib": memory_mib,
        "faults": faults(instance, plan),
    }
    changed = _changed(instance)
    warm, row["warm_s"] = _median(
        lambda: solve(changed, clock=time.perf_counter, gap=WARM_GAP, warm=plan), repeats
    )
    row["faults"] += faults(changed, warm)
    known = replace(instance, peak_so_far_w=np.full(len(instance.peak_so_far_w), 1e12))
    _, row["known_s"] = _median(lambda: solve(known, clock=time.perf_counter, gap=GAP), repeats)
    ahead = replace(instance, price_per_kwh=_ahead_prices(instance))
    _, row["ahead_s"] = _median(lambda: solve(ahead, clock=time.perf_counter, gap=GAP), 1)
    if peer and cabinets * intervals <= HIGHS_CELLS_MAX:
        started_s = time.perf_counter()
        best = optimum(instance, solver="ipm", time_limit_s=limit_s, threads=2)
        row["highs_s"] = time.perf_counter() - started_s
        row["finished"] = best.finished
        row["over"] = plan.cost / best.cost - 1 if best.finished else None
    return row


def _lean(instance: Instance) -> Instance:
    """Energies in 32 bits, as ``fleetd plan`` reads them from a file."""
    return replace(
        instance,
        energy_min_wh=instance.energy_min_wh.astype(np.int32),
        energy_max_wh=instance.energy_max_wh.astype(np.int32),
        step_max_wh=instance.step_max_wh.astype(np.int32),
    )


def _changed(instance: Instance) -> Instance:
    """A hundredth of the cabinets have had another morning."""
    cabinets, _, _, intervals = instance.shape
    other = _lean(generate(cabinets, intervals, 2))
    rows = np.random.default_rng(0).choice(cabinets, max(1, int(cabinets * CHANGED)), replace=False)
    fields = {}
    for name in ("energy_min_wh", "energy_max_wh", "step_max_wh"):
        fields[name] = getattr(instance, name).copy()
        fields[name][rows] = getattr(other, name)[rows]
    return replace(instance, **fields)


def _ahead_prices(instance: Instance) -> np.ndarray:
    """A price of its own for each interval, around the tariff's."""
    noise = np.random.default_rng(3).normal(0, 0.12, instance.price_per_kwh.shape)
    return (instance.price_per_kwh + noise).round(5)


def _median(run: Any, repeats: int) -> tuple[Any, float]:
    plans = [run() for _ in range(repeats)]
    return plans[-1], statistics.median(plan.solve_s for plan in plans)


def _print(row: dict[str, Any]) -> None:
    highs, ratio, over = "-", "-", "-"
    if "highs_s" in row:
        highs = f"{row['highs_s']:.1f} s" if row["finished"] else f"> {row['highs_s']:.0f} s"
        ratio = f"{row['highs_s'] / row['cold_s']:.0f}"
        over = f"{row['over']:+.4%}" if row["over"] is not None else "-"
    print(
        f"{row['cabinets']:>8} x {row['intervals']:<3}{row['cold_s']:>7.2f} s{row['gap']:>10.4%}"
        f"{row['memory_mib']:>6} MiB{row['warm_s']:>7.2f} s{row['known_s']:>7.2f} s"
        f"{row['ahead_s']:>8.2f} s{highs:>10}{ratio:>8}{over:>10}",
        flush=True,
    )
    for fault in row["faults"]:
        print(f"  WRONG: {fault}")


def _exponents(rows: list[dict[str, Any]]) -> None:
    for intervals in sorted({row["intervals"] for row in rows}):
        same = [row for row in rows if row["intervals"] == intervals]
        if len(same) >= 2:
            first, last = same[0], same[-1]
            exponent = math.log(last["cold_s"] / first["cold_s"]) / math.log(
                last["cabinets"] / first["cabinets"]
            )
            print(f"time grows with cabinets^{exponent:.2f} at {intervals} intervals (goal 1.1)")


if __name__ == "__main__":
    app()
