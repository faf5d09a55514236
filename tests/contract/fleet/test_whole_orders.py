"""Two-person orders, quarantine and settings, over real databases."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from fleet.core.commands import QueuedCommand
from fleet.core.operations import order_id
from fleet.core.quarantine import Quarantine
from fleet.core.records import LogFilter, NewCommand
from fleet.core.rollout import advance
from fleet.core.rollout_model import Fact, Phase, Rollout, Signal
from fleet.core.templates import Wishes
from fleet.core.two_person import ASK_LIFE_MS, Ask
from fleet.errors import NotFoundError, RefusedError
from fleet.runtime.asks import AskService
from fleet.runtime.rollouts import Planning
from fleet.stores import Stores
from fleet.web.rider import KEY
from tests.contract.fleet.conftest import A, B
from tests.support.fleet import T0_MS, ManualClock


def ask(id_: str = "ask-1", **values: object) -> Ask:
    given: dict[str, object] = {
        "id": id_,
        "cabinet_id": A,
        "type": "cabinet.open-all",
        "reason": "water in the street",
        "asked_by": "S1",
        "asked_name": "zhang",
        "asked_ms": T0_MS,
        "expires_ms": T0_MS + ASK_LIFE_MS,
    }
    return Ask(**(given | values))  # type: ignore[arg-type]


def ordered(wanted: Ask) -> NewCommand:
    return NewCommand(
        id=f"op-{wanted.id}",
        cabinet=wanted.cabinet_id,
        type=wanted.type,
        args={},
        actor="operator:li",
        now_ms=T0_MS + 1,
        expires_ms=T0_MS + 20_000,
        reason=wanted.reason,
    )


async def admit(stores: Stores, person: str, now_ms: int = T0_MS + 1) -> Ask:
    found, _ = await stores.asks.admit(
        "ask-1", person=person, name="li", now_ms=now_ms, command=ordered
    )
    return found


async def actions(stores: Stores) -> list[tuple[str, str]]:
    rows = await stores.audit_log.rows(LogFilter())
    return [(row.action, row.outcome) for row in reversed(rows)]


# --- two people ---------------------------------------------------------------------------------


async def test_one_asks_another_admits(town: Stores) -> None:
    assert await town.asks.add(ask()) == await town.asks.add(ask()), "the same tap"
    with pytest.raises(RefusedError) as caught:
        await town.asks.add(ask("ask-2", asked_by="S2"))
    assert caught.value.code == "asked-already"
    assert await town.commands.waiting() == []
    for same in ("S1", "s1"):
        with pytest.raises(RefusedError) as caught:
            await admit(town, same)
        assert caught.value.code == "same-person"
    assert await town.commands.waiting() == [], "nothing was ordered"
    found = await admit(town, "S2")
    assert (found.state, found.admitted_by, found.command_id) == ("admitted", "S2", "op-ask-1")
    assert [each.id for each in await town.commands.waiting()] == ["op-ask-1"]
    with pytest.raises(RefusedError) as caught:
        await admit(town, "S3")
    assert caught.value.code == "ask-over"
    assert await actions(town) == [("cabinet.open-all", "asked"), ("cabinet.open-all", "ordered")]
    assert await town.audit.audit() == []


class Street:
    """Every cabinet is there, and hears what is sent."""

    online = True

    def __init__(self) -> None:
        self.sent: list[QueuedCommand] = []

    def view(self, _cabinet: str) -> Street:
        return self

    def submit(self, queued: QueuedCommand) -> None:
        self.sent.append(queued)


async def test_nobody_takes_the_id_of_an_order_that_waits_for_its_second_person(
    town: Stores,
) -> None:
    """A key that says what the order's id will be made of would keep the doors shut for good."""
    street = Street()
    service = AskService(
        rows=town.asks,
        live=street,  # type: ignore[arg-type]  # what the service uses of it
        commands=street,  # type: ignore[arg-type]
        clock=ManualClock(),
    )
    asked = await service.ask(
        cabinet=A,
        type_="cabinet.open-all",
        person="S1",
        name="zhang",
        reason="water in the street",
        key="key-of-one-tap",
    )
    for key in (asked.id, f"admit-{asked.id}"):
        assert KEY.fullmatch(key), "an order may bear it"
        spoiler = NewCommand(
            id=order_id(A, key),
            cabinet=A,
            type="slot.service-on",
            args={"slot": 1},
            actor="operator:mallory",
            now_ms=T0_MS,
            expires_ms=T0_MS + 20_000,
            reason="nothing at all",
        )
        assert await town.operations.order(spoiler) is not None
    admitted = await service.admit(asked.id, person="S2", name="li")
    (sent,) = street.sent
    assert (sent.id, sent.type) == (admitted.command_id, "cabinet.open-all")
    assert not KEY.fullmatch(f"admit {asked.id}")


async def test_an_ask_lapses_and_can_be_taken_back(town: Stores) -> None:
    await town.asks.add(ask())
    with pytest.raises(RefusedError) as caught:
        await admit(town, "S2", T0_MS + ASK_LIFE_MS)
    assert caught.value.code == "ask-over"
    later = T0_MS + ASK_LIFE_MS
    await town.asks.add(ask("ask-2", asked_ms=later, expires_ms=later + ASK_LIFE_MS))
    await town.asks.withdraw("ask-2", "li", later + 1)
    with pytest.raises(RefusedError):
        await town.asks.withdraw("ask-2", "li", later + 2)
    assert [each.id for each in await town.asks.of_cabinet(A)] == ["ask-2", "ask-1"]
    assert await town.asks.of_cabinet(B) == []
    assert await town.asks.waiting(later) == [], "one lapsed, one taken back"
    assert [each.id for each in await town.asks.waiting(T0_MS)] == ["ask-1"]
    with pytest.raises(NotFoundError):
        await town.asks.get("ask-9")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE order_ask SET admitted_by = 'S1'",
        "DELETE FROM order_ask",
        "UPDATE order_ask SET admitted_by = NULL",
    ],
)
async def test_the_audit_finds_an_opening_that_two_people_did_not_want(
    town: Stores, sql: str
) -> None:
    await town.asks.add(ask())
    await admit(town, "S2")
    async with town.database.write() as connection:
        await connection.execute(text(sql))
    found = await town.audit.audit()
    assert [(each.code, each.subject) for each in found] == [("unadmitted-order", "op-ask-1")]


# --- quarantine ---------------------------------------------------------------------------------


async def test_a_battery_in_quarantine(town: Stores) -> None:
    wanted = Quarantine("P2", "operator:li", "swollen", T0_MS)
    await town.quarantines.put(wanted)
    with pytest.raises(RefusedError) as caught:
        await town.quarantines.put(wanted)
    assert caught.value.code == "quarantined-already"
    (found,) = await town.quarantines.all()
    assert (found.serial, found.cabinet) == ("P2", A)
    assert (await town.quarantines.get("P1")).since_ms == 0
    with pytest.raises(NotFoundError):
        await town.quarantines.put(Quarantine("P77", "operator:li", "swollen", T0_MS))
    await town.quarantines.lift("P2", "operator:li", "checked and good", T0_MS + 5)
    with pytest.raises(RefusedError) as caught:
        await town.quarantines.lift("P2", "operator:li", "checked and good", T0_MS + 5)
    assert caught.value.code == "not-quarantined"
    assert await actions(town) == [("battery.quarantine", "done"), ("battery.release", "done")]


# --- roll-outs ----------------------------------------------------------------------------------


async def planned(stores: Stores, **values: object) -> Rollout:
    work = Planning(stores.rollouts, ManualClock())
    await work.keep_template(
        model="yz12", breaker_w=3_000, settings={"target_soc_pct": 90}, name="li"
    )
    await work.assign("yz12", [A, B], name="li")
    return await work.plan(model="yz12", name="li", reason="summer targets", **values)  # type: ignore[arg-type]


async def test_a_rollout_is_kept_moved_on_and_logged(town: Stores) -> None:
    begun = await planned(town, stages=(0, 100), soak_s=0)
    assert begun == await town.rollouts.get(begun.id)
    with pytest.raises(RefusedError) as caught:
        await planned(town)
    assert caught.value.code == "rollout-open"
    there = {name: Fact(online=True, age_ms=0) for name in (A, B)}
    moved, sends = await town.rollouts.change(
        begun.id, lambda now: advance(now, there, T0_MS), actor="fleet:rollout", now_ms=T0_MS
    )
    assert [send.cabinet for send in sends] == [A]
    held = await town.rollouts.settings([A, B])
    assert {name: each.values for name, each in held.items()} == {A: {"target_soc_pct": 90}}
    assert held[A].version == moved.members[A].version == sends[0].version
    assert await town.rollouts.all_settings() == held
    work = Planning(town.rollouts, ManualClock())
    aborted = await work.order(begun.id, Signal.ABORT, name="li", reason="noise at night")
    assert aborted.phase is Phase.ROLLING_BACK
    facts = {A: Fact(online=True, age_ms=0, version=held[A].version, held_version=held[A].version)}
    moved, sends = await town.rollouts.change(
        begun.id, lambda now: advance(now, facts, T0_MS), actor="fleet:rollout", now_ms=T0_MS
    )
    newest = (await town.rollouts.settings([A]))[A]
    assert (newest.version, newest.values) == (sends[0].version, {})
    assert await town.rollouts.all_settings() == {A: newest}
    assert await town.rollouts.under_way() == ([moved], [])
    assert await actions(town) == [
        ("template.set", "done"),
        ("template.assign", "done"),
        ("template.assign", "done"),
        ("rollout.applying", "done"),
        ("template.set", "done"),
        ("template.assign", "done"),
        ("template.assign", "done"),
        ("rollout.rolling-back", "done"),
    ]
    assert await town.audit.audit() == []


async def test_the_log_tells_what_a_template_changes_and_seals_all_of_it(town: Stores) -> None:
    work = Planning(town.rollouts, ManualClock())
    first: Wishes = {"target_soc_pct": 90, "kiosk_note_en": "closed", "power_max_w": 800}
    then: Wishes = {"target_soc_pct": 90, "kiosk_note_en": "open", "power_max_w": None}
    for settings in (first, then, {"kiosk_note_en": "open"}):
        kept = await work.keep_template(model="yz12", breaker_w=3_000, settings=settings, name="li")
        assert (await town.rollouts.template("yz12")) == kept
    told = [row.reason for row in await town.audit_log.rows(LogFilter())][::-1]
    assert told[0].endswith(': {"kiosk_note_en":"closed","power_max_w":800,"target_soc_pct":90}')
    assert told[1].endswith(': {"kiosk_note_en":"open","power_max_w":null}')
    assert told[2].endswith(": {}, no longer power_max_w, target_soc_pct")
    seals = [each.split()[2].rstrip(":") for each in told]
    assert len(set(seals)) == 3, "as many seals as there are templates"
    await work.assign("yz12", [A], name="li")
    begun = await work.plan(model="yz12", name="li", reason="a note for the night")
    assert begun.values == {"kiosk_note_en": "open"}
    last = (await town.audit_log.rows(LogFilter()))[0]
    assert last.reason.startswith("a note for the night: ")
    assert seals[2] in last.reason


async def test_a_model_without_cabinets_is_refused(town: Stores) -> None:
    work = Planning(town.rollouts, ManualClock())
    with pytest.raises(NotFoundError):
        await work.plan(model="yz12", name="li", reason="summer targets")
    await work.keep_template(
        model="yz12", breaker_w=3_000, settings={"target_soc_pct": 90}, name="li"
    )
    with pytest.raises(RefusedError) as caught:
        await work.plan(model="yz12", name="li", reason="summer targets")
    assert caught.value.code == "rollout-empty"
    with pytest.raises(NotFoundError):
        await work.assign("yz12", [A, "DH-9999"], name="li")
    assert await town.rollouts.cabinets_of("yz12") == [], "all of them or none"
    before, wished = await town.rollouts.template("yz12"), {"target_soc_pct": 80}
    with pytest.raises(NotFoundError):
        await work.keep_template(
            model="yz12", breaker_w=3_000, settings=wished, name="li", cabinets=[A, "DH-9999"]
        )
    assert await town.rollouts.template("yz12") == before, "the template goes with its cabinets"
    await work.keep_template(
        model="yz12", breaker_w=3_000, settings=wished, name="li", cabinets=[A]
    )
    assert await town.rollouts.cabinets_of("yz12") == [A]


async def test_swaps_are_counted_by_cabinet(town: Stores) -> None:
    row = (
        "INSERT INTO swap (id, cabinet, rider, kind, idempotency_key, step, rank, open, created_ms,"
        " updated_ms) VALUES ('{0}', '{1}', 'R1', 'swap', '{0}', '{2}', 80, false, 1, {3})"
    )
    steps = ((A, "completed", 9), (A, "completed", 10), (A, "faulted", 11), (B, "cancelled", 12))
    async with town.database.write() as connection:
        for number, (cabinet, step, at_ms) in enumerate(steps):
            await connection.execute(text(row.format(f"s{number}", cabinet, step, at_ms)))
    assert await town.rollouts.swaps_since([A, B], 10) == {A: (1, 1), B: (0, 0)}
