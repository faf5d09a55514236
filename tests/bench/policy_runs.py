"""Runs of the closed loop over several processes, each kept under what its outcome depends on.

A cut bench goes on where it was, and a change to the planner does not play again what plans nothing.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numba
import numpy as np

from simulator.world import day, day_table, day_town
from simulator.world.day_plan import Tuning

ROOT: Final = Path(__file__).resolve().parents[2]
CACHE: Final = ROOT / ".artifacts" / "policies"
NICE: Final = 10
LOOP: Final = (
    "simulator/world/day.py",
    "simulator/world/day_town.py",
    "simulator/world/day_kernels.py",
    "simulator/world/day_policies.py",
    "fleet/core/balance/generate.py",
    "cabinet/core/charge.py",
)
PLANNER: Final = ("simulator/world/day_plan.py", "fleet/core/balance/*.py")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Job:
    """One policy in one town."""

    policy: str
    riders_a_day: float
    seed: int
    cabinets: int
    days: int
    tuning: Tuning | None = None

    @property
    def planned(self) -> bool:
        """Whether the planner decides, which takes nearly all the time there is."""
        return self.policy.startswith("plan")

    @property
    def key(self) -> str:
        """Of all that the outcome depends on: parameters, code, libraries that compute."""
        tuning = asdict(self.tuning or Tuning()) if self.planned else {}
        parts = [asdict(self) | {"tuning": tuning}, np.__version__, numba.__version__]
        parts += [_sources(LOOP + PLANNER if self.planned else LOOP)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Run:
    """How a job went: what it came to, and what the machine did meanwhile."""

    job: Job
    result: day.Result
    wall_s: float
    cpu_s: float
    load: float  # of the machine when it ended, over one minute


def play(
    jobs: Sequence[Job], *, processes: int, folder: Path = CACHE, say: Say = lambda _what: None
) -> list[Run]:
    """Every job's run in the order of the jobs; those known already are read.

    Each process has one thread and stands back for others (nice). Results are kept one by one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {job: run for job in jobs if (run := _read(job, folder)) is not None}
    waiting = [job for job in dict.fromkeys(jobs) if job not in known]
    waiting.sort(key=lambda job: not job.planned)  # the long ones first
    say(f"{len(known)} of {len(known) + len(waiting)} runs are known, {processes} processes")
    if waiting:
        clock = _Eta(waiting, processes)
        with ProcessPoolExecutor(processes, get_context("spawn"), _stand_back) as pool:
            futures = {pool.submit(_play_one, job): job for job in waiting}
            for future in as_completed(futures):
                run = future.result()
                known[run.job] = run
                _write(run, folder)
                say(clock.line(run))
    return [known[job] for job in jobs]


class _Eta:
    """How long it may still take, by what runs of the same kind took."""

    def __init__(self, jobs: Sequence[Job], processes: int) -> None:
        self._waiting = list(jobs)
        self._processes = processes
        self._took: dict[tuple[bool, int], list[float]] = {}
        self._total = len(jobs)

    def line(self, run: Run) -> str:
        """What to say of a run that ended."""
        job = run.job
        self._waiting.remove(job)
        self._took.setdefault(_kind(job), []).append(run.wall_s)
        done = self._total - len(self._waiting)
        return (
            f"{done}/{self._total} {job.policy}, {job.riders_a_day:g} riders a day, seed {job.seed}: "
            f"{run.result.lost_share:.2%} lost, {run.wall_s:.0f} s, load {run.load:.1f}; {self._left()}"
        )

    def _left(self) -> str:
        left_s = 0.0
        for job in self._waiting:
            took = self._took.get(_kind(job), ())
            left_s += sum(took) / len(took) if took else 0.0
        return f"about {left_s / self._processes / 60:.0f} min left" if self._waiting else "done"


def _kind(job: Job) -> tuple[bool, int]:
    return job.planned, job.cabinets * job.days


def _stand_back() -> None:
    os.nice(max(NICE - os.nice(0), 0))
    numba.set_num_threads(1)


def _play_one(job: Job) -> Run:
    started, cpu = time.perf_counter(), time.process_time()
    town = day_town.build(job.cabinets, job.days, job.riders_a_day, job.seed)
    result = day.run(town, job.policy, job.tuning, threads=1)
    return Run(
        job=job,
        result=result,
        wall_s=time.perf_counter() - started,
        cpu_s=time.process_time() - cpu,
        load=os.getloadavg()[0],
    )


def _write(run: Run, folder: Path) -> None:
    facts = {
        "job": asdict(run.job),
        "result": day_table.stored(run.result),
        "wall_s": run.wall_s,
        "cpu_s": run.cpu_s,
        "load": run.load,
    }
    path = folder / f"{run.job.key}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(facts))
    part.replace(path)


def _read(job: Job, folder: Path) -> Run | None:
    path = folder / f"{job.key}.json"
    if not path.exists():
        return None
    facts: dict[str, Any] = json.loads(path.read_text())
    return Run(
        job=job,
        result=day_table.restored(facts["result"]),
        wall_s=facts["wall_s"],
        cpu_s=facts["cpu_s"],
        load=facts["load"],
    )


@cache
def _sources(patterns: tuple[str, ...]) -> str:
    """A digest of the code's meaning: comments and layout may change."""
    digest = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(ast.dump(ast.parse(path.read_text())).encode())
    return digest.hexdigest()
