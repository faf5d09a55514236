"""What the console reads of the store, on both databases."""

from __future__ import annotations

from sqlalchemy import insert, update

from fleet.console import ConsoleSide
from fleet.core.console_views import Find
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture
from fleet.store import tables as t
from fleet.store.console import KEPT_MS
from fleet.stores import Stores
from tests.contract.fleet.conftest import A, B, add_swap
from tests.support.fleet import T0_MS
from tests.support.fleet_fakes_base import ShiftedClock

MIDNIGHT = T0_MS - 3_600_000


async def test_the_days_transactions(town: Stores) -> None:
    for number, values in enumerate(
        (
            {},
            {"step": "faulted"},
            {"step": "rejected", "reason": "no-full-battery"},
            {"step": "rejected", "reason": "denied-pack"},
            {"open": True, "step": "await-return"},
            {"updated_ms": MIDNIGHT - 1},
            {"kind": "load"},
        )
    ):
        await add_swap(town, number, **values)
    assert await town.console.swap_counts(MIDNIGHT) == (1, 4, 1)
    assert await town.console.swap_counts(T0_MS + 1) == (0, 0, 0)


async def test_riders_turned_away_add_up_and_are_forgotten(town: Stores) -> None:
    counts = {(T0_MS, A, "offline"): 2, (T0_MS, B, "no-full-battery"): 1}
    await town.console.add_turned(counts, T0_MS)
    await town.console.add_turned({(T0_MS, A, "offline"): 3}, T0_MS)
    assert await town.console.turned_since(T0_MS) == 6
    assert await town.console.turned_since(T0_MS + 1) == 0
    later = T0_MS + KEPT_MS + 1
    await town.console.add_turned({(later, A, "offline"): 1}, later)
    assert await town.console.turned_since(0) == 1


async def test_the_service_counts_a_rider_once_an_hour_and_keeps_it(town: Stores) -> None:
    clock = ShiftedClock()
    clock.shift_ms = T0_MS - clock.wall_ms() + 60_000
    side = ConsoleSide(town, LivePicture(town.cabinets, clock), Hub(), clock, clock)
    records = side.records
    assert (await records.swap_day(MIDNIGHT)).turned_away is None, "not counted yet: not known"
    for rider, cabinet in (("R1", A), ("R1", A), ("R1", B), ("R2", A)):
        records.turned_away(rider, cabinet, "offline")
    await records._flush()
    day = await records.swap_day(MIDNIGHT)
    assert day.turned_away == 3
    assert day.turned_since_ms is not None, "it began to count later than the day did"
    clock.shift_ms += 3_600_000
    records.turned_away("R1", A, "offline")
    assert (await records.swap_day(MIDNIGHT)).turned_away == 4, "what is not stored yet counts"
    await records._flush()
    assert await town.console.turned_since(MIDNIGHT) == 4
    again = ConsoleSide(town, LivePicture(town.cabinets, clock), Hub(), clock, clock).records
    await again._flush()
    assert (await again.swap_day(clock.wall_ms())).turned_since_ms is None


async def test_search_finds_by_the_beginning(town: Stores) -> None:
    await add_swap(town, 7)
    async with town.database.write() as connection:
        await connection.execute(
            update(t.rider).where(t.rider.c.id == "R2").values(number="12345678")
        )

    async def found(text: str) -> set[tuple[str, str]]:
        return {(each.kind, each.id) for each in await town.console.search(text)}

    assert await found("p") == {("battery", f"P{n}") for n in (1, 2, 3, 4, 5, 9)}
    assert await found("P9") == {("battery", "P9")}
    assert await found("01j0000") == {("swap", "01J00007")}
    assert await found("1234") == {("rider", "R2")}
    assert await found("0001") == {("rider", "R1")}, "the last digits of a phone"
    assert await found("%") == await found("_") == set()
    (pack,) = [each for each in await town.console.search("P2") if each.kind == "battery"]
    assert pack == Find(kind="battery", id="P2", detail=f"slot:{A}:2", title=pack.title)


async def test_events_newest_first(town: Stores) -> None:
    rows = [
        {
            "cabinet": cabinet,
            "epoch": epoch,
            "seq": seq,
            "boot_id": "b",
            "mono_ms": 1,
            "wall_ms": T0_MS,
            "wall_synced": True,
            "type": kind,
            "body": "{}",
            "received_ms": T0_MS,
        }
        for cabinet, epoch, seq, kind in (
            (A, 1, 1, "boot"),
            (A, 1, 2, "alarm"),
            (A, 2, 1, "boot"),
            (B, 9, 9, "boot"),
        )
    ]
    async with town.database.write() as connection:
        await connection.execute(insert(t.event), rows)
    seen = await town.console.events(A, "", 10)
    assert [(each.epoch, each.seq) for each in seen] == [(2, 1), (1, 2), (1, 1)]
    assert len(await town.console.events(A, "boot", 10)) == 2
    assert len(await town.console.events(A, "", 1)) == 1


async def test_riders_turned_away_are_told_by_cabinet_and_interval(town: Stores) -> None:
    quarter = 15 * 60_000
    counted = {
        (MIDNIGHT, A, "offline"): 2,
        (MIDNIGHT, A, "no-full-battery"): 1,
        (MIDNIGHT + 4 * quarter, A, "offline"): 5,
        (MIDNIGHT + quarter, B, "alarm"): 4,
        (MIDNIGHT - quarter, A, "offline"): 9,
    }
    await town.console.add_turned(counted, MIDNIGHT)
    found = await town.console.shown_by_interval(MIDNIGHT, MIDNIGHT + 4 * quarter, quarter)
    assert sorted(found) == [(A, 0, 3), (B, 1, 4)]


async def test_who_was_refused_by_a_cabinet_is_told_by_reason(town: Stores) -> None:
    rows = [
        (A, "swap", "rejected", "no-full-battery", 0),
        (A, "pickup", "rejected", "no-full-battery", 899_999),
        (A, "swap", "rejected", "no-empty-slot", 1),
        (A, "swap", "completed", None, 1),
        (A, "load", "rejected", "no-full-battery", 1),
        (B, "swap", "rejected", "no-full-battery", 900_000),
        (B, "swap", "rejected", "no-full-battery", 1_800_000),
    ]
    for number, (cabinet, kind, step, reason, at_ms) in enumerate(rows):
        told = {"kind": kind, "step": step, "reason": reason, "updated_ms": MIDNIGHT + at_ms}
        await add_swap(town, number, cabinet=cabinet, **told)
    span = MIDNIGHT, MIDNIGHT + 1_800_000, 900_000
    found = await town.console.refused_by_interval(*span, ("no-full-battery",))
    assert sorted(found) == [(A, 0, 2), (B, 1, 1)]
    assert len(await town.console.refused_by_interval(*span, ("no-empty-slot",))) == 1
