"""The fleet's command outbox: fleetd or the answer is lost between a rider's tap and the door."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Final

import httpx2
import pytest

from deploy.demo.errors import DemoError
from deploy.demo.waiting import until
from fleet.runtime.commands import COMMAND_LIFE_MS
from protocols.messages import Command, decode
from protocols.topics import Leaf
from tests.support.broker_client import BrokerClient, Heard
from tests.support.orders import Orders
from tests.support.stack import SystemStack, read_rows

pytestmark = pytest.mark.system

EXPIRED_WITHIN_S: Final = COMMAND_LIFE_MS / 1_000 + 60
TRIES_MAX: Final = 5


@pytest.fixture
def rider_pack(stack: SystemStack) -> Iterator[str]:
    """The pack that the rider holds by the ledger; ends with truth equal to ledger."""
    ((serial,),) = read_rows(
        stack.fleet_db, f"SELECT serial FROM battery WHERE holder = 'rider:{stack.rider_id}'"
    )
    yield serial
    stack.assert_truth_is_ledger()


def finish(stack: SystemStack, swap_id: str, serial: str) -> None:
    """The rest of a swap by hand, from the wait for the return."""
    stack.hands.give(stack.wait_step(swap_id, "await-return")["slot_in"], serial)
    slot_out = stack.wait_step(swap_id, "await-pickup")["slot_out"]
    stack.hands.take(slot_out)
    stack.sim.close_door(slot_out)
    stack.wait_step(swap_id, "completed")
    assert len(stack.ledger(swap_id)) == 2


def pulses(stack: SystemStack, since: int) -> int:
    return sum(e["kind"] == "lock-pulse" for e in stack.sim.events(since))


def restart_fleet(stack: SystemStack) -> None:
    stack.restart("fleetd")
    until(stack.rider.ready, within_s=60, what="fleetd again", on_timeout=stack.tails)


def page(stack: SystemStack, swap_id: str) -> str:
    """The rider's page of the swap, in English."""
    reply = stack.rider._http.get(f"/s/{swap_id}", headers={"Accept-Language": "en"})
    assert reply.is_success, reply
    return reply.text


def test_fleetd_dies_between_the_tap_and_the_answer(stack: SystemStack, rider_pack: str) -> None:
    for number in range(TRIES_MAX):
        since = stack.last_seq()
        swap_id = killed_before_any_answer(stack, key=f"a-patient-tap-{number}")
        assert pulses(stack, since) == 0
        restart_fleet(stack)
        # The phone never heard of the fleet's death: it taps once more with the same key.
        assert stack.start_swap(key=f"a-patient-tap-{number}") == swap_id
        if stack.wait_step(swap_id, "await-return", "cancelled")["step"] == "await-return":
            break
        # A machine so busy that all came back too late: void, and nothing has moved.
        assert stack.ledger(swap_id) == []
        assert pulses(stack, since) == 0
        stack.kill9("cabinetd")
        stack.restart("cabinetd")
        stack.wait_serving()
    else:
        pytest.fail(f"fleet and cabinet came back too late {TRIES_MAX} times")
    assert pulses(stack, since) == 1
    finish(stack, swap_id, rider_pack)


def killed_before_any_answer(stack: SystemStack, key: str) -> str:
    """Tap, and kill fleetd once it has taken the tap; the cabinet can't answer meanwhile."""
    cabinetd = stack.programs["cabinetd"].pid
    os.kill(cabinetd, signal.SIGSTOP)
    try:
        swap_id = stack.start_swap(key=key)
        stack.kill9("fleetd")
    finally:
        os.kill(cabinetd, signal.SIGCONT)
    return swap_id


def test_an_order_that_reaches_nobody_in_time_is_void(stack: SystemStack, rider_pack: str) -> None:
    since = stack.last_seq()
    cabinetd = stack.programs["cabinetd"].pid
    os.kill(cabinetd, signal.SIGSTOP)
    try:
        swap_id = stack.start_swap()
        stack.kill9("fleetd")
        restart_fleet(stack)
        view = stack.wait_step(swap_id, "cancelled", within_s=EXPIRED_WITHIN_S)
        assert view["reason"] == "no-answer"
        assert "The cabinet did not answer. No door was opened." in page(stack, swap_id)
        assert stack.ledger(swap_id) == []
    finally:
        os.kill(cabinetd, signal.SIGCONT)
    with BrokerClient(stack) as client:
        Orders(stack, client).settle()  # the cabinet has dealt with whatever waited for it
    assert pulses(stack, since) == 0
    # Nothing is left in the way of the next one.
    stack.wait_serving()
    finish(stack, stack.start_swap(), rider_pack)


def test_a_lost_result_is_asked_for_again_and_moves_nothing(
    stack: SystemStack, rider_pack: str
) -> None:
    state = "void"
    for _ in range(TRIES_MAX):
        since = stack.last_seq()
        swap_id, answered = killed_when_the_order_was_out(stack)
        restart_fleet(stack)
        if (
            until(
                lambda: outcome(stack, swap_id, since),  # noqa: B023 - called here
                within_s=60,
                what="the cabinet's report",
                on_timeout=stack.tails,
            )
            == "void"
        ):
            continue  # on a busy machine the order's life may end before fleetd and its broker are up
        assert pulses(stack, since) == 1, "the repeated order pulsed again"
        finish(stack, swap_id, rider_pack)
        ((rider_pack,),) = read_rows(
            stack.fleet_db, f"SELECT serial FROM battery WHERE holder = 'rider:{stack.rider_id}'"
        )
        ((state,),) = read_rows(
            stack.fleet_db, f"SELECT state FROM command_outbox WHERE id = 'start-{swap_id}'"
        )
        if not answered and state == "accepted":
            break
    else:
        pytest.fail(f"no lost result was asked for again in {TRIES_MAX} tries, the last is {state}")


def outcome(stack: SystemStack, swap_id: str, since: int) -> str | None:
    """Whether the cabinet reported, or the order reached nobody in its life and is void."""
    view = stack.rider.swap(swap_id)
    if view["step"] == "await-return":
        return "reported"
    return "void" if view["done"] and pulses(stack, since) == 0 else None


def killed_when_the_order_was_out(stack: SystemStack) -> tuple[str, bool]:
    """Kill fleetd at the instant when its order crosses the broker; whether it had the answer."""
    pid = stack.programs["fleetd"].pid
    orders: list[Command] = []

    def kill(heard: Heard) -> None:
        if heard.leaf is Leaf.COMMAND:
            os.kill(pid, signal.SIGKILL)
            orders.append(decode(heard.payload, Command))

    with BrokerClient(stack) as client:
        client.on_heard = kill
        # The kill may be faster than the reply to the tap.
        with contextlib.suppress(httpx2.TransportError, DemoError):
            stack.start_swap()
        until(lambda: orders, within_s=60, what="the order", on_timeout=stack.tails)
    stack.programs["fleetd"].stop()  # it is dead; its entry is cleared
    (order,) = orders
    assert order.swap_id is not None
    ((state,),) = read_rows(
        stack.fleet_db, f"SELECT state FROM command_outbox WHERE id = '{order.id}'"
    )
    return order.swap_id, state != "queued"
