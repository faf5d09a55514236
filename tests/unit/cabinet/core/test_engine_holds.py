"""Packs kept for riders on the way: who gets them, how many, and how a hold ends."""

from __future__ import annotations

from typing import Any

import pytest

from cabinet.core.engine_model import EngineConfig
from cabinet.core.records import Lists, Restored
from protocols.messages import Kind, Result
from tests.support.cabinet_rig import Hole, Rig

RIDER = "R234567ABCDEF"  # whom ``rig.start`` serves


def rig_with_three(**more: Any) -> Rig:
    rig = Rig(slots=5, **more)
    rig.holes[4] = Hole("YZ48-000004", 93)
    return rig.ready()


def hold(rig: Rig, rider: str = RIDER, ttl_s: int = 60) -> Result:
    return rig.command("pack.hold", {"rider_id": rider, "ttl_s": ttl_s})


def flags(rig: Rig) -> dict[int, tuple[str, ...]]:
    slots = rig.engine.telemetry(rig.state, rig.now).slots
    return {slot.slot: slot.flags for slot in slots if slot.flags}


def test_the_best_pack_is_kept_and_shown() -> None:
    rig = rig_with_three()
    result = hold(rig)
    assert (result.outcome, result.evidence) == ("done", "slot=1")
    assert flags(rig) == {1: ("held",)}


def test_nobody_else_is_offered_it() -> None:
    rig = rig_with_three()
    hold(rig, "OTHER")
    assert rig.start(Kind.PICKUP).evidence == "slot_in=None slot_out=2"


def test_its_rider_gets_it_even_when_a_better_one_came() -> None:
    rig = rig_with_three()
    hold(rig)
    rig.holes[4].soc_pct = 100
    rig.run(300)
    assert rig.start().evidence == "slot_in=3 slot_out=1"
    assert rig.state.durable.holds == {}
    assert flags(rig) == {}


def test_a_jammed_pickup_door_does_not_hand_out_what_is_kept_for_another() -> None:
    rig = rig_with_three()
    hold(rig, "OTHER")  # slot 1
    rig.start(Kind.PICKUP)  # slot 2
    rig.holes[2].jammed = True
    rig.holes[2].door = rig.holes[3].door
    rig.run(12_000)
    assert rig.bodies("swap.step")[-1].slot_out == 4


def test_the_last_full_pack_is_never_kept() -> None:
    rig = rig_with_three()
    assert hold(rig, "R1").outcome == "done"
    assert hold(rig, "R2").outcome == "done"
    assert hold(rig, "R3").reason == "last-full-battery"
    rig.start(Kind.PICKUP)
    assert hold(rig, "R4").reason == "no-full-battery"


def test_one_hold_for_one_rider() -> None:
    rig = rig_with_three()
    hold(rig)
    assert hold(rig).reason == "already-held"
    assert len(rig.state.durable.holds) == 1


def test_the_same_command_again_gets_the_same_answer() -> None:
    rig = rig_with_three()
    order = rig.order("pack.hold", {"rider_id": RIDER, "ttl_s": 60})
    first = rig.send(order)
    again = rig.send(order)
    assert (first.outcome, again.outcome, again.evidence) == ("done", "done", "slot=1")
    assert len(rig.state.durable.holds) == 1


def test_a_denied_rider_and_locked_doors() -> None:
    lists = Lists(version=1, packs=frozenset(), denied_riders=frozenset({RIDER}))
    rig = Rig(restored=Restored(lists=lists)).ready()
    assert hold(rig).reason == "denied-rider"


def test_it_ends_by_itself() -> None:
    rig = rig_with_three()
    hold(rig, "OTHER")
    rig.run(59_000, 1_000)
    assert flags(rig) == {1: ("held",)}
    rig.run(2_000)
    assert rig.state.durable.holds == {}
    assert rig.start(Kind.PICKUP).evidence == "slot_in=None slot_out=1"


def test_it_is_released_by_its_id_once() -> None:
    rig = rig_with_three()
    held = hold(rig)
    assert rig.command("pack.release", {"hold": held.id}).outcome == "done"
    assert rig.command("pack.release", {"hold": held.id}).reason == "no-hold"
    assert rig.state.durable.holds == {}


@pytest.mark.parametrize("clock", [0, 10**9])
def test_after_a_restart_its_time_starts_anew_and_is_no_longer_than_before(clock: int) -> None:
    rig = rig_with_three()
    hold(rig, "OTHER")
    rig.run(30_000, 1_000)
    rig.now_ms = clock
    rig.boot()
    rig.run(1_000)
    assert flags(rig) == {1: ("held",)}
    rig.run(57_000, 1_000)
    assert flags(rig) == {1: ("held",)}
    rig.run(4_000)
    assert flags(rig) == {}


def test_a_new_hold_on_the_same_slot_has_its_own_time() -> None:
    rig = rig_with_three()
    first = hold(rig, "OTHER")
    rig.run(50_000, 1_000)
    rig.command("pack.release", {"hold": first.id})
    hold(rig)
    rig.run(50_000, 1_000)
    assert flags(rig) == {1: ("held",)}


def test_a_kept_pack_that_goes_bad_is_exchanged_for_another() -> None:
    rig = rig_with_three()
    hold(rig)
    rig.run(20_000, 1_000)
    rig.command("slot.quarantine", {"slot": 1})
    rig.run(300)
    assert flags(rig) == {1: ("quarantine",), 2: ("held",)}
    rig.run(38_000, 1_000)
    assert rig.state.durable.holds
    rig.run(3_000)
    assert not rig.state.durable.holds, "its time went on"


def test_a_kept_pack_that_vanished_with_no_other_left_ends_the_hold() -> None:
    rig = Rig().ready()
    hold(rig)
    rig.take(1)
    rig.take(2)
    rig.run(8_000)
    assert rig.state.durable.holds == {}


def test_the_limit_can_be_set() -> None:
    base = Rig().config
    assert base is not None
    config = EngineConfig(
        cabinet=base.cabinet,
        slots=5,
        software="test",
        pack=base.pack,
        breaker_w=3_000,
        power_default_w=1_000,
        hold_leave_full=2,
    )
    rig = rig_with_three(config=config)
    assert hold(rig, "R1").outcome == "done"
    assert hold(rig, "R2").reason == "last-full-battery"
