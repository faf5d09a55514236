"""The custody ledger: what one event of a cabinet means for who holds which battery.

``apply`` is pure: a ``Book`` of facts and one event go in, ``Changes`` come out; ``Book.absorb``
takes them up, so that a batch of events can be worked out in memory and written at once.

A movement that ``moves`` is a link of the battery's chain: its ``from_holder`` is where the battery
stood. The present is the end of the chain, so it can be rebuilt from the movements alone. A row
that does not move is evidence of something that the ledger had already learnt in another way, or
cannot believe; it is kept, counted for its swap, and changes nobody's custody.

Two kinds of evidence meet here. A slot is watched by sensors; a rider, a depot or a van is known
from papers. So a sensor mends the papers. When two sensors contradict one another the battery is
marked disputed: a report that a pack arrived is believed, and the other cabinet then owes the
report that it left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fleet.core import offline
from fleet.core.ids import UNKNOWN, in_cabinet, is_slot, rider_holder, slot_holder, transit_holder
from fleet.core.ledger_model import (
    CLOCK_SKEW_MAX_MS,
    CONFLICT,
    DISPLACED,
    FOREIGN,
    FOUND,
    LATE,
    MENDED,
    VANISHED,
    Battery,
    Book,
    Changes,
    LedgerError,
    Leg,
    Movement,
    Origin,
    SwapState,
    Transfer,
    TransferState,
)
from protocols.messages import (
    STEP_RANK,
    BatteryBody,
    EventBody,
    InventoryBody,
    Kind,
    Presence,
    Step,
    StepBody,
)

__all__ = [
    "CLOCK_SKEW_MAX_MS",
    "CONFLICT",
    "DISPLACED",
    "FOREIGN",
    "FOUND",
    "LATE",
    "MENDED",
    "VANISHED",
    "Battery",
    "Book",
    "Changes",
    "LedgerError",
    "Leg",
    "Movement",
    "Origin",
    "SwapState",
    "Transfer",
    "TransferState",
    "actor_holder",
    "advance",
    "apply",
    "claim",
    "legs",
    "reserve",
]


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A battery at a slot's sensors; ``person`` is None when nobody was authorised."""

    serial: str
    place: str
    person: str | None
    cause: str
    swap_id: str | None = None

    def movement(self, origin: Origin, from_holder: str, to_holder: str) -> Movement:
        return Movement(
            self.serial,
            from_holder,
            to_holder,
            self.cause,
            origin.at_ms,
            self.swap_id,
            origin=origin,
        )


def legs(kind: Kind) -> tuple[Leg, ...]:
    """The movements that a completed transaction of this kind consists of."""
    match kind:
        case Kind.SWAP:
            return ("in", "out")
        case Kind.PICKUP | Kind.UNLOAD:
            return ("out",)
        case Kind.RETURN | Kind.LOAD:
            return ("in",)


def reserve(swap: SwapState, expected_serial: str | None) -> tuple[Transfer, ...]:
    """The transfers that an authorised swap reserves."""
    person = actor_holder(swap)
    return tuple(
        Transfer(swap.id, leg, "reserved", from_holder=person, serial=expected_serial)
        if leg == "in"
        else Transfer(swap.id, leg, "reserved", to_holder=person)
        for leg in legs(swap.kind)
    )


def actor_holder(swap: SwapState) -> str:
    """Who stands before the cabinet: a rider, or a technician with a van."""
    technician = swap.kind in {Kind.LOAD, Kind.UNLOAD}
    return transit_holder(swap.rider) if technician else rider_holder(swap.rider)


def advance(swap: SwapState, body: StepBody) -> SwapState | None:
    """The swap after this report, or None when it tells nothing new.

    A report of the same step may change the slot: the cabinet gave up one and opened another.
    """
    rank = STEP_RANK[body.step]
    if rank < swap.rank:
        return None
    after = replace(
        swap,
        step=body.step,
        rank=rank,
        slot_in=body.slot_in if body.slot_in is not None else swap.slot_in,
        slot_out=body.slot_out if body.slot_out is not None else swap.slot_out,
        reason=body.reason,
        detail=body.detail,
    )
    return None if after == swap else after


def apply(book: Book, origin: Origin, type_: str, body: EventBody) -> Changes:
    """What this event changes; raise LedgerError when it can't be true of this cabinet."""
    match body:
        case StepBody():
            return _step(book, origin, body)
        case BatteryBody() if type_ == "battery.in":
            return _battery_in(book, origin, body)
        case BatteryBody():
            return _battery_out(book, origin, body)
        case InventoryBody():
            return _inventory(book, origin, body)
        case _:
            return Changes()


def _step(book: Book, origin: Origin, body: StepBody) -> Changes:
    known = _swap_here(book, origin, body.swap_id, body)
    base = known or _born(book, origin, body)
    after = advance(base, body)
    if after is None:
        return Changes()
    own = _legs_of(book, after) if known else reserve(after, _expected(book, after))
    if after.open:
        transfers = () if known else tuple(own)
    else:
        transfers = tuple(replace(leg, state="void") for leg in own if leg.state == "reserved")
    return Changes(swap=after, transfers=transfers)


def _legs_of(book: Book, swap: SwapState) -> Iterable[Transfer]:
    return (t for (swap_id, _), t in book.transfers.items() if swap_id == swap.id)


def _swap_here(
    book: Book, origin: Origin, swap_id: str | None, begins: StepBody | None = None
) -> SwapState | None:
    """The transaction that this cabinet means; None when it is new.

    A ticket that was shown a second time, to a cabinet that could not know, is a transaction of its
    own under the id of its twin.
    """
    swap = book.swaps.get(swap_id) if swap_id is not None else None
    if swap is None:
        return None
    twin = book.swaps.get(offline.twin_id(swap.id, origin.cabinet))
    if twin is not None:
        return twin
    ticket = begins is not None and begins.authority == "ticket"
    if swap.cabinet != origin.cabinet:
        if ticket:
            return None
        raise LedgerError(f"swap {swap.id} is at {swap.cabinet}, not at {origin.cabinet}")
    # A new computer in the cabinet has forgotten which tickets were used.
    again = ticket and begins is not None and begins.step is Step.RESERVED
    return None if again and swap.rank >= STEP_RANK[Step.COMPLETED] else swap


def _born(book: Book, origin: Origin, body: StepBody) -> SwapState:
    """A transaction that the cabinet began without us."""
    twin = body.swap_id in book.swaps
    flags = [offline.TICKET_REUSED] if twin else []
    if offline.is_unresolved(body.rider_id):
        flags.append(offline.UNKNOWN_RIDER)
    if body.rider_id in book.denied and body.authority != "fleet":
        flags.append(offline.DENIED_RIDER)
    return SwapState(
        offline.twin_id(body.swap_id, origin.cabinet) if twin else body.swap_id,
        origin.cabinet,
        body.rider_id,
        body.kind,
        created_ms=origin.at_ms,
        authority=body.authority,
        flags=tuple(flags),
    )


def _expected(book: Book, swap: SwapState) -> str | None:
    """The one pack that the ledger says the person of an offline transaction holds."""
    if swap.authority == "fleet":
        return None
    person = actor_holder(swap)
    held = [each.serial for each in book.batteries.values() if each.holder == person]
    return held[0] if len(held) == 1 else None


def _battery_in(book: Book, origin: Origin, body: BatteryBody) -> Changes:
    swap = _swap_here(book, origin, body.swap_id)
    sight = _sighting(origin, body, swap)
    changes = _arrive(book, origin, sight)
    return _post(
        book,
        swap,
        changes,
        Transfer(sight.swap_id or "", "in", "posted", sight.person, sight.place, sight.serial),
    )


def _battery_out(book: Book, origin: Origin, body: BatteryBody) -> Changes:
    swap = _swap_here(book, origin, body.swap_id)
    sight = _sighting(origin, body, swap)
    changes = _leave(book, origin, sight)
    if swap is not None and "out" in legs(swap.kind) and _is_own(book, swap, body.serial):
        return changes  # given back: what was given in is out again, and nothing was taken
    return _post(
        book,
        swap,
        changes,
        Transfer(sight.swap_id or "", "out", "posted", sight.place, sight.person, sight.serial),
    )


def _sighting(origin: Origin, body: BatteryBody, swap: SwapState | None) -> _Sighting:
    place = slot_holder(origin.cabinet, body.slot)
    swap_id = body.swap_id if swap is None else swap.id
    return _Sighting(body.serial, place, _person(swap, body), body.cause, swap_id)


def _person(swap: SwapState | None, body: BatteryBody) -> str | None:
    if swap is not None:
        return actor_holder(swap)
    if body.rider_id is None:
        return None
    technician = body.cause == "technician"
    return transit_holder(body.rider_id) if technician else rider_holder(body.rider_id)


def _is_own(book: Book, swap: SwapState, serial: str) -> bool:
    """Whether this is the pack that its rider gave in by this very swap."""
    given = book.transfers.get((swap.id, "in"))
    return given is not None and given.state == "posted" and given.serial == serial


def _post(book: Book, swap: SwapState | None, changes: Changes, posted: Transfer) -> Changes:
    if swap is None or not changes.movements:
        return changes
    known = book.transfers.get((swap.id, posted.leg))
    if posted.leg in legs(swap.kind) and (known is None or known.state != "posted"):
        return replace(changes, transfers=(posted,))
    if changes.movements[-1].cause in {FOUND, VANISHED}:
        # What is seen at its slots after a faulted swap is its rider's, but no leg of the swap.
        rows = tuple(replace(row, swap_id=None) for row in changes.movements)
        return replace(changes, movements=rows)
    return changes  # a second movement of one leg stays visible as a row of the swap


def _arrive(
    book: Book, origin: Origin, sight: _Sighting, moving: frozenset[str] = frozenset()
) -> Changes:
    """A sensor saw a battery come to a slot; those ``moving`` are on their way out of theirs."""
    known = book.batteries.get(sight.serial)
    battery = known or Battery(sight.serial, UNKNOWN, state=FOREIGN)
    row = sight.movement(origin, battery.holder, sight.place)
    if battery.holder == sight.place or _is_late(battery, origin):
        if sight.swap_id is None:
            return Changes()
        late = replace(row, from_holder=sight.person or UNKNOWN, flags=(LATE,), moves=False)
        return Changes(movements=(late,))
    flags = [FOREIGN] if known is None else []
    if sight.person is None:
        flags.append(FOUND)
    elif battery.holder != sight.person and known is not None:
        flags.append(MENDED)
    # This cabinet reports in order; another one may have a departure to tell yet.
    owes = is_slot(battery.holder) and not in_cabinet(battery.holder, origin.cabinet)
    moved = _moved(battery, sight.place, origin, disputed=battery.disputed or owes)
    movements = [replace(row, flags=tuple(flags))]
    batteries = [moved]
    other = book.occupant(sight.place)
    if other is not None and other.serial not in moving:
        movements.insert(0, _displaced(other, origin))
        batteries.insert(0, _moved(other, UNKNOWN, origin, disputed=True))
    return Changes(
        movements=tuple(movements),
        batteries=tuple(batteries),
        owed=frozenset({(sight.serial, battery.holder)}) if owes else frozenset(),
        settled=frozenset({(sight.serial, sight.place)}) & book.owed,
    )


def _leave(book: Book, origin: Origin, sight: _Sighting) -> Changes:
    """A sensor saw a battery go from a slot."""
    known = book.batteries.get(sight.serial)
    battery = known or Battery(sight.serial, UNKNOWN, state=FOREIGN)
    row = sight.movement(origin, sight.place, sight.person or UNKNOWN)
    if battery.holder != sight.place:
        if (sight.serial, sight.place) in book.owed:
            return _settle(book, battery, row)
        if _is_late(battery, origin):
            return Changes(movements=(replace(row, flags=(LATE,), moves=False),))
        if is_slot(battery.holder):
            disputed = replace(battery, disputed=True)
            conflict = replace(row, flags=(CONFLICT,), moves=False)
            return Changes(movements=(conflict,), batteries=(disputed,))
    flags: tuple[str, ...] = () if battery.holder == sight.place else (MENDED,)
    if known is None:
        flags = (FOREIGN,)
    if sight.person is None:
        flags = (*flags, VANISHED)
    return Changes(
        movements=(replace(row, from_holder=battery.holder, flags=flags),),
        batteries=(_moved(battery, row.to_holder, origin, disputed=battery.disputed),),
    )


def _settle(book: Book, battery: Battery, row: Movement) -> Changes:
    """The report of a departure that another cabinet's arrival had already implied."""
    key = (battery.serial, row.from_holder)
    others = any(serial == battery.serial for serial, _ in book.owed - {key})
    return Changes(
        movements=(replace(row, flags=(LATE,), moves=False),),
        batteries=() if others else (replace(battery, disputed=False),),
        settled=frozenset({key}),
    )


def _inventory(book: Book, origin: Origin, body: InventoryBody) -> Changes:
    """Bring the ledger to what a cabinet found in its slots, but for those of an open swap."""
    busy = {
        slot
        for swap in book.swaps.values()
        if swap.cabinet == origin.cabinet and swap.open
        for slot in (swap.slot_in, swap.slot_out)
    }
    seen = [row.serial for row in body.slots if row.serial is not None]
    twice = {serial for serial in seen if seen.count(serial) > 1}
    moving = frozenset(
        row.serial
        for row in body.slots
        if row.serial is not None and row.slot not in busy and row.serial not in twice
        if (known := book.batteries.get(row.serial)) is not None and not _is_late(known, origin)
    )
    work = book.copy()
    steps: list[Changes] = []

    def take(changes: Changes) -> None:
        work.absorb(changes)
        steps.append(changes)

    for row in body.slots:
        place = slot_holder(origin.cabinet, row.slot)
        occupant = work.occupant(place)
        if row.slot in busy or row.presence is not Presence.ABSENT or occupant is None:
            continue
        if not _is_late(occupant, origin) and occupant.serial not in seen:
            take(_leave(work, origin, _Sighting(occupant.serial, place, None, VANISHED)))
    for row in body.slots:
        if row.serial is None or row.slot in busy:
            continue
        if row.serial in twice:
            if (clone := work.batteries.get(row.serial)) is not None:
                take(Changes(batteries=(replace(clone, disputed=True),)))
            continue
        place = slot_holder(origin.cabinet, row.slot)
        sight = _Sighting(row.serial, place, None, FOUND)
        take(_arrive(work, origin, sight, moving))
    return _merge(steps)


def _merge(steps: Iterable[Changes]) -> Changes:
    batteries: dict[str, Battery] = {}
    movements: list[Movement] = []
    owed: set[tuple[str, str]] = set()
    settled: set[tuple[str, str]] = set()
    for step in steps:
        movements += step.movements
        batteries.update({battery.serial: battery for battery in step.batteries})
        owed |= step.owed
        settled |= step.settled
    return Changes(
        tuple(movements),
        tuple(batteries.values()),
        owed=frozenset(owed),
        settled=frozenset(settled),
    )


def _displaced(battery: Battery, origin: Origin) -> Movement:
    return Movement(
        battery.serial,
        battery.holder,
        UNKNOWN,
        DISPLACED,
        origin.at_ms,
        flags=(DISPLACED,),
        origin=origin,
    )


def _moved(battery: Battery, to: str, origin: Origin, *, disputed: bool) -> Battery:
    # Without a right clock nobody knows when it moved, only that it was after the move before.
    dated_ms = origin.at_ms if origin.synced else 0
    return replace(
        battery,
        holder=to,
        version=battery.version + 1,
        disputed=disputed,
        since_ms=max(dated_ms, battery.since_ms),
    )


def _is_late(battery: Battery, origin: Origin) -> bool:
    """True when the battery has certainly moved on since this report was written."""
    return origin.synced and origin.at_ms < battery.since_ms - CLOCK_SKEW_MAX_MS


def claim(book: Book, before: str, after: str, at_ms: int) -> Changes:
    """Book to one holder what another name of the same person holds.

    A paper entry: it does not make the battery's last report older than it is.
    """
    held = [each for each in book.batteries.values() if each.holder == before]
    return Changes(
        movements=tuple(
            Movement(each.serial, before, after, offline.CLAIMED, at_ms, flags=(MENDED,))
            for each in held
        ),
        batteries=tuple(replace(each, holder=after, version=each.version + 1) for each in held),
    )
