"""Packs that may not be handed out, and packs that do not say who they are."""

from __future__ import annotations

import pytest

from cabinet.core.engine_model import ChallengeReceived, CommandReceived
from cabinet.core.model import Unlock
from cabinet.core.swap_model import AwaitPickup, Completed, Faulted, OpeningPickup
from protocols.messages import Challenge, Kind
from tests.support.cabinet_rig import Hole, Rig

ILL = frozenset({"short-circuit"})


def returned(rig: Rig) -> Rig:
    """A swap whose returned pack stands in slot 3, door still open; slot 1 is reserved."""
    assert rig.start().outcome == "accepted"
    rig.run(300)
    rig.put(3, "OLD-1")
    return rig.run(200)


@pytest.mark.parametrize("soc_pct", [255, 101, -1])
def test_a_return_is_booked_though_the_pack_tells_a_charge_that_cannot_be(soc_pct: int) -> None:
    """A figure that the fleet refuses would cost it the whole movement."""
    rig = returned(Rig().ready())
    rig.holes[3].soc_pct = soc_pct
    rig.run(200)
    rig.shut(3)
    rig.run(500)
    booked = rig.bodies("battery.in")[-1]
    assert (booked.serial, booked.slot, booked.soc_pct) == ("OLD-1", 3, None)
    assert isinstance(rig.state.durable.swap, AwaitPickup)
    told = rig.engine.telemetry(rig.state, rig.now).slots[2]
    assert (told.serial, told.soc_pct) == ("OLD-1", None)


def test_a_pack_that_tells_more_than_full_is_not_offered_for_it() -> None:
    holes = {1: Hole("YZ48-000001", 255), 2: Hole(), 3: Hole(), 4: Hole()}
    rig = Rig(holes=holes).ready()
    rig.run(5_000)
    assert rig.bodies("inventory")[-1].slots[0].soc_pct is None
    assert rig.start(Kind.PICKUP).reason == "no-full-battery"
    assert not rig.of(Unlock)


def test_a_reserved_pack_that_falls_ill_is_not_handed_out() -> None:
    rig = returned(Rig().ready())
    rig.holes[1].protection = ILL
    rig.run(200)
    rig.shut(3)
    rig.run(500)
    assert [pulse.slot for pulse in rig.of(Unlock)] == [3, 2]
    assert isinstance(rig.state.durable.swap, AwaitPickup)


def test_an_ill_pack_is_not_handed_out_for_want_of_another() -> None:
    rig = Rig(holes={1: Hole("YZ48-000001", 99), 2: Hole(), 3: Hole(), 4: Hole()}).ready()
    assert rig.start().outcome == "accepted"
    rig.run(300)
    rig.put(2, "OLD-1")
    rig.holes[1].protection = ILL
    rig.run(200)
    rig.shut(2)
    rig.run(500)
    assert [pulse.slot for pulse in rig.of(Unlock)] == [2]
    assert isinstance(rig.state.durable.swap, Faulted)
    assert rig.bodies("battery.in")[-1].serial == "OLD-1"


def test_a_door_that_sticks_is_not_tried_again_on_an_ill_pack() -> None:
    rig = Rig().ready()
    rig.holes[1].jammed = True
    assert rig.start(Kind.PICKUP).outcome == "accepted"
    rig.run(300)
    rig.holes[1].protection = ILL
    rig.run(4_000)
    assert [pulse.slot for pulse in rig.of(Unlock)] == [1, 2]


def test_an_ill_pack_is_not_handed_out_because_it_fell_silent() -> None:
    rig = Rig().ready()
    assert rig.start(Kind.PICKUP).outcome == "accepted"
    rig.run(300)
    rig.shut(1)
    rig.run(300)
    rig.holes[1].protection = ILL
    rig.run(300)
    rig.holes[1].silent = True
    rig.run(6_000)
    assert rig.command("swap.resume", swap_id="SWAP-1").outcome == "accepted"
    assert [pulse.slot for pulse in rig.of(Unlock)] == [1, 2]


def test_a_technician_may_take_the_ill_pack_out() -> None:
    rig = Rig().ready()
    rig.holes[1].protection = ILL
    rig.run(200)
    assert rig.start(Kind.UNLOAD, slot=1).outcome == "accepted"
    rig.run(300)
    assert isinstance(rig.state.durable.swap, AwaitPickup)


def test_a_silent_pack_leaves_under_the_name_that_was_booked() -> None:
    rig = Rig().ready()
    rig.holes[1].silent = True
    rig.run(6_000)
    assert rig.start(Kind.UNLOAD, slot=1).outcome == "accepted"
    rig.run(300)
    rig.take(1)
    rig.run(3_000)
    rig.shut(1)
    rig.run(300)
    assert isinstance(rig.state.durable.swap, Completed)
    assert [body.serial for body in rig.bodies("battery.out")] == ["YZ48-000001"]


def test_unloading_a_pack_that_nobody_knows_is_not_called_complete() -> None:
    rig = Rig().ready()
    rig.put(3, "OLD-1", silent=True)
    rig.run(300)
    assert rig.start(Kind.UNLOAD, slot=3).outcome == "accepted"
    rig.run(300)
    assert isinstance(rig.state.durable.swap, AwaitPickup)
    rig.take(3)
    rig.run(3_000)
    swap = rig.state.durable.swap
    assert isinstance(swap, Faulted)
    assert swap.reason == "no-bms"
    assert rig.bodies("battery.out") == []


def test_a_command_that_could_not_be_written_has_used_its_nonce_up() -> None:
    rig = Rig().ready()
    rig.feed(ChallengeReceived(Challenge(id="c")))
    command = rig.order("swap.start", {"kind": "pickup", "rider_id": "R1"}, swap_id="S")
    outcome = rig.engine.step(rig.state, CommandReceived(command), rig.now)
    assert isinstance(outcome.state.durable.swap, OpeningPickup)
    after = rig.engine.unwritten(rig.state, outcome)
    assert after.durable == rig.state.durable
    assert command.nonce not in {nonce.value for nonce in after.nonces}


def test_a_pack_taken_by_a_pulse_that_nobody_heard_of_is_booked_to_its_rider() -> None:
    """The disk failed between the pulse and its outcome; the rider was quick."""
    rig = Rig().ready()
    rig.deaf = True
    assert rig.start(Kind.PICKUP).outcome == "accepted"
    rig.take(1)
    rig.shut(1)
    rig.run(6_000)
    assert [pulse.slot for pulse in rig.of(Unlock)] == [1]
    assert isinstance(rig.state.durable.swap, Completed)
    assert rig.bodies("battery.out")[0].rider_id == "R234567ABCDEF"


def test_a_pack_that_leaves_after_its_slot_was_given_up_is_its_riders() -> None:
    rig = Rig().ready()
    rig.holes[1].jammed = True
    assert rig.start(Kind.PICKUP).outcome == "accepted"
    rig.run(300)
    rig.holes[1].silent = True
    rig.run(8_000)
    assert [pulse.slot for pulse in rig.of(Unlock)][-1] == 2
    rig.take(1)
    rig.run(8_000)
    gone = [body for body in rig.bodies("battery.out") if body.slot == 1]
    assert [body.rider_id for body in gone] == ["R234567ABCDEF"]


def test_a_pack_exchanged_while_nothing_could_be_read_is_its_riders() -> None:
    """Another pack stands where it was booked, and a technician takes that one away."""
    rig = Rig().ready()
    assert rig.start(Kind.PICKUP, rider_id="R1").outcome == "accepted"
    rig.run(300)
    rig.put(1, "F-1", silent=True)
    rig.shut(1)
    rig.run(200_000, every_ms=1_000)
    assert isinstance(rig.state.durable.swap, Faulted)
    assert rig.bodies("battery.out") == []
    rig.put(1, "F-1", silent=False)
    rig.run(300)
    assert rig.start(Kind.UNLOAD, swap_id="T", rider_id="T1", slot=1).outcome == "accepted"
    rig.run(300)
    rig.take(1)
    rig.run(3_000)
    first, second = rig.bodies("battery.out")
    assert (first.serial, first.rider_id, first.cause) == ("YZ48-000001", "R1", "vanished")
    assert (second.serial, second.rider_id) == ("F-1", "T1")
