"""A rider's wishes at a real cabinet: a battery kept, a second scan, the own battery back."""

from __future__ import annotations

from typing import Any, Final

import pytest

from deploy.demo.waiting import until
from tests.support.stack import SystemStack

pytestmark = pytest.mark.system

WITHIN_S: Final = 60.0


def kept(stack: SystemStack, state: str) -> dict[str, Any]:
    """The reservation once it is in this state."""

    def there() -> dict[str, Any] | None:
        view = stack.rider.reservation(stack.options.cabinet_id)
        return view if view["state"] == state else None

    return until(there, within_s=WITHIN_S, what=f"reservation {state}", on_timeout=stack.tails)


def offered(stack: SystemStack) -> int:
    """How many packs the cabinet offers to anybody."""
    view = stack.rider.cabinet(stack.options.cabinet_id)
    assert view is not None
    full: int = view["full"]
    return full


def test_a_battery_is_kept_for_who_comes(stack: SystemStack) -> None:
    cabinet = stack.options.cabinet_id
    view = stack.rider.cabinet(cabinet)
    assert view is not None
    before: int = view["full"]
    asked = stack.rider.reserve(cabinet)
    assert asked["state"] in ("asked", "held")
    held = kept(stack, "held")
    assert 0 < held["left_s"] <= 600
    slot: int = held["slot"]
    until(
        lambda: offered(stack) == before - 1,
        within_s=WITHIN_S,
        what="one pack less for the others",
        on_timeout=stack.tails,
    )
    mine = stack.options.rider_serial or ""
    expected = stack.sim.serials()[slot]
    swap_id, received = stack.whole_swap(mine)
    assert received == expected, "the kept pack is the one that the rider got"
    assert stack.rider.swap(swap_id)["slot_out"] == slot
    kept(stack, "used")
    stack.assert_truth_is_ledger()


def test_a_second_scan_and_the_own_battery_back(stack: SystemStack) -> None:
    rider_id = stack.rider_id
    (mine,) = [
        serial for serial, holder in stack.ledger_holders().items() if holder == f"rider:{rider_id}"
    ]
    before = stack.sim.serials()
    swap_id = stack.start_swap()
    slot_in: int = stack.wait_step(swap_id, "await-return")["slot_in"]
    assert stack.start_swap(key="a-second-scan-of-mine") == swap_id
    stack.hands.give(slot_in, mine)
    slot_out: int = stack.wait_step(swap_id, "await-pickup")["slot_out"]
    stack.hands.wait_open(slot_out)
    stack.sim.close_door(slot_out)  # shut on the full pack, which stays in
    until(
        lambda: stack.rider.swap(swap_id)["reason"] == "not-taken",
        within_s=WITHIN_S,
        what="the pack is kept",
        on_timeout=stack.tails,
    )
    assert stack.start_swap(key="a-third-scan-of-mine") == swap_id
    stack.hands.wait_open(slot_out)
    stack.rider.give_back(swap_id)
    stack.sim.close_door(slot_out)
    stack.hands.wait_open(slot_in)
    assert stack.hands.take(slot_in) == mine
    stack.sim.close_door(slot_in)
    ended = stack.wait_step(swap_id, "cancelled")
    assert ended["reason"] == "own-battery"
    assert [(m["serial"], m["to_holder"]) for m in ended["movements"]] == [
        (mine, f"slot:{stack.options.cabinet_id}:{slot_in}"),
        (mine, f"rider:{rider_id}"),
    ]
    assert stack.sim.serials() == before
    stack.assert_truth_is_ledger()
