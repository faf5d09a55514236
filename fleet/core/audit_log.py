"""The log of what staff ordered and decided: append-only rows in a chain, each with the hash of the one before it.

A row that was changed, taken out, put in or moved breaks the chain at its place. The head, kept
apart, tells when rows are missing at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from fleet.core.audit import Violation

GENESIS: Final = "0" * 64
#: The outcome of the row that is written before the command is sent.
ORDERED: Final = "ordered"
DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row: who ordered what, where and why, or what became of it."""

    id: int
    at_ms: int
    actor: str
    action: str
    outcome: str
    cabinet: str = ""
    command_id: str = ""
    subject: str = ""  # whom or what it is about, where that is no slot
    slot: int | None = None
    swap_id: str | None = None
    reason: str = ""
    result: str | None = None  # the cabinet's code
    evidence: str = ""
    prev: str = GENESIS
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The last row's number and hash."""

    id: int = 0
    hash: str = GENESIS

    @property
    def text(self) -> str:
        """As it is stored."""
        return f"{self.id}:{self.hash}"


def head_of(text: str | None) -> Head:
    """The head out of its text; an unreadable one is no head."""
    number, _, digest = (text or "").partition(":")
    return Head(int(number), digest) if number.isdigit() and digest else Head()


def digest(row: LogRow) -> str:
    """SHA-256 over everything in the row but its own hash."""
    fields = (
        row.id,
        row.at_ms,
        row.actor,
        row.action,
        row.outcome,
        row.cabinet,
        row.command_id,
        row.subject,
        row.slot,
        row.swap_id,
        row.reason,
        row.result,
        row.evidence,
        row.prev,
    )
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


def check_log(rows: Iterable[LogRow], head: Head) -> list[Violation]:
    """The chain, row by row in the order of their numbers, and its head."""
    found: list[Violation] = []
    last = Head()
    for row in rows:
        subject = f"log:{row.id}"
        if row.id != last.id + 1:
            text = f"follows row {last.id}: rows between them are gone"
            found.append(Violation("log-gap", subject, text))
        elif row.prev != last.hash:
            text = f"does not follow row {last.id}: one of the two was changed"
            found.append(Violation("log-broken", subject, text))
        if digest(row) != row.hash:
            found.append(Violation("log-tampered", subject, "its content is not what was written"))
        last = Head(row.id, row.hash)
    if last != head:
        text = f"the log ends at row {last.id}, its head says {head.id}"
        found.append(Violation("log-truncated", f"log:{head.id}", text))
    return found
