"""A batch of events from cabinets: judged in order, booked in memory, folded into what to write.

The store looks up whose numbers ``Plan.numbers`` are, loads the facts named by ``Plan.keys``, writes what ``Plan.work_out`` returns together
with the watermarks ``Plan.marks``, and only then may ``Plan.outcome.acks`` be published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.core.ids import rider_holder, slot_holder
from fleet.core.ingest import Arrival, BatchOutcome, Verdict, Watermark, judge
from fleet.core.ledger import (
    Battery,
    Book,
    Changes,
    LedgerError,
    Leg,
    Movement,
    Origin,
    SwapState,
    Transfer,
    apply,
)
from fleet.core.offline import numbers_in, resolve, twin_id
from protocols.errors import MessageError
from protocols.messages import (
    BatteryBody,
    Event,
    EventBody,
    InventoryBody,
    Step,
    StepBody,
    event_body,
)


@dataclass(slots=True)
class Keys:
    """What a batch of events touches."""

    serials: set[str] = field(default_factory=set)
    holders: set[str] = field(default_factory=set)
    swaps: set[str] = field(default_factory=set)
    inventories: set[str] = field(default_factory=set)  # cabinets
    riders: set[str] = field(default_factory=set)  # who began something without asking us

    def add(self, cabinet: str, body: EventBody) -> None:
        """Collect the keys of one event."""
        match body:
            case StepBody():
                self.swaps |= {body.swap_id, twin_id(body.swap_id, cabinet)}
                if body.authority != "fleet" and body.step is Step.RESERVED:
                    self.holders.add(rider_holder(body.rider_id))
                    self.riders.add(body.rider_id)
            case BatteryBody():
                self.serials.add(body.serial)
                self.holders.add(slot_holder(cabinet, body.slot))
                if body.swap_id is not None:
                    self.swaps |= {body.swap_id, twin_id(body.swap_id, cabinet)}
            case InventoryBody():
                self.inventories.add(cabinet)
                self.holders.update(slot_holder(cabinet, row.slot) for row in body.slots)
                self.serials.update(row.serial for row in body.slots if row.serial is not None)
            case _:
                pass


@dataclass(slots=True)
class Pending:
    """All changes of a batch, folded: movements in order, of the rest the last state."""

    movements: list[Movement] = field(default_factory=list)
    batteries: dict[str, Battery] = field(default_factory=dict)
    transfers: dict[tuple[str, Leg], Transfer] = field(default_factory=dict)
    swaps: dict[str, SwapState] = field(default_factory=dict)
    owed: set[tuple[str, str]] = field(default_factory=set)
    settled: set[tuple[str, str]] = field(default_factory=set)

    def add(self, changes: Changes) -> None:
        """Fold in what one event changed."""
        self.movements += changes.movements
        self.batteries.update({b.serial: b for b in changes.batteries})
        self.transfers.update({(leg.swap_id, leg.leg): leg for leg in changes.transfers})
        if changes.swap is not None:
            self.swaps[changes.swap.id] = changes.swap
        self.owed = (self.owed | changes.owed) - changes.settled
        self.settled = (self.settled | changes.settled) - changes.owed


@dataclass(slots=True)
class Plan:
    """A batch, judged: what to insert, what to apply, where the watermarks end."""

    outcome: BatchOutcome = field(default_factory=BatchOutcome)
    marks: dict[str, Watermark] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    sound: list[tuple[Arrival, Event, EventBody]] = field(default_factory=list)
    poison: list[tuple[Arrival, str]] = field(default_factory=list)

    def judge(self, arrival: Arrival) -> None:
        """Take in the next payload; one that cannot be read is poison, and is acknowledged."""
        mark = self.marks.get(arrival.cabinet)
        if mark is None:  # a watermark is made at registration
            self.outcome.strangers += 1
            return
        if arrival.epoch is None or arrival.seq is None:
            self.poison.append((arrival, arrival.error))
            self.outcome.poison += 1
            return
        verdict, acknowledged = judge(mark, arrival.epoch, arrival.seq)
        self.outcome.counts[verdict] += 1
        if verdict is not Verdict.STALE:
            self.outcome.acks[arrival.cabinet] = acknowledged
        if verdict is not Verdict.ACCEPT:
            return
        self.marks[arrival.cabinet] = acknowledged
        self.moved.add(arrival.cabinet)
        error = arrival.error
        if arrival.event is not None:
            try:
                self.sound.append((arrival, arrival.event, event_body(arrival.event)))
            except MessageError as wrong:
                error = str(wrong)
            else:
                return
        self.poison.append((arrival, error))
        self.outcome.poison += 1

    def numbers(self) -> set[str]:
        """The numbers that these events name riders by."""
        return numbers_in(body for _, _, body in self.sound)

    def name_riders(self, riders: Mapping[str, str]) -> None:
        """Put riders' ids, by number in ``riders``, in place of their numbers."""
        self.sound = [
            (arrival, event, resolve(body, riders)) for arrival, event, body in self.sound
        ]

    def keys(self) -> Keys:
        """The facts that ``work_out`` needs in its book."""
        keys = Keys()
        for arrival, _, body in self.sound:
            keys.add(arrival.cabinet, body)
        return keys

    def work_out(self, book: Book, now_ms: int) -> Pending:
        """Book every sound event in ``book``; one that can't be true becomes poison."""
        pending = Pending()
        booked: list[tuple[Arrival, Event, EventBody]] = []
        for arrival, event, body in self.sound:
            at_ms = event.wall_ms if event.wall_synced else now_ms
            origin = Origin(arrival.cabinet, event.epoch, event.seq, at_ms, event.wall_synced)
            try:
                changes = apply(book, origin, event.type, body)
            except LedgerError as error:
                self.poison.append((arrival, str(error)))
                self.outcome.poison += 1
                continue
            book.absorb(changes)
            pending.add(changes)
            booked.append((arrival, event, body))
            self.outcome.swaps.update(row.swap_id for row in changes.movements if row.swap_id)
            if changes.swap is not None:
                self.outcome.swaps.add(changes.swap.id)
                if not changes.swap.open:
                    self.outcome.ended.append(changes.swap)
        self.sound = booked
        return pending
