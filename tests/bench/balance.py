"""`make bench-balance`: the planner and other people's solvers on the same instances, in one run.

Each solver and size runs in a process of its own that reads the instance from a file, so that its peak
memory is its own; building a model and compiling are not counted. What has been measured is noted in
``.artifacts/bench-balance.jsonl``: ``--resume`` takes it from there after an interruption. Every peer
gets the planner's threads and ``--limit`` seconds, and is not tried on larger instances once it ran
out of them, nor where its model would not fit 24 GiB; ``--named`` leaves out all but some. The
planner's figures are medians of ``--repeats``. A plot goes to ``.artifacts/bench-balance.png``.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from fleet.adapters.plan_files import load_instance, save_instance
from fleet.core.balance.generate import generate
from fleet.core.balance.instance import Instance, region_loads
from fleet.core.balance.solve import solve
from tests.bench import policies
from tests.bench.peers import PEERS, Peer
from tests.support.plan_check import faults

SIZES: Final = ((1_000, 96), (10_000, 96), (75_000, 96), (1_000, 288), (10_000, 288), (75_000, 288))
QUICK: Final = ((300, 96), (1_000, 96), (4_000, 96))
QUICK_LIMIT_S: Final = 60.0
FULL_LIMIT_S: Final = 600.0
#: Beyond its limit a peer may need so long to notice it, and to build its model.
GRACE_S: Final = 120.0
GAP: Final = 0.0002
WARM_GAP: Final = 0.0005
CHANGED: Final = 0.01
OVER_MAX: Final = 0.001  # over anybody's optimum
EXPONENT_MAX: Final = 1.1
THREADS: Final = 2
OURS: Final = "fleetd plan"
MAKE: Final = "instance"
FOLDER: Final = Path(".artifacts")
PLOT: Final = FOLDER / "bench-balance.png"
NOTES: Final = FOLDER / "bench-balance.jsonl"
Row = dict[str, Any]

app = typer.Typer(add_completion=False)


@app.command()
def main(
    *,
    full: Annotated[bool, typer.Option("--full", help="All sizes, up to 75,000 x 288.")] = False,
    limit_s: Annotated[
        float | None, typer.Option("--limit", help="Seconds for each peer; 60, or 600 with --full.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Solves of each kind.")] = 3,
    peer: Annotated[bool, typer.Option(help="Run other solvers too.")] = True,
    named: Annotated[
        str, typer.Option("--named", help="Only other solvers with this in their name: HiGHS.")
    ] = "",
    of_policies: Annotated[
        bool,
        typer.Option(
            "--policies",
            help="Charging policies in a closed loop instead; goes on where it was cut.",
        ),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="With --policies: a small town, two days.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what an interrupted run has measured.")
    ] = False,
    one: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Print the tables; exit 1 when a plan is wrong."""
    if of_policies:
        policies.main(quick=quick)
        return
    limit_s = limit_s or (FULL_LIMIT_S if full else QUICK_LIMIT_S)
    if one:
        _child(one, limit_s, repeats)
        return
    FOLDER.mkdir(exist_ok=True)
    if not resume:
        NOTES.unlink(missing_ok=True)
    print(f"{os.cpu_count()} cores, {THREADS} threads for all; peers up to {limit_s:.0f} s each")
    asked = [each for each in PEERS if peer and named.lower() in each.name.lower()]
    peers = [each for each in asked if each.installed]
    for each in asked:
        if not each.installed:
            print(f"not installed, left out: {each.name} (pip install -e '.[bench]')")
    print(
        f"{'cabinets x T':>14}  {'solver':<26}{'time':>11}{'ratio':>9}{'memory':>10}{'gap':>10}"
        f"{'load':>7}"
    )
    rows: list[Row] = []
    slow: set[str] = set()
    for cabinets, intervals in SIZES if full else QUICK:
        rows += _size(f"{cabinets}x{intervals}", limit_s, repeats, peers, slow)
    _exponents(rows)
    if plotted := _plot(rows):
        print(f"plot: {plotted}")
    sys.exit(1 if any(row.get("faults") for row in rows) else 0)


def _size(size: str, limit_s: float, repeats: int, peers: list[Peer], slow: set[str]) -> list[Row]:
    """One size by everybody; ``slow`` are those that ran out of time at a smaller one."""
    cabinets, intervals = map(int, size.split("x"))
    ours = _noted(f"{size}:{OURS}", limit_s * 10, repeats)
    assert ours is not None, "the planner itself ran out of time"
    ours |= {"solver": OURS, "ratio": 1.0}
    rows = [ours]
    _print(ours)
    _print_more(ours)
    for each in peers:
        key = f"{each.name} {intervals}"
        if cabinets * intervals > each.cells_max or key in slow:
            continue
        row = _noted(f"{size}:{each.name}", limit_s, 1) or {"seconds": None, "cost": None}
        row |= {"solver": each.name, "cabinets": cabinets, "intervals": intervals}
        row["ratio"] = (row["seconds"] or limit_s) / ours["seconds"]
        row["finished"] = row["cost"] is not None
        row["seconds"] = row["seconds"] or limit_s
        if row["finished"]:
            row["over"] = ours["cost"] / row["cost"] - 1  # ours over theirs
            if row["over"] > OVER_MAX:
                row["faults"] = [f"{OURS} costs {row['over']:.3%} more"]
        else:
            slow.add(key)
        rows.append(row)
        _print(row)
    _file(cabinets, intervals).unlink(missing_ok=True)
    return rows


def _noted(one: str, limit_s: float, repeats: int) -> Row | None:
    """What was measured before, or is now; None: it ran out of time."""
    notes = NOTES.read_text().splitlines() if NOTES.exists() else []
    for note in map(json.loads, notes):
        if (note["one"], note["limit_s"]) == (one, limit_s):
            found: Row | None = note["row"]
            return found
    cabinets, intervals = map(int, one.split(":", maxsplit=1)[0].split("x"))
    if not _file(cabinets, intervals).exists():
        _alone(f"{cabinets}x{intervals}:{MAKE}", limit_s, 1)
    row = _alone(one, limit_s, repeats)
    with NOTES.open("a") as file:
        file.write(json.dumps({"one": one, "limit_s": limit_s, "row": row}) + "\n")
    return row


def _file(cabinets: int, intervals: int) -> Path:
    return FOLDER / f"bench-balance-{cabinets}x{intervals}.npz"


def _alone(one: str, limit_s: float, repeats: int) -> Row | None:
    """A solver in a process of its own; None when it was still at it long after its limit."""
    command = [sys.executable, "-m", "tests.bench.balance", "--one", one]
    command += ["--limit", str(limit_s), "--repeats", str(repeats)]
    load = os.getloadavg()[0]
    try:
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=limit_s + GRACE_S
        )
    except subprocess.TimeoutExpired:
        return None
    row: Row = json.loads(done.stdout.splitlines()[-1])  # HiGHS greets on standard output
    return row | {"load": load}


def _child(one: str, limit_s: float, repeats: int) -> None:
    size, name = one.split(":", 1)
    cabinets, intervals = map(int, size.split("x"))
    if name == MAKE:
        save_instance(_file(cabinets, intervals), generate(cabinets, intervals, 1))
        print("{}")
        return
    if name == OURS:
        print(json.dumps(measure(cabinets, intervals, repeats)))
        return
    peer = next(each for each in PEERS if each.name == name)
    instance = load_instance(_file(cabinets, intervals))
    peak_w = _peaks(instance) if "flow" in name else np.zeros(0)
    found = peer.run(instance, limit_s, THREADS, peak_w)
    print(json.dumps({"seconds": found.seconds, "cost": found.cost, "memory_mib": _memory_mib()}))


def _memory_mib() -> int:
    """The most this process had; what ``getrusage`` tells may be its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def _peaks(instance: Instance) -> np.ndarray:
    plan = solve(instance, clock=time.perf_counter, gap=GAP)
    return region_loads(instance, plan.step_wh).max(axis=1) * 3600 / instance.step_s


def measure(cabinets: int, intervals: int, repeats: int) -> Row:
    """All the planner's figures of one size."""
    small = generate(8, 24, 0)
    solve(small, clock=time.perf_counter, warm=solve(small, clock=time.perf_counter))
    instance = load_instance(_file(cabinets, intervals))
    plan, cold_s, cpu_s = _median(
        lambda: solve(instance, clock=time.perf_counter, gap=GAP), repeats
    )
    row: Row = {
        "cabinets": cabinets,
        "intervals": intervals,
        "seconds": cold_s,
        "cpu_s": cpu_s,
        "gap": plan.gap,
        "cost": plan.cost,
        "memory_mib": _memory_mib(),
        "faults": faults(instance, plan),
    }
    first = solve(instance, clock=time.perf_counter, gap=GAP, time_limit_s=0.0)
    row["first_s"] = first.solve_s
    row["faults"] += faults(instance, first)
    changed = _changed(instance)
    warm, row["warm_s"], row["warm_cpu_s"] = _median(
        lambda: solve(changed, clock=time.perf_counter, gap=WARM_GAP, warm=plan), repeats
    )
    row["warm_gap"] = warm.gap
    row["faults"] += faults(changed, warm)
    peak_w = region_loads(instance, plan.step_wh).max(axis=1) * 3600 / instance.step_s
    known = replace(instance, peak_so_far_w=np.maximum(instance.peak_so_far_w, peak_w))
    _, row["known_s"], _ = _median(lambda: solve(known, clock=time.perf_counter, gap=GAP), repeats)
    ahead = replace(instance, price_per_kwh=_ahead_prices(instance))
    _, row["ahead_s"], row["ahead_cpu_s"] = _median(
        lambda: solve(ahead, clock=time.perf_counter, gap=GAP), repeats
    )
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


def _median(run: Any, repeats: int) -> tuple[Any, float, float]:
    """The last plan, and medians of seconds and of processor seconds."""
    found = []
    for _ in range(repeats):
        before_s = time.process_time()
        plan = run()
        found.append((plan.solve_s, time.process_time() - before_s))
    return plan, *map(statistics.median, zip(*found, strict=True))


def _print(row: Row) -> None:
    late = not row.get("finished", True)
    memory = f"{row['memory_mib']} MiB" if "memory_mib" in row else "-"
    gap = f"{row['gap']:.4%}" if "gap" in row else "-"
    if row.get("over") is not None:
        gap = f"{row['over']:+.4%}"
    print(
        f"{row['cabinets']:>8} x {row['intervals']:<3}  {row['solver']:<26}"
        f"{'>' if late else '':>2}{row['seconds']:>7.2f} s{'>' if late else '':>2}"
        f"{row['ratio']:>6.0f}x{memory:>10}{gap:>10}{row.get('load', math.nan):>7.1f}",
        flush=True,
    )
    for fault in row.get("faults", ()):
        print(f"  WRONG: {fault}")


def _print_more(row: Row) -> None:
    print(
        f"{'':16}cold {row['cpu_s']:.2f} s of CPU; first plan {row['first_s']:.2f} s; 1 % changed "
        f"{row['warm_s']:.2f} s ({row['warm_cpu_s']:.2f} s of CPU, gap {row['warm_gap']:.3%})\n"
        f"{'':16}peak known {row['known_s']:.2f} s; day-ahead {row['ahead_s']:.2f} s "
        f"({row['ahead_cpu_s']:.2f} s of CPU: {row['ahead_cpu_s'] / row['cpu_s']:.1f} x)",
        flush=True,
    )


def _exponents(rows: list[Row]) -> None:
    for intervals in sorted({row["intervals"] for row in rows}):
        same = [row for row in rows if (row["intervals"], row["solver"]) == (intervals, OURS)]
        if len(same) >= 2:
            first, last = same[0], same[-1]
            exponent = math.log(last["seconds"] / first["seconds"]) / math.log(
                last["cabinets"] / first["cabinets"]
            )
            verdict = "met" if exponent <= EXPONENT_MAX else "MISSED"
            print(
                f"time grows with cabinets^{exponent:.2f} at {intervals} intervals "
                f"(target {EXPONENT_MAX}: {verdict})"
            )
    overs = [row["over"] for row in rows if row.get("over") is not None]
    if overs:
        print("gap of a peer's row: our cost over its own; its accuracy is in it")


def _plot(rows: list[Row]) -> Path | None:
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    counts = sorted({row["intervals"] for row in rows})
    figure, axes = plt.subplots(1, len(counts), figsize=(6.5 * len(counts), 4.5), squeeze=False)
    for axis, intervals in zip(axes[0], counts, strict=True):
        for name in dict.fromkeys(row["solver"] for row in rows):
            own = [r for r in rows if (r["solver"], r["intervals"]) == (name, intervals)]
            done = [r for r in own if r.get("finished", True)]
            line = axis.loglog(
                [r["cabinets"] for r in done], [r["seconds"] for r in done],
                "o-", label=name, linewidth=2.5 if name == OURS else 1.2,
            )[0]  # fmt: skip
            out = [r for r in own if not r.get("finished", True)]
            axis.loglog(
                [r["cabinets"] for r in out],
                [r["seconds"] for r in out],
                "^",
                color=line.get_color(),
            )
        axis.set(title=f"{intervals} intervals", xlabel="cabinets", ylabel="seconds (^: not done)")
        axis.grid(visible=True, which="both", alpha=0.3)
    axes[0][0].legend(fontsize=8)
    PLOT.parent.mkdir(exist_ok=True)
    figure.tight_layout()
    figure.savefig(PLOT, dpi=120)
    plt.close(figure)
    return PLOT


if __name__ == "__main__":
    app()
