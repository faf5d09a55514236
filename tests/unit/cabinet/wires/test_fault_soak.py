"""Every fault of a wire at random: nothing wrong is believed, nothing fires twice, nothing hangs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.bus_soak import KINDS, Soak, soak
from tests.support.proof import record

SEED = 20_261_126
SHORT_S = 5.0
LONG_S = 600.0


def by_kind(found: Soak) -> Counter[str]:
    """How many transactions each kind of fault has spoilt."""
    total: Counter[str] = Counter()
    for key, count in found.struck.items():
        total[key.split()[0]] += count
    return total


async def test_faults_at_random_for_a_moment(tmp_path: Path) -> None:
    found = await soak(tmp_path, SEED, SHORT_S, patient=False)
    assert not found.problems, "\n".join(found.problems[:20])
    assert len(found.beliefs) > 200
    assert found.pulses
    assert sum(by_kind(found).values()) > 0


@pytest.mark.slow
@pytest.mark.timeout(1_200)
async def test_ten_minutes_of_every_fault(tmp_path: Path) -> None:
    found = await soak(tmp_path, SEED, LONG_S)
    struck = by_kind(found)
    missing = set(KINDS) - {kind for kind, count in struck.items() if count}
    figure = (
        f"{sum(struck.values())} transactions spoilt in {len(struck)} ways, "
        f"{len(found.beliefs)} values judged, {len(found.pulses)} pulses, "
        f"{len(found.problems)} problems"
    )
    print(figure, dict(struck), f"stall {found.stall_ms:.0f} ms")
    record("bus faults, ten minutes", figure, "0 problems", not found.problems and not missing)
    assert not found.problems, "\n".join(found.problems[:20])
    assert not missing
