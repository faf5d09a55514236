"""The present out of the past: where the movements alone leave every battery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.core.audit import Link
from fleet.core.ids import UNKNOWN
from fleet.core.ledger import Battery


@dataclass(frozen=True, slots=True)
class Present:
    """What the movements of a battery say of it now."""

    holder: str = UNKNOWN
    version: int = 0
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """One battery whose stored present is not what its past says; None when it is not stored."""

    serial: str
    past: Present
    stored: Present | None


def rebuild(links: Iterable[Link]) -> dict[str, Present]:
    """Fold the movements, in ledger order, into the present of every battery."""
    present: dict[str, Present] = {}
    for link in links:
        before = present.setdefault(link.serial, Present())
        if link.moves:
            since_ms = max(before.since_ms, link.dated_ms)
            present[link.serial] = Present(link.to_holder, before.version + 1, since_ms)
    return present


def compare(links: Iterable[Link], batteries: Mapping[str, Battery]) -> list[Difference]:
    """Every battery whose stored present differs from its past, by serial."""
    past = rebuild(links)
    found = []
    for serial in sorted(past.keys() | batteries.keys()):
        battery = batteries.get(serial)
        stored = None
        if battery is not None:
            stored = Present(battery.holder, battery.version, battery.since_ms)
        told = past.get(serial, Present())
        if told != stored:
            found.append(Difference(serial, told, stored))
    return found
