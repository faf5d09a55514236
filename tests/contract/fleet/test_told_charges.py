"""What is billed of what cabinets did while the fleet was away: once, by the plan of the time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from fleet.core.offline import OVER_QUOTA, UNBILLED, UNKNOWN_RIDER, number_name
from fleet.core.partners import Partner
from fleet.core.plans import DAY_MS, Plan, Subscription
from fleet.core.records import NewSwap
from fleet.core.sockets import ENDED, NewSession, SessionFacts
from fleet.core.stations import StationRecord
from fleet.errors import InvalidError, RefusedError
from fleet.runtime.webhooks import SIGNATURE, Webhooks
from fleet.store.tables_accounts import charge, partner
from fleet.stores import Stores
from protocols.messages import Event, Kind, Step
from protocols.offline import rider_number
from protocols.sockets import SocketBody, SocketStep
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, ManualClock, Reporter
from tests.support.partners import Platform

LATER_MS = T0_MS + 3_600_000
SINGLE = Plan("single", "单次", "Single", "swap", 350)
MONTHLY = Plan("monthly-1", "月卡", "Monthly", "period", 9_900, quota=1, quota_wh=800)
STRANGE = rider_number(7_654_321)


async def commit(stores: Stores, reporter: Reporter, events: Iterable[Event]) -> None:
    arrivals = [reporter.arrival(each) for each in events]
    outcome = await stores.events.commit(arrivals, LATER_MS)
    assert outcome.poison == 0


async def charges(stores: Stores) -> list[tuple[str, int, str]]:
    rows = await stores.plans.charges(charge.c.rider.is_not(None), 99)
    return sorted((row.swap_id, row.amount_minor, row.state) for row in rows)


async def give(
    stores: Stores, plan: Plan, from_ms: int = T0_MS, until_ms: int | None = None
) -> None:
    await stores.plans.add(plan, T0_MS)
    await stores.plans.subscribe(
        Subscription(f"sub-{plan.id}", "R1", plan.id, None, from_ms, until_ms)
    )


async def name_of(stores: Stores) -> str:
    view = await stores.riders.get("R1")
    assert view is not None
    return number_name(view.number)


# --- swaps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 99])
async def test_a_swap_by_code_is_billed_once_however_often_it_is_told(
    town: Stores, size: int
) -> None:
    await give(town, SINGLE)
    a = Reporter(A)
    events = a.swap_events("off-1", "P1", "P2", rider=await name_of(town), authority="code")
    for start in range(0, len(events), size):
        await commit(town, a, events[start : start + size])
        await commit(town, a, events[start : start + size])
    await commit(town, a, events)
    assert await charges(town) == [("off-1", 350, "charged")]
    assert (await town.swaps.view("off-1")).flags == ()


async def test_a_new_journal_that_tells_it_again_bills_nothing_more(town: Stores) -> None:
    await give(town, SINGLE)
    a = Reporter(A)
    who = await name_of(town)
    await commit(town, a, a.swap_events("off-1", "P1", "P2", rider=who, authority="code"))
    again = Reporter(A, epoch=2)
    await commit(town, again, again.swap_events("off-1", "P1", "P2", rider=who, authority="code"))
    assert await charges(town) == [("off-1", 350, "charged")]


async def test_what_handed_nothing_out_is_void_and_a_return_costs_nothing(town: Stores) -> None:
    await give(town, SINGLE)
    a, who = Reporter(A), await name_of(town)
    await commit(
        town,
        a,
        [
            a.step("off-1", Step.RESERVED, rider=who, authority="code"),
            a.step("off-1", Step.CANCELLED, rider=who, authority="code", reason="rider"),
            a.step("off-2", Step.RESERVED, rider=who, authority="code", kind=Kind.RETURN),
        ],
    )
    assert await charges(town) == [("off-1", 350, "void")]


async def test_the_plan_of_the_time_counts_not_that_of_the_telling(town: Stores) -> None:
    """The subscription has ended when the cabinet is heard of again."""
    await give(town, SINGLE, until_ms=T0_MS + 60_000)
    a = Reporter(A)
    who = await name_of(town)
    await commit(town, a, a.swap_events("off-1", "P1", "P2", rider=who, authority="code"))
    late = Reporter(B, wall_ms=T0_MS + 120_000)
    await commit(town, late, late.swap_events("off-2", "P2", "P3", rider=who, authority="code"))
    assert await charges(town) == [("off-1", 350, "charged")]
    assert (await town.swaps.view("off-1")).flags == ()
    assert (await town.swaps.view("off-2")).flags == (UNBILLED,)


async def test_beyond_the_quota_it_is_flagged_and_only_what_is_beyond(town: Stores) -> None:
    await give(town, MONTHLY)
    a = Reporter(A)
    who = await name_of(town)
    events = a.swap_events("off-1", "P1", "P2", rider=who, authority="code")
    events += a.swap_events("off-2", "P2", "P3", rider=who, slot_in=2, slot_out=3, authority="code")
    await commit(town, a, events)
    assert (await town.swaps.view("off-1")).flags == ()
    assert (await town.swaps.view("off-2")).flags == (OVER_QUOTA,)
    assert await charges(town) == [("off-1", 0, "charged"), ("off-2", 0, "charged")]
    view = await town.plans.of_rider("R1", LATER_MS)
    assert view is not None
    assert (view.used, view.left, view.refusal) == (2, 0, "quota-exhausted")


async def test_one_that_handed_nothing_out_hides_none_that_went_beyond_the_quota(
    town: Stores,
) -> None:
    """All of it is told at once: the second swap is one too many, the third came to nothing."""
    await give(town, MONTHLY)
    a = Reporter(A)
    who = await name_of(town)
    await commit(town, a, a.swap_events("off-1", "P1", "P2", rider=who, authority="code"))
    events = a.swap_events("off-2", "P2", "P3", rider=who, slot_in=2, slot_out=3, authority="code")
    a.wall_ms += 60_000
    events += [
        a.step("off-3", Step.RESERVED, rider=who, authority="code"),
        a.step("off-3", Step.CANCELLED, rider=who, authority="code", reason="rider"),
    ]
    await commit(town, a, events)
    assert (await town.swaps.view("off-2")).flags == (OVER_QUOTA,)
    assert (await town.swaps.view("off-3")).flags == ()
    charged = [("off-1", 0, "charged"), ("off-2", 0, "charged"), ("off-3", 0, "void")]
    assert await charges(town) == charged


async def test_under_a_strange_number_nobody_is_billed_until_it_is_claimed(town: Stores) -> None:
    await give(town, SINGLE)
    a = Reporter(A)
    done = a.swap_events("off-1", "P50", "P2", rider=number_name(STRANGE), authority="code")
    await commit(town, a, done)
    assert await charges(town) == []
    assert (await town.swaps.view("off-1")).flags == (UNKNOWN_RIDER,)
    await town.riders.set_number("R1", STRANGE, "cli:t", LATER_MS)
    await town.riders.set_number("R1", STRANGE, "cli:t", LATER_MS)
    assert await charges(town) == [("off-1", 350, "charged")]
    assert (await town.swaps.view("off-1")).flags == ()


async def test_a_swap_that_an_older_copy_of_the_store_forgot_is_billed_again_once(
    town: Stores,
) -> None:
    """The row of an ordered swap is gone with the copy; its cabinet tells it from the start."""
    await give(town, SINGLE)
    a = Reporter(A)
    await commit(town, a, a.swap_events("S1", "P1", "P2"))
    assert await charges(town) == [("S1", 350, "charged")]
    assert (await town.swaps.view("S1")).flags == ()


# --- sockets ------------------------------------------------------------------------------------


def charging(step: SocketStep, energy_wh: int = 0, session: str = "E1") -> SocketBody:
    reason = "stopped" if step is SocketStep.ENDED else None
    return SocketBody(
        socket=1,
        step=step,
        session=session,
        rider_id="R1",
        energy_wh=energy_wh,
        duration_s=3_600,
        reason=reason,
    )


async def ask(  # noqa: PLR0917 - the fields of one wish
    stores: Stores,
    number: int,
    limit_wh: int = 500,
    now_ms: int = T0_MS,
    rider: str = "R1",
    socket: int = 1,
) -> int:
    """A session begun by the rider; what it may take at most."""
    new = NewSession(
        f"E{number}", A, socket, rider, f"key-{number}", limit_wh, 7_200, now_ms, now_ms + 20_000
    )

    def decide(facts: SessionFacts) -> str | None:
        return facts.no_plan

    command = await stores.sockets.begin(new, decide)
    assert not isinstance(command, str)
    told = (await stores.sockets.get(new.id)).limit_wh
    assert command.args["limit_wh"] == told, "the cabinet ends it there"
    return told


async def tell(stores: Stores, reporter: Reporter, *bodies: SocketBody) -> None:
    await commit(stores, reporter, [reporter.event("socket.step", each) for each in bodies])


@pytest.fixture
async def area(town: Stores) -> Stores:
    """The first cabinet has a station that asks 1.20 for a kilowatt-hour."""
    record = StationRecord(
        id="DRUM", name="鼓楼", address="", hours="", price_kwh_minor=120, price_hour_minor=20
    )
    await town.stations.put(record, T0_MS)
    await town.stations.place(A, "DRUM")
    return town


async def test_a_session_that_went_on_without_a_network_is_billed_once(area: Stores) -> None:
    """All its events come at once, then again from a new journal that counted on."""
    await ask(area, 1)
    a = Reporter(A)
    events = [
        a.event("socket.step", each)
        for each in (
            charging(SocketStep.STARTED),
            charging(SocketStep.RUNNING, 200),
            charging(SocketStep.ENDED, 400),
        )
    ]
    await commit(area, a, events)
    await commit(area, a, events)
    first = await area.sockets.get("E1")
    assert (first.state, first.energy_wh, first.amount_minor) == (ENDED, 400, 68)
    again = Reporter(A, epoch=2)
    await tell(area, again, charging(SocketStep.RUNNING, 450), charging(SocketStep.ENDED, 450))
    assert await area.sockets.get("E1") == first
    assert len(await area.sockets.of_rider("R1", 9)) == 1


async def test_a_plan_with_energy_has_it_and_no_more(area: Stores) -> None:
    await give(area, MONTHLY)
    a = Reporter(A)
    assert await ask(area, 1, 500) == 500
    view = await area.plans.of_rider("R1", T0_MS + 1)
    assert view is not None
    assert (view.left_wh, view.socket_refusal) == (300, None), "one under way counts in full"
    await tell(area, a, charging(SocketStep.STARTED), charging(SocketStep.ENDED, 450))
    session = await area.sockets.get("E1")
    assert (session.amount_minor, session.included, session.plan) == (0, True, "monthly-1")
    assert await ask(area, 2, 500) == 350, "what is left of 800"
    await tell(
        area,
        a,
        charging(SocketStep.STARTED, session="E2"),
        charging(SocketStep.ENDED, 350, session="E2"),
    )
    with pytest.raises(RefusedError) as used_up:
        await ask(area, 3)
    assert used_up.value.code == "socket-quota"
    view = await area.plans.of_rider("R1", T0_MS + 1)
    assert view is not None
    assert (view.left_wh, view.socket_refusal, view.refusal) == (0, "socket-quota", None)
    assert await ask(area, 4, 500, now_ms=T0_MS + 30 * DAY_MS) == 500, "a new period"


async def platform_of(stores: Stores, *riders: str, quota_day: int) -> None:
    """A platform that pays for so much in a day, and riders of it."""
    await stores.plans.add(SINGLE, T0_MS)
    who = Partner("meituan", "美团", Platform().public_key, "single", quota_day=quota_day)
    await stores.partners.add(who, "h" * 64, T0_MS)
    for rider in riders:
        if await stores.riders.get(rider) is None:
            await stores.riders.add(rider, f"hash-{rider}", "8000", T0_MS)
        await stores.partners.bind(who, f"courier-{rider}", rider, f"sub-{rider}", T0_MS)


async def used_day(stores: Stores, now_ms: int = T0_MS) -> int:
    (view,) = await stores.partners.all(now_ms)
    return view.used_day


async def test_a_session_is_of_the_platforms_quota_like_a_swap(area: Stores) -> None:
    await platform_of(area, "R1", "R9", quota_day=1)
    await ask(area, 1)
    assert await used_day(area) == 1
    with pytest.raises(RefusedError) as no_session:
        await ask(area, 2, rider="R9", socket=2)
    with pytest.raises(RefusedError) as no_swap:
        await area.swaps.begin(
            NewSwap("S9", "start-S9", A, "R9", Kind.PICKUP, "k9", T0_MS, T0_MS + 20_000),
            lambda facts: facts.plan_refusal,
        )
    assert (no_session.value.code, no_swap.value.code) == ("partner-quota", "partner-quota")
    waiting = await area.commands.waiting()
    assert [each.type for each in waiting] == ["socket.start"], "one outlet, no door"
    view = await area.plans.of_rider("R9", T0_MS)
    assert view is not None
    assert (view.refusal, view.socket_refusal) == ("partner-quota", "partner-quota")


async def test_a_session_that_gave_nothing_is_void_and_one_that_gave_counts_for_a_day(
    area: Stores,
) -> None:
    await platform_of(area, "R1", quota_day=1)
    await ask(area, 1)
    a = Reporter(A)
    ended = SocketBody(
        socket=1, step=SocketStep.ENDED, session="E1", rider_id="R1", reason="no-load"
    )
    await tell(area, a, ended)
    assert await used_day(area) == 0
    await ask(area, 2)
    await tell(area, a, charging(SocketStep.ENDED, 400, session="E2"))
    assert await used_day(area) == 1
    with pytest.raises(RefusedError):
        await ask(area, 3, now_ms=T0_MS + DAY_MS)
    assert await ask(area, 4, now_ms=T0_MS + DAY_MS + 1) == 500


async def test_of_a_swap_and_sessions_at_once_one_gets_what_is_left_of_the_day(
    area: Stores,
) -> None:
    riders = [f"R{number}" for number in range(11, 17)]
    await platform_of(area, "R1", *riders, quota_day=1)

    async def swap() -> None:
        await area.swaps.begin(
            NewSwap("S1", "start-S1", B, "R1", Kind.PICKUP, "k1", T0_MS, T0_MS + 20_000),
            lambda facts: facts.plan_refusal,
        )

    sessions = [ask(area, n, rider=who, socket=n) for n, who in enumerate(riders, start=1)]
    outcomes = await asyncio.gather(*sessions, swap(), return_exceptions=True)
    refused = [each.code for each in outcomes if isinstance(each, RefusedError)]
    assert refused == ["partner-quota"] * len(riders)
    assert len(await area.commands.waiting()) == 1


async def test_a_session_nobody_knew_of_is_billed_by_the_riders_plan(area: Stores) -> None:
    await give(area, MONTHLY)
    await tell(area, Reporter(A), charging(SocketStep.ENDED, 100))
    session = await area.sockets.get("E1")
    assert (session.included, session.amount_minor, session.energy_wh) == (True, 0, 100)


async def test_what_a_session_nobody_knew_of_takes_counts_while_it_runs(area: Stores) -> None:
    await give(area, MONTHLY)
    await tell(area, Reporter(A), charging(SocketStep.RUNNING, 300))
    view = await area.plans.of_rider("R1", LATER_MS)
    assert view is not None
    assert view.left_wh == 500


async def test_energy_that_is_no_energy_is_refused(town: Stores) -> None:
    for wrong in (0, 9, 10_000_001):
        with pytest.raises(InvalidError, match="quota_wh"):
            await town.plans.add(Plan("p", "套", "P", "swap", 1, quota_wh=wrong), T0_MS)


async def test_what_sockets_took_is_told_by_cabinet_and_interval(area: Stores) -> None:
    """For the forecast: by the interval in which sessions began."""
    a = Reporter(A)
    for number, energy_wh in ((1, 400), (2, 200)):
        await ask(area, number, now_ms=T0_MS + number)
        session = f"E{number}"
        await tell(
            area,
            a,
            charging(SocketStep.STARTED, session=session),
            charging(SocketStep.ENDED, energy_wh, session=session),
        )
    rows = await area.sockets.drawn_by_interval(T0_MS - 900_000, T0_MS + 900_000, 900_000)
    assert rows == [(A, 1, 600, 3_600.0)]
    assert await area.sockets.drawn_by_interval(T0_MS + 900_000, T0_MS + 1_800_000, 900_000) == []


async def test_a_partner_sees_the_sessions_of_its_own_riders_only(area: Stores) -> None:
    await area.plans.add(MONTHLY, T0_MS)
    who = Partner("meituan", "美团", Platform().public_key, "monthly-1")
    await area.partners.add(who, "t" * 64, T0_MS)
    await area.partners.bind(who, "courier-7", "R1", "sub-1", T0_MS)
    await ask(area, 1, now_ms=T0_MS + 1)
    await tell(area, Reporter(A), charging(SocketStep.ENDED, 400))
    (told,) = await area.partners.sessions("meituan", 0, 9)
    assert (told.session_id, told.subject, told.energy_wh) == ("E1", "courier-7", 400)
    assert (told.included, told.amount_minor, told.plan_id) == (True, 0, "monthly-1")
    assert await area.partners.sessions("other", 0, 9) == []
    assert await area.partners.sessions("meituan", T0_MS + 2, 9) == []


async def test_a_partner_is_told_of_a_session_once_it_has_ended(area: Stores) -> None:
    await platform_of(area, "R1", quota_day=9)
    await hook(area, "meituan", "https://one.example/hook")
    heard: list[tuple[str, dict[str, Any]]] = []

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        assert SIGNATURE in headers
        heard.append((url, json.loads(body)))
        return None if len(heard) == 1 else 200

    clock = ManualClock()
    hooks = Webhooks(rows=area.partners, post=post, key=b"k" * 32, clock=clock)
    await ask(area, 1)
    a = Reporter(A)
    await tell(area, a, charging(SocketStep.STARTED))
    assert await hooks.turn() == 0, "it is under way"
    await tell(area, a, charging(SocketStep.ENDED, 400))
    assert [await hooks.turn(), await hooks.turn()] == [1, 0]
    clock.move(5_000)
    assert [await hooks.turn(), await hooks.turn()] == [1, 0]
    assert [url for url, _ in heard] == ["https://one.example/hook"] * 2
    told = heard[-1][1]
    assert told["type"] == "session.settled"
    session = told["session"]
    assert (session["session_id"], session["subject"]) == ("E1", "courier-R1")
    assert (session["energy_wh"], session["amount_minor"]) == (400, 68)


async def test_a_partner_that_does_not_listen_keeps_the_others_waiting_for_nothing(
    area: Stores,
) -> None:
    await platform_of(area, "R1", quota_day=99)
    other = Partner("taobao", "淘宝", Platform().public_key, "single")
    await area.partners.add(other, "o" * 64, T0_MS)
    await area.riders.add("R9", "hash-R9", "8000", T0_MS)
    await area.partners.bind(other, "t-1", "R9", "sub-R9", T0_MS)
    for name in ("meituan", "taobao"):
        await hook(area, name, f"https://{name}.example/hook")
    a = Reporter(A)
    for number in range(1, 5):
        await ask(area, number)
        await tell(area, a, charging(SocketStep.ENDED, 10, session=f"E{number}"))
    await ask(area, 99, rider="R9", socket=2)
    ended = charging(SocketStep.ENDED, 10, session="E99")
    await tell(area, a, msgspec.structs.replace(ended, rider_id="R9", socket=2))
    heard: list[str] = []

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        heard.append(url)
        return None if "meituan" in url else 200

    hooks = Webhooks(rows=area.partners, post=post, key=b"k" * 32, clock=ManualClock())
    assert await hooks.turn() == 2
    assert sorted(heard) == ["https://meituan.example/hook", "https://taobao.example/hook"]


async def hook(stores: Stores, name: str, url: str) -> None:
    """Where a partner wants to be told."""
    async with stores.database.write() as connection:
        change = update(partner).where(partner.c.id == name).values(webhook_url=url)
        await connection.execute(change)
