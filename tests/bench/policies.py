"""`make bench-balance ARGS="--policies"`: charging policies in one closed loop, in one table.

Every policy meets the same riders in the same towns: 1,000 cabinets for 7 days, seeds 1 to 3, at 30 and
at 60 riders a day. Then service against cost over z and lead, in a smaller town, as a plot. Runs are
kept in ``.artifacts/policies``, so that a cut bench goes on; ``--quick`` plays a small town.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from simulator.world import day_table
from simulator.world.day import POLICIES
from tests.bench.policy_runs import CACHE, Job, Run, play

OURS: Final = "plan"
LOST_MORE_MAX: Final = 0.002
SAVING_MIN: Final = 0.15  # at 30 riders a day, over a week
SAVING_DAYS: Final = 7
UNPLACED_MAX: Final = 0.02
DEMANDS: Final = (30.0, 60.0)
CURVE_CABINETS: Final = 100
SEEDS: Final = (1, 2, 3)
TABLE: Final = CACHE / "table.md"
FACTS: Final = CACHE / "table.json"
PLOT: Final = CACHE / "curve.svg"
CPUINFO: Final = Path("/proc/cpuinfo")
HEAD: Final = (
    "riders", "policy", "energy", "peak", "total", "saved", "by seed", "per swap", "lost",
    "lost by seed", "end kWh", "unplaced", "handed", "CPU s", "load",
)  # fmt: skip
NOTE: Final = (
    "energy, peak and total in CNY, mean of the seeds; total: with what packs and riders lack at the end "
    "bought; saved: of the total against charging at once; per swap: of the total per swap served; "
    "handed: mean charge of the packs handed out; CPU s: of a run; load: of the machine meanwhile"
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target, and by how much it is met (from 0 on) or missed (below), in points."""

    what: str
    margin: float

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.margin >= 0.0

    def __str__(self) -> str:
        how = "met" if self.met else "MISSED"
        return f"{how} by {abs(self.margin) * 100:.2f} points: {self.what}"


def verdicts(runs: Sequence[Run]) -> list[Verdict]:
    """The targets of ours, over all seeds of a demand and at the worst one."""
    found: list[Verdict] = []
    for riders in dict.fromkeys(run.job.riders_a_day for run in runs):
        ours = _of(runs, riders, OURS)
        once = _of(runs, riders, day_table.REFERENCE)
        at = f"{riders:g} riders a day"
        allowed = f"at most {LOST_MORE_MAX * 100:g} points more lost than at once"
        more = [
            mine.result.lost_share - its.result.lost_share
            for mine, its in zip(ours, once, strict=True)
        ]
        total = _lost(ours) - _lost(once)
        found.append(Verdict(f"{at}: {allowed} ({total:+.2%})", LOST_MORE_MAX - total))
        found.append(_worst(f"{at}: {allowed}", [LOST_MORE_MAX - each for each in more], ours))
        if riders == DEMANDS[0] and ours[0].job.days >= SAVING_DAYS:
            saving = _saving(ours, once)
            each = [
                _saving([mine], [its]) - SAVING_MIN for mine, its in zip(ours, once, strict=True)
            ]
            what = f"{at}: at least {SAVING_MIN:.0%} saved"
            found.append(Verdict(f"{what} ({saving:.2%})", saving - SAVING_MIN))
            found.append(_worst(what, each, ours))
        unplaced = [UNPLACED_MAX - run.result.unplaced_share for run in ours]
        found.append(_worst(f"{at}: at most {UNPLACED_MAX:.0%} unplaced", unplaced, ours))
    return found


def _worst(what: str, margins: Sequence[float], runs: Sequence[Run]) -> Verdict:
    place = int(np.argmin(margins))
    return Verdict(f"{what}, at the worst seed ({runs[place].job.seed})", margins[place])


def _of(runs: Sequence[Run], riders: float, policy: str) -> list[Run]:
    return [r for r in runs if (r.job.riders_a_day, r.job.policy) == (riders, policy)]


def _lost(runs: Sequence[Run]) -> float:
    return sum(r.result.lost for r in runs) / max(sum(r.result.riders for r in runs), 1)


def _saving(runs: Sequence[Run], base: Sequence[Run]) -> float:
    return 1.0 - sum(r.result.valued_cost for r in runs) / sum(r.result.valued_cost for r in base)


def table(runs: Sequence[Run]) -> list[tuple[str, ...]]:
    """One row per demand and policy, as text."""
    lines = []
    for riders in dict.fromkeys(run.job.riders_a_day for run in runs):
        names = list(dict.fromkeys(r.job.policy for r in runs if r.job.riders_a_day == riders))
        groups = {name: _of(runs, riders, name) for name in names}
        once = groups[day_table.REFERENCE]
        played = [[groups[name][place].result for name in names] for place in range(len(once))]
        for row in day_table.rows(played):
            group = groups[row.policy]
            saved = [_saving([mine], [its]) for mine, its in zip(group, once, strict=True)]
            lines.append(
                (
                    f"{riders:g}",
                    row.policy,
                    f"{row.energy_cost:.0f}",
                    f"{row.peak_cost:.0f}",
                    f"{row.valued_cost:.0f}",
                    f"{row.saving or 0.0:.1%}",
                    " ".join(f"{100 * each:.1f}" for each in saved),
                    f"{row.saving_per_swap or 0.0:.1%}",
                    f"{row.lost_share:.2%}",
                    " ".join(f"{100 * run.result.lost_share:.2f}" for run in group),
                    f"{row.stock_kwh:.0f}",
                    f"{row.unplaced_share:.2%}" if group[0].job.planned else "",
                    f"{row.handed_soc:.1%}",
                    f"{np.mean([run.cpu_s for run in group]):.0f}",
                    f"{np.mean([run.load for run in group]):.1f}",
                )
            )
    return lines


def plain(lines: Sequence[tuple[str, ...]]) -> str:
    """The table for a terminal."""
    widths = [max(len(line[n]) for line in (HEAD, *lines)) for n in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n == 1 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in (HEAD, *lines)
    )


def markdown(lines: Sequence[tuple[str, ...]]) -> str:
    """The table for a README."""
    rule = ("---:", "---", *("---:" for _ in HEAD[2:]))
    return "\n".join("| " + " | ".join(line) + " |" for line in (HEAD, rule, *lines))


def curve_jobs(cabinets: int, days: int, seed: int) -> tuple[list[Job], list[day_table.Setting]]:
    """The runs behind the curve of service against cost."""
    settings = day_table.curve_settings()
    jobs = [Job(each.policy, DEMANDS[0], seed, cabinets, days, each.tuning) for each in settings]
    return jobs, settings


def machine() -> str:
    """What it runs on."""
    model = platform.machine()
    if CPUINFO.exists():
        names = (x for x in CPUINFO.read_text().splitlines() if x.startswith("model name"))
        model = next((name.split(":", 1)[1].strip() for name in names), model)
    return f"{os.cpu_count()} cores of {model}, Python {platform.python_version()}"


def _say(what: str) -> None:
    typer.echo(what, err=True)


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="80 cabinets, 2 days, one seed.")] = False,
    processes: Annotated[int, typer.Option(min=1, max=64, help="At once.")] = 2,
    first_seed: Annotated[int, typer.Option(min=1, help="Of three.")] = SEEDS[0],
) -> None:
    """Print the table and write the plot; exit 1 when a target is missed."""
    cabinets, days = (80, 2) if quick else (1_000, 7)
    seeds = (first_seed,) if quick else tuple(first_seed + n for n in range(len(SEEDS)))
    jobs = [
        Job(policy, riders, seed, cabinets, days)
        for riders in DEMANDS
        for policy in POLICIES
        for seed in seeds
    ]
    more, settings = curve_jobs(80 if quick else CURVE_CABINETS, days, seeds[0])
    runs = play(jobs + more, processes=processes, say=_say)
    runs, curve = runs[: len(jobs)], runs[len(jobs) :]
    lines = table(runs)
    title = (
        f"{cabinets} cabinets, {days} days, seeds {', '.join(map(str, seeds))}, synthetic demand; "
        f"{machine()}, {processes} processes"
    )
    print(title, plain(lines), NOTE, sep="\n")
    points = [
        day_table.point(each, [run.result]) for each, run in zip(settings, curve, strict=True)
    ]
    where = (
        f"{more[0].cabinets} cabinets, {days} days, seed {seeds[0]}, {DEMANDS[0]:g} riders a day"
    )
    print(f"\nservice against cost: {where}", day_table.curve_text(points), sep="\n")
    day_table.plot_curve(points, PLOT, where)
    judged = verdicts(runs)
    TABLE.write_text(f"{title}\n\n{markdown(lines)}\n\n" + "\n".join(map(str, judged)) + "\n")
    facts = {
        "title": title,
        "rows": [dict(zip(HEAD, line, strict=True)) for line in lines],
        "curve": points,
        "targets": [{"what": each.what, "margin": each.margin} for each in judged],
    }
    FACTS.write_text(json.dumps(facts, indent=2))
    print(f"plot: {PLOT}, table: {TABLE}\n", *judged, sep="\n")
    if not all(each.met for each in judged):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
