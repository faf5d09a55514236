"""What the balance loop keeps and asks, on both databases."""

from __future__ import annotations

from fleet.stores import Stores
from tests.contract.fleet.conftest import A, B, add_swap
from tests.support.fleet import T0_MS

STEP_MS = 900_000


async def test_plans_are_kept_by_cabinet_and_the_last_counts(town: Stores) -> None:
    await town.cabinets.save_plans({A: (5, '{"a":1}'), B: (5, '{"b":1}')}, T0_MS)
    await town.cabinets.save_plans({A: (6, '{"a":2}'), "ZZ-9999": (6, "{}")}, T0_MS + 1)
    await town.cabinets.save_plans({}, T0_MS + 2)
    assert await town.cabinets.plans() == {A: '{"a":2}', B: '{"b":1}'}
    assert await town.cabinets.registered_ms() == {A: T0_MS, B: T0_MS}


async def test_swaps_are_counted_by_cabinet_and_interval(town: Stores) -> None:
    rows = [
        (A, "swap", "completed", 0),
        (A, "swap", "completed", STEP_MS - 1),
        (A, "pickup", "completed", STEP_MS),
        (A, "return", "completed", STEP_MS),
        (A, "swap", "cancelled", STEP_MS),
        (B, "swap", "completed", 3 * STEP_MS),
        (B, "swap", "completed", -1),
        (B, "swap", "completed", 4 * STEP_MS),
    ]
    for number, (cabinet, kind, step, at_ms) in enumerate(rows):
        told = {"kind": kind, "step": step, "updated_ms": T0_MS + at_ms}
        await add_swap(town, number, cabinet=cabinet, **told)
    found = await town.swaps.taken_by_interval(T0_MS, T0_MS + 4 * STEP_MS, STEP_MS)
    assert sorted(found) == [(A, 0, 2), (A, 1, 1), (B, 3, 1)]


async def test_a_note_is_kept_by_name_and_the_last_counts(town: Stores) -> None:
    assert await town.meta.note("balance-peaks") is None
    await town.meta.keep_note("balance-peaks", "{}")
    await town.meta.keep_note("balance-peaks", '{"month": 24315}')
    await town.meta.keep_note("other", "1")
    assert await town.meta.note("balance-peaks") == '{"month": 24315}'
    await town.meta.keep_note("other", "x" * 1_000_000)
    assert await town.meta.note("other") == "x" * 1_000_000, "a picture of many cabinets"
