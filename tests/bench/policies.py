"""`python -m tests.bench.policies`: charging policies in one closed loop, in a table, against targets.

Reduced counts by default; ``--full`` plays 1,000 cabinets for 7 days with 3 seeds at 30 and at 60
riders a day, which takes about an hour on two cores.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from simulator.world import day_table
from simulator.world.day import POLICIES
from simulator.world.day_town import build

LOST_MORE_MAX: Final = 0.002
SAVING_MIN: Final = 0.15  # at 30 riders a day, over a week
UNPLACED_MAX: Final = 0.02
DEMANDS: Final = (30.0, 60.0)


def misses(table: list[day_table.Row], riders: float, days: int) -> list[str]:
    """Targets that were not met."""
    rows = {row.policy: row for row in table}
    plan, once = rows["plan"], rows["at-once"]
    found = []
    if plan.lost_share > once.lost_share + LOST_MORE_MAX:
        found.append(f"lost {plan.lost_share:.2%} against {once.lost_share:.2%} at once")
    if plan.unplaced_share > UNPLACED_MAX:
        found.append(f"unplaced {plan.unplaced_share:.2%}, at most {UNPLACED_MAX:.0%}")
    if riders == DEMANDS[0] and days >= 7 and (plan.saving or 0.0) < SAVING_MIN:
        found.append(f"saving {plan.saving:.1%}, at least {SAVING_MIN:.0%}")
    return found


def main(
    *,
    full: Annotated[bool, typer.Option("--full", help="1,000 cabinets, 7 days, 3 seeds.")] = False,
) -> None:
    """Print a table per demand; exit 1 when a target is missed."""
    cabinets, days, seeds = (1_000, 7, 3) if full else (80, 2, 1)
    failed = False
    for riders in DEMANDS:
        towns = [build(cabinets, days, riders, seed) for seed in range(1, seeds + 1)]
        table = day_table.rows(day_table.play(towns, POLICIES))
        print(f"{cabinets} cabinets, {days} days, {riders:g} riders a day, {seeds} seed(s)")
        print(day_table.text(table))
        for what in misses(table, riders, days):
            print(f"missed: {what}")
            failed = True
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
