"""The custody ledger over real databases: every case on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from sqlalchemy import delete, insert, select, text, update

from fleet.core.batch import Keys, Pending
from fleet.core.ingest import Arrival, BatchOutcome, Verdict, Watermark, open_payload
from fleet.core.ledger import (
    CONFLICT,
    DISPLACED,
    FOREIGN,
    FOUND,
    LATE,
    MENDED,
    VANISHED,
    Book,
    Changes,
)
from fleet.store import tables as t
from fleet.store.custody import StaleFactsError, load_book, write_pending
from fleet.stores import Stores
from protocols.messages import Event, Kind, Step
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, Reporter


async def commit(stores: Stores, reporter: Reporter, events: Iterable[Event]) -> BatchOutcome:
    arrivals = [reporter.arrival(event) for event in events]
    return await stores.events.commit(arrivals, T0_MS)


async def holder(stores: Stores, serial: str) -> str:
    battery, _ = await stores.batteries.history(serial)
    return str(battery["holder"])


async def last(stores: Stores, serial: str) -> tuple[str, str, tuple[str, ...]]:
    _, rows = await stores.batteries.history(serial)
    return rows[-1].from_holder, rows[-1].to_holder, rows[-1].flags


async def sound(stores: Stores) -> None:
    assert await stores.audit.audit() == []


async def test_a_swap_is_two_movements(town: Stores) -> None:
    a = Reporter(A)
    outcome = await commit(town, a, a.swap_events("S1", "P1", "P2"))
    assert outcome.acks == {A: Watermark(1, 7)}
    assert outcome.counts == {Verdict.ACCEPT: 7}
    assert outcome.swaps == {"S1"}
    view = await town.swaps.view("S1")
    assert (view.step, view.done, view.slot_in, view.slot_out) == (Step.COMPLETED, True, 1, 2)
    moves = [(m.serial, m.from_holder, m.to_holder, m.flags) for m in view.movements]
    assert moves == [
        ("P1", "rider:R1", f"slot:{A}:1", ()),
        ("P2", f"slot:{A}:2", "rider:R1", ()),
    ]
    assert (await town.riders.get("R1")).serials == ("P2",)  # type: ignore[union-attr]
    await sound(town)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_batches_of_any_size_and_repeats_book_once(town: Stores, size: int) -> None:
    a = Reporter(A)
    events = a.swap_events("S1", "P1", "P2")
    for start in range(0, len(events), size):
        await commit(town, a, events[: start + size])  # each time from the very beginning
    assert len((await town.swaps.view("S1")).movements) == 2
    await sound(town)


async def test_a_gap_is_not_committed_and_is_asked_for(town: Stores) -> None:
    a = Reporter(A)
    events = a.swap_events("S1", "P1", "P2")
    outcome = await commit(town, a, [events[0], *events[2:]])
    assert outcome.acks == {A: Watermark(1, 1)}
    assert outcome.counts == {Verdict.ACCEPT: 1, Verdict.GAP: 5}
    assert (await commit(town, a, events[1:])).acks == {A: Watermark(1, 7)}
    await sound(town)


async def test_a_new_journal_starts_over_and_the_old_one_is_not_heard(town: Stores) -> None:
    a, newer = Reporter(A), Reporter(A, epoch=2)
    await commit(town, a, [a.alarm(), a.alarm()])
    newer.alarm()
    late = newer.alarm()
    outcome = await commit(town, newer, [late])
    assert outcome.acks == {A: Watermark(2, 0)}, "the gap at the start of the new epoch"
    assert (await town.events.watermarks())[A] == Watermark(1, 2)
    assert (await commit(town, newer, newer.sent)).acks == {A: Watermark(2, 2)}
    stale = await commit(town, a, [a.alarm()])
    assert (stale.acks, stale.counts) == ({}, {Verdict.STALE: 1})
    await sound(town)


async def test_strangers_are_not_stored(town: Stores) -> None:
    stranger = Reporter("DH-9999")
    outcome = await commit(town, stranger, [stranger.alarm()])
    assert (outcome.strangers, outcome.acks) == (1, {})


POISON = [
    (b'{"epoch":1,"seq":1,"boot_id":"b","mono_ms":1,"wall_ms":1,"wall_synced":true,'
     b'"type":"no.such","body":{}}'),
    (b'{"epoch":1,"seq":1,"boot_id":"b","mono_ms":1,"wall_ms":1,"wall_synced":true,'
     b'"type":"battery.in","body":{"serial":"","slot":0}}'),
    b'{"epoch":1,"seq":1}',
    (b'{"epoch":1,"seq":1,"boot_id":"b","mono_ms":99999999999999999999,"wall_ms":1,'
     b'"wall_synced":true,"type":"alarm","body":{"code":"smoke","active":true}}'),
    (b'{"epoch":1,"seq":1,"boot_id":"b","mono_ms":1,"wall_ms":1,"wall_synced":true,'
     b'"type":"swap.step","body":{"swap_id":"S","kind":"swap","step":"faulted","rider_id":"R1",'
     b'"detail":"nul \\u0000 inside"}}'),
]  # fmt: skip


@pytest.mark.parametrize("payload", POISON, ids=["type", "body", "envelope", "number", "nul"])
async def test_poison_goes_to_quarantine_and_does_not_hold_up_the_rest(
    town: Stores, payload: bytes, store_url: str
) -> None:
    a = Reporter(A, seq=1)
    batch = [open_payload(A, payload), *(a.arrival(e) for e in a.swap_events("S1", "P1", "P2"))]
    outcome = await town.events.commit(batch, T0_MS)
    assert outcome.acks == {A: Watermark(1, 8)}
    assert len((await town.swaps.view("S1")).movements) == 2
    quarantined = await count(town, t.quarantine_event)
    keeps_nul = payload is POISON[4] and store_url.startswith("sqlite")
    assert quarantined == (0 if keeps_nul else 1)
    await sound(town)


async def count(stores: Stores, table: object) -> int:
    async with stores.database.read() as connection:
        return len((await connection.execute(select(table))).all())  # type: ignore[call-overload]


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b'{"epoch":-1,"seq":0}', b"[]"])
async def test_rubbish_without_identity_is_kept_once(town: Stores, payload: bytes) -> None:
    rubbish = [open_payload(A, payload)] * 3
    outcome = await town.events.commit(rubbish, T0_MS)
    assert (outcome.acks, outcome.poison) == ({}, 3)
    assert await count(town, t.quarantine_event) == 1
    await sound(town)


async def test_a_swap_of_another_cabinet_cannot_be_reported(town: Stores) -> None:
    a, b = Reporter(A), Reporter(B)
    await commit(town, a, [a.step("S1", Step.RESERVED)])
    outcome = await commit(town, b, [b.step("S1", Step.COMPLETED)])
    assert (outcome.poison, outcome.acks) == (1, {B: Watermark(1, 1)})
    assert (await town.swaps.view("S1")).step is Step.RESERVED


async def test_steps_never_go_back_but_slots_of_the_same_step_may_change(town: Stores) -> None:
    a = Reporter(A)
    await commit(
        town,
        a,
        [
            a.step("S1", Step.OPENING_RETURN, slot_in=1),
            a.step("S1", Step.OPENING_RETURN, slot_in=6, reason="door-stuck"),
            a.step("S1", Step.RESERVED, slot_in=7),
        ],
    )
    view = await town.swaps.view("S1")
    assert (view.step, view.slot_in, view.reason) == (Step.OPENING_RETURN, 6, "door-stuck")


async def test_a_battery_of_another_rider_is_mended_from_its_real_holder(town: Stores) -> None:
    a = Reporter(A)
    await commit(town, a, a.swap_events("S1", "P1", "P2", rider="R2"))
    view = await town.swaps.view("S1")
    assert (view.movements[0].from_holder, view.movements[0].flags) == ("rider:R1", (MENDED,))
    assert (await town.riders.get("R2")).serials == ("P2",)  # type: ignore[union-attr]
    await sound(town)


async def test_a_cancelled_swap_voids_what_did_not_happen(town: Stores) -> None:
    a = Reporter(A)
    await commit(
        town, a, [a.step("S1", Step.RESERVED), a.step("S1", Step.CANCELLED, reason="rider")]
    )
    async with town.database.read() as connection:
        states = (await connection.execute(select(t.transfer.c.state))).scalars().all()
    assert states == ["void", "void"]
    assert (await town.swaps.view("S1")).reason == "rider"
    await sound(town)


async def test_a_rider_may_get_his_own_battery_back(town: Stores) -> None:
    a = Reporter(A)
    steps = a.swap_events("S1", "P1", "P1", slot_in=1, slot_out=1)
    await commit(town, a, [*steps[:-1], a.step("S1", Step.CANCELLED)][:6])
    assert await holder(town, "P1") == "rider:R1"


async def test_late_departure_settles_what_an_arrival_elsewhere_implied(town: Stores) -> None:
    """A handed P2 to R2 off the network; R2 returned it at B; then A's report comes in."""
    a, b = Reporter(A, synced=False), Reporter(B)
    await commit(town, b, b.swap_events("SB", "P2", "P9", rider="R2")[:4])
    assert await last(town, "P2") == (f"slot:{A}:2", f"slot:{B}:1", (MENDED,))
    assert (await town.batteries.history("P2"))[0]["disputed"]
    await commit(town, a, a.swap_events("SA", "P1", "P2", rider="R2"))
    assert await last(town, "P2") == (f"slot:{A}:2", "rider:R2", (LATE,))
    battery, _ = await town.batteries.history("P2")
    assert (battery["holder"], battery["disputed"]) == (f"slot:{B}:1", False)
    assert len((await town.swaps.view("SA")).movements) == 2
    await sound(town)


async def test_an_old_report_never_moves_a_battery_that_has_moved_on(town: Stores) -> None:
    a, b = Reporter(A), Reporter(B, wall_ms=T0_MS + 3_600_000)
    await commit(town, b, b.swap_events("SB", "P1", "P9")[:4])
    await commit(town, a, a.swap_events("SA", "P1", "P2"))  # written an hour earlier
    assert await holder(town, "P1") == f"slot:{B}:1"
    assert len((await town.swaps.view("SA")).movements) == 2
    await sound(town)


async def test_a_departure_that_contradicts_another_slot_is_disputed(town: Stores) -> None:
    b = Reporter(B)
    await commit(town, b, [b.battery("out", "P2", 7, rider="R1")])
    assert await last(town, "P2") == (f"slot:{B}:7", "rider:R1", (CONFLICT,))
    battery, _ = await town.batteries.history("P2")
    assert (battery["holder"], battery["disputed"]) == (f"slot:{A}:2", True)
    await sound(town)


async def test_a_departure_that_contradicts_papers_is_mended(town: Stores) -> None:
    a = Reporter(A)
    await commit(town, a, [a.battery("out", "P9", 7, rider="R1")])
    assert await last(town, "P9") == ("depot:MAIN", "rider:R1", (MENDED,))
    await sound(town)


async def test_what_nobody_ordered_is_flagged(town: Stores) -> None:
    a = Reporter(A)
    await commit(
        town,
        a,
        [
            a.battery("out", "P2", 2, cause="vanished"),
            a.battery("in", "P9", 7, cause="found"),
            a.battery("in", "NEW-1", 8, cause="found"),
        ],
    )
    assert await last(town, "P2") == (f"slot:{A}:2", "unknown", (VANISHED,))
    assert await last(town, "P9") == ("depot:MAIN", f"slot:{A}:7", (FOUND,))
    assert await last(town, "NEW-1") == ("unknown", f"slot:{A}:8", (FOREIGN, FOUND))
    assert (await town.batteries.history("NEW-1"))[0]["state"] == FOREIGN
    assert "NEW-1" not in await town.batteries.serials()
    await sound(town)


async def test_a_slot_never_holds_two(town: Stores) -> None:
    a = Reporter(A)
    await commit(town, a, [a.battery("in", "P9", 2, cause="found")])
    assert await last(town, "P2") == (f"slot:{A}:2", "unknown", (DISPLACED,))
    assert (await town.batteries.history("P2"))[0]["disputed"]
    await sound(town)


async def test_an_inventory_brings_the_ledger_to_what_stands_there(town: Stores) -> None:
    a = Reporter(A)
    await commit(town, a, [a.inventory({2: "P3", 3: "P2", 4: "P9", 5: None}, absent=(6,))])
    places = {serial: await holder(town, serial) for serial in ("P2", "P3", "P4", "P5", "P9")}
    assert places == {
        "P2": f"slot:{A}:3",
        "P3": f"slot:{A}:2",
        "P4": "unknown",
        "P5": f"slot:{A}:5",  # present, but it did not tell its serial: no evidence against it
        "P9": f"slot:{A}:4",
    }
    battery, _ = await town.batteries.history("P2")
    assert not battery["disputed"], "no other cabinet owes a report"
    await sound(town)


async def test_an_inventory_leaves_the_slots_of_an_open_swap_alone(town: Stores) -> None:
    a = Reporter(A)
    events = a.swap_events("S1", "P1", "P2")
    await commit(town, a, events[:3])
    boot = Reporter(A, seq=3)
    await commit(town, boot, [boot.inventory({1: "P1", 3: "P3"}, absent=(2,))])
    assert await holder(town, "P1") == "rider:R1", "the swap itself will tell"
    rest = Reporter(A, seq=1)
    await commit(town, rest, rest.swap_events("S1", "P1", "P2")[3:])
    assert [m.flags for m in (await town.swaps.view("S1")).movements] == [(), ()]


async def test_one_serial_in_two_slots_is_disputed_and_not_moved(town: Stores) -> None:
    a = Reporter(A)
    await commit(town, a, [a.inventory({7: "P9", 8: "P9"})])
    battery, _ = await town.batteries.history("P9")
    assert (battery["holder"], battery["disputed"]) == ("depot:MAIN", True)
    await sound(town)


async def test_a_second_pack_of_one_leg_shows_as_a_row_and_leaves_the_transfer(
    town: Stores,
) -> None:
    a = Reporter(A)
    events = a.swap_events("S1", "P1", "P2")
    await commit(town, a, [*events[:6], a.battery("out", "P3", 3, swap="S1", rider="R1")][:6])
    again = Reporter(A, seq=6)
    await commit(town, again, [again.battery("out", "P3", 3, swap="S1", rider="R1")])
    async with town.database.read() as connection:
        out = select(t.transfer.c.serial).where(t.transfer.c.leg == "out")
        assert (await connection.execute(out)).scalar_one() == "P2"
    assert len((await town.swaps.view("S1")).movements) == 3


async def test_a_technician_loads_and_unloads(town: Stores) -> None:
    a = Reporter(A)
    await commit(
        town,
        a,
        [
            a.step("L", Step.RESERVED, rider="T1", kind=Kind.UNLOAD, slot_out=2),
            a.battery("out", "P2", 2, swap="L", rider="T1", cause="technician"),
            a.step("L", Step.COMPLETED, rider="T1", kind=Kind.UNLOAD),
            a.step("M", Step.RESERVED, rider="T1", kind=Kind.LOAD, slot_in=7),
            a.battery("in", "P2", 7, swap="M", rider="T1", cause="technician"),
            a.step("M", Step.COMPLETED, rider="T1", kind=Kind.LOAD),
        ],
    )
    assert await last(town, "P2") == ("transit:T1", f"slot:{A}:7", ())
    await sound(town)


# --- import and audit ---------------------------------------------------------------------------


async def test_the_audit_names_every_corruption(town: Stores) -> None:
    a = Reporter(A)
    await commit(town, a, a.swap_events("S1", "P1", "P2"))
    await sound(town)
    corruptions = {
        "wrong-holder": update(t.battery).where(t.battery.c.serial == "P2").values(holder="lost"),
        "crowded-slot": update(t.battery)
        .where(t.battery.c.serial == "P3")
        .values(holder=f"slot:{A}:4"),
        "broken-chain": update(t.movement)
        .where(t.movement.c.serial == "P1", t.movement.c.swap_id == "S1")
        .values(from_holder="depot:X"),
        "wrong-version": update(t.battery).where(t.battery.c.serial == "P4").values(version=9),
        "wrong-movements": delete(t.movement).where(t.movement.c.swap_id == "S1"),
        "unposted-leg": update(t.transfer).where(t.transfer.c.leg == "out").values(state="void"),
        "stale-reservation": update(t.transfer)
        .where(t.transfer.c.leg == "in")
        .values(state="reserved"),
        "orphan-transfer": insert(t.transfer).values(swap_id="S9", leg="in", state="reserved"),
        "unknown-battery": insert(t.movement).values(
            serial="GHOST", from_holder="unknown", to_holder="lost", at_ms=1, cause="x", moves=True
        ),
        "sequence-gap": delete(t.event).where(t.event.c.seq == 3),
        "wrong-watermark": update(t.watermark).where(t.watermark.c.cabinet == A).values(seq=5),
    }
    for code, corruption in corruptions.items():
        async with town.database.write() as connection:
            await connection.execute(corruption)
            await connection.commit()
        found = {violation.code for violation in await town.audit.audit()}
        assert code in found
        assert all(v.subject and v.detail for v in await town.audit.audit())


async def test_the_guard_of_holder_and_version_stops_a_stale_writer(town: Stores) -> None:
    async with town.database.read() as connection:
        book = await load_book(connection, Keys(serials={"P2"}))
    pending = Pending()
    battery = book.batteries["P2"]
    moved = type(battery)(battery.serial, "rider:R1", battery.version + 1)
    pending.add(Changes(batteries=(moved,)))
    async with town.database.write() as connection:
        await connection.execute(text("UPDATE battery SET version = 7 WHERE serial = 'P2'"))
    with pytest.raises(StaleFactsError, match="P2"):
        async with town.database.write() as connection:
            await write_pending(connection, Book(dict(book.batteries)), pending, T0_MS)
    assert await holder(town, "P2") == f"slot:{A}:2"


def arrivals(reporter: Reporter, events: Iterable[Event]) -> list[Arrival]:
    return [reporter.arrival(event) for event in events]


async def test_a_large_batch_is_committed_in_parts(town: Stores) -> None:
    a = Reporter(A)
    outcome = await town.events.commit(arrivals(a, [a.alarm() for _ in range(450)]), T0_MS)
    assert outcome.acks == {A: Watermark(1, 450)}
    assert outcome.counts == {Verdict.ACCEPT: 450}
    await sound(town)
