"""Reservations over real databases: one per rider, for a time, and not for who never comes."""

from __future__ import annotations

import pytest

from fleet.core.commands import QueuedCommand
from fleet.core.records import NewCommand, NewSwap
from fleet.core.reservations import (
    EXPIRED,
    HELD,
    NO_SHOW_WINDOW_MS,
    NO_SHOWS_MAX,
    REFUSED,
    RELEASED,
    USED,
    Reservation,
    RiderFacts,
    refuse_reservation,
    slot_in,
)
from fleet.core.swaps import CabinetFacts, LedgerFacts, refuse
from fleet.errors import NotFoundError, RefusedError
from fleet.stores import Stores
from protocols.messages import Kind, Step
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, Reporter

MINUTE_MS = 60_000
GOOD = CabinetFacts(online=True, age_ms=0, full=2, empty=2)


async def ask(
    stores: Stores,
    number: int = 1,
    *,
    rider: str = "R1",
    cabinet: str = A,
    now_ms: int = T0_MS,
    facts: CabinetFacts = GOOD,
) -> tuple[Reservation, list[QueuedCommand]]:
    id_ = f"hold-{number}"
    wanted = Reservation(id_, cabinet, rider, "asked", now_ms, now_ms + 10 * MINUTE_MS)
    order = NewCommand(
        id_, cabinet, "pack.hold", {"rider_id": rider, "ttl_s": 600}, rider, now_ms, now_ms + 20_000
    )
    return await stores.reservations.ask(
        wanted, order, lambda rider_facts: refuse_reservation(facts, rider_facts)
    )


async def held(stores: Stores, number: int = 1, **values: object) -> Reservation:
    made, queued = await ask(stores, number, **values)  # type: ignore[arg-type]
    await stores.commands.settle(queued[-1], "done", made.created_ms + 100, evidence="slot=4")
    kept = await stores.reservations.newest(made.rider, made.cabinet)
    assert kept is not None
    return kept


async def refused(stores: Stores, **values: object) -> str:
    with pytest.raises(RefusedError) as caught:
        await ask(stores, 99, **values)  # type: ignore[arg-type]
    return caught.value.code


async def test_a_pack_is_kept_and_the_time_ends_it(town: Stores) -> None:
    kept = await held(town)
    assert (kept.state, kept.slot, kept.live_at(T0_MS)) == (HELD, 4, True)
    assert (await town.reservations.live("R1", T0_MS)) == kept
    end_ms = T0_MS + 10 * MINUTE_MS
    assert await town.reservations.live("R1", end_ms) is None
    assert (kept.state_at(end_ms - 1), kept.state_at(end_ms)) == (HELD, EXPIRED)


async def test_a_rider_has_one_at_a_time(town: Stores) -> None:
    first, _ = await ask(town)
    again, queued = await ask(town, 2)
    assert (again, queued) == (first, []), "the same one, and no second order"
    assert await refused(town, cabinet=B) == "reserved-elsewhere"
    other, queued = await ask(town, 3, rider="R2")
    assert (other.rider, len(queued)) == ("R2", 1)
    late = await held(town, 4, cabinet=B, now_ms=T0_MS + 11 * MINUTE_MS)
    assert late.cabinet == B, "once the first is over"


async def test_the_cabinet_has_the_last_word(town: Stores) -> None:
    _, queued = await ask(town)
    await town.commands.settle(queued[-1], "refused", T0_MS, reason="last-full-battery")
    newest = await town.reservations.newest("R1", A)
    assert newest is not None
    assert (newest.state, newest.reason) == (REFUSED, "last-full-battery")
    assert await town.reservations.live("R1", T0_MS) is None


async def test_a_pack_that_may_be_kept_unheard_is_given_free_first(town: Stores) -> None:
    first, queued = await ask(town)
    await town.commands.settle(queued[-1], "expired", T0_MS + 20_000, reason="no-answer")
    assert await town.reservations.live("R1", T0_MS + 20_000) is None
    _, queued = await ask(town, 2, now_ms=T0_MS + 30_000)
    assert [(each.type, each.args.get("hold")) for each in queued] == [
        ("pack.release", first.id),
        ("pack.hold", None),
    ]
    assert queued[0].seq < queued[1].seq
    assert len({each.id for each in queued}) == 2


async def test_who_may_not(town: Stores) -> None:
    assert await refused(town, facts=CabinetFacts(True, 0, full=0, empty=3)) == "no-full-battery"
    assert await refused(town, facts=CabinetFacts(False, 0, full=3, empty=3)) == "offline"
    with pytest.raises(NotFoundError):
        await ask(town, rider="R9")
    with pytest.raises(NotFoundError):
        await ask(town, cabinet="DH-9999")
    await town.riders.deny("R2", "sold the pack", "test", T0_MS)
    assert await refused(town, rider="R2") == "denied-rider"
    await begin(town, Kind.SWAP)
    assert await refused(town) == "open-swap"


async def test_released_in_time_is_no_no_show(town: Stores) -> None:
    for number in range(NO_SHOWS_MAX + 2):
        kept = await held(town, number, now_ms=T0_MS + number * 20 * MINUTE_MS)
        order = NewCommand(
            f"release-{number}", A, "pack.release", {"hold": kept.id}, "R1",
            kept.created_ms, kept.created_ms + 20_000,
        )  # fmt: skip
        queued = await town.reservations.release(kept, order)
        assert queued.args == {"hold": kept.id}
        newest = await town.reservations.newest("R1", A)
        assert newest is not None
        assert newest.state == RELEASED


async def test_who_never_comes_is_refused_for_a_day(town: Stores) -> None:
    for number in range(NO_SHOWS_MAX):
        await held(town, number, now_ms=T0_MS + number * 20 * MINUTE_MS)
    after_ms = T0_MS + NO_SHOWS_MAX * 20 * MINUTE_MS
    assert await refused(town, now_ms=after_ms) == "no-shows"
    await ask(town, 8, rider="R2", now_ms=after_ms)
    tomorrow_ms = T0_MS + 10 * MINUTE_MS + NO_SHOW_WINDOW_MS
    await ask(town, 9, now_ms=tomorrow_ms)


async def begin(stores: Stores, kind: Kind, now_ms: int = T0_MS, swap: str = "S1") -> LedgerFacts:
    seen: list[LedgerFacts] = []

    def decide(facts: LedgerFacts) -> None:
        seen.append(facts)

    new = NewSwap(swap, f"start-{swap}", A, "R1", kind, f"key-{swap}", now_ms, now_ms + 20_000)
    command = await stores.swaps.begin(new, decide)
    assert isinstance(command, QueuedCommand)
    await stores.commands.settle(command, "accepted", now_ms + 50)
    return seen[0]


async def test_who_comes_uses_it(town: Stores) -> None:
    await held(town)
    facts = await begin(town, Kind.SWAP)
    assert facts.reserved
    empty = CabinetFacts(online=True, age_ms=0, full=0, empty=2)
    assert refuse(Kind.SWAP, empty, facts) is None, "the kept pack is the rider's"
    assert refuse(Kind.SWAP, empty, LedgerFacts(("P1",))) == "no-full-battery"
    newest = await town.reservations.newest("R1", A)
    assert newest is not None
    assert newest.state == USED


async def test_a_return_uses_none(town: Stores) -> None:
    await held(town)
    await begin(town, Kind.RETURN)
    assert (await town.reservations.live("R1", T0_MS)) is not None


async def test_who_came_by_number_is_no_no_show(town: Stores) -> None:
    reporter = Reporter(A)
    for number in range(NO_SHOWS_MAX):
        await held(town, number, now_ms=reporter.wall_ms)
        swap = f"off-{A}-1-{number}"
        told = [
            reporter.step(swap, Step.RESERVED, authority="code", slot_in=7),
            reporter.step(swap, Step.CANCELLED, reason="return-timeout", authority="code"),
        ]
        await town.events.commit([reporter.arrival(event) for event in told], reporter.wall_ms)
        reporter.wall_ms += 20 * MINUTE_MS
    await ask(town, 9, now_ms=reporter.wall_ms)


def test_rules_and_evidence() -> None:
    assert slot_in("slot=12") == 12
    assert slot_in("slot=0") is slot_in("") is None
    assert refuse_reservation(GOOD, RiderFacts(no_shows=NO_SHOWS_MAX - 1)) is None
    assert refuse_reservation(GOOD, RiderFacts(no_shows=NO_SHOWS_MAX)) == "no-shows"
