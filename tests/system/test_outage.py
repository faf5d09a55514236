"""The broker is away for a minute of real time while riders swap with the real programs."""

from __future__ import annotations

from typing import Final

import pytest

from deploy.demo.waiting import Deadline, until
from tests.support.kiosk_client import KioskClient, Pass, fleet_away, fleet_back, ride, two_legs
from tests.support.stack import SystemStack, read_rows

pytestmark = [pytest.mark.system, pytest.mark.slow]

OUTAGE_S: Final = 60.0


def test_a_minute_without_a_broker(stack: SystemStack) -> None:
    """Two riders swap twice each; afterwards the ledger is exact, in order, and has nothing twice."""
    kiosk = KioskClient(stack.cabinet_url)
    phones, held = _two_riders(stack)
    before = read_rows(stack.fleet_db, "SELECT COUNT(*) FROM movement")[0][0]
    fleet_away(stack, kiosk)
    gone = Deadline.after(OUTAGE_S)
    done: list[tuple[str, str, str, str]] = []
    for turn in range(4):
        phone = phones[turn % 2]
        phone.wait_fresh()
        answer = kiosk.code(phone)
        assert "swap_id" in answer, answer
        given = held[phone.rider_id]
        held[phone.rider_id] = ride(stack, kiosk, given)
        done.append((answer["swap_id"], phone.rider_id, given, held[phone.rider_id]))
    until(lambda: gone.left_s() == 0 or None, within_s=OUTAGE_S + 5, what="the end of the outage")
    fleet_back(stack)
    for swap in done:
        two_legs(stack, *swap)
    query = "SELECT swap_id, COUNT(*) FROM movement GROUP BY swap_id ORDER BY MIN(id)"
    told = [(swap, count) for swap, count in read_rows(stack.fleet_db, query)]
    assert told[-4:] == [(swap_id, 2) for swap_id, _, _, _ in done], "in order, nothing twice"
    after = read_rows(stack.fleet_db, "SELECT COUNT(*) FROM movement")[0][0]
    assert after == before + 8
    stack.assert_truth_is_ledger()
    kiosk.close()


def _two_riders(stack: SystemStack) -> tuple[list[Pass], dict[str, str]]:
    """Two riders with a pack each: the demo's own, and one who picks his first pack up now."""
    second = stack.new_phone()
    second.login("+8613900139000")
    swap_id = second.start(stack.options.cabinet_id, "pickup")["id"]
    slot = until(
        lambda: (
            second.swap(swap_id)["slot_out"]
            if second.swap(swap_id)["step"] == "await-pickup"
            else None
        ),
        within_s=20,
        what="the first pick-up",
    )
    serial = stack.hands.take(slot)
    stack.sim.close_door(slot)
    until(lambda: second.swap(swap_id)["done"] or None, within_s=20, what="its end")
    phones = [Pass(stack.rider), Pass(second)]
    second.close()
    held = {phones[0].rider_id: stack.options.rider_serial or "", phones[1].rider_id: serial}
    return phones, held
