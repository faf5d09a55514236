"""The rider scans again, wants the own pack back, or is owed a full one: a whole fleetd, a fake cabinet."""

from __future__ import annotations

import msgspec
import pytest

from fleet.core.views import SwapView
from fleet.errors import RefusedError
from protocols.messages import Command, Kind, Result, Step
from tests.contract.fleet.test_delivery import A, Town, config, rider, town
from tests.support.fleet import telemetry, until

__all__ = ["config", "town"]  # fixtures


async def start(town: Town, rider_id: str, key: str = "k1", kind: Kind = Kind.SWAP) -> SwapView:
    return await town.parts.swaps.start(
        rider_id=rider_id, cabinet_id=A, kind=kind, idempotency_key=key
    )


async def reach(town: Town, view: SwapView, upto: int) -> None:
    """The cabinet tells of the swap as far as that."""
    say = town.cabinet.reporter
    told = say.swap_events(view.id, "P1", "FULL-1", rider=view.rider_id)[:upto]
    say.seq -= 7 - upto
    await town.cabinet.report(*told)
    await until(lambda: town.cabinet.acked and town.cabinet.acked.seq == upto, "acknowledged")


def types(town: Town) -> list[str]:
    return [command.type for command in town.cabinet.commands]


async def test_a_second_scan_goes_on_with_the_same_swap(town: Town) -> None:
    rider_id = await rider(town, "P1")
    first = await start(town, rider_id)
    await until(lambda: types(town) == ["swap.start"], "ordered")
    early = await start(town, rider_id, "k2")
    assert early.id == first.id
    await reach(town, first, 3)
    scan = await start(town, rider_id, "k3")
    again = await start(town, rider_id, "k3")
    assert scan.id == again.id == first.id
    await until(lambda: types(town) == ["swap.start", "swap.resume"], "the door is asked for, once")
    assert town.cabinet.commands[-1].swap_id == first.id
    other_kind = await start(town, rider_id, "k4", Kind.RETURN)
    assert other_kind.id == first.id, "what is unfinished comes first"


async def test_what_the_cabinet_refuses_is_shown(town: Town) -> None:
    rider_id = await rider(town, "P1")
    view = await start(town, rider_id)
    await reach(town, view, 3)

    def answer(command: Command) -> Result:
        outcome = "refused" if command.type == "swap.resume" else "accepted"
        reason = "door-not-shut" if outcome == "refused" else None
        return Result(id=command.id, outcome=outcome, boot_id="boot-1", reason=reason)  # type: ignore[arg-type]

    town.cabinet.answer = answer
    await town.parts.swaps.resume(swap_id=view.id, rider_id=rider_id)
    async with town.parts.swaps.watch(view.id) as stream:
        async for latest in stream:
            if latest.asked and latest.asked.outcome != "queued":
                break
    assert latest.asked is not None
    assert (latest.asked.outcome, latest.asked.reason) == ("refused", "door-not-shut")


async def test_the_own_battery_back(town: Town) -> None:
    rider_id = await rider(town, "P1")
    view = await start(town, rider_id)
    swaps = town.parts.swaps
    with pytest.raises(RefusedError) as early:
        await swaps.give_back(swap_id=view.id, rider_id=rider_id)
    assert early.value.code == "nothing-returned"
    await reach(town, view, 5)  # the old pack is in, the pickup door opens
    await swaps.give_back(swap_id=view.id, rider_id=rider_id)
    await until(lambda: types(town)[-1:] == ["swap.give-back"], "the cabinet is asked")
    say = town.cabinet.reporter
    await town.cabinet.report(
        say.battery("out", "P1", 1, swap=view.id, rider=rider_id),
        say.step(
            view.id, Step.CANCELLED, rider=rider_id, slot_in=1, slot_out=2, reason="own-battery"
        ),
    )
    await until(lambda: town.cabinet.acked and town.cabinet.acked.seq == 7, "acknowledged")
    ended = await swaps.get(view.id)
    assert (ended.step, ended.reason) == (Step.CANCELLED, "own-battery")
    assert [(m.from_holder, m.to_holder) for m in ended.movements] == [
        (f"rider:{rider_id}", f"slot:{A}:1"),
        (f"slot:{A}:1", f"rider:{rider_id}"),
    ]
    assert (await town.parts.riders.get(rider_id)).serials == ("P1",)
    assert await town.parts.stores.audit.audit() == []
    with pytest.raises(RefusedError) as late:
        await swaps.give_back(swap_id=view.id, rider_id=rider_id)
    assert late.value.code == "done"


async def test_a_full_battery_that_is_out_is_not_given_back(town: Town) -> None:
    rider_id = await rider(town, "P1")
    view = await start(town, rider_id)
    await reach(town, view, 6)
    with pytest.raises(RefusedError) as late:
        await town.parts.swaps.give_back(swap_id=view.id, rider_id=rider_id)
    assert late.value.code == "too-late"


async def test_who_is_owed_a_full_battery_gets_a_pick_up(town: Town) -> None:
    rider_id = await rider(town, "P1")
    view = await start(town, rider_id)
    await reach(town, view, 5)
    say = town.cabinet.reporter
    await town.cabinet.report(
        say.step(view.id, Step.FAULTED, rider=rider_id, slot_in=1, slot_out=2, reason="not-taken")
    )
    await until(lambda: town.cabinet.acked and town.cabinet.acked.seq == 6, "acknowledged")
    scan = await start(town, rider_id, "k2")
    assert (scan.kind, scan.rider_id) == (Kind.PICKUP, rider_id)
    assert (await start(town, rider_id, "k2")).id == scan.id, "the same key is the same wish"
    await until(lambda: types(town)[-1:] == ["swap.start"], "ordered")
    assert town.cabinet.commands[-1].args["kind"] == "pickup"


async def test_a_start_that_is_refused_for_want_of_a_battery_counts_once_as_turned_away(
    town: Town,
) -> None:
    rider_id = await rider(town, "P1")
    told: list[tuple[str, str]] = []
    records = town.parts.console.records
    records.told.append(lambda cabinet, reason: told.append((cabinet, reason)))
    await town.cabinet.tell(msgspec.structs.replace(telemetry(), slots=()))
    await until(lambda: not town.parts.cabinets._live.view(A).full, "none is full")
    for key in ("k1", "k2"):
        with pytest.raises(RefusedError) as refused:
            await start(town, rider_id, key)
        assert refused.value.code == "no-full-battery"
    assert told == [(A, "no-full-battery")]
