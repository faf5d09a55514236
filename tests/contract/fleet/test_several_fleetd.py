"""Two fleetd at one database, and what must happen once, or in one order, whoever is first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, select

from fleet.core.access import EVERYWHERE, Role
from fleet.core.commands import QueuedCommand
from fleet.core.enrolment import Enrolled
from fleet.core.ingest import Verdict, Watermark
from fleet.core.quarantine import Quarantine
from fleet.core.records import LogFilter, NewSwap
from fleet.core.staff import Account, LinkFor
from fleet.core.swaps import LedgerFacts
from fleet.core.templates import Template
from fleet.errors import RefusedError
from fleet.runtime.held import HeldPlans
from fleet.runtime.rollouts import Planning
from fleet.store import tables as t
from fleet.store.engine import Database
from fleet.store.staff import StaffStore
from fleet.store.tables_staff import staff_link
from fleet.stores import Stores, stores_over
from protocols.messages import DesiredPlan, Kind, decode
from tests.contract.fleet.conftest import A, B
from tests.contract.fleet.test_enrolment_store import redeem, token
from tests.contract.fleet.test_operations import new, work
from tests.contract.fleet.test_store import wish
from tests.contract.fleet.test_whole_orders import ask, ordered
from tests.support.fleet import T0_MS, ManualClock, Reporter
from tests.support.together import FACTS, LOG, at_once, cabinet_row, names

AT_A = cabinet_row(A)


@pytest.fixture
async def other(store_url: str, town: Stores) -> AsyncIterator[Stores]:
    """A second fleetd's stores at the same database; the first's are ``town``."""
    del town
    async with opened(store_url) as database:
        yield stores_over(database)


@pytest.fixture
async def gate(store_url: str, town: Stores) -> AsyncIterator[Database]:
    """Whose transaction the others wait for."""
    del town
    async with opened(store_url) as database:
        yield database


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database(url)
    try:
        yield database
    finally:
        await database.close()


def once(facts: LedgerFacts) -> str | None:
    return "open-swap" if facts.rider_open_swap else None


async def logged(stores: Stores) -> list[tuple[str, str]]:
    """Actions and outcomes in order, from a log whose chain holds."""
    assert await stores.audit.audit() == []
    rows = await stores.audit_log.rows(LogFilter())
    return [(row.action, row.outcome) for row in reversed(rows)]


# --- swaps --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("second", "told"), [("k", "str"), ("another", "open-swap")])
async def test_a_riders_two_taps_are_one_swap(
    town: Stores, other: Stores, gate: Database, second: str, told: str
) -> None:
    outcomes = await at_once(
        gate,
        AT_A,
        town.swaps.begin(wish("S1", key="k"), once),
        other.swaps.begin(wish("S2", key=second), once),
    )
    assert names(outcomes) == sorted(["QueuedCommand", told])
    begun = next(each for each in outcomes if isinstance(each, QueuedCommand))
    assert all(each == begun.swap_id for each in outcomes if isinstance(each, str))
    assert [view.id for view in await town.swaps.of_rider("R1", 9)] == [begun.swap_id]
    assert [each.id for each in await town.commands.waiting()] == [begun.id]


async def test_a_technicians_two_taps_are_one_work(
    town: Stores, other: Stores, gate: Database
) -> None:
    def tap(id_: str) -> NewSwap:
        return work(Kind.UNLOAD, id=id_, command_id=f"start-{id_}")

    outcomes = await at_once(
        gate,
        AT_A,
        town.swaps.begin(tap("W1"), lambda _: None),
        other.swaps.begin(tap("W2"), lambda _: None),
    )
    assert names(outcomes) == ["QueuedCommand", "str"]
    assert len(await town.commands.waiting()) == 1


# --- orders -------------------------------------------------------------------------------------


async def test_one_key_is_one_order(town: Stores, other: Stores, gate: Database) -> None:
    outcomes = await at_once(
        gate, AT_A, town.operations.order(new()), other.operations.order(new())
    )
    assert names(outcomes) == ["NoneType", "QueuedCommand"]
    outcomes = await at_once(
        gate,
        AT_A,
        town.commands.add_once(new("op-2")),
        other.commands.add_once(new("op-2")),
    )
    assert names(outcomes) == ["NoneType", "QueuedCommand"]
    assert await logged(town) == [("slot.open", "ordered")] * 2


async def test_two_doors_are_not_one_door_twice(
    town: Stores, other: Stores, gate: Database
) -> None:
    outcomes = await at_once(
        gate,
        AT_A,
        town.operations.order(new("op-1", args={"slot": 2}), doors_most=1),
        other.operations.order(new("op-2", args={"slot": 3}), doors_most=1),
    )
    assert names(outcomes) == ["QueuedCommand", "second-person"]
    assert await logged(town) == [("slot.open", "ordered")]


# --- two people ---------------------------------------------------------------------------------


async def test_two_who_ask_at_once_ask_for_one_order(
    town: Stores, other: Stores, gate: Database
) -> None:
    outcomes = await at_once(
        gate,
        AT_A,
        town.asks.add(ask("ask-1")),
        other.asks.add(ask("ask-2", asked_by="S2")),
    )
    assert names(outcomes) == ["Ask", "asked-already"]
    (kept,) = await town.asks.of_cabinet(A)
    outcomes = await at_once(gate, AT_A, town.asks.add(kept), other.asks.add(kept))
    assert outcomes == [kept, kept], "the same tap"
    assert await logged(town) == [("cabinet.open-all", "asked")]


async def test_two_who_admit_at_once_give_one_order(
    town: Stores, other: Stores, gate: Database
) -> None:
    await town.asks.add(ask())
    outcomes = await at_once(
        gate,
        LOG,
        *(
            stores.asks.admit("ask-1", person=who, name=who, now_ms=T0_MS + 1, command=ordered)
            for stores, who in ((town, "S2"), (other, "S3"))
        ),
    )
    assert names(outcomes) == ["ask-over", "tuple"]
    admitted, queued = next(each for each in outcomes if isinstance(each, tuple))
    assert await town.asks.get("ask-1") == admitted
    assert [each.id for each in await town.commands.waiting()] == [queued.id]
    assert await logged(town) == [("cabinet.open-all", "asked"), ("cabinet.open-all", "ordered")]


async def test_an_ask_is_admitted_or_withdrawn_and_never_both(
    town: Stores, other: Stores, gate: Database
) -> None:
    await town.asks.add(ask())
    outcomes = await at_once(
        gate,
        LOG,
        town.asks.admit("ask-1", person="S2", name="li", now_ms=T0_MS + 1, command=ordered),
        other.asks.withdraw("ask-1", "zhang", T0_MS + 1),
    )
    assert "ask-over" in names(outcomes)
    kept = await town.asks.get("ask-1")
    orders = [each.id for each in await town.commands.waiting()]
    assert (kept.state, orders) in [("admitted", ["op-ask-1"]), ("withdrawn", [])]
    assert len(await logged(town)) == 2


# --- quarantine ---------------------------------------------------------------------------------


async def test_a_quarantine_is_put_once_and_what_was_logged_last_holds(
    town: Stores, other: Stores, gate: Database
) -> None:
    def put(stores: Stores, who: str) -> Coroutine[Any, Any, None]:
        return stores.quarantines.put(Quarantine("P2", f"operator:{who}", "swollen", T0_MS))

    outcomes = await at_once(gate, LOG, put(town, "li"), put(other, "zhang"))
    assert names(outcomes) == ["NoneType", "quarantined-already"]
    assert await logged(town) == [("battery.quarantine", "done")]
    for _ in range(2):
        await at_once(
            gate,
            LOG,
            put(town, "li"),
            other.quarantines.lift("P2", "operator:zhang", "measured", T0_MS),
        )
        last = (await logged(town))[-1][0]
        held = [each.serial for each in await town.quarantines.all()]
        assert held == (["P2"] if last == "battery.quarantine" else [])


# --- accounts -----------------------------------------------------------------------------------


async def two_admins(stores: Stores) -> None:
    rows = StaffStore(stores.database)
    for name in ("li", "zhang"):
        await rows.add(Account(f"id-{name}", name, Role.ADMIN), "li", T0_MS)
        await rows.set_password(f"id-{name}", "hash", T0_MS)
    assert await rows.admins() == 2


async def test_of_two_admins_who_end_each_other_one_stays(
    town: Stores, other: Stores, gate: Database
) -> None:
    await two_admins(town)
    first, second = StaffStore(town.database), StaffStore(other.database)
    outcomes = await at_once(
        gate,
        LOG,
        first.switch("zhang", off=True, by="li", now_ms=T0_MS),
        second.switch("li", off=True, by="zhang", now_ms=T0_MS),
    )
    assert names(outcomes) == ["Account", "last-admin"]
    assert await first.admins() == 1
    for name in ("li", "zhang"):
        await first.switch(name, off=False, by="li", now_ms=T0_MS)
    outcomes = await at_once(
        gate,
        LOG,
        first.switch("zhang", off=True, by="li", now_ms=T0_MS),
        second.change("li", Role.VIEWER, EVERYWHERE, "zhang", T0_MS),
    )
    assert names(outcomes) == ["Account", "last-admin"]
    assert await first.admins() == 1


async def test_a_one_time_link_lets_one_in(town: Stores, other: Stores, gate: Database) -> None:
    await StaffStore(town.database).put_link("hash", LinkFor.FIRST, None, T0_MS + 1)
    outcomes = await at_once(
        gate,
        select(staff_link.c.token_hash).with_for_update(),
        StaffStore(town.database).take_link("hash", T0_MS),
        StaffStore(other.database).take_link("hash", T0_MS),
    )
    assert names(outcomes) == ["NoneType", "tuple"]


# --- cabinets -----------------------------------------------------------------------------------


async def test_an_enrolment_token_is_redeemed_once(
    town: Stores, other: Stores, gate: Database
) -> None:
    await town.enrolments.add_token(token(), T0_MS)
    outcomes = await at_once(gate, AT_A, redeem(town, token()), redeem(other, token()))
    assert names(outcomes) == ["Enrolled", "token-used"]
    (held,) = await town.enrolments.certificates(A)
    epoch = next(each.epoch for each in outcomes if isinstance(each, Enrolled))
    assert (held.epoch, held.revoked) == (epoch, False)


async def test_of_two_tokens_made_at_once_one_is_good(
    town: Stores, other: Stores, gate: Database
) -> None:
    both = token("aaaaaaaaaaaa"), token("bbbbbbbbbbbb")
    await at_once(
        gate,
        LOG,
        town.enrolments.add_token(both[0], T0_MS),
        other.enrolments.add_token(both[1], T0_MS),
    )
    async with town.database.read() as connection:
        count = select(func.count()).select_from(t.enrol_token)
        assert (await connection.execute(count)).scalar_one() == 1


async def test_changes_of_the_registers_are_counted_one_by_one(
    town: Stores, other: Stores, gate: Database
) -> None:
    """Two that raised a revision to the same number would be one to a fleetd that watches it."""
    before, _ = await town.meta.revisions()
    await at_once(
        gate,
        LOG,
        town.enrolments.disable(A, T0_MS),
        other.enrolments.disable(B, T0_MS),
    )
    after, _ = await town.meta.revisions()
    assert after - before == 2


async def test_a_new_ledger_has_one_incarnation(
    town: Stores, other: Stores, gate: Database
) -> None:
    got = await at_once(gate, FACTS, town.meta.incarnation("one"), other.meta.incarnation("two"))
    assert len(set(got)) == 1
    assert await town.meta.incarnation("three") == got[0]


async def test_the_same_reports_are_taken_in_once(
    town: Stores, other: Stores, gate: Database
) -> None:
    reporter = Reporter(A)
    arrivals = [reporter.arrival(event) for event in reporter.swap_events("S1", "P1", "P2")]
    mark = select(t.watermark.c.seq).where(t.watermark.c.cabinet == A).with_for_update()
    outcomes = await at_once(
        gate,
        mark,
        town.events.commit(arrivals, T0_MS),
        other.events.commit(arrivals, T0_MS),
    )
    assert [each.acks for each in outcomes] == [{A: Watermark(1, len(arrivals))}] * 2
    counts = [each.counts for each in outcomes]
    assert sorted(count.get(Verdict.ACCEPT, 0) for count in counts) == [0, len(arrivals)]
    view = await town.swaps.view("S1")
    assert [move.serial for move in view.movements] == ["P1", "P2"]
    assert await town.audit.audit() == []


# --- templates and roll-outs --------------------------------------------------------------------


async def test_versions_of_a_template_are_given_once(
    town: Stores, other: Stores, gate: Database
) -> None:
    def template(soc_pct: int) -> Template:
        return Template(
            model="yz12",
            breaker_w=3_000,
            settings={"target_soc_pct": soc_pct},
            actor="operator:li",
        )

    for last in (2, 4):  # of a new model, and of a known one
        outcomes = await at_once(
            gate,
            LOG,
            town.rollouts.keep_template(template(80 + last), T0_MS),
            other.rollouts.keep_template(template(81 + last), T0_MS),
        )
        assert sorted(each.version for each in outcomes) == [last - 1, last]
        newest = max(outcomes, key=lambda each: each.version)
        assert await town.rollouts.template("yz12") == newest


async def test_one_rollout_of_a_model_is_begun(town: Stores, other: Stores, gate: Database) -> None:
    first, second = (Planning(stores.rollouts, ManualClock()) for stores in (town, other))
    await first.keep_template(
        model="yz12", breaker_w=3_000, settings={"target_soc_pct": 90}, name="li", cabinets=[A]
    )
    outcomes = await at_once(
        gate,
        LOG,
        *(each.plan(model="yz12", name="li", reason="summer targets") for each in (first, second)),
    )
    assert names(outcomes) == ["Rollout", "rollout-open"]
    assert len(await town.rollouts.all()) == 1


# --- power plans --------------------------------------------------------------------------------


def plans(version: int, power_w: int) -> list[DesiredPlan]:
    return [
        DesiredPlan(
            cabinet=cabinet,
            version=version,
            valid_from_ms=T0_MS,
            valid_until_ms=T0_MS + 900_000,
            step_s=900,
            power_w=(power_w,),
        )
        for cabinet in (A, B)
    ]


async def test_a_plans_version_is_given_once_and_never_goes_back(
    town: Stores, other: Stores, gate: Database
) -> None:
    clock = ManualClock()
    first, second = (
        HeldPlans(each.cabinets, each.rollouts, lambda _: None, clock) for each in (town, other)
    )
    outcomes = await at_once(gate, AT_A, first.keep(plans(7, 700)), second.keep(plans(7, 800)))
    assert names(outcomes) == ["NoneType", "plan-overtaken"]
    stored = [decode(doc.encode(), DesiredPlan) for doc in (await town.cabinets.plans()).values()]
    assert stored in (plans(7, 700), plans(7, 800)), "all of one planner's"
    loser = second if isinstance(outcomes[1], RefusedError) else first
    assert loser.version == 7, "its next one is above"
    assert loser.site(A).held == (next(each for each in stored if each.cabinet == A),)
    await loser.keep(plans(8, 900))
    with pytest.raises(RefusedError):
        await (first if loser is second else second).keep(plans(7, 100))
    stored = [decode(doc.encode(), DesiredPlan) for doc in (await town.cabinets.plans()).values()]
    assert stored == plans(8, 900)
