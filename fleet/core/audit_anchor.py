"""Anchors the log of orders outside the database: its head, signed with the fleet's command key.

The chain alone finds a row that was changed, taken out, put in or moved, but whoever may write to the
database could compute a whole new chain and a new head. The anchor is a file beside the keys, so what
it names must still be there, unchanged.

What it cannot find: rows that were written after the last anchor and cut off again before the next
one (``ANCHOR_EVERY_S`` seconds, and the time while fleetd is down); and a forger who has the command
key as well. Against the latter keep what ``fleetd backup`` prints and what the metrics told
(``audit_log_rows``, ``audit_log_head``) on another machine: the number of rows never falls, and the
head of a number of rows never changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from fleet.core.audit import Violation
from fleet.core.audit_log import GENESIS, Head, LogRow

#: How soon a row is anchored.
ANCHOR_EVERY_S: Final = 2.0
_HEAD_DIGITS: Final = 12  # 48 bits: a float holds them exactly


class Anchor(Struct, frozen=True, forbid_unknown_fields=True):
    """Row ``id`` had this hash at that time; ``sig`` is base64, Ed25519 over ``signed_bytes``."""

    id: int
    hash: str
    at_ms: int
    sig: str = ""

    @property
    def head(self) -> Head:
        """What it names."""
        return Head(self.id, self.hash)


def signed_bytes(anchor: Anchor) -> bytes:
    """What the signature covers; no other document of ours begins so."""
    return f"AuditAnchor\n{anchor.id}\n{anchor.hash}\n{anchor.at_ms}".encode()


def encode(anchor: Anchor) -> bytes:
    """As it is kept: one line of JSON."""
    return msgspec.json.encode(anchor) + b"\n"


def decode(data: bytes) -> Anchor | None:
    """The anchor in these bytes; None when there is none that can be read."""
    try:
        return msgspec.json.decode(data, type=Anchor)
    except msgspec.MsgspecError:
        return None


def check_anchor(
    rows: Sequence[LogRow], anchor: Anchor | None, verify: Callable[[bytes, str], bool]
) -> list[Violation]:
    """Whether what was anchored is still there. None: there is a log, but nothing that anchors it."""
    if anchor is None:
        text = "is missing or unreadable: nobody can tell whether rows are gone at the end"
        return [Violation("log-unanchored", "log:anchor", text)] if rows else []
    if not verify(signed_bytes(anchor), anchor.sig):
        text = "bears the signature of no key of this fleet"
        return [Violation("log-anchor-forged", "log:anchor", text)]
    if anchor.id == 0:
        return []
    found = next((row for row in rows if row.id == anchor.id), None)
    if found is None:
        last = rows[-1].id if rows else 0
        text = f"was there when it was anchored; the log ends at row {last}"
        return [Violation("log-truncated", f"log:{anchor.id}", text)]
    if found.hash != anchor.hash:
        text = "has another hash than when it was anchored: it or a row before it was written anew"
        return [Violation("log-rewritten", f"log:{anchor.id}", text)]
    return []


def head_number(head: Head) -> int:
    """The first 48 bits of the head's hash: what a gauge can hold."""
    return 0 if head.hash == GENESIS else int(head.hash[:_HEAD_DIGITS], 16)
