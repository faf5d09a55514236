"""Transactions that a cabinet accepted while the fleet was away, as they come in later."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from alembic import command
from sqlalchemy import select, text, update

from fleet.core.ledger import FOREIGN, LATE, MENDED
from fleet.core.offline import (
    CLAIMED,
    DENIED_RIDER,
    TICKET_REUSED,
    UNKNOWN_RIDER,
    number_name,
    twin_id,
)
from fleet.core.records import BatteryRecord, NewSwap
from fleet.errors import InvalidError, NotFoundError, RefusedError
from fleet.store import tables as t
from fleet.store.engine import Database, alembic_config
from fleet.stores import Stores
from protocols.messages import Event, Kind, Step
from protocols.offline import rider_number, valid_number
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, Reporter

STRANGE = rider_number(7_654_321)
LATER_MS = T0_MS + 3_600_000


async def commit(stores: Stores, reporter: Reporter, events: Iterable[Event]) -> None:
    outcome = await stores.events.commit([reporter.arrival(each) for each in events], LATER_MS)
    assert outcome.poison == 0


async def name_of(stores: Stores, rider: str = "R1") -> str:
    view = await stores.riders.get(rider)
    assert view is not None
    return number_name(view.number)


async def holder(stores: Stores, serial: str) -> str:
    battery, _ = await stores.batteries.history(serial)
    return str(battery["holder"])


async def sound(stores: Stores) -> None:
    assert await stores.audit.audit() == []


async def reserved(stores: Stores, swap: str) -> set[tuple[str, str, str | None, str | None]]:
    columns = (t.transfer.c.leg, t.transfer.c.state, t.transfer.c.from_holder, t.transfer.c.serial)
    async with stores.database.read() as connection:
        rows = await connection.execute(select(*columns).where(t.transfer.c.swap_id == swap))
        return {tuple(row) for row in rows}


async def test_a_swap_by_code_is_booked_to_the_rider_of_the_number(town: Stores) -> None:
    a, who = Reporter(A), await name_of(town)
    events = a.swap_events(f"off-{A}-1-1", "P1", "P2", rider=who, authority="code")
    await commit(town, a, events[:1])
    assert await reserved(town, f"off-{A}-1-1") == {
        ("in", "reserved", "rider:R1", "P1"),
        ("out", "reserved", None, None),
    }, "the first report reserves what is expected"
    await commit(town, a, events[1:])
    view = await town.swaps.view(f"off-{A}-1-1")
    assert (view.rider_id, view.authority, view.flags, view.step) == (
        "R1",
        "code",
        (),
        Step.COMPLETED,
    )
    assert view.created_ms == events[0].wall_ms, "when it happened, not when we heard of it"
    assert [(m.from_holder, m.to_holder, m.flags) for m in view.movements] == [
        ("rider:R1", f"slot:{A}:1", ()),
        (f"slot:{A}:2", "rider:R1", ()),
    ]
    assert [each.id for each in await town.swaps.of_rider("R1", 9)] == [view.id]
    await sound(town)


@pytest.mark.parametrize("size", [1, 3])
async def test_it_is_booked_once_however_often_it_is_told(town: Stores, size: int) -> None:
    a = Reporter(A)
    events = a.swap_events("T1", "P1", "P2", authority="ticket")
    for start in range(0, len(events), size):
        await commit(town, a, events[: start + size])
    view = await town.swaps.view("T1")
    assert (view.authority, len(view.movements)) == ("ticket", 2)
    await sound(town)


async def test_another_pack_than_expected_is_mended_from_its_real_holder(town: Stores) -> None:
    a, who = Reporter(A), await name_of(town)
    await commit(town, a, a.swap_events("X1", "P9", "P2", rider=who, authority="code"))
    view = await town.swaps.view("X1")
    assert [(m.from_holder, m.flags) for m in view.movements] == [
        ("depot:MAIN", (MENDED,)),
        (f"slot:{A}:2", ()),
    ]
    assert await holder(town, "P1") == "rider:R1", "what he did not bring is still his"
    await sound(town)


async def test_a_number_that_nobody_has_keeps_what_it_did_until_it_is_claimed(
    town: Stores,
) -> None:
    a, who = Reporter(A), number_name(STRANGE)
    done = a.swap_events("N1", "P50", "P2", rider=who, authority="code")
    open_ = [
        a.step("N2", Step.RESERVED, rider=who, authority="code", slot_in=6, slot_out=3),
        a.battery("in", "P2", 6, swap="N2", rider=who),
    ]
    await commit(town, a, [*done, *open_[:1]])
    view = await town.swaps.view("N1")
    assert (view.rider_id, view.flags) == (who, (UNKNOWN_RIDER,))
    assert [each.id for each in await town.swaps.flagged(9)] == ["N2", "N1"]
    assert view.movements[0].flags == (FOREIGN,)
    assert await holder(town, "P2") == f"rider:{who}"
    await sound(town)
    assert await town.riders.set_number("R2", STRANGE, "test", LATER_MS) == 1
    assert await holder(town, "P2") == "rider:R2"
    assert await town.swaps.flagged(9) == []
    assert {each.id for each in await town.swaps.of_rider("R2", 9)} == {"N1", "N2"}
    _, rows = await town.batteries.history("P2")
    assert (rows[-1].from_holder, rows[-1].flags) == (f"rider:{who}", (MENDED,))
    await sound(town)
    await commit(town, a, open_[1:])  # what follows is his as well
    out = a.battery("out", "P3", 3, swap="N2", rider=who)
    await commit(town, a, [out, a.step("N2", Step.COMPLETED, rider=who, authority="code")])
    assert (await holder(town, "P2"), await holder(town, "P3")) == (f"slot:{A}:6", "rider:R2")
    assert ("in", "posted", "rider:R2", "P2") in await reserved(town, "N2")
    await sound(town)
    async with town.database.read() as connection:
        causes = select(t.movement.c.cause).where(t.movement.c.cause == CLAIMED)
        assert len((await connection.execute(causes)).all()) == 1


async def test_a_new_rider_who_gets_the_number_by_chance_gets_what_it_holds(town: Stores) -> None:
    a = Reporter(A)
    await commit(
        town, a, a.swap_events("N1", "P50", "P2", rider=number_name(STRANGE), authority="code")
    )
    town.riders._mint = lambda: STRANGE
    assert await town.riders.add("R3", "hash-3", "0003", T0_MS)
    assert await holder(town, "P2") == "rider:R3"
    await sound(town)


async def test_a_claim_does_not_outdate_what_sensors_report(town: Stores) -> None:
    a, b, who = Reporter(A), Reporter(B, wall_ms=T0_MS + 60_000), number_name(STRANGE)
    await commit(town, a, a.swap_events("N1", "P50", "P2", rider=who, authority="code"))
    await town.riders.set_number("R2", STRANGE, "test", LATER_MS)
    await commit(town, b, b.swap_events("N2", "P2", "P60", rider=who, authority="code"))
    assert await holder(town, "P2") == f"slot:{B}:1"
    await sound(town)


async def test_one_ticket_at_two_cabinets_is_two_transactions(town: Stores) -> None:
    await town.batteries.add([BatteryRecord("P6", None, None, f"slot:{B}:2")], T0_MS)
    a, b = Reporter(A), Reporter(B, wall_ms=T0_MS + 600_000)
    first = a.swap_events("T1", "P1", "P2", authority="ticket")
    second = b.swap_events("T1", "P2", "P6", authority="ticket")
    await commit(town, b, second[:3])  # the later one is heard of first, and not to its end
    await commit(town, a, first)
    await commit(town, b, second[3:])
    one, two = await town.swaps.view("T1"), await town.swaps.view(twin_id("T1", A))
    assert (one.cabinet_id, one.flags) == (B, ())
    assert (two.cabinet_id, two.flags) == (A, (TICKET_REUSED,))
    assert [len(each.movements) for each in (one, two)] == [2, 2]
    assert one.step is two.step is Step.COMPLETED
    places = [await holder(town, serial) for serial in ("P1", "P2", "P6")]
    assert places == [f"slot:{A}:1", f"slot:{B}:1", "rider:R1"]
    await sound(town)


async def test_one_ticket_twice_at_a_cabinet_whose_computer_was_replaced(town: Stores) -> None:
    a = Reporter(A)
    await commit(town, a, a.swap_events("T1", "P1", "P2", authority="ticket"))
    new = Reporter(A, epoch=2, wall_ms=T0_MS + 600_000)
    again = new.swap_events("T1", "P2", "P3", slot_in=6, slot_out=3, authority="ticket")
    await commit(town, new, again[:2])
    await commit(town, new, again[2:])
    assert (await town.swaps.view(twin_id("T1", A))).flags == (TICKET_REUSED,)
    assert await holder(town, "P3") == "rider:R1"
    await sound(town)


async def test_an_ordered_swap_of_another_cabinet_stays_poison(town: Stores) -> None:
    a, b = Reporter(A), Reporter(B)
    await commit(town, a, [a.step("S1", Step.RESERVED, slot_in=1, slot_out=2)])
    outcome = await town.events.commit([b.arrival(b.step("S1", Step.RESERVED))], T0_MS)
    assert outcome.poison == 1


async def test_an_online_swap_elsewhere_while_an_offline_one_was_not_told(town: Stores) -> None:
    """R1 gives P1 and takes P6 at B, offline; then gives P6 and takes P2 at A, where all is well."""
    await town.batteries.add([BatteryRecord("P6", None, None, f"slot:{B}:2")], T0_MS)
    b, a = Reporter(B), Reporter(A, wall_ms=T0_MS + 600_000)
    offline = b.swap_events("off-1", "P1", "P6", rider=await name_of(town), authority="code")
    new = NewSwap("S1", "start-S1", A, "R1", Kind.SWAP, "key-1", T0_MS, T0_MS + 20_000)
    await town.swaps.begin(new, lambda _: None)
    await commit(town, a, a.swap_events("S1", "P6", "P2"))
    await sound(town)
    await commit(town, b, offline)
    places = [await holder(town, serial) for serial in ("P1", "P6", "P2")]
    assert places == [f"slot:{B}:1", f"slot:{A}:1", "rider:R1"]
    late = (await town.swaps.view("off-1")).movements[1]
    assert (late.serial, late.flags) == ("P6", (LATE,))
    battery, _ = await town.batteries.history("P6")
    assert not battery["disputed"], "the departure that was owed has been told"
    await sound(town)


async def test_a_pack_that_is_with_somebody_else_by_now_stays_there(town: Stores) -> None:
    """Offline at B R1 gave P1 and R2 took it; R2 has given it at A before B is heard of."""
    b, a = Reporter(B), Reporter(A, wall_ms=T0_MS + 600_000)
    one = b.swap_events("off-1", "P1", "P6", rider=await name_of(town), authority="code")
    two = b.swap_events(
        "off-2", "P7", "P1", rider=await name_of(town, "R2"), slot_in=3, slot_out=1,
        authority="code",
    )  # fmt: skip
    await commit(town, a, a.swap_events("S1", "P1", "P2", rider="R2"))
    await commit(town, b, [*one, *two])
    places = [await holder(town, serial) for serial in ("P1", "P2", "P6")]
    assert places == [f"slot:{A}:1", "rider:R2", "rider:R1"]
    flags = [
        m.flags for swap in ("off-1", "off-2") for m in (await town.swaps.view(swap)).movements
    ]
    assert flags == [(LATE,), (FOREIGN,), (FOREIGN,), (LATE,)]
    await sound(town)


async def test_the_audit_finds_what_stayed_with_a_number(town: Stores) -> None:
    a, who = Reporter(A), number_name(STRANGE)
    await commit(town, a, a.swap_events("N1", "P50", "P2", rider=who, authority="code"))
    async with town.database.write() as connection:  # behind the back of ``set_number``
        taken = update(t.rider).where(t.rider.c.id == "R2").values(number=STRANGE)
        await connection.execute(taken)
    found = {(each.code, each.subject) for each in await town.audit.audit()}
    assert found == {("unclaimed-battery", "P2"), ("unclaimed-swap", "N1")}


# --- riders ---------------------------------------------------------------------------------------


async def test_numbers_are_valid_and_collisions_are_tried_again(town: Stores) -> None:
    views = [await town.riders.get(rider) for rider in ("R1", "R2")]
    numbers = [view.number for view in views if view]
    assert len(set(numbers)) == 2
    assert all(map(valid_number, numbers))
    mints = iter([numbers[0], numbers[1], STRANGE])
    town.riders._mint = lambda: next(mints)
    assert await town.riders.add("R3", "hash-3", "0003", T0_MS)
    assert (await town.riders.named(STRANGE)).id == "R3"
    town.riders._mint = lambda: STRANGE
    with pytest.raises(InvalidError, match="running out"):
        await town.riders.add("R4", "hash-4", "0004", T0_MS)
    with pytest.raises(InvalidError, match="is the number of R3"):
        await town.riders.set_number("R1", STRANGE, "test", T0_MS)
    with pytest.raises(NotFoundError):
        await town.riders.set_number("R9", rider_number(1), "test", T0_MS)
    with pytest.raises(NotFoundError):
        await town.riders.named("R9")


async def test_a_blocked_rider_starts_nothing_and_is_on_the_list(town: Stores) -> None:
    _, before = await town.meta.revisions()
    await town.riders.deny("R1", "pack sold", "test", T0_MS)
    _, after = await town.meta.revisions()
    assert after == before + 1, "the publisher notices"
    assert await town.riders.denied_names() == ["R1", await name_of(town)]
    assert [each.denied_reason for each in await town.riders.all(denied_only=True)] == ["pack sold"]
    new = NewSwap("S1", "start-S1", A, "R1", Kind.SWAP, "key-1", T0_MS, T0_MS + 20_000)
    with pytest.raises(RefusedError) as refused:
        await town.swaps.begin(new, lambda facts: "denied-rider" if facts.rider_denied else None)
    assert refused.value.code == "denied-rider"
    await town.riders.allow("R1", "paid", "test", T0_MS)
    assert await town.riders.denied_names() == []
    await town.swaps.begin(new, lambda facts: "denied-rider" if facts.rider_denied else None)
    with pytest.raises(NotFoundError):
        await town.riders.deny("R9", "x", "test", T0_MS)
    async with town.database.read() as connection:
        rows = (await connection.execute(select(t.audit_log).order_by(t.audit_log.c.id))).all()
    assert [(row.action, row.subject, row.reason) for row in rows] == [
        ("rider.deny", "R1", "pack sold"),
        ("rider.allow", "R1", "paid"),
    ]
    assert len(await town.riders.all()) == 2


async def test_a_blocked_rider_whom_a_cabinet_did_not_know_of_is_flagged(town: Stores) -> None:
    await town.riders.deny("R1", "pack sold", "test", T0_MS)
    a, who = Reporter(A), await name_of(town)
    await commit(town, a, a.swap_events("C1", "P1", "P2", rider=who, authority="code"))
    await commit(town, a, a.swap_events("T1", "P2", "P3", slot_in=7, slot_out=3,
                                        authority="ticket"))  # fmt: skip
    await commit(town, a, a.swap_events("S1", "P3", "P4", slot_in=8, slot_out=4))
    assert {each.id: each.flags for each in await town.swaps.of_rider("R1", 9)} == {
        "C1": (DENIED_RIDER,),
        "T1": (DENIED_RIDER,),
        "S1": (),
    }, "what the fleet had authorised before is none of the cabinet's fault"
    await sound(town)


async def test_who_was_a_rider_before_numbers_gets_one(store_url: str) -> None:
    database = Database(store_url)
    try:
        await database.migrate()
        async with database.write() as connection:
            await connection.run_sync(lambda c: command.downgrade(alembic_config(c), "0001"))
        async with database.write() as connection:
            old = text("INSERT INTO rider (id, phone_hash, phone_tail, created_ms)"
                       " VALUES (:id, :id, '1', 1)")  # fmt: skip
            await connection.execute(old, [{"id": f"R{n:02d}"} for n in range(50)])
        await database.migrate()
        async with database.read() as connection:
            query = select(t.rider.c.number).order_by(t.rider.c.id)
            numbers = list((await connection.execute(query)).scalars())
        assert len(set(numbers)) == 50
        assert all(map(valid_number, numbers))
        assert sorted(numbers) != numbers, "they tell nothing about who came first"
    finally:
        await database.close()
