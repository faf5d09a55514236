"""Cabinets live on while their reports are lost, repeated, shuffled and late; the ledger must hold.

The world of the test knows where every battery really is. Whatever reaches the ledger in whatever
order, its invariants hold at every moment; and once everything has arrived it agrees with the world.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fleet.core.audit import Link, check_chains, check_numbers, check_slots, check_swaps
from fleet.core.ids import UNKNOWN, rider_holder, slot_holder
from fleet.core.ingest import Verdict, Watermark, judge
from fleet.core.ledger import Battery, Book, Changes, LedgerError, Origin, apply, claim
from fleet.core.offline import number_name, resolve, twin_id
from protocols.messages import Authority, Event, Kind, Step, event_body
from protocols.offline import rider_number
from tests.support.fleet import T0_MS, Reporter

CABINETS = ("DH-0001", "DH-0002", "DH-0003")
SLOTS = (1, 2, 3, 4)
RIDERS = ("R1", "R2", "R3")
NUMBERS = {rider: rider_number(1_000_000 + n) for n, rider in enumerate(RIDERS)}
#: Beyond what clocks may differ by, so that order in time can be told.
STEP_MS = 120_000

cabinets = st.sampled_from(CABINETS)
riders = st.sampled_from(RIDERS)
slots = st.sampled_from(SLOTS)


@dataclass
class Ledger:
    """The receiving end without a database: the same cores, the same order of work."""

    book: Book = field(default_factory=Book)
    marks: dict[str, Watermark] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    applied: set[tuple[str, int, int]] = field(default_factory=set)
    numbers: dict[str, str] = field(default_factory=dict)

    def receive(self, cabinet: str, event: Event) -> Watermark:
        verdict, acknowledged = judge(self.marks.get(cabinet, Watermark()), event.epoch, event.seq)
        if verdict is not Verdict.ACCEPT:
            return acknowledged
        key = (cabinet, event.epoch, event.seq)
        assert key not in self.applied, "an event takes effect once"
        self.applied.add(key)
        self.marks[cabinet] = acknowledged
        synced = event.wall_synced
        origin = Origin(cabinet, event.epoch, event.seq, event.wall_ms if synced else 0, synced)
        try:
            body = resolve(event_body(event), self.numbers)
            changes = apply(self.book, origin, event.type, body)
        except LedgerError as error:
            raise AssertionError("these cabinets never lie") from error
        self.book_in(changes)
        return acknowledged

    def book_in(self, changes: Changes) -> None:
        for row in changes.movements:
            self.links.append(
                Link(
                    len(self.links),
                    row.serial,
                    row.from_holder,
                    row.to_holder,
                    row.swap_id,
                    row.moves,
                )
            )
        self.book.absorb(changes)

    def claim(self, number: str, rider: str) -> None:
        """What the store does when it becomes known whose number it is."""
        name = number_name(number)
        self.numbers[number] = rider
        self.book_in(claim(self.book, rider_holder(name), rider_holder(rider), 0))
        for swap in list(self.book.swaps.values()):
            if swap.rider == name:
                self.book.absorb(Changes(swap=replace(swap, rider=rider)))


class LedgerMachine(RuleBasedStateMachine):
    """With clocks that can be trusted."""

    synced = True

    def __init__(self) -> None:
        super().__init__()
        self.wall = T0_MS
        self.reporters = {cabinet: Reporter(cabinet, synced=self.synced) for cabinet in CABINETS}
        self.ledger = Ledger()
        self.place: dict[str, str] = {}
        self.swaps = 0
        self.completed: list[tuple[str, str]] = []
        self.tickets: dict[tuple[str, Kind], tuple[str, set[str]]] = {}
        self.ledger.numbers[NUMBERS["R1"]] = "R1"  # the others' are not known yet

    @initialize(kept=st.integers(2, 4), held=st.integers(1, 3))
    def furnish(self, kept: int, held: int) -> None:
        for cabinet in CABINETS[:2]:
            for slot in SLOTS[: kept - 1]:
                self.import_(f"P{len(self.place)}", slot_holder(cabinet, slot))
        for rider in RIDERS[:held]:
            self.import_(f"P{len(self.place)}", rider_holder(rider))

    def import_(self, serial: str, holder: str) -> None:
        self.place[serial] = holder
        self.ledger.book.batteries[serial] = Battery(serial, holder, version=1)
        self.ledger.book = self.ledger.book.copy()
        number = len(self.ledger.links)
        self.ledger.links.append(Link(number, serial, UNKNOWN, holder, None, moves=True))

    # --- the world ------------------------------------------------------------------------------

    def write(self, cabinet: str) -> Reporter:
        """The cabinet's outbox, after some time has passed."""
        self.wall += STEP_MS
        reporter = self.reporters[cabinet]
        reporter.wall_ms = self.wall
        return reporter

    def at(self, holder: str) -> str | None:
        return next((serial for serial, place in self.place.items() if place == holder), None)

    def full(self, cabinet: str) -> int | None:
        return next((n for n in SLOTS if self.at(slot_holder(cabinet, n))), None)

    def empty(self, cabinet: str) -> int | None:
        return next((n for n in SLOTS if not self.at(slot_holder(cabinet, n))), None)

    def put(self, swap: str, cabinet: str, slot: int, rider: str, as_: str) -> None:
        serial = self.at(rider_holder(rider))
        assert serial is not None
        self.place[serial] = slot_holder(cabinet, slot)
        self.write(cabinet).battery("in", serial, slot, swap=swap, rider=as_)

    def take(self, swap: str, cabinet: str, slot: int, rider: str, as_: str) -> None:
        serial = self.at(slot_holder(cabinet, slot))
        assert serial is not None
        self.place[serial] = rider_holder(rider)
        self.write(cabinet).battery("out", serial, slot, swap=swap, rider=as_)

    @rule(cabinet=cabinets, rider=riders, kind=st.sampled_from([Kind.SWAP, Kind.PICKUP, Kind.RETURN]),
          break_off=st.booleans(), authority=st.sampled_from(["fleet", "code", "ticket"]))  # fmt: skip
    def swap(
        self, cabinet: str, rider: str, kind: Kind, break_off: bool, authority: Authority
    ) -> None:
        gives, takes = kind is not Kind.PICKUP, kind is not Kind.RETURN
        slot_in, slot_out = self.empty(cabinet), self.full(cabinet)
        holds = self.at(rider_holder(rider)) is not None
        if (gives and (slot_in is None or not holds)) or (takes and slot_out is None):
            return
        if kind is Kind.PICKUP and holds:
            return
        name = self.name(cabinet, rider, kind, authority)
        told: dict[str, Any] = {"kind": kind, "slot_in": slot_in, "slot_out": slot_out}
        told["authority"] = authority
        told["rider"] = number_name(NUMBERS[rider]) if authority == "code" else rider
        self.write(cabinet).step(name, Step.RESERVED, **told)
        if gives:
            assert slot_in is not None
            self.put(name, cabinet, slot_in, rider, told["rider"])
            self.write(cabinet).step(name, Step.VERIFYING, **told)
        if break_off:
            self.write(cabinet).step(name, Step.CANCELLED, **told)
            return
        if takes:
            assert slot_out is not None
            self.take(name, cabinet, slot_out, rider, told["rider"])
        self.write(cabinet).step(name, Step.COMPLETED, **told)
        self.completed.append((name, cabinet))

    def name(self, cabinet: str, rider: str, kind: Kind, authority: Authority) -> str:
        """A fresh id; or that of a ticket that no other cabinet has told this one about."""
        ticket, used = self.tickets.get((rider, kind), ("", {cabinet}))
        if authority == "ticket" and cabinet not in used:
            used.add(cabinet)
            return ticket
        self.swaps += 1
        fresh = f"S{self.swaps}"
        if authority == "ticket":
            self.tickets[rider, kind] = (fresh, {cabinet})
        return fresh

    @rule(rider=riders)
    def number_becomes_known(self, rider: str) -> None:
        self.ledger.claim(NUMBERS[rider], rider)

    @rule(cabinet=cabinets, slot=slots)
    def vanish(self, cabinet: str, slot: int) -> None:
        serial = self.at(slot_holder(cabinet, slot))
        if serial is not None:
            self.place[serial] = UNKNOWN
            self.write(cabinet).battery("out", serial, slot, cause="vanished")

    @rule(cabinet=cabinets, slot=slots)
    def turn_up(self, cabinet: str, slot: int) -> None:
        serial = self.at(UNKNOWN)
        if serial is not None and self.at(slot_holder(cabinet, slot)) is None:
            self.place[serial] = slot_holder(cabinet, slot)
            self.write(cabinet).battery("in", serial, slot, cause="found")

    @rule(cabinet=cabinets, first=slots, second=slots)
    def rearrange_in_the_dark(self, cabinet: str, first: int, second: int) -> None:
        """Somebody exchanges two slots while the power is off; the next boot counts."""
        one, two = slot_holder(cabinet, first), slot_holder(cabinet, second)
        for serial, place in list(self.place.items()):
            if place in {one, two}:
                self.place[serial] = two if place == one else one
        self.count(cabinet)

    @rule(cabinet=cabinets)
    def count(self, cabinet: str) -> None:
        stands = {n: self.at(slot_holder(cabinet, n)) for n in SLOTS}
        there = {n: serial for n, serial in stands.items() if serial is not None}
        absent = tuple(n for n in SLOTS if n not in there)
        self.write(cabinet).inventory(dict(there), absent=absent)

    # --- the wire -------------------------------------------------------------------------------

    @rule(
        cabinet=cabinets, skip=st.integers(0, 6), length=st.integers(1, 12), seed=st.integers(0, 99)
    )
    def deliver(self, cabinet: str, skip: int, length: int, seed: int) -> None:
        """A stretch of the outbox, with a gap before it, repeats in it, in any order."""
        sent = self.reporters[cabinet].sent
        mark = self.ledger.marks.get(cabinet, Watermark())
        start = max(0, mark.seq + skip - 3)
        stretch = sent[start : start + length]
        shuffled = random.Random(seed)
        batch = stretch + shuffled.choices(stretch, k=2) if stretch else []
        if seed % 3 == 0:
            shuffled.shuffle(batch)
        for event in batch:
            self.ledger.receive(cabinet, event)

    @rule(cabinet=cabinets)
    def drain(self, cabinet: str) -> None:
        for event in self.reporters[cabinet].sent:
            acknowledged = self.ledger.receive(cabinet, event)
            assert acknowledged.seq >= event.seq

    # --- what must hold -------------------------------------------------------------------------

    @invariant()
    def the_ledger_holds_together(self) -> None:
        batteries = self.ledger.book.batteries
        assert check_chains(self.ledger.links, batteries) == []
        assert check_slots(batteries.values()) == []
        swaps = self.ledger.book.swaps.values()
        assert check_numbers(self.ledger.numbers, swaps, batteries.values()) == []

    def teardown(self) -> None:
        for cabinet in reversed(CABINETS):
            self.drain(cabinet)
        self.the_ledger_holds_together()
        for rider in RIDERS:
            self.ledger.claim(NUMBERS[rider], rider)
        self.the_ledger_holds_together()
        book = self.ledger.book
        links, transfers = self.ledger.links, book.transfers.values()
        assert check_swaps(book.swaps.values(), links, transfers) == []
        for name, cabinet in self.completed:
            ids = (name, twin_id(name, cabinet))
            own = [book.swaps[each] for each in ids if each in book.swaps]
            assert [each.step for each in own if each.cabinet == cabinet] == [Step.COMPLETED]
        for cabinet, reporter in self.reporters.items():
            assert self.ledger.marks.get(cabinet, Watermark()).seq == reporter.seq
        if self.synced:
            assert {serial: b.holder for serial, b in book.batteries.items()} == self.place


class UnsyncedMachine(LedgerMachine):
    """With clocks that nobody trusts: where a battery is may be disputed, but the ledger is sound."""

    synced = False


TestTrustedClocks = LedgerMachine.TestCase
TestUntrustedClocks = UnsyncedMachine.TestCase
