"""Swaps while cabinetd, fleetd and the broker are killed: few in `make test`, hundreds to prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.crash.harness import Plan, run
from tests.support import proof

pytestmark = pytest.mark.system

SEED: Final = 3
SWAPS: Final = 300
KILLS: Final = 100


def test_a_few_kills(tmp_path: Path) -> None:
    outcome = run(Plan(swaps=6, kills=4, seed=SEED, cabinets=1), tmp_path, print)
    print(outcome.table())
    assert outcome.good, outcome.table()


@pytest.mark.slow
@pytest.mark.timeout(3_000)
@pytest.mark.parametrize("broker", ["nats"])
def test_hundreds_of_swaps_and_a_hundred_kills(tmp_path: Path, broker: str) -> None:
    outcome = run(Plan(SWAPS, KILLS, SEED, broker=broker), tmp_path, print)
    print(outcome.table())
    kills = ", ".join(f"{n} {what}" for what, n in sorted(outcome.kills.items()))
    proof.record(
        f"kill -9 on real processes, {broker}",
        f"{len(outcome.rides)} swaps, {outcome.kills.total()} kills ({kills}), "
        f"{len(outcome.lost)} lost, {len(outcome.double)} double, {outcome.seconds:.0f} s",
        f">= {SWAPS} swaps, >= {KILLS} kills, 0 lost, 0 double, audit clean",
        outcome.good,
    )
    assert outcome.good, outcome.table()
