"""Kill -9 cabinetd in the middle of a swap: it resumes or is compensated, and truth equals ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from deploy.demo.clients import Json
from deploy.demo.stack import Options
from deploy.demo.waiting import Deadline, now_s, until
from tests.support.machine import within_s
from tests.support.stack import SystemStack, read_rows

pytestmark = pytest.mark.system

SETTLED_WITHIN_S: Final = within_s(15.0)
TRIES_MAX: Final = 6
#: Return doors on board 1: those slots are empty, so that silencing board 1 reaches the lock but not
#: the smoke and e-stop contacts, which are on board 2.
EMPTY_SLOTS: Final = (1, 2, 3)


@pytest.fixture(scope="module")
def stack_options() -> Options:
    packs = "".join(
        f'[[pack]]\nslot = {slot}\nserial = "YZ48-{slot:06}"\nsoc_pct = 100\n'
        for slot in range(1 + max(EMPTY_SLOTS), 13)
    )
    return Options(simulator_toml=packs)


@pytest.fixture
def held(stack: SystemStack) -> Iterator[list[str]]:
    """The pack that the rider holds; a test replaces it. Ends with all doors shut and all wires up."""
    view = stack.fleet("ledger", "battery", stack.options.rider_serial or "")
    assert view
    yield [rider_pack(stack)]
    for slot in stack.sim.state()["slots"]:
        if slot["door"] == "open":
            stack.sim.close_door(slot["slot"])


def rider_pack(stack: SystemStack) -> str:
    """What the ledger says the rider holds."""
    rows = read_rows(
        stack.fleet_db, f"SELECT serial FROM battery WHERE holder = 'rider:{stack.rider_id}'"
    )
    assert len(rows) == 1, rows
    serial: str = rows[0][0]
    return serial


def settle(stack: SystemStack, swap_id: str, restarted_s: float) -> Json:
    """The swap's end, at most ``SETTLED_WITHIN_S`` after the restart, with truth equal to ledger."""
    left_s = SETTLED_WITHIN_S - (now_s() - restarted_s)
    view = stack.wait_step(
        swap_id, "completed", "cancelled", "faulted", "rejected", within_s=max(left_s, 0.1)
    )
    stack.assert_truth_is_ledger(within_s=max(SETTLED_WITHIN_S - (now_s() - restarted_s), 0.1))
    print(f"settled as {view['step']} {now_s() - restarted_s:.2f} s after the restart")
    return view


def test_return_door_open(stack: SystemStack, held: list[str]) -> None:
    swap_id = stack.start_swap()
    slot_in = stack.wait_step(swap_id, "await-return")["slot_in"]
    stack.hands.wait_open(slot_in)
    stack.kill9("cabinetd")
    restarted_s = now_s()
    stack.restart("cabinetd")
    # The rider does not wait for a computer: the pack goes in while the daemon is away.
    stack.hands.give(slot_in, held[0])
    slot_out = stack.wait_step(swap_id, "await-pickup", within_s=SETTLED_WITHIN_S)["slot_out"]
    stack.hands.take(slot_out)
    stack.sim.close_door(slot_out)
    view = settle(stack, swap_id, restarted_s)
    assert view["step"] == "completed"
    assert len(stack.ledger(swap_id)) == 2


def test_full_pack_taken_and_door_not_yet_closed(stack: SystemStack, held: list[str]) -> None:
    swap_id = stack.start_swap()
    stack.hands.give(stack.wait_step(swap_id, "await-return")["slot_in"], held[0])
    slot_out = stack.wait_step(swap_id, "await-pickup")["slot_out"]
    stack.hands.take(slot_out)
    stack.kill9("cabinetd")
    restarted_s = now_s()
    stack.restart("cabinetd")
    stack.sim.close_door(slot_out)
    view = settle(stack, swap_id, restarted_s)
    assert view["step"] == "completed"
    assert len(stack.ledger(swap_id)) == 2


def test_after_the_intent_and_before_the_pulse(stack: SystemStack, held: list[str]) -> None:
    for _ in range(TRIES_MAX):
        seq = stack.last_seq()
        swap_id = killed_before_pulse(stack)
        if not any(e["kind"] == "lock-pulse" for e in stack.sim.events(seq)):
            break
        finish(stack, swap_id)  # the pulse was faster this time
    else:
        pytest.fail(f"the pulse was faster {TRIES_MAX} times")

    stack.sim.post("/devices/board-1/silent", silent=False)
    restarted_s = now_s()
    stack.restart("cabinetd")
    # The reservation stands in the journal: either the door is opened now, or all is given back.
    view = stack.wait_step(swap_id, "await-return", "cancelled", "faulted")
    if view["step"] == "await-return":
        stack.hands.give(view["slot_in"], rider_pack(stack))
        slot_out = stack.wait_step(swap_id, "await-pickup")["slot_out"]
        stack.hands.take(slot_out)
        stack.sim.close_door(slot_out)
    view = settle(stack, swap_id, restarted_s)
    assert len(stack.ledger(swap_id)) == (2 if view["step"] == "completed" else 0)
    pulses = [e for e in stack.sim.events(seq) if e["kind"] == "lock-pulse"]
    assert len(pulses) <= 2, "one pulse per door, never a blind repetition"


def killed_before_pulse(stack: SystemStack) -> str:
    """Tap with board 1 falling silent, and kill the daemon once its intent is in the journal."""
    before = unlock_intents(stack)
    stack.sim.post("/devices/board-1/silent", silent=True)
    swap_id = stack.start_swap()
    deadline = Deadline.after(5)
    until(
        lambda: unlock_intents(stack) > before,
        within_s=deadline.within_s,
        what="an intent in the journal",
        every_s=0.002,
        on_timeout=stack.tails,
    )
    stack.kill9("cabinetd")
    return swap_id


def unlock_intents(stack: SystemStack) -> int:
    """How many times the cabinet has decided to open a door, by its journal."""
    count: int = read_rows(stack.cabinet_db, "SELECT count(*) FROM journal WHERE kind = 'unlock'")[
        0
    ][0]
    return count


def finish(stack: SystemStack, swap_id: str) -> None:
    """Bring a swap that got through to its end, to try again."""
    stack.sim.post("/devices/board-1/silent", silent=False)
    stack.restart("cabinetd")
    stack.hands.give(stack.wait_step(swap_id, "await-return")["slot_in"], rider_pack(stack))
    slot_out = stack.wait_step(swap_id, "await-pickup")["slot_out"]
    stack.hands.take(slot_out)
    stack.sim.close_door(slot_out)
    stack.wait_step(swap_id, "completed")
