"""The rider's next scan goes on where a faulted transaction stopped, as a new transaction."""

from __future__ import annotations

import pytest

from cabinet.core.model import Unlock
from cabinet.core.swap_model import AwaitReturn, Completed, Faulted, PickupHeld, Verifying, job_of
from protocols.messages import Door, Kind
from tests.support.cabinet_rig import Hole, Rig
from tests.support.swapping import RIDER


def faulted_return(*, put: bool = True) -> Rig:
    """The return door was left open, with or without the pack in it."""
    rig = Rig(slots=6).ready()
    rig.start()
    rig.run(300)
    if put:
        rig.put(3, "OLD-1", silent=True)
    else:
        rig.holes[3].blind = True
    rig.run(121_000, 1_000)
    assert isinstance(rig.state.durable.swap, Faulted)
    rig.holes[3].blind = False
    return rig


def faulted_pickup() -> Rig:
    """The pack is in and booked, the full one was never taken."""
    rig = Rig(slots=6)
    rig.holes[4] = Hole("YZ48-000004", 98)
    rig.ready()
    rig.start()
    rig.run(300)
    rig.put(3, "OLD-1")
    rig.shut(3)
    rig.run(500)
    rig.shut(1)
    rig.run(500)
    assert isinstance(rig.state.durable.swap, PickupHeld)
    rig.run(181_000, 1_000)
    assert isinstance(rig.state.durable.swap, Faulted)
    return rig


def test_the_door_of_an_unfinished_return_stands_open_nothing_is_pulsed() -> None:
    rig = faulted_return()
    pulses = len(rig.of(Unlock))
    assert rig.start(swap_id="SWAP-2").evidence == "slot_in=3 slot_out=1"
    assert isinstance(rig.state.durable.swap, AwaitReturn)
    assert len(rig.of(Unlock)) == pulses
    assert rig.bodies("swap.step")[-2].detail == "second scan of SWAP-1"


def test_his_pack_stands_behind_the_shut_door_and_the_swap_goes_on_to_the_full_one() -> None:
    rig = faulted_return()
    rig.shut(3)
    rig.run(300)
    assert rig.start(swap_id="SWAP-2").outcome == "accepted"
    assert isinstance(rig.state.durable.swap, Verifying)
    rig.holes[3].silent = False
    rig.run(500)
    assert [u.slot for u in rig.of(Unlock)] == [3, 1]
    rig.take(1)
    rig.shut(1)
    rig.run(3_000)
    assert isinstance(rig.state.durable.swap, Completed)
    (into,) = rig.bodies("battery.in")
    assert (into.serial, into.swap_id, into.cause) == ("OLD-1", "SWAP-2", "swap")


def test_an_emptied_slot_is_opened_again_before_any_other() -> None:
    rig = faulted_return(put=False)
    rig.shut(3)
    rig.run(8_000, 500)
    rig.holes[5].serial = None
    assert rig.start(swap_id="SWAP-2").evidence == "slot_in=3 slot_out=1"
    assert rig.of(Unlock)[-1].slot == 3


def test_another_rider_gets_no_part_of_it() -> None:
    rig = faulted_return()
    rig.shut(3)
    rig.run(300)
    assert rig.start(swap_id="SWAP-2", rider_id="R2").evidence == "slot_in=4 slot_out=1"


def test_a_pack_found_in_the_meantime_is_his_and_he_is_owed_one() -> None:
    rig = faulted_return()
    rig.holes[3].silent = False
    rig.shut(3)
    rig.run(5_000)
    (found,) = rig.bodies("battery.in")
    assert (found.cause, found.swap_id) == ("found", "SWAP-1")
    assert rig.start(swap_id="SWAP-2").reason == "pickup-owed"
    assert rig.start(Kind.PICKUP, "SWAP-3").evidence == "slot_in=None slot_out=1"


def test_a_pickup_after_a_fault_gives_the_pack_that_was_promised() -> None:
    rig = faulted_pickup()
    rig.holes[4].soc_pct = 100
    rig.run(300)
    assert rig.start(Kind.PICKUP, "SWAP-2").evidence == "slot_in=None slot_out=1"
    rig.run(300)
    rig.take(1)
    rig.shut(1)
    rig.run(3_000)
    assert isinstance(rig.state.durable.swap, Completed)
    assert rig.state.durable.claims == ()


def test_a_swap_asked_for_without_the_fleet_becomes_the_owed_pickup() -> None:
    rig = faulted_pickup()
    from cabinet.core.engine_draft import Draft  # noqa: PLC0415
    from cabinet.core.engine_swap import start  # noqa: PLC0415
    from cabinet.core.engine_view import look  # noqa: PLC0415
    from cabinet.core.swap_model import Start  # noqa: PLC0415

    assert rig.config is not None
    draft = Draft(rig.state, rig.now, rig.config)
    order = Start("off-1", Kind.SWAP, RIDER, authority="code")
    assert start(draft, order, look(rig.state, rig.config, rig.now).view) is None
    job = job_of(draft.durable.swap)
    assert job is not None
    assert (job.kind, job.slot_in, job.slot_out, job.owed) == (Kind.PICKUP, None, 1, True)


def test_a_fleet_that_names_a_newer_pack_swaps_that_one() -> None:
    rig = faulted_pickup()
    assert rig.start(swap_id="SWAP-2", expected_serial="NEWER-1").outcome == "accepted"


def test_an_owed_pickup_that_faults_leaves_the_rider_owed_still() -> None:
    rig = faulted_pickup()
    rig.start(Kind.PICKUP, "SWAP-2")
    rig.run(300)
    rig.shut(1)
    rig.run(183_000, 1_000)
    assert isinstance(rig.state.durable.swap, Faulted)
    assert [(c.slot, c.role, c.owed) for c in rig.state.durable.claims] == [(1, "out", True)]


@pytest.mark.parametrize("touch", ["order", "by-hand", "time"])
def test_what_ends_it(touch: str) -> None:
    rig = faulted_return()
    rig.shut(3)
    rig.run(300)
    if touch == "order":
        rig.start(Kind.UNLOAD, "U-1", rider_id="T1", slot=3)
        rig.run(300)
        rig.take(3)
        rig.shut(3)
        rig.run(5_000)
    elif touch == "by-hand":
        rig.command("slot.open", {"slot": 3})
        rig.shut(3)
        rig.run(300)
    else:
        rig.run(301_000, 5_000)
    assert not [c for c in rig.state.durable.claims if c.slot == 3]
    rig.put(3, "X", silent=True)
    rig.run(300)
    assert rig.start(swap_id="SWAP-2").evidence == "slot_in=4 slot_out=1"


def test_an_order_at_other_slots_does_not_end_it() -> None:
    rig = faulted_return()
    rig.shut(3)
    rig.start(Kind.PICKUP, "P-1", rider_id="R2")
    rig.run(300)
    assert rig.state.durable.swap.job.slot_out == 1  # type: ignore[union-attr]
    rig.take(1)
    rig.shut(1)
    rig.run(4_000)
    assert rig.start(swap_id="SWAP-2").evidence == "slot_in=3 slot_out=2"


def test_it_outlives_a_restart() -> None:
    rig = faulted_return()
    rig.shut(3)
    rig.boot()
    rig.run(7_000)
    assert rig.start(swap_id="SWAP-2").evidence == "slot_in=3 slot_out=1"


def test_the_full_pack_taken_after_the_fault_settles_it() -> None:
    rig = faulted_pickup()
    rig.holes[1].door = Door.OPEN
    rig.take(1)
    rig.run(5_000)
    (out,) = rig.bodies("battery.out")
    assert (out.serial, out.swap_id, out.rider_id) == ("YZ48-000001", "SWAP-1", RIDER)
    assert rig.state.durable.claims == ()


def test_a_locked_slot_is_not_gone_on_with() -> None:
    rig = faulted_return()
    rig.shut(3)
    rig.holes[3].air_c = 65.0
    rig.run(2_000)
    if rig.state.verdict.doors_locked:
        pytest.skip("the whole cabinet is locked")
    result = rig.start(swap_id="SWAP-2")
    assert result.evidence in {"slot_in=4 slot_out=1", ""}
