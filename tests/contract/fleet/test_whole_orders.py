"""Two-person orders, quarantine, settings and the anchor of the log, over real databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from fleet.adapters.anchor_file import ANCHOR_FILE, AnchorFile
from fleet.adapters.command_keys import SecretKeeper
from fleet.core.audit import Violation
from fleet.core.audit_anchor import check_anchor
from fleet.core.audit_log import Head, digest
from fleet.core.quarantine import Quarantine
from fleet.core.records import LogFilter, NewCommand
from fleet.core.rollout import advance
from fleet.core.rollout_model import Fact, Phase, Rollout, Signal
from fleet.core.two_person import ASK_LIFE_MS, Ask
from fleet.errors import NotFoundError, RefusedError
from fleet.runtime.anchor import AnchorKeeper
from fleet.runtime.metrics import FleetMetrics
from fleet.runtime.rollouts import Planning
from fleet.stores import Stores
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
    await work.assign("yz12", [A, B])
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
    work = Planning(town.rollouts, ManualClock())
    aborted = await work.order(begun.id, Signal.ABORT, name="li", reason="noise at night")
    assert aborted.phase is Phase.ROLLING_BACK
    facts = {A: Fact(online=True, age_ms=0, version=held[A].version, held_version=held[A].version)}
    moved, sends = await town.rollouts.change(
        begun.id, lambda now: advance(now, facts, T0_MS), actor="fleet:rollout", now_ms=T0_MS
    )
    newest = (await town.rollouts.settings([A]))[A]
    assert (newest.version, newest.values) == (sends[0].version, {})
    assert [each.id for each in await town.rollouts.all(open_only=True)] == [begun.id]
    assert await actions(town) == [
        ("template.set", "done"),
        ("rollout.applying", "done"),
        ("template.set", "done"),
        ("rollout.rolling-back", "done"),
    ]
    assert await town.audit.audit() == []


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
        await work.assign("yz12", [A, "DH-9999"])
    assert await town.rollouts.cabinets_of("yz12") == [], "all of them or none"


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


# --- the anchor ---------------------------------------------------------------------------------


async def anchored(town: Stores, folder: Path) -> tuple[AnchorFile, AnchorKeeper]:
    for number in range(4):
        await town.quarantines.put(Quarantine(f"P{number + 2}", "operator:li", "swollen", T0_MS))
    file = AnchorFile(folder, SecretKeeper(folder))
    keeper = AnchorKeeper(
        rows=town.audit_log, file=file, clock=ManualClock(), metrics=FleetMetrics()
    )
    assert await keeper.once()
    return file, keeper


async def check(town: Stores, file: AnchorFile) -> list[Violation]:
    return check_anchor(await town.audit_log.read(), file.read(), file.verify)


async def run(town: Stores, *statements: str) -> None:
    async with town.database.write() as connection:
        for each in statements:
            await connection.execute(text(each))


async def test_what_was_anchored_is_looked_for(town: Stores, tmp_path: Path) -> None:
    file, keeper = await anchored(town, tmp_path)
    held = file.read()
    assert held is not None
    assert held.id == 4
    assert await check(town, file) == []
    await town.quarantines.lift("P2", "operator:li", "checked and good", T0_MS)
    assert await check(town, file) == [], "newer rows are no harm"
    assert await keeper.once()
    held = file.read()
    assert held is not None
    assert held.id == 5
    assert (tmp_path / ANCHOR_FILE).stat().st_mode & 0o077 == 0


async def test_rows_cut_off_with_their_head_are_missed(town: Stores, tmp_path: Path) -> None:
    """The chain itself cannot tell: it ends where its head says. The anchor can."""
    file, keeper = await anchored(town, tmp_path)
    rows = await town.audit_log.read()
    head = Head(3, rows[2].hash).text
    await run(
        town,
        "DELETE FROM audit_log WHERE id = 4",
        f"UPDATE meta SET value = '{head}' WHERE name = 'audit-head'",
    )
    assert [each.code for each in await town.audit.audit()] == []
    (found,) = await check(town, file)
    assert (found.code, found.subject) == ("log-truncated", "log:4")
    assert not await keeper.once(), "the anchor is not moved over it"
    await town.quarantines.lift("P2", "operator:li", "checked and good", T0_MS)
    assert not await keeper.once()
    (found,) = await check(town, file)
    assert (found.code, found.subject) == ("log-rewritten", "log:4")


async def test_a_whole_new_chain_is_seen_through(town: Stores, tmp_path: Path) -> None:
    file, keeper = await anchored(town, tmp_path)
    prev = "0" * 64
    for row in await town.audit_log.read():
        values = {name: getattr(row, name) for name in row.__slots__}
        values |= {"prev": prev, "reason": "all was well"}
        prev = digest(type(row)(**values))
        await run(
            town,
            f"UPDATE audit_log SET reason = 'all was well', prev = '{values['prev']}', "
            f"hash = '{prev}' WHERE id = {row.id}",
        )
    await run(town, f"UPDATE meta SET value = '4:{prev}' WHERE name = 'audit-head'")
    assert await town.audit.audit() == [], "the forger has computed all of it anew"
    (found,) = await check(town, file)
    assert (found.code, found.subject) == ("log-rewritten", "log:4")
    assert not await keeper.once()


async def test_an_anchor_must_be_there_and_ours(town: Stores, tmp_path: Path) -> None:
    file, keeper = await anchored(town, tmp_path)
    path = tmp_path / ANCHOR_FILE
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"id":4', b'"id":3'))
    (found,) = await check(town, file)
    assert found.code == "log-anchor-forged"
    assert not await keeper.once()
    path.write_bytes(b"nonsense")
    (found,) = await check(town, file)
    assert found.code == "log-unanchored"
    assert not await keeper.once(), "an unreadable one is not simply replaced"
    path.unlink()
    (found,) = await check(town, file)
    assert found.code == "log-unanchored"
    assert not await keeper.once(), "nor is one that is gone, once there was one"
