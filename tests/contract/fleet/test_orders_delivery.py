"""Orders of operators through a whole fleetd, both brokers and a fake cabinet."""

from __future__ import annotations

import asyncio

import pytest

from fleet.core.operations import Expected, Wish
from fleet.core.records import LogFilter
from fleet.core.views import OrderView
from fleet.errors import RefusedError
from protocols.messages import Command, Kind, Precondition, Presence, Result
from tests.contract.fleet.test_delivery import A, Town, config, town
from tests.support.fleet import until

__all__ = ["config", "town"]  # fixtures

WISH = Wish(
    cabinet=A,
    type="slot.open",
    staff="zhang",
    reason="pack is stuck",
    key="key-12345",
    slot=2,
    expected=Expected(Presence.PRESENT, "FULL-1"),
)


async def outcomes(town: Town, command_id: str, last: str) -> list[str]:
    """What a watcher sees until the last word."""
    seen: list[str] = []
    async with town.parts.operations.watch(command_id) as stream:
        async for view in stream:
            seen.append(view.outcome)
            if view.outcome == last:
                break
    return seen


def answer(outcome: str, **values: object) -> Result:
    return Result(boot_id="boot-1", outcome=outcome, **values)  # type: ignore[arg-type]


async def log(town: Town) -> list[str]:
    rows = await town.parts.operations.log(LogFilter())
    return [row.outcome for row in reversed(rows)]


async def test_an_order_and_its_last_word(town: Town) -> None:
    cabinet = town.cabinet
    order = await town.parts.operations.order(WISH)
    assert order.outcome == "ordered"
    watcher = asyncio.create_task(outcomes(town, order.id, "done"))
    await until(lambda: cabinet.commands, "the cabinet is ordered", 5.0)
    command = cabinet.commands[0]
    assert (command.id, command.type, command.actor, command.reason) == (
        order.id,
        "slot.open",
        "operator:zhang",
        "pack is stuck",
    )
    assert command.precondition == Precondition(slot=2, presence=Presence.PRESENT, serial="FULL-1")
    views: list[OrderView] = []

    async def accepted() -> None:
        while not views or views[-1].outcome != "accepted":
            views.append(await town.parts.operations.get(order.id))
            await asyncio.sleep(0.01)

    await asyncio.wait_for(accepted(), 60)
    await cabinet.result(answer("done", id=order.id, evidence="pulse confirmed"))
    assert (await asyncio.wait_for(watcher, 60))[-1] == "done"
    assert (await town.parts.operations.order(WISH)).outcome == "done", "the same key again"
    assert len(cabinet.commands) == 1
    assert await log(town) == ["ordered", "accepted", "done"]
    assert await town.parts.stores.audit.audit() == []


async def test_a_lost_last_word_is_asked_for(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.runtime.commands.LAST_WORD_WAIT_MS", 300)
    cabinet = town.cabinet
    stored: dict[str, int] = {}

    def obey(command: Command) -> Result:
        """As a cabinet does: executed once, then answered from what it stored."""
        stored[command.id] = stored.get(command.id, 0) + 1
        outcome = "accepted" if stored[command.id] == 1 else "failed"
        return answer(outcome, id=command.id, reason="no-reply" if outcome == "failed" else None)

    cabinet.answer = obey
    order = await town.parts.operations.order(WISH)
    seen = await asyncio.wait_for(outcomes(town, order.id, "failed"), 60)
    assert seen[-1] == "failed"
    assert (await town.parts.operations.get(order.id)).result == "no-reply"
    one, two = cabinet.commands
    assert (one.id, one.seq) == (two.id, two.seq)
    assert await log(town) == ["ordered", "accepted", "failed"]


async def test_a_refusal_is_the_last_word(town: Town) -> None:
    town.cabinet.answer = lambda command: answer(
        "refused", id=command.id, reason="precondition", evidence="slot 2: serial is P9"
    )
    order = await town.parts.operations.order(WISH)
    await asyncio.wait_for(outcomes(town, order.id, "refused"), 60)
    view = await town.parts.operations.get(order.id)
    assert (view.result, view.evidence) == ("precondition", "slot 2: serial is P9")


async def test_an_offline_cabinet_is_not_ordered(town: Town) -> None:
    town.cabinet.vanish()
    live = town.parts.cabinets._live
    await until(lambda: not live.view(A).online, "its will is heard")
    with pytest.raises(RefusedError) as caught:
        await town.parts.operations.order(WISH)
    assert caught.value.code == "offline"
    assert await log(town) == [], "nothing was ordered, so nothing is logged"
    with pytest.raises(RefusedError):
        await town.parts.swaps.serve(
            kind=Kind.UNLOAD,
            cabinet_id=A,
            technician="zhang",
            slot=2,
            reason="take it out",
            expected=None,
            idempotency_key="key-12345",
        )
