"""Swaps while cabinetd, fleetd and the broker are killed: few in `make test`, hundreds to prove it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.crash.harness import Plan, run
from tests.support import proof

pytestmark = pytest.mark.system

SEED: Final = 3
FEW: Final = Plan(swaps=6, kills=4, seed=SEED, cabinets=1)
#: The full count, and some on the broker that forgets everything when it is killed.
MANY: Final = {
    "nats": Plan(swaps=300, kills=100, seed=SEED),
    "mosquitto": Plan(swaps=60, kills=25, seed=SEED, broker="mosquitto"),
}


def test_a_few_kills(tmp_path: Path) -> None:
    outcome = run(FEW, tmp_path, print)
    print(outcome.table())
    assert outcome.good, outcome.table()


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("broker", sorted(MANY, reverse=True))
def test_hundreds_of_swaps_and_a_hundred_kills(tmp_path: Path, broker: str) -> None:
    plan = MANY[broker]
    outcome = run(plan, tmp_path, print)
    print(outcome.table())
    kills = ", ".join(f"{n} {what}" for what, n in sorted(outcome.kills.items()))
    proof.record(
        f"kill -9 of real processes, {broker}",
        f"{len(outcome.rides)} swaps, {outcome.kills.total()} kills ({kills}), "
        f"{len(outcome.lost)} lost, {len(outcome.double)} double, {outcome.seconds:.0f} s",
        f">= {plan.swaps} swaps, >= {plan.kills} kills, 0 lost, 0 double, audit clean",
        outcome.good,
    )
    assert outcome.good, outcome.table()
