"""Does the ledger hold together? Pure checks over its rows; each violation names its subject."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from fleet.core.ids import UNKNOWN, is_rider, is_slot
from fleet.core.ingest import Watermark
from fleet.core.ledger import Battery, Leg, SwapState, Transfer, legs
from fleet.core.offline import number_of
from protocols.messages import Step


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule: a stable code, what it is about, and how it is broken."""

    code: str
    subject: str
    detail: str


#: Cabinet, epoch and sequence number of an event.
Source: TypeAlias = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Link:
    """A movement as the audit reads it, in ledger order."""

    id: int
    serial: str
    from_holder: str
    to_holder: str
    swap_id: str | None
    moves: bool
    at_ms: int = 0
    cause: str = ""
    flags: tuple[str, ...] = ()
    source: Source | None = None  # the event that told it; None for papers
    synced: bool = True  # whether the clock that dated it was right

    @property
    def dated_ms(self) -> int:
        """When it moved, as far as is known: neither papers nor a wrong clock can tell."""
        return self.at_ms if self.source is not None and self.synced else 0


@dataclass(frozen=True, slots=True)
class SequenceSpan:
    """The events of one cabinet and epoch, quarantined ones included."""

    cabinet: str
    epoch: int
    first: int
    last: int
    count: int


def check_chains(links: Iterable[Link], batteries: Mapping[str, Battery]) -> list[Violation]:
    """Conservation: each battery's moves form one chain from ``unknown`` to its holder."""
    found: list[Violation] = []
    ends: dict[str, str] = {}
    moves: Counter[str] = Counter()
    for link in links:
        if link.serial not in batteries:
            found.append(Violation("unknown-battery", link.serial, f"movement {link.id}"))
        if not link.moves:
            continue
        at = ends.get(link.serial, UNKNOWN)
        if link.from_holder != at:
            text = f"movement {link.id} takes it from {link.from_holder}, but it was at {at}"
            found.append(Violation("broken-chain", link.serial, text))
        ends[link.serial] = link.to_holder
        moves[link.serial] += 1
    for battery in batteries.values():
        end = ends.get(battery.serial, UNKNOWN)
        if end != battery.holder:
            text = f"its movements end at {end}, the ledger says {battery.holder}"
            found.append(Violation("wrong-holder", battery.serial, text))
        if moves[battery.serial] != battery.version:
            text = f"{moves[battery.serial]} movements, version {battery.version}"
            found.append(Violation("wrong-version", battery.serial, text))
    return found


def check_slots(batteries: Iterable[Battery]) -> list[Violation]:
    """No slot holds two batteries."""
    places: dict[str, list[str]] = {}
    for battery in batteries:
        if is_slot(battery.holder):
            places.setdefault(battery.holder, []).append(battery.serial)
    return [
        Violation("crowded-slot", holder, ", ".join(sorted(serials)))
        for holder, serials in sorted(places.items())
        if len(serials) > 1
    ]


def check_since(links: Iterable[Link], batteries: Mapping[str, Battery]) -> list[Violation]:
    """A battery is dated by the last report that moved it under a right clock."""
    since: dict[str, int] = {}
    for link in links:
        if link.moves:
            since[link.serial] = max(since.get(link.serial, 0), link.dated_ms)
    return [
        Violation("wrong-since", battery.serial, f"{battery.since_ms}, its movements say {told}")
        for battery in batteries.values()
        if (told := since.get(battery.serial, 0)) != battery.since_ms
    ]


def check_owed(
    owed: Iterable[tuple[str, str]], batteries: Mapping[str, Battery]
) -> list[Violation]:
    """A departure that is yet to be told is one of a disputed battery, from a slot."""
    found = []
    for serial, holder in sorted(owed):
        battery = batteries.get(serial)
        if battery is None or not battery.disputed or not is_slot(holder):
            text = f"a departure from {holder} is awaited for no dispute"
            found.append(Violation("stray-owed", serial, text))
    return found


def check_swaps(
    swaps: Iterable[SwapState], links: Iterable[Link], transfers: Iterable[Transfer]
) -> list[Violation]:
    """A completed swap is exactly its movements; only an open swap holds a reservation."""
    found: list[Violation] = []
    counts = Counter(link.swap_id for link in links if link.swap_id is not None)
    by_swap: dict[str, dict[Leg, Transfer]] = {}
    for transfer in transfers:
        by_swap.setdefault(transfer.swap_id, {})[transfer.leg] = transfer
    known: set[str] = set()
    for swap in swaps:
        known.add(swap.id)
        own = by_swap.get(swap.id, {})
        if swap.step is Step.COMPLETED:
            expected = legs(swap.kind)
            if counts[swap.id] != len(expected):
                text = f"{swap.kind} has {counts[swap.id]} movements, not {len(expected)}"
                found.append(Violation("wrong-movements", swap.id, text))
            found += [
                Violation("unposted-leg", swap.id, f"leg {leg} of a completed swap")
                for leg in expected
                if leg not in own or own[leg].state != "posted"
            ]
        if not swap.open:
            found += [
                Violation("stale-reservation", swap.id, f"leg {leg}, but the swap has ended")
                for leg, transfer in own.items()
                if transfer.state == "reserved"
            ]
    found += [
        Violation("orphan-transfer", swap_id, "no such swap") for swap_id in by_swap.keys() - known
    ]
    return found


def check_numbers(
    numbers: Mapping[str, str], swaps: Iterable[SwapState], batteries: Iterable[Battery]
) -> list[Violation]:
    """Nothing stays with a number whose rider is known: neither a battery nor a swap.

    ``numbers`` are the riders' ids by number.
    """
    found = []
    for battery in batteries:
        number = number_of(battery.holder.removeprefix("rider:")) or ""
        if number in numbers and is_rider(battery.holder):
            text = f"at {battery.holder}, whose rider is {numbers[number]}"
            found.append(Violation("unclaimed-battery", battery.serial, text))
    for swap in swaps:
        number = number_of(swap.rider) or ""
        if number in numbers:
            text = f"of {swap.rider}, whose rider is {numbers[number]}"
            found.append(Violation("unclaimed-swap", swap.id, text))
    return found


def check_sequences(
    spans: Iterable[SequenceSpan], marks: Mapping[str, Watermark]
) -> list[Violation]:
    """No gap in what a cabinet sent, and a watermark that tells the truth."""
    found: list[Violation] = []
    latest: dict[str, SequenceSpan] = {}
    for span in spans:
        subject = f"{span.cabinet}/{span.epoch}"
        if span.first != 1 or span.count != span.last:
            text = f"{span.count} events from {span.first} to {span.last}"
            found.append(Violation("sequence-gap", subject, text))
        if span.cabinet not in latest or latest[span.cabinet].epoch < span.epoch:
            latest[span.cabinet] = span
    for cabinet in sorted(latest.keys() | marks.keys()):
        mark = marks.get(cabinet, Watermark())
        end = latest.get(cabinet)
        last = Watermark(mark.epoch, 0) if end is None else Watermark(end.epoch, end.last)
        if last != mark:
            text = f"watermark {mark.epoch}/{mark.seq}, last event {last.epoch}/{last.seq}"
            found.append(Violation("wrong-watermark", cabinet, text))
    return found
