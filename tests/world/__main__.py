"""`make mutants`: every guard broken on purpose must be found; prints who finds it, and when.

First the guards of a swap, by the fuzz; then the rules of local safety, by their scenarios.
"""

from __future__ import annotations

import sys
import time
from typing import Annotated, Final

import typer

from simulator.world import campaign
from simulator.world.mutants import MUTANTS
from simulator.world.safety_mutants import RULES, catches
from tests.support import proof

SEEDS_MAX: Final = 2_000
SWAPS: Final = 50


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Names; all when left out.")] = None,
    jobs: Annotated[int, typer.Option(min=1)] = 2,
) -> None:
    """Break guards until each is found."""
    began = time.perf_counter()
    names = only or list(MUTANTS)
    found = sum(_hunt(name, jobs) for name in names)
    caught = 0 if only else sum(_rule(number) for number in range(len(RULES)))
    took_s = time.perf_counter() - began
    if only:
        sys.exit(0 if found == len(names) else 1)
    guards = f"{found} of {len(names)} in {took_s:.0f} s"
    proof.record("broken guards found by the fuzz", guards, "all", found == len(names))
    rules = f"{caught} of {len(RULES)}"
    proof.record("broken safety rules caught", rules, "all", caught == len(RULES))
    print(f"\nguards of a swap: {guards}; rules of safety: {rules}")
    sys.exit(0 if found == len(names) and caught == len(RULES) else 1)


def _hunt(name: str, jobs: int) -> bool:
    began = time.perf_counter()
    seeds = range(1, SEEDS_MAX + 1)
    verdict = campaign.first_failure(seeds, SWAPS, jobs=jobs, broken=name)
    took_s = time.perf_counter() - began
    where = f"seed {verdict.seed:<5} {verdict.code}" if verdict else "NOT FOUND"
    print(f"{name:<26} {MUTANTS[name].guard:<40} {where:<34} {took_s:6.1f} s", flush=True)
    return verdict is not None


def _rule(number: int) -> bool:
    rule = RULES[number]
    whole, broken = catches(rule)
    good = whole is None and broken is not None
    said = broken if good else f"NOT CAUGHT ({whole}, {broken})"
    print(f"safety/{rule.name:<19} {rule.promise:<40} {said}", flush=True)
    return good


if __name__ == "__main__":
    typer.run(main)
