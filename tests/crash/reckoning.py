"""Ledger against truth after a run: what was lost, what is there twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fleet.core.swaps import NO_ANSWER
from tests.support.stack import read_rows

#: Movements of a completed transaction.
LEGS: Final = {"swap": 2, "pickup": 1, "return": 1}


@dataclass(slots=True)
class Reckoning:
    """Everything that differs, in words; both empty when all is well."""

    lost: list[str] = field(default_factory=list)
    double: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ridden:
    """One tap as the rider saw it, from the first to the last look at his phone."""

    swap_id: str | None
    handled: tuple[str, ...]  # packs that passed through his hands
    reason: str | None = None  # why it ended, by his phone

    @property
    def unanswered(self) -> bool:
        """Whether the fleet gave up waiting for the cabinet, and his hands did nothing."""
        return self.reason == NO_ANSWER and not self.handled


def reckon(
    ledger: Path,
    truth: Sequence[tuple[str, str]],
    rides: Sequence[Ridden],
) -> Reckoning:
    """Hold the ledger against the true (serial, holder) of every pack and the riders' own memory.

    A swap may answer a second tap when nobody answered the first in time: the fleet then called it
    off, and the cabinet's late report revived it. The hands of both count together.
    """
    found = Reckoning()
    _packs(found, dict(read_rows(ledger, "SELECT serial, holder FROM battery")), truth)
    swaps = {row[0]: row[1:] for row in read_rows(ledger, "SELECT id, step, open, kind FROM swap")}
    moved = _movements(ledger)
    handled: dict[str | None, Counter[str]] = {}
    for ride in rides:
        handled.setdefault(ride.swap_id, Counter()).update(ride.handled)
    for swap_id, hands in handled.items():
        step, is_open, kind = swaps.get(swap_id, (None, None, None))
        if step is None or is_open:
            found.lost.append(f"swap {swap_id}: has no end in the ledger ({step})")
            continue
        rows = moved.get(swap_id or "", Counter())
        if step == "completed":
            _legs(found, f"swap {swap_id}", rows.total(), LEGS[kind])
            if rows != hands:
                found.lost.append(
                    f"swap {swap_id}: hands moved {sorted(hands)}, ledger {sorted(rows)}"
                )
    found.lost += [f"swap {each}: nobody's" for each in swaps.keys() - handled.keys()]
    found.double += [
        f"swap {each}: answers {n} taps"
        for each, n in Counter(ride.swap_id for ride in rides if not ride.unanswered).items()
        if n > 1
    ]
    return found


def _packs(found: Reckoning, ledger: dict[str, str], truth: Sequence[tuple[str, str]]) -> None:
    true = dict(truth)
    found.double += [
        f"pack {serial}: in {n} places"
        for serial, n in Counter(serial for serial, _ in truth).items()
        if n > 1
    ]
    found.lost += [
        f"pack {serial}: is at {true.get(serial)}, the ledger says {ledger.get(serial)}"
        for serial in sorted(true.keys() | ledger.keys())
        if true.get(serial) != ledger.get(serial)
    ]


def _legs(found: Reckoning, what: str, moved: int, due: int) -> None:
    if moved > due:
        found.double.append(f"{what}: {moved} movements, not {due}")
    elif moved < due:
        found.lost.append(f"{what}: {moved} movements, not {due}")


def _movements(ledger: Path) -> dict[str, Counter[str]]:
    """The packs that each swap moved."""
    moved: dict[str, Counter[str]] = {}
    rows: list[tuple[Any, ...]] = read_rows(
        ledger, "SELECT swap_id, serial FROM movement WHERE swap_id IS NOT NULL"
    )
    for swap_id, serial in rows:
        moved.setdefault(swap_id, Counter())[serial] += 1
    return moved
