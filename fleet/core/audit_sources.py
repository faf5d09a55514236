"""Does every movement rest on a report of a cabinet, and has every report been booked?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fleet.core.audit import Link, Source, Violation
from fleet.core.ids import UNKNOWN, in_cabinet, slot_holder
from fleet.core.ledger import DISPLACED
from fleet.core.offline import CLAIMED, twin_id
from protocols.messages import BatteryBody, InventoryBody

#: Movements by papers, not by a cabinet.
PAPERS = frozenset({"import", CLAIMED})


@dataclass(frozen=True, slots=True)
class Report:
    """One event that moves batteries."""

    source: Source
    type: str
    body: BatteryBody | InventoryBody


def check_sources(links: Iterable[Link], reports: Iterable[Report]) -> list[Violation]:
    """Every movement by sensors names the event that told it, and fits it."""
    by_source = {report.source: report for report in reports}
    found: list[Violation] = []
    booked: set[Source] = set()
    for link in links:
        if link.source is None:
            if link.cause not in PAPERS:
                text = f"movement {link.id}: {link.cause}, told by no event"
                found.append(Violation("no-source", link.serial, text))
            continue
        booked.add(link.source)
        report = by_source.get(link.source)
        name = "{}/{}/{}".format(*link.source)
        if report is None:
            text = f"movement {link.id} of {link.serial} is told by it, but it moves nothing"
            found.append(Violation("missing-event", name, text))
        elif (wrong := _unfit(link, report)) is not None:
            text = f"movement {link.id}: {wrong} than event {name} told"
            found.append(Violation("wrong-source", link.serial, text))
    for report in by_source.values():
        if _must_book(report) and report.source not in booked:
            name = "{}/{}/{}".format(*report.source)
            found.append(Violation("unbooked-event", name, f"{report.type} moved nothing"))
    return found


def _must_book(report: Report) -> bool:
    """A departure always leaves a row; an arrival of a pack that is there already may not."""
    body = report.body
    if not isinstance(body, BatteryBody):
        return False
    return report.type == "battery.out" or body.swap_id is not None


def _unfit(link: Link, report: Report) -> str | None:
    cabinet = report.source[0]
    body = report.body
    if link.cause == DISPLACED:
        there = in_cabinet(link.from_holder, cabinet) and link.to_holder == UNKNOWN
        return None if there else "another place"
    if isinstance(body, InventoryBody):
        placed = in_cabinet(link.to_holder, cabinet) or in_cabinet(link.from_holder, cabinet)
        return None if placed else "another place"
    if link.serial != body.serial:
        return "another battery"
    swaps = {None} if body.swap_id is None else {body.swap_id, twin_id(body.swap_id, cabinet)}
    if link.swap_id not in swaps:
        return "another swap"
    place = slot_holder(cabinet, body.slot)
    if report.type == "battery.in" and link.to_holder != place:
        return "another slot"
    if report.type == "battery.out" and link.to_holder == place:
        return "another way"
    return None
