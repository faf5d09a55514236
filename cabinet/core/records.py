"""What the store keeps: the rows of one decision, and what is loaded again at start.

One ``Outcome`` of the engine is one transaction: journal, outbox, snapshot, command results and
lists stand or fall together, and no effect runs before they are on the disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from protocols.messages import Event, Result


@dataclass(frozen=True, slots=True)
class JournalRow:
    """One line of the journal: what was decided, for people and for audits."""

    mono_ms: int
    wall_ms: int
    boot_id: str
    kind: str
    detail: Mapping[str, Any] = field(default_factory=dict)  # JSON values


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event for the fleet."""

    event: Event


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """The engine's durable state, in place of the earlier one."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ResultRow:
    """The answer to a command, so that a repeated command gets the same one."""

    result: Result
    wall_ms: int


class Lists(Struct, frozen=True, kw_only=True):
    """What the cabinet knows off the network. Version 0: no list has come yet."""

    version: int = 0
    packs: frozenset[str] = frozenset()
    denied_packs: frozenset[str] = frozenset()
    denied_riders: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ListsRow:
    """A complete version of the lists, in place of the earlier one."""

    lists: Lists


@dataclass(frozen=True, slots=True)
class EpochRow:
    """The fleet knows a longer history than this journal: unsent events move to a new epoch.

    Rows of ``old`` that are not acknowledged are numbered anew from 1 under ``new``.
    """

    old: int
    new: int


Write: TypeAlias = JournalRow | EventRow | SnapshotRow | ResultRow | ListsRow | EpochRow


@dataclass(frozen=True, slots=True)
class Restored:
    """What a store knew when it was opened; all empty in a new one."""

    snapshot: bytes | None = None
    lists: Lists = field(default_factory=Lists)
    results: tuple[Result, ...] = ()  # the newest, oldest first
    epoch: int | None = None  # of the outbox; None in a new one
    last_seq: int = 0  # of that epoch
    acked_seq: int = 0  # of that epoch
    incarnation: str | None = None  # of the ledger that acknowledged last


def encode_detail(detail: Mapping[str, Any]) -> bytes:
    """The JSON of a journal detail."""
    return msgspec.json.encode(detail)
