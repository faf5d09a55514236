"""Orders to the whole cabinet: every door one after another, and a start anew."""

from __future__ import annotations

import pytest

from cabinet.core.engine_service import RESTART_AFTER_MS, RESTART_WITHIN_MS
from cabinet.core.model import Input as Contact
from cabinet.core.model import Unlock
from protocols.messages import Door, Result
from tests.support.cabinet_rig import Rig


def last(rig: Rig, result: Result) -> Result:
    return next(r for r in reversed(rig.replies) if r.id == result.id)


def opened(rig: Rig) -> list[int]:
    return [effect.slot for effect in rig.of(Unlock)]


def test_every_door_opens_one_after_another() -> None:
    rig = Rig().ready()
    result = rig.command("cabinet.open-all")
    assert result.outcome == "accepted"
    assert opened(rig) == [1], "one lock at a time"
    rig.holes[2].jammed = True
    rig.run(3_000)
    assert opened(rig) == [1, 2], "the third waits for what becomes of the second"
    rig.run(10_000)
    assert opened(rig) == [1, 2, 3, 4]
    answer = last(rig, result)
    assert (answer.outcome, answer.reason) == ("failed", "door-stuck")
    assert answer.evidence == "open 1 3 4, 2 shut: door-stuck"


def test_done_when_the_sensors_saw_all_of_them_open() -> None:
    rig = Rig().ready()
    rig.holes[3].door = Door.OPEN
    rig.run(200)
    result = rig.command("cabinet.open-all")
    rig.run(2_000)
    assert (last(rig, result).outcome, last(rig, result).evidence) == ("done", "open 1 2 3 4")
    assert opened(rig) == [1, 2, 4], "one that stands open needs no pulse"
    assert rig.command("cabinet.open-all", id=result.id).outcome == "done", "never a second time"
    assert opened(rig) == [1, 2, 4]


def test_a_slot_in_quarantine_stays_shut() -> None:
    rig = Rig().ready()
    assert rig.command("slot.quarantine", {"slot": 2}).outcome == "done"
    result = rig.command("cabinet.open-all")
    rig.run(2_000)
    assert opened(rig) == [1, 3, 4]
    assert last(rig, result).outcome == "done"
    assert "2 shut: quarantined" in last(rig, result).evidence


def test_not_while_somebody_is_served_and_nobody_is_served_meanwhile() -> None:
    rig = Rig().ready()
    assert rig.start().outcome == "accepted"
    assert rig.command("cabinet.open-all").reason == "busy"
    assert rig.command("cabinet.restart").reason == "busy"
    rig = Rig().ready()
    rig.holes[1].jammed = True
    assert rig.command("cabinet.open-all").outcome == "accepted"
    assert rig.start().reason == "busy"
    assert rig.command("slot.open", {"slot": 4}).reason == "busy"
    assert rig.command("cabinet.restart").reason == "busy"
    assert rig.command("cabinet.open-all").reason == "busy"


def test_what_locks_the_doors_keeps_the_rest_shut() -> None:
    rig = Rig().ready()
    rig.holes[2].jammed = True
    result = rig.command("cabinet.open-all")
    rig.run(500)
    rig.contacts[Contact.SMOKE] = True
    rig.run(12_000)
    assert opened(rig) == [1, 2]
    assert last(rig, result).outcome == "failed"
    assert "4 shut: doors-locked" in last(rig, result).evidence
    assert rig.command("cabinet.open-all").reason == "doors-locked"


def test_a_restart_ends_it() -> None:
    rig = Rig().ready()
    rig.holes[1].jammed = True
    result = rig.command("cabinet.open-all")
    rig.run(500)
    rig.boot()
    rig.run(20_000)
    assert opened(rig) == [1], "no door opens by an order of before"
    assert (last(rig, result).outcome, last(rig, result).reason) == ("failed", "restarted")
    assert rig.start().outcome == "accepted"


# --- restart ------------------------------------------------------------------------------------


def test_a_restart_is_done_when_another_boot_says_so() -> None:
    rig = Rig().ready()
    result = rig.command("cabinet.restart")
    assert result.outcome == "accepted"
    assert rig.start().reason == "busy", "nobody begins what would be cut off"
    rig.run(RESTART_AFTER_MS - 100)
    assert not rig.state.leaving, "the answer must get out first"
    rig.run(300)
    assert rig.state.leaving
    assert last(rig, result).outcome == "accepted"
    rig.boot()
    rig.run(500)
    assert not rig.state.leaving
    assert (last(rig, result).outcome, last(rig, result).evidence) == (
        "done",
        "boot boot-2 after boot-1",
    )
    rig.run(5_000)
    assert not rig.state.leaving, "once"
    assert rig.command("cabinet.restart", id=result.id).outcome == "done"
    assert rig.start().outcome == "accepted"


def test_a_process_that_stays_says_so() -> None:
    rig = Rig().ready()
    result = rig.command("cabinet.restart")
    rig.run(RESTART_WITHIN_MS + 500)
    assert (last(rig, result).outcome, last(rig, result).reason) == ("failed", "not-restarted")
    assert not rig.state.leaving
    assert rig.start().outcome == "accepted"


# --- the end of a quarantine --------------------------------------------------------------------


def test_release_ends_a_quarantine_but_not_an_outage_of_service() -> None:
    rig = Rig().ready()
    rig.command("slot.quarantine", {"slot": 1})
    rig.command("slot.service-off", {"slot": 1})
    rig.run(200)
    assert 1 not in rig.chargers or not rig.chargers[1].on
    assert rig.command("slot.release", {"slot": 1}).outcome == "done"
    assert dict(rig.state.durable.quarantine) == {}
    assert 1 in rig.state.durable.out_of_service
    assert rig.command("slot.release", {"slot": 1}).reason == "not-quarantined"


def test_what_the_sensors_find_unwell_is_not_released() -> None:
    rig = Rig().ready()
    rig.command("slot.quarantine", {"slot": 1})
    rig.holes[1].temp_c = 70.0
    rig.run(2_000)
    assert rig.command("slot.release", {"slot": 1}).reason == "cause-stands"


@pytest.mark.parametrize("kind", ["cabinet.open-all", "cabinet.restart"])
def test_they_are_authenticated_like_every_other(kind: str) -> None:
    rig = Rig().ready()
    good = rig.order(kind)
    forged = type(good)(**{f: getattr(good, f) for f in good.__struct_fields__} | {"sig": "bad"})
    assert rig.send(forged).reason == "bad-signature"
    assert rig.command(kind, {"slot": 1}).reason == "bad-arguments"
    stale = rig.order(kind)
    rig.run(16_000)
    assert rig.send(stale).reason in {"stale-nonce", "unknown-nonce"}
    assert opened(rig) == []
    assert rig.state.durable.restart is None
