"""The broker is gone for half an hour and twenty riders swap; afterwards the ledger is exact.

The real engine, the real sender and the real ledger core, under virtual time, joined by a link that
is dead for thirty minutes and loses, repeats and delays messages afterwards.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from cabinet.core.outbox import AckEffect, Sender
from fleet.core.audit import Link, check_chains, check_slots, check_swaps
from fleet.core.ids import UNKNOWN, is_slot, rider_holder, slot_holder
from fleet.core.ingest import Verdict, Watermark, judge
from fleet.core.ledger import Battery, Book, Movement, Origin, apply
from protocols.messages import Ack, Event, event_body
from protocols.offline import rider_number
from tests.support.cabinet_rig import CABINET
from tests.support.offline_rig import OfflineRig, stocked

OUTAGE_MS = 30 * 60_000
SWAPS = 20
RIDERS = [rider_number(100 + n) for n in range(SWAPS // 2)]
SLOTS = 26
FULL = 22


@dataclass
class Fleet:
    """The receiving end: what is accepted, in which order."""

    book: Book = field(default_factory=Book)
    mark: Watermark = field(default_factory=Watermark)
    rows: list[Movement] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    accepted: list[tuple[int, int]] = field(default_factory=list)
    verdicts: Counter[Verdict] = field(default_factory=Counter)

    def own(self, serial: str, holder: str) -> None:
        self.book.batteries[serial] = Battery(serial, holder, version=1)
        self.links.append(Link(len(self.links), serial, UNKNOWN, holder, None, moves=True))
        self.book = self.book.copy()

    def receive(self, event: Event) -> Ack:
        verdict, mark = judge(self.mark, event.epoch, event.seq)
        self.verdicts[verdict] += 1
        if verdict is Verdict.ACCEPT:
            self.mark = mark
            self.accepted.append((event.epoch, event.seq))
            origin = Origin(CABINET, event.epoch, event.seq, event.wall_ms, event.wall_synced)
            changes = apply(self.book, origin, event.type, event_body(event))
            self.rows += changes.movements
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
        return Ack(epoch=mark.epoch, seq=mark.seq, incarnation="ledger-1")


@dataclass
class Wire:
    """The way from the cabinet's outbox to the fleet, driven by virtual time."""

    rig: OfflineRig
    fleet: Fleet
    seed: int
    up: bool = True
    sender: Sender = field(default_factory=lambda: Sender(epoch=1))
    late: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def turn(self) -> None:
        """Send what is due; some of it is lost, comes twice, or comes late."""
        durable = self.rig.state.durable
        self.sender = self.sender.committed(durable.epoch, durable.seq)
        if not self.up:
            return
        due = self.sender.next_range(self.rig.now_ms)
        if not due and not self.late:
            return
        events = {event.seq: event for event in self.rig.events()}
        batch = [events[n] for n in due] + self.late
        self.late = []
        self.sender = self.sender.published(due, self.rig.now_ms, self.random.random)
        for event in batch:
            fate = self.random.random()
            if fate < 0.15:
                continue
            if fate < 0.3:
                self.late.append(event)
                continue
            for _ in range(2 if fate < 0.5 else 1):
                ack = self.fleet.receive(event)
                if self.random.random() > 0.2:
                    self.sender, effect = self.sender.on_ack(
                        ack, self.rig.now_ms, self.random.random
                    )
                    assert effect in {AckEffect.ADVANCED, AckEffect.NOTHING}

    def run(self, ms: int) -> None:
        for _ in range(0, ms, 1_000):
            self.rig.run(1_000, 1_000)
            self.turn()

    def reconnect(self) -> None:
        self.up = True
        self.sender = self.sender.reconnected()


@pytest.mark.parametrize("seed", [1, 2])
def test_half_an_hour_without_a_broker_and_twenty_swaps(seed: int) -> None:
    rig, fleet = stocked(SLOTS, FULL), Fleet()
    for n, hole in rig.holes.items():
        if hole.serial:
            fleet.own(hole.serial, slot_holder(CABINET, n))
    held = {number: f"RIDE-{number}" for number in RIDERS}
    for number, serial in held.items():
        fleet.own(serial, rider_holder(f"no.{number}"))
    wire = Wire(rig, fleet, seed)
    wire.run(60_000)
    assert fleet.mark.seq == rig.state.durable.seq, "all told while the broker is there"

    wire.up = False
    began_ms, told = rig.now_ms, fleet.mark.seq
    done = _swaps(rig, wire, held)
    wire.run(OUTAGE_MS - (rig.now_ms - began_ms))
    assert rig.now_ms - began_ms == OUTAGE_MS
    assert fleet.mark.seq == told
    third = rig.type_in(RIDERS[0])
    assert third.reason == "offline-limit"

    wire.reconnect()
    for _ in range(20):
        wire.run(60_000)
        if fleet.mark.seq == rig.state.durable.seq:
            break
    _is_exact(rig, fleet, held, done)


def _swaps(rig: OfflineRig, wire: Wire, held: dict[str, str]) -> list[str]:
    done = []
    for turn in range(SWAPS):
        number = RIDERS[turn % len(RIDERS)]
        answer = rig.type_in(number)
        assert answer.reason is None, answer
        assert answer.swap_id is not None
        taken = rig.ride(held[number])
        assert taken is not None
        held[number] = taken
        done.append(answer.swap_id)
        wire.run(75_000)
    return done


def _is_exact(rig: OfflineRig, fleet: Fleet, held: dict[str, str], done: list[str]) -> None:
    last = rig.state.durable.seq
    assert fleet.accepted == [(1, n) for n in range(1, last + 1)], "in order, each once"
    assert fleet.verdicts[Verdict.DUPLICATE] > 0, "the link did repeat"
    assert fleet.verdicts[Verdict.GAP] > 0, "the link did lose"
    truth = {hole.serial: slot_holder(CABINET, n) for n, hole in rig.holes.items() if hole.serial}
    truth |= {serial: rider_holder(f"no.{number}") for number, serial in held.items()}
    assert {b.serial: b.holder for b in fleet.book.batteries.values()} == truth
    assert not any(battery.disputed for battery in fleet.book.batteries.values())
    legs = Counter(row.swap_id for row in fleet.rows if row.swap_id)
    assert legs == dict.fromkeys(done, 2)
    assert [row.flags for row in fleet.rows if row.flags] == []
    order = [row.swap_id for row in fleet.rows if row.swap_id and is_slot(row.to_holder)]
    assert order == done
    batteries = fleet.book.batteries
    assert check_chains(fleet.links, batteries) == []
    assert check_slots(batteries.values()) == []
    swaps = fleet.book.swaps.values()
    assert check_swaps(swaps, fleet.links, fleet.book.transfers.values()) == []
    assert {s.id: s.step and s.step.value for s in swaps} == dict.fromkeys(done, "completed")
