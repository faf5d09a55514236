"""An operator's remote opening: done only when the door was seen open."""

from __future__ import annotations

import pytest

from cabinet.core.engine_model import UnlockOutcome
from cabinet.core.model import Unlock, UnlockResult
from protocols.messages import Door, Kind, Result
from tests.support.cabinet_rig import Rig


def ordered(rig: Rig, slot: int = 1) -> Result:
    result = rig.command("slot.open", {"slot": slot})
    assert result.outcome == "accepted"
    return result


def last(rig: Rig, result: Result) -> Result:
    return next(r for r in reversed(rig.replies) if r.id == result.id)


def test_done_means_that_the_door_was_seen_open() -> None:
    rig = Rig().ready()
    result = ordered(rig)
    assert last(rig, result).outcome == "accepted", "the pulse was sent, no sensor has looked yet"
    rig.run(200)
    assert last(rig, result).outcome == "done"
    assert "door seen open after" in last(rig, result).evidence
    assert [r.outcome for r in rig.disk.results if r.id == result.id] == ["done"]


def test_a_sent_pulse_is_no_open_door() -> None:
    rig = Rig().ready()
    rig.holes[1].jammed = True
    result = ordered(rig)
    rig.run(7_000)
    assert last(rig, result).outcome == "accepted"
    rig.run(1_000)
    assert (last(rig, result).outcome, last(rig, result).reason) == ("failed", "door-stuck")
    assert "still shut" in last(rig, result).evidence
    rig.run(10_000)
    assert len([r for r in rig.replies if r.id == result.id]) == 2, "answered once"


def test_a_pulse_without_an_answer_that_opened_the_door_is_done() -> None:
    rig = Rig(answer=UnlockResult.NO_REPLY).ready()
    result = ordered(rig)
    rig.run(200)
    assert last(rig, result).outcome == "done"


def test_a_pulse_without_an_answer_and_a_shut_door_failed() -> None:
    rig = Rig(answer=UnlockResult.NO_REPLY).ready()
    rig.holes[1].jammed = True
    result = ordered(rig)
    rig.run(9_000)
    assert (last(rig, result).outcome, last(rig, result).reason) == ("failed", "no-reply")


def test_a_board_that_refuses_fails_at_once() -> None:
    rig = Rig(answer=UnlockResult.REFUSED).ready()
    result = ordered(rig)
    assert (last(rig, result).outcome, last(rig, result).reason) == ("failed", "lock-refused")


def test_a_door_that_cannot_be_read_is_not_taken_for_open() -> None:
    rig = Rig().ready()
    result = ordered(rig)
    rig.holes[1].blind = True
    rig.holes[1].contact_ms = rig.now_ms - 2_000
    rig.run(9_000)
    assert (last(rig, result).outcome, last(rig, result).reason) == ("failed", "door-unknown")


@pytest.mark.parametrize("opened", [True, False])
def test_a_restart_in_between_answers_by_the_door(*, opened: bool) -> None:
    rig = Rig().ready()
    rig.holes[1].jammed = not opened
    result = ordered(rig)
    rig.boot()
    rig.run(9_000)
    assert last(rig, result).outcome == ("done" if opened else "failed")
    assert rig.state.durable.openings == {}


def test_one_opening_at_a_slot_at_a_time() -> None:
    rig = Rig().ready()
    rig.holes[1].jammed = True
    ordered(rig)
    assert rig.command("slot.open", {"slot": 1}).reason == "busy"
    assert rig.command("slot.open", {"slot": 2}).outcome == "accepted"


@pytest.mark.parametrize(
    ("condition", "evidence"),
    [
        ({"slot": 1, "presence": "absent"}, "presence is present"),
        ({"slot": 1, "serial": "OTHER"}, "serial is YZ48-000001"),
    ],
)
def test_a_precondition_that_does_not_hold_moves_nothing(condition: dict, evidence: str) -> None:
    from protocols.messages import Precondition, Presence  # noqa: PLC0415

    presence = condition.pop("presence", None)
    wanted = Precondition(**condition, presence=Presence(presence) if presence else None)
    rig = Rig().ready()
    result = rig.command("slot.open", {"slot": 1}, precondition=wanted)
    assert (result.outcome, result.reason) == ("refused", "precondition")
    assert evidence in result.evidence
    assert not rig.of(Unlock)


def test_refused_while_a_swap_runs_doors_are_locked_or_the_door_is_not_shut() -> None:
    rig = Rig().ready()
    rig.holes[2].door = Door.OPEN
    rig.run(200)
    assert rig.command("slot.open", {"slot": 2}).reason == "door-not-shut"
    rig.start()
    assert rig.command("slot.open", {"slot": 1}).reason == "busy"


def test_no_rider_is_sent_to_a_door_that_is_about_to_open_by_hand() -> None:
    rig = Rig(slots=5).ready()
    rig.holes[1].jammed = rig.holes[3].jammed = True
    ordered(rig, 1)
    ordered(rig, 3)
    assert rig.start(Kind.SWAP).evidence == "slot_in=4 slot_out=2"


def test_an_old_outcome_is_nobodys() -> None:
    rig = Rig().ready()
    rig.feed(UnlockOutcome(1, "open:old", UnlockResult.SENT))
    assert not rig.events("swap.step")
