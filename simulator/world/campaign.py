"""Many seeds over several processes, in order, and how to say what was found."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from simulator.world import fuzz, mutants
from simulator.world.fuzz import Verdict


@dataclass(slots=True)
class Tally:
    """What all seeds came to."""

    seeds: int = 0
    swaps: int = 0
    pulses: int = 0
    span_ms: int = 0
    failures: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Take in one seed."""
        self.seeds += 1
        self.swaps += verdict.swaps
        self.pulses += verdict.pulses
        self.span_ms += verdict.span_ms
        if verdict.code is not None:
            self.failures.append(verdict)


def play(seeds: Iterable[int], swaps: int, *, jobs: int, broken: str | None) -> Iterator[Verdict]:
    """Every seed's verdict, in the order of the seeds; stop asking when you have seen enough."""
    if jobs == 1:
        with mutants.broken(broken):
            for seed in seeds:
                yield fuzz.run(seed, swaps)
        return
    with _pool(jobs) as pool:
        yield from pool.imap(partial(_one, swaps=swaps, broken=broken), seeds, chunksize=1)


@contextmanager
def _pool(jobs: int) -> Iterator[multiprocessing.pool.Pool]:
    pool = multiprocessing.get_context("fork").Pool(jobs)
    try:
        yield pool
    finally:
        pool.terminate()
        pool.join()


def _one(seed: int, *, swaps: int, broken: str | None) -> Verdict:
    with mutants.broken(broken):
        return fuzz.run(seed, swaps)


def first_failure(seeds: Iterable[int], swaps: int, *, jobs: int, broken: str) -> Verdict | None:
    """The lowest seed that finds the broken guard, None when none does."""
    return next((v for v in play(seeds, swaps, jobs=jobs, broken=broken) if v.code), None)


def replay_command(verdict: Verdict, swaps: int, broken: str | None) -> str:
    """What to type to see it again."""
    guard = f" --break {broken}" if broken else ""
    return f"swapsim fuzz --seed {verdict.seed} --swaps {swaps}{guard} --trace trace.txt"


def tail(verdict: Verdict, lines: int) -> list[str]:
    """The last lines of the trace."""
    return list(islice(verdict.trace, max(0, len(verdict.trace) - lines), None))
