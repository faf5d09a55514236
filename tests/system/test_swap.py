"""One whole swap through simulator, cabinetd, broker and fleetd, over HTTP, on both brokers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.demo.stack import Options
from deploy.demo.swap import play, verify
from tests.support.stack import SystemStack, running

pytestmark = pytest.mark.system

STEPS_OF_A_SWAP = [
    "reserved",
    "opening-return",
    "await-return",
    "verifying",
    "opening-pickup",
    "await-pickup",
    "await-close",
    "completed",
]


@pytest.fixture(scope="module", params=["nats", "mosquitto"])
def broker_stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SystemStack]:
    options = Options(broker=request.param)
    with running(f"test_swap-{request.param}", tmp_path_factory.mktemp("yz"), options) as stack:
        stack.login()
        yield stack


def test_a_rider_swaps_and_rides_on(broker_stack: SystemStack) -> None:
    stack = broker_stack
    lines: list[str] = []
    played = play(stack, stack.rider, lines.append)
    # A stream may join two quick steps into one view, but order and end are fixed.
    order = [STEPS_OF_A_SWAP.index(step) for step in played.steps]
    assert order == sorted(order)
    assert played.steps[-1] == "completed"
    assert {"await-return", "await-pickup"} <= set(played.steps)

    movements = verify(stack, played, lines.append)
    assert [row["serial"] for row in movements] == [played.serial_in, played.serial_out]
    stack.assert_truth_is_ledger()

    # The rider now holds the full pack and may swap it again: the state is whole.
    assert played.serial_out is not None
    _swap_id, received = stack.whole_swap(played.serial_out)
    assert received != played.serial_out
    stack.assert_truth_is_ledger()


def test_a_second_tap_with_the_same_key_is_the_same_swap(broker_stack: SystemStack) -> None:
    stack = broker_stack
    stack.wait_serving()  # after the swaps before this one
    first = stack.start_swap(key="one-tap-of-the-rider")
    second = stack.start_swap(key="one-tap-of-the-rider")
    assert first == second
    stack.wait_step(first, "await-return")
    stack.rider.cancel(first)
    # Nothing was put in: the cabinet waits for the shut door, so that it knows.
    stack.sim.close_door(stack.rider.swap(first)["slot_in"])
    stack.wait_step(first, "cancelled")
    stack.assert_truth_is_ledger()
