"""Plans, quotas, partners and a rider's own data over real databases."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from sqlalchemy import update

from fleet.core.commands import QueuedCommand, verdict_on
from fleet.core.partners import LinkError, Partner
from fleet.core.plans import DAY_MS, Plan, Subscription
from fleet.core.records import NewSwap
from fleet.core.swaps import CabinetFacts, LedgerFacts, refuse
from fleet.errors import DeniedError, InvalidError, NotFoundError, RefusedError
from fleet.ports import Entered
from fleet.runtime.membership import MembershipService, fresh_token, token_hash, webhook_secret
from fleet.runtime.webhooks import SIGNATURE, Webhooks
from fleet.store.hand_over import told_of
from fleet.store.tables_accounts import partner
from fleet.stores import Stores
from protocols.messages import Kind, Step
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, ManualClock, Reporter
from tests.support.partners import Platform

KEY = b"k" * 32
GOOD = CabinetFacts(online=True, age_ms=0, full=2, empty=2)
MONTHLY = Plan("monthly-2", "月卡两次", "Monthly 2", "period", 9_900, quota=2, days=30)
SINGLE = Plan("single", "单次", "Single", "swap", 350)


def wish(number: int, kind: Kind = Kind.SWAP, *, rider: str = "R1", now_ms: int = T0_MS) -> NewSwap:
    swap = f"S{number}"
    return NewSwap(swap, f"start-{swap}", A, rider, kind, f"k{number}", now_ms, now_ms + 20_000)


async def begin(stores: Stores, number: int, kind: Kind = Kind.SWAP, **values: object) -> str:
    """``ok``, or why not."""

    def decide(facts: LedgerFacts) -> str | None:
        return refuse(kind, GOOD, facts)

    try:
        await stores.swaps.begin(wish(number, kind, **values), decide)  # type: ignore[arg-type]
    except RefusedError as error:
        return error.code
    return "ok"


async def report(stores: Stores, *events: object) -> None:
    await stores.events.commit([REPORTER.arrival(event) for event in events], T0_MS)  # type: ignore[arg-type]


REPORTER = Reporter(A)


@pytest.fixture(autouse=True)
def reporter() -> None:
    REPORTER.seq = 0
    REPORTER.sent.clear()


async def give(
    stores: Stores, plan: str, *, rider: str = "R1", until_ms: int | None = None
) -> None:
    await stores.plans.subscribe(
        Subscription(f"sub-{plan}-{until_ms}", rider, plan, None, T0_MS, until_ms)
    )


async def test_without_plans_all_is_free(town: Stores) -> None:
    assert await begin(town, 1) == "ok"
    assert await town.plans.of_rider("R1", T0_MS) is None
    assert await town.plans.charge_of("S1") is None


async def test_once_plans_are_sold_who_has_none_gets_no_door(town: Stores) -> None:
    await town.plans.add(SINGLE, T0_MS)
    assert await begin(town, 1) == "no-plan"
    assert await town.commands.waiting() == []
    assert await begin(town, 2, Kind.RETURN) == "ok", "what was lent can always be given back"


async def test_a_default_plan_is_for_everybody(town: Stores) -> None:
    await town.plans.add(SINGLE, T0_MS)
    await town.plans.make_default("single")
    assert await begin(town, 1) == "ok"
    charge = await town.plans.charge_of("S1")
    assert charge is not None
    assert (charge.amount_minor, charge.state, charge.name_en) == (350, "open", "Single")
    with pytest.raises(NotFoundError):
        await town.plans.make_default("no-such")


async def test_a_quota_counts_packs_handed_out_and_those_under_way(town: Stores) -> None:
    await town.plans.add(MONTHLY, T0_MS)
    await give(town, "monthly-2")
    assert await begin(town, 1) == "ok"
    view = await town.plans.of_rider("R1", T0_MS)
    assert view is not None
    assert (view.used, view.left, view.refusal) == (1, 1, None)
    await report(town, *REPORTER.swap_events("S1", "P1", "P2"))
    charge = await town.plans.charge_of("S1")
    assert charge is not None
    assert charge.state == "charged"
    assert await begin(town, 2) == "ok"
    await report(town, *REPORTER.swap_events("S2", "P2", "P3", slot_in=2, slot_out=3))
    assert await begin(town, 3) == "quota-exhausted"
    assert await begin(town, 4, now_ms=T0_MS + 30 * DAY_MS) == "ok", "a new period"


async def test_what_handed_nothing_out_is_void_by_itself(town: Stores) -> None:
    await town.plans.add(MONTHLY, T0_MS)
    await give(town, "monthly-2")
    for number in range(1, 6):
        assert await begin(town, number) == "ok"
        await report(
            town,
            REPORTER.step(f"S{number}", Step.RESERVED),
            REPORTER.step(f"S{number}", Step.FAULTED, reason="door-stuck"),
        )
        charge = await town.plans.charge_of(f"S{number}")
        assert charge is not None
        assert charge.state == "void"
    view = await town.plans.of_rider("R1", T0_MS)
    assert view is not None
    assert view.used == 0


async def test_who_is_owed_a_pack_gets_it_whatever_became_of_the_plan(town: Stores) -> None:
    await town.plans.add(MONTHLY, T0_MS)
    await give(town, "monthly-2")
    assert await begin(town, 1) == "ok"
    await report(
        town,
        REPORTER.step("S1", Step.VERIFYING, slot_in=1, slot_out=2),
        REPORTER.battery("in", "P1", 1, swap="S1", rider="R1"),
        REPORTER.step("S1", Step.FAULTED, reason="door-stuck", slot_in=1, slot_out=2),
    )
    await give(town, "monthly-2", until_ms=T0_MS + 1)
    assert await begin(town, 2, now_ms=T0_MS + 10) == "no-battery", "not for its plan"
    assert await begin(town, 3, Kind.PICKUP, now_ms=T0_MS + 10) == "ok"
    await report(town, REPORTER.step("S3", Step.CANCELLED, kind=Kind.PICKUP, reason="rider"))


async def test_a_plan_that_ended_and_one_that_was_sold_twice(town: Stores) -> None:
    await town.plans.add(MONTHLY, T0_MS)
    with pytest.raises(InvalidError):
        await town.plans.add(MONTHLY, T0_MS)
    await give(town, "monthly-2", until_ms=T0_MS + DAY_MS)
    assert await begin(town, 1, now_ms=T0_MS + DAY_MS) == "plan-ended"
    with pytest.raises(NotFoundError):
        await give(town, "no-such")
    with pytest.raises(NotFoundError):
        await give(town, "monthly-2", rider="nobody")


# --- partners -----------------------------------------------------------------------------------


class Site:
    """A membership service, a partner with a platform behind it, and its API token."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.clock = ManualClock()
        self.platform = Platform()
        self.token = fresh_token()
        self.service = MembershipService(
            plans=stores.plans,
            partners=stores.partners,
            privacy=stores.privacy,
            riders=stores.riders,
            key=KEY,
            audience=self.platform.audience,
            clock=self.clock,
        )

    async def open(self, **values: object) -> None:
        await self.stores.plans.add(SINGLE, T0_MS)
        partner = Partner("meituan", "美团", self.platform.public_key, "single", **values)  # type: ignore[arg-type]
        await self.stores.partners.add(partner, token_hash(self.token), T0_MS)

    async def enter(self, subject: str = "courier-7") -> Entered:
        link = self.platform.link(self.clock.wall // 1_000, subject=subject)
        return await self.service.enter(link)


@pytest.fixture
def site(town: Stores) -> Site:
    return Site(town)


async def test_a_link_works_once_and_makes_one_account_with_the_partners_plan(site: Site) -> None:
    await site.open(colour="#ffd000")
    link = site.platform.link(T0_MS // 1_000)
    entered = await site.service.enter(link)
    assert (entered.partner_name, entered.colour) == ("美团", "#ffd000")
    with pytest.raises(LinkError) as again:
        await site.service.enter(link)
    assert again.value.code == "link-used"
    assert (await site.enter()).rider_id == entered.rider_id
    assert (await site.enter("courier-8")).rider_id != entered.rider_id
    plan = await site.service.plan_of(entered.rider_id)
    assert plan is not None
    assert (plan.id, plan.partner, plan.refusal) == ("single", "美团", None)


async def test_of_many_at_once_with_one_link_one_gets_in(site: Site) -> None:
    await site.open()
    link = site.platform.link(T0_MS // 1_000)
    outcomes = await asyncio.gather(
        *(site.service.enter(link) for _ in range(8)), return_exceptions=True
    )
    assert sum(isinstance(each, Entered) for each in outcomes) == 1
    assert {each.code for each in outcomes if isinstance(each, LinkError)} == {"link-used"}


async def test_forged_expired_unknown_and_switched_off_are_refused(site: Site) -> None:
    await site.open()
    now_s = T0_MS // 1_000
    for link, code in (
        (Platform().link(now_s), "link-forged"),
        (site.platform.link(now_s - 61), "link-expired"),
        (Platform(id="nobody").link(now_s), "link-forged"),
        ("rubbish", "link-forged"),
    ):
        with pytest.raises(LinkError) as refused:
            await site.service.enter(link)
        assert refused.value.code == code
    await site.stores.partners.switch("meituan", off=True)
    with pytest.raises(LinkError) as off:
        await site.enter()
    assert off.value.code == "partner-off"


async def test_a_platforms_quota_is_for_all_its_riders(site: Site) -> None:
    await site.open(quota_day=1)
    one, two = (await site.enter("a")).rider_id, (await site.enter("b")).rider_id
    assert await begin(site.stores, 1, Kind.PICKUP, rider=one) == "ok"
    assert await begin(site.stores, 2, Kind.PICKUP, rider=two) == "partner-quota"
    assert len(await site.stores.commands.waiting()) == 1, "and no order for a door"
    view = await site.service.partner_by_token(site.token)
    assert (view.used_day, view.quota_day) == (1, 1)
    await report(site.stores, REPORTER.step("S1", Step.FAULTED, kind=Kind.PICKUP, rider=one))
    assert await begin(site.stores, 3, Kind.PICKUP, rider=two) == "ok", "the other was void"


async def test_of_two_riders_at_once_one_gets_the_platforms_last_swap(site: Site) -> None:
    await site.open(quota_day=1)
    riders = [(await site.enter(name)).rider_id for name in ("a", "b")]

    async def at(cabinet: str, rider: str, number: int) -> str:
        new = replace(wish(number, Kind.PICKUP, rider=rider), cabinet=cabinet)
        try:
            await site.stores.swaps.begin(new, lambda facts: refuse(Kind.PICKUP, GOOD, facts))
        except RefusedError as error:
            return error.code
        return "ok"

    outcomes = await asyncio.gather(at(A, riders[0], 1), at(B, riders[1], 2))
    assert sorted(outcomes) == ["ok", "partner-quota"]


async def test_a_partner_ends_and_renews_the_plan_of_its_riders_only(site: Site) -> None:
    await site.open()
    rider = (await site.enter()).rider_id
    partner = await site.service.partner_by_token(site.token)
    await site.service.set_plan(partner, "courier-7", 0)
    assert await begin(site.stores, 1, Kind.PICKUP, rider=rider) == "plan-ended"
    await site.enter()
    assert await begin(site.stores, 2, Kind.PICKUP, rider=rider) == "plan-ended"
    site.clock.move(1)
    await site.service.set_plan(partner, "courier-7", None)
    assert await begin(site.stores, 3, Kind.PICKUP, rider=rider, now_ms=T0_MS + 5) == "ok"
    with pytest.raises(NotFoundError):
        await site.service.set_plan(partner, "stranger", None)
    for token in ("", "swp_live_wrong", site.token[:-1]):
        with pytest.raises(DeniedError):
            await site.service.partner_by_token(token)


async def test_a_plan_that_its_partner_gives_again_and_again_keeps_its_quota(site: Site) -> None:
    await site.open()
    once = Plan("once", "一次", "Once", "period", 900, quota=1)
    await site.stores.plans.add(once, T0_MS)
    async with site.stores.database.write() as connection:
        await connection.execute(update(partner).values(plan="once"))
    rider = (await site.enter()).rider_id
    assert await begin(site.stores, 1, Kind.PICKUP, rider=rider) == "ok"
    say = {"kind": Kind.PICKUP, "rider": rider, "slot_out": 2}
    out = REPORTER.battery("out", "P2", 2, swap="S1", rider=rider)
    await report(site.stores, out, REPORTER.step("S1", Step.COMPLETED, **say))
    who = await site.service.partner_by_token(site.token)
    for until_ms in (None, T0_MS + 40 * DAY_MS, T0_MS + 40 * DAY_MS, None):
        site.clock.move(60_000)
        await site.service.set_plan(who, "courier-7", until_ms)
        plan = await site.service.plan_of(rider)
        assert plan is not None
        assert (plan.used, plan.left, plan.refusal) == (1, 0, "quota-exhausted")
        assert plan.until_ms == until_ms
    site.clock.move(31 * DAY_MS)
    plan = await site.service.plan_of(rider)
    assert plan is not None
    assert (plan.used, plan.refusal) == (0, None), "a period later"


async def test_a_partner_is_told_signed_until_it_heard(site: Site) -> None:
    await site.open(webhook_url="https://partner.example/hook")
    rider = (await site.enter()).rider_id
    heard: list[tuple[bytes, Mapping[str, str]]] = []
    answers: list[int | None] = [None, 500, 204]

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        assert url == "https://partner.example/hook"
        heard.append((body, headers))
        return answers[len(heard) - 1]

    hooks = Webhooks(rows=site.stores.partners, post=post, key=KEY, clock=site.clock)
    assert await begin(site.stores, 1, Kind.PICKUP, rider=rider) == "ok"
    assert await hooks.turn() == 0, "it is under way"
    await report(site.stores, REPORTER.step("S1", Step.FAULTED, kind=Kind.PICKUP, rider=rider))
    assert [await hooks.turn(), await hooks.turn()] == [1, 0]
    site.clock.move(5_000)
    assert [await hooks.turn(), await hooks.turn()] == [1, 0]
    site.clock.move(30_000)
    assert [await hooks.turn(), await hooks.turn()] == [1, 0]
    site.clock.move(DAY_MS)
    assert await hooks.turn() == 0
    body, headers = heard[-1]
    told = json.loads(body)["swap"]
    assert (told["swap_id"], told["state"], told["subject"]) == ("S1", "void", "courier-7")
    at_s, _, mac = headers[SIGNATURE].removeprefix("t=").partition(",v1=")
    expected = hmac.new(
        webhook_secret(KEY, "meituan").encode(), f"{at_s}.".encode() + body, hashlib.sha256
    )
    assert mac == expected.hexdigest()


async def test_a_partner_hears_that_a_swap_given_up_for_lost_was_one_after_all(site: Site) -> None:
    await site.open(webhook_url="https://partner.example/hook")
    rider = (await site.enter()).rider_id
    heard: list[tuple[str, str]] = []

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        swap = json.loads(body)["swap"]
        heard.append((swap["swap_id"], swap["state"]))
        return 204

    hooks = Webhooks(rows=site.stores.partners, post=post, key=KEY, clock=site.clock)
    new = wish(1, Kind.PICKUP, rider=rider)
    command = await site.stores.swaps.begin(new, lambda _: None)
    assert isinstance(command, QueuedCommand)
    verdict = verdict_on(command, None)
    await site.stores.commands.settle(command, "expired", site.clock.wall_ms(), verdict=verdict)
    assert await hooks.turn() == 1
    say = {"kind": Kind.PICKUP, "rider": rider, "slot_out": 2}
    await report(site.stores, REPORTER.step("S1", Step.RESERVED, **say))
    assert await hooks.turn() == 0, "it is under way"
    out = REPORTER.battery("out", "P2", 2, swap="S1", rider=rider)
    await report(site.stores, out, REPORTER.step("S1", Step.COMPLETED, **say))
    assert [await hooks.turn(), await hooks.turn()] == [1, 0]
    assert heard == [("S1", "void"), ("S1", "charged")]
    await report(site.stores, *REPORTER.sent)  # told once more it is no news
    assert await hooks.turn() == 0


async def test_what_changes_while_a_partner_is_told_is_told_again(site: Site) -> None:
    await site.open(webhook_url="https://partner.example/hook")
    rider = (await site.enter()).rider_id
    command = await site.stores.swaps.begin(wish(1, Kind.PICKUP, rider=rider), lambda _: None)
    assert isinstance(command, QueuedCommand)
    verdict = verdict_on(command, None)
    await site.stores.commands.settle(command, "expired", site.clock.wall_ms(), verdict=verdict)
    heard: list[str] = []

    async def post(url: str, body: bytes, headers: Mapping[str, str]) -> int | None:
        heard.append(json.loads(body)["swap"]["state"])
        if len(heard) == 1:  # its cabinet speaks up between the notice and its answer
            say = {"kind": Kind.PICKUP, "rider": rider, "slot_out": 2}
            told = [
                REPORTER.battery("out", "P2", 2, swap="S1", rider=rider),
                REPORTER.step("S1", Step.COMPLETED, **say),
            ]
            arrivals = [REPORTER.arrival(each) for each in told]
            await site.stores.events.commit(arrivals, T0_MS + 77)
        return 204

    site.clock.move(100)
    hooks = Webhooks(rows=site.stores.partners, post=post, key=KEY, clock=site.clock)
    assert [await hooks.turn(), await hooks.turn(), await hooks.turn()] == [1, 1, 0]
    assert heard == ["void", "charged"]


async def test_a_partner_is_checked_and_named_once(site: Site) -> None:
    await site.open()
    with pytest.raises(InvalidError):
        await site.stores.partners.add(
            Partner("meituan", "美团", site.platform.public_key), "x" * 64, T0_MS
        )
    with pytest.raises(NotFoundError):
        await site.stores.partners.add(
            Partner("other", "别家", site.platform.public_key, "no-such"), "y" * 64, T0_MS
        )
    assert [each.id for each in await site.stores.partners.all(T0_MS)] == ["meituan"]


# --- a rider's own data -------------------------------------------------------------------------


async def test_packs_tell_the_charge_at_the_hand_over(town: Stores) -> None:
    assert await begin(town, 1) == "ok"
    await report(town, *REPORTER.swap_events("S1", "P1", "P2"))
    (pack,) = await town.privacy.packs("R1")
    assert (pack.serial, pack.model, pack.capacity_wh, pack.lent) == ("P2", "48V", 1200, 1)
    assert (pack.soc_pct, pack.capacity_ah, pack.cycles) == (None, None, None), "it was not told"


async def test_what_the_cabinet_told_of_a_pack_stands_on_the_receipt(town: Stores) -> None:
    assert await begin(town, 1) == "ok"
    await report(
        town,
        REPORTER.step("S1", Step.VERIFYING, slot_in=1),
        REPORTER.battery("in", "P1", 1, swap="S1", rider="R1", soc_pct=12),
        REPORTER.step("S1", Step.AWAIT_PICKUP, slot_in=1, slot_out=2),
        REPORTER.battery(
            *("out", "P2", 2), swap="S1", rider="R1", soc_pct=98, capacity_ah=23.5, cycles=41
        ),
        REPORTER.step("S1", Step.COMPLETED, slot_in=1, slot_out=2),
    )
    view = await town.swaps.view("S1")
    assert {each.serial: each.soc_pct for each in view.movements} == {"P1": 12, "P2": 98}
    (pack,) = await town.privacy.packs("R1")
    assert (pack.soc_pct, pack.capacity_ah, pack.cycles) == (98, 23.5, 41)


def test_what_was_told_of_one_pack_is_not_said_of_another() -> None:
    """A pack that is displaced by one that came in rests on that one's report."""
    body = b'{"serial":"P9","slot":2,"soc_pct":50}'.decode()
    assert told_of("P9", body).soc_pct == 50
    for other in (body, '{"slots":[]}', "", None, "[", '{"serial":"P2","slot":2,"soc_pct":500}'):
        assert told_of("P2", other).soc_pct is None


async def test_who_is_blocked_does_not_come_back_by_a_new_account(site: Site) -> None:
    riders, privacy = site.stores.riders, site.stores.privacy
    await riders.deny("R2", "keeps a pack", "operator:li", T0_MS)
    with pytest.raises(RefusedError) as refused:
        await site.service.forget("R2")
    assert refused.value.code == "denied-rider"
    known = await riders.by_hash("hash-2")
    assert known is not None
    assert known.denied, "and his phone leads to the blocked account as before"
    await privacy.forget("R2", "operator:li", T0_MS)
    assert await riders.by_hash("hash-2") is None, "the operator may decide otherwise"


async def test_export_has_everything_and_forgetting_leaves_the_ledger_whole(site: Site) -> None:
    await site.open()
    rider = (await site.enter()).rider_id
    assert await begin(site.stores, 1, Kind.PICKUP, rider=rider) == "ok"
    with pytest.raises(RefusedError) as running:
        await site.service.forget(rider)
    assert running.value.code == "open-swap"
    steps = [
        REPORTER.step("S1", Step.OPENING_PICKUP, kind=Kind.PICKUP, rider=rider, slot_out=2),
        REPORTER.battery("out", "P2", 2, swap="S1", rider=rider),
        REPORTER.step("S1", Step.COMPLETED, kind=Kind.PICKUP, rider=rider, slot_out=2),
    ]
    await report(site.stores, *steps)
    view = await site.service.export(rider)
    assert [row["id"] for row in view.swaps] == ["S1"]
    assert [row.state for row in view.charges] == ["charged"]
    assert [row["subject"] for row in view.partner_subjects] == ["courier-7"]
    with pytest.raises(RefusedError) as held:
        await site.service.forget(rider)
    assert held.value.code == "holds-battery"
    assert await begin(site.stores, 2, Kind.RETURN, rider=rider) == "ok"
    back = [
        REPORTER.step("S2", Step.VERIFYING, kind=Kind.RETURN, rider=rider, slot_in=1),
        REPORTER.battery("in", "P2", 1, swap="S2", rider=rider),
        REPORTER.step("S2", Step.COMPLETED, kind=Kind.RETURN, rider=rider, slot_in=1),
    ]
    await report(site.stores, *back)
    before = len(await site.stores.swaps.of_rider(rider, 9))
    await site.service.forget(rider)
    assert (await site.service.export(rider)).partner_subjects == ()
    assert (await site.stores.riders.named(rider)).denied
    assert len(await site.stores.swaps.of_rider(rider, 9)) == before
    assert (await site.enter()).rider_id != rider, "a new account, as for a stranger"
    with pytest.raises(NotFoundError):
        await site.service.forget("nobody")
