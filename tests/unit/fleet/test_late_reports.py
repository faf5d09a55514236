"""Which report counts as late, and how commands are numbered after a restore."""

from __future__ import annotations

from dataclasses import replace

from fleet.core.commands import next_seq
from fleet.core.ledger import Battery, Book, Origin, apply
from protocols.messages import BatteryBody, EventBody, Kind, Step, StepBody

NOON_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def book() -> Book:
    return Book({"B-1": Battery("B-1", "slot:DH-1:1", 1, since_ms=NOON_MS)})


def tell(book: Book, origin: Origin, type_: str, body: EventBody) -> None:
    book.absorb(apply(book, origin, type_, body))


def test_a_cabinet_without_a_clock_does_not_outdate_its_own_next_report() -> None:
    """The first report was booked an hour after it was written, as events are sent again."""
    facts = book()
    booked_ms = NOON_MS + 2 * HOUR_MS
    out = BatteryBody(serial="B-1", slot=1, rider_id="R1", swap_id=None)
    tell(facts, Origin("DH-1", 1, 7, booked_ms, synced=False), "battery.out", out)
    assert facts.batteries["B-1"].holder == "rider:R1"
    back = BatteryBody(serial="B-1", slot=2, rider_id="R1", swap_id=None)
    tell(facts, Origin("DH-1", 1, 8, NOON_MS + HOUR_MS), "battery.in", back)
    assert facts.batteries["B-1"].holder == "slot:DH-1:2"


def test_a_report_from_before_the_last_dated_move_is_still_late() -> None:
    facts = book()
    gone = BatteryBody(serial="B-1", slot=1, cause="vanished")
    tell(facts, Origin("DH-2", 1, 3, NOON_MS - HOUR_MS), "battery.out", gone)
    assert facts.batteries["B-1"].holder == "slot:DH-1:1"


def test_numbers_of_commands_rise_over_a_restored_backup() -> None:
    seen = 0
    for wall_ms in (NOON_MS, NOON_MS, NOON_MS + 5):
        seen = next_seq(seen, wall_ms)
    restored = next_seq(0, NOON_MS + HOUR_MS)  # the backup knows nothing of all that
    assert restored > seen
    assert next_seq(seen, NOON_MS - HOUR_MS) == seen + 1  # a clock set back does no harm


def test_a_pack_that_comes_back_after_a_faulted_pickup_is_no_leg_of_it() -> None:
    facts = book()
    origin = Origin("DH-1", 1, 1, NOON_MS)
    for number, step in enumerate((Step.RESERVED, Step.FAULTED), start=1):
        body = StepBody(swap_id="S", kind=Kind.PICKUP, step=step, rider_id="R1", slot_out=1)
        tell(facts, replace(origin, seq=number), "swap.step", body)
    gone = BatteryBody(serial="B-1", slot=1, swap_id="S", rider_id="R1", cause="vanished")
    tell(facts, replace(origin, seq=3), "battery.out", gone)
    assert facts.batteries["B-1"].holder == "rider:R1"
    back = BatteryBody(serial="B-1", slot=1, swap_id="S", rider_id="R1", cause="found")
    tell(facts, replace(origin, seq=4), "battery.in", back)
    assert facts.batteries["B-1"].holder == "slot:DH-1:1"
    assert {leg for _, leg in facts.transfers} == {"out"}


def test_a_pack_that_goes_again_after_a_faulted_return_is_no_leg_of_it() -> None:
    facts = Book({"B-1": Battery("B-1", "rider:R1", 1, since_ms=NOON_MS)})
    origin = Origin("DH-1", 1, 1, NOON_MS)
    for number, step in enumerate((Step.RESERVED, Step.FAULTED), start=1):
        body = StepBody(swap_id="S", kind=Kind.RETURN, step=step, rider_id="R1", slot_in=1)
        tell(facts, replace(origin, seq=number), "swap.step", body)
    found = BatteryBody(serial="B-1", slot=1, swap_id="S", rider_id="R1", cause="found")
    tell(facts, replace(origin, seq=3), "battery.in", found)
    gone = BatteryBody(serial="B-1", slot=1, swap_id="S", rider_id="R1", cause="vanished")
    changes = apply(facts, replace(origin, seq=4), "battery.out", gone)
    assert [row.swap_id for row in changes.movements] == [None]
    assert changes.batteries[0].holder == "rider:R1"
