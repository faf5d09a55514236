"""The desk's lists, alarms and grid versions on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from fleet.core.access import Role
from fleet.core.balance.versions import NewVersion
from fleet.core.desk import AlarmNote, PackFilter, RiderFilter, SwapFilter, raised_at
from fleet.core.records import LogFilter
from fleet.core.reports import OPEN, NewReport, TicketFilter, Topic
from fleet.core.saved_views import VIEWS_MAX, SavedView
from fleet.core.staff import Account
from fleet.errors import FleetError, NotFoundError, RefusedError
from fleet.store.alarms import AlarmStore
from fleet.store.desk import DeskStore
from fleet.store.saved_views import SavedViewStore
from fleet.store.staff import StaffStore
from fleet.stores import Stores
from protocols.messages import AlarmBody, Step
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, Reporter

NEW = NewVersion(
    text="a = 1",
    valid_from_ms=100,
    now_ms=100,
    created_ms=T0_MS,
    actor="operator:li",
    reason="why not",
    source="console",
)


async def test_of_many_editors_at_once_one_is_heard_and_the_log_says_whom(stores: Stores) -> None:
    assert await stores.grids.add(NEW) == 1
    revision = await stores.grids.revision()
    tries = [replace(NEW, text=f"a = {n}", revision=revision) for n in range(5)]
    done = await asyncio.gather(*map(stores.grids.add, tries), return_exceptions=True)
    assert [each for each in done if isinstance(each, int)] == [2]
    refused = [each.code for each in done if isinstance(each, RefusedError)]
    assert refused == ["grid-changed"] * 4
    later = replace(NEW, valid_from_ms=900)
    assert await stores.grids.add(later) == 3
    with pytest.raises(RefusedError):
        await stores.grids.add(NEW)
    await stores.grids.withdraw(3, actor="operator:li", reason="no", day_ms=500, now_ms=T0_MS)
    assert await stores.grids.add(NEW) == 4, "its number is not given again"
    _, known = await stores.grids.history()
    assert [each.withdrawn_ms for each in known] == [None, None, T0_MS, None]
    rows = await stores.audit_log.rows(LogFilter(action="grid."))
    assert [(each.action, each.subject) for each in rows[::-1]] == [
        ("grid.change", "grid:1"), ("grid.change", "grid:2"), ("grid.change", "grid:3"),
        ("grid.withdraw", "grid:3"), ("grid.change", "grid:4"),
    ]  # fmt: skip
    with pytest.raises(FleetError):
        await stores.grids.text(9)


async def test_lists_go_page_by_page_without_a_row_twice(town: Stores) -> None:
    desk = DeskStore(town.database)
    found: list[str] = []
    while rows := await desk.packs(PackFilter(after=found[-1] if found else "", limit=2)):
        found += [each.serial for each in rows]
    assert found == ["P1", "P2", "P3", "P4", "P5", "P9"]
    in_slots = await desk.packs(PackFilter(place="slot", cabinets=frozenset({A})))
    assert [each.serial for each in in_slots] == ["P2", "P3", "P4", "P5"]
    assert await desk.packs(PackFilter(cabinets=frozenset())) == []
    assert await desk.packs(PackFilter(cabinet="DH_0001")) == [], "no wildcard"
    riders = await desk.riders(RiderFilter())
    assert [(each.id, each.packs) for each in riders] == [("R1", 1), ("R2", 0)]
    assert [each.id for each in await desk.riders(RiderFilter(query="0002"))] == ["R2"]


async def test_a_swap_is_told_step_by_step_and_only_its_own(town: Stores) -> None:
    at, other = Reporter(A), Reporter(B)
    for reporter, swap in ((at, "S1"), (other, "S11")):
        events = [
            reporter.step(swap, Step.RESERVED, slot_in=6, slot_out=2),
            reporter.step(swap, Step.CANCELLED, reason="cancelled"),
        ]
        arrivals = [reporter.arrival(event) for event in events]
        await town.events.commit(arrivals, reporter.wall_ms)
    desk = DeskStore(town.database)
    newest = await desk.swaps(SwapFilter(limit=1))
    rest = await desk.swaps(SwapFilter(before=(newest[0].created_ms, newest[0].id)))
    assert {each.id for each in (*newest, *rest)} == {"S1", "S11"}
    [swap] = await desk.swaps(SwapFilter(swap="S1", outcome="cancelled"))
    told = await desk.swap_events(swap)
    assert [(each.step, each.reason) for each in told] == [
        ("reserved", None),
        ("cancelled", "cancelled"),
    ]
    assert await desk.swaps(SwapFilter(cabinets=frozenset({B}), cabinet=A)) == []


async def test_an_alarm_stands_since_its_first_telling_and_is_noted_once(town: Stores) -> None:
    at = Reporter(A)
    events = [
        at.event("alarm", AlarmBody(code="smoke", active=active, slot=3))
        for active in (True, False, True, True)
    ]
    await town.events.commit([at.arrival(event) for event in events], at.wall_ms)
    alarms = AlarmStore(town.database)
    told = (await alarms.events({A, B}))[A]
    raised = raised_at(told, "smoke", 3)
    assert raised is not None
    assert raised.seq == 3, "the first since it ended"
    assert raised_at(told, "smoke", None) is None
    note = AlarmNote(
        cabinet=A,
        code="smoke",
        slot=3,
        epoch=raised.epoch,
        seq=raised.seq,
        at_ms=T0_MS,
        actor="operator:li",
        reason="on the way",
    )
    assert await alarms.note(note)
    assert not await alarms.note(note)
    assert await alarms.notes({A}) == [note]
    assert await alarms.noted() == [note]
    assert [raised.seq for raised, _ in (await alarms.events({A, B}, 2))[A]] == [4, 3]
    other = AlarmBody(code="smoke", active=False, slot=4)
    ended = AlarmBody(code="smoke", active=False, slot=3)
    await town.events.commit([at.arrival(at.event("alarm", other))], at.wall_ms)
    assert await alarms.noted() == [note], "another slot's end is none of it"
    await town.events.commit([at.arrival(at.event("alarm", ended))], at.wall_ms)
    assert await alarms.noted() == []
    rows = await town.audit_log.rows(LogFilter(action="alarm."))
    assert [(each.cabinet_id, each.slot, each.subject) for each in rows] == [(A, 3, "smoke")]


async def test_what_a_pack_told_comes_in_order(town: Stores) -> None:
    at = Reporter(A)
    events = [
        at.battery("in", "P1", 7, rider="R1", cause="technician", cycles=40, capacity_ah=20.0),
        at.battery("out", "P1", 7, cause="technician", cycles=41, capacity_ah=19.0),
    ]
    await town.events.commit([at.arrival(event) for event in events], at.wall_ms)
    told = await DeskStore(town.database).told("P1")
    assert [(each.cycles, each.capacity_ah) for each in told] == [(40, 20.0), (41, 19.0)]


async def test_views_are_kept_by_name_per_account(town: Stores) -> None:
    rows = SavedViewStore(town.database)
    view = SavedView(id="V1", staff="S1", name="夜班", page="map", query="", created_ms=T0_MS)
    assert await rows.put(view) == view
    newer = await rows.put(changed(view, id="V2", query="state=ok"))
    assert newer == changed(view, query="state=ok"), "the same name, the newer query, its old link"
    await rows.put(changed(view, id="V3", staff="S2"))
    await rows.put(changed(view, id="V4", name="day"))
    assert {each.id for each in await rows.of("S1")} == {"V1", "V4"}
    with pytest.raises(RefusedError, match="has this name"):
        await rows.rename("S1", "V4", "夜班")
    with pytest.raises(NotFoundError):
        await rows.rename("S2", "V4", "evening")
    assert (await rows.rename("S1", "V4", "evening")).name == "evening"
    with pytest.raises(NotFoundError):
        await rows.delete("S2", "V4")
    await rows.delete("S1", "V4")
    with pytest.raises(NotFoundError):
        await rows.get("V4")
    for number in range(VIEWS_MAX - 1):
        await rows.put(changed(view, id=f"W{number}", name=f"w{number}"))
    with pytest.raises(RefusedError) as full:
        await rows.put(changed(view, id="W", name="w"))
    assert full.value.code == "views-full"


async def test_views_end_with_their_account(town: Stores) -> None:
    rows, accounts = SavedViewStore(town.database), StaffStore(town.database)
    for name in ("S1", "S2"):
        await accounts.add(Account(name, f"name.{name.lower()}", Role.VIEWER), "boss", T0_MS)
        await rows.put(
            SavedView(id=name, staff=name, name="夜班", page="map", query="", created_ms=T0_MS)
        )
    await accounts.switch("name.s1", off=True, by="boss", now_ms=T0_MS)
    await accounts.switch("name.s1", off=False, by="boss", now_ms=T0_MS)
    assert await rows.of("S1") == []
    assert [each.id for each in await rows.of("S2")] == ["S2"]


async def test_tickets_come_by_pages_and_only_of_the_places_asked_for(town: Stores) -> None:
    for number in range(5):
        at_ms = T0_MS + number // 2 * 90_000_000  # two pairs of the same time
        new = NewReport(id=f"rep-{number}", rider="R1", topic=Topic.CABINET, place="", text="x", now_ms=at_ms, cabinet=A if number % 2 else B)  # fmt: skip
        await town.reports.file(new)
    wanted = TicketFilter(state=OPEN, limit=2)
    seen: list[str] = []
    while page := await town.reports.tickets(wanted):
        seen += [each.id for each in page]
        wanted = replace(wanted, after=(page[-1].created_ms, page[-1].id))
    assert seen == [f"rep-{number}" for number in range(5)], "the oldest first, each once"
    newest = await town.reports.tickets(TicketFilter(limit=2))
    assert [each.id for each in newest] == ["rep-4", "rep-3"]
    there = TicketFilter(places=(frozenset({A}), frozenset()))
    assert {each.cabinet_id for each in await town.reports.tickets(there)} == {A}
    nowhere = TicketFilter(places=(frozenset(), frozenset()))
    assert await town.reports.tickets(nowhere) == []
    assert await town.reports.tickets(TicketFilter(topic="battery")) == []
