"""Is every order of a person in the log, and does every cabinet's command count only rise?"""

from __future__ import annotations

from collections.abc import Iterable

from fleet.core.audit import Violation
from fleet.core.audit_log import ORDERED, LogRow
from fleet.core.operations import TWO_PERSONS, by_staff
from fleet.core.two_person import Ask

_QUEUED = "queued"


def check_orders(
    commands: Iterable[tuple[str, str, str]], log: Iterable[LogRow]
) -> list[Violation]:
    """Every command of a person is logged, with what became of it. ``commands``: id, actor, state."""
    outcomes: dict[str, set[str]] = {}
    for row in log:
        outcomes.setdefault(row.command_id, set()).add(row.outcome)
    found = []
    for command, actor, state in commands:
        if not by_staff(actor):
            continue
        wanted = {ORDERED} if state == _QUEUED else {ORDERED, state}
        if missing := wanted - outcomes.get(command, set()):
            text = f"by {actor}: {', '.join(sorted(missing))} is not in the log"
            found.append(Violation("unlogged-order", command, text))
    return found


def check_two_persons(commands: Iterable[tuple[str, str]], asks: Iterable[Ask]) -> list[Violation]:
    """Every order that needs two people was admitted by another than asked. ``commands``: id, type."""
    admitted = {each.command_id: each for each in asks if each.command_id}
    found = []
    for command, type_ in commands:
        if type_ not in TWO_PERSONS:
            continue
        ask = admitted.get(command)
        if ask is None or not ask.admitted_by:
            found.append(Violation("unadmitted-order", command, f"{type_}: nobody admitted it"))
        elif ask.admitted_by.casefold() == ask.asked_by.casefold():
            text = f"{type_}: {ask.asked_by} asked for it and admitted it"
            found.append(Violation("unadmitted-order", command, text))
    return found


def check_commands(cabinets: Iterable[tuple[str, int, int]]) -> list[Violation]:
    """A number below one that was used would be given out again, and refused by the cabinet.

    ``cabinets``: id, the last number given out, the highest that is stored.
    """
    return [
        Violation("wrong-command-seq", cabinet, f"last given out {given}, stored up to {highest}")
        for cabinet, given, highest in cabinets
        if given < highest
    ]
