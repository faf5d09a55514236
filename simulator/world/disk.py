"""The cabinet's journal as a disk keeps it: bytes and rows, all of a transaction or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from cabinet.core.engine_model import RESULTS_MAX
from cabinet.core.records import (
    EpochRow,
    EventRow,
    JournalRow,
    Lists,
    ListsRow,
    Restored,
    ResultRow,
    SnapshotRow,
    Write,
)
from protocols.messages import Ack, Event, Result

_LISTS: Final = msgspec.json.Decoder(Lists)
_RESULT: Final = msgspec.json.Decoder(Result)


class DuplicateEventError(Exception):
    """Two events with one number: a real store would refuse the row for ever."""


class Disk:
    """Same rules as the SQLite store: (epoch, seq) is unique, an acknowledgement may go back."""

    __slots__ = ("acked", "incarnation", "lists", "meta", "outbox", "results", "snapshot")

    def __init__(self) -> None:
        self.snapshot: bytes | None = None
        self.lists: bytes | None = None
        self.results: dict[str, bytes] = {}
        self.outbox: dict[int, dict[int, Event]] = {}
        self.acked: dict[int, int] = {}  # by epoch: rows up to here are acknowledged
        self.meta: tuple[int, int] | None = None  # epoch and seq of the last acknowledgement
        self.incarnation: str | None = None

    def commit(self, writes: Sequence[Write]) -> None:
        """Write all rows; raise DuplicateEventError before any of them is written."""
        for row in writes:
            if isinstance(row, EventRow):
                event = row.event
                if event.seq in self.outbox.get(event.epoch, ()):
                    raise DuplicateEventError(f"event {event.epoch}/{event.seq} exists already")
        for row in writes:
            self._write(row)

    def _write(self, row: Write) -> None:
        match row:
            case SnapshotRow(data):
                self.snapshot = data
            case EventRow(event):
                self.outbox.setdefault(event.epoch, {})[event.seq] = event
            case ResultRow(result):
                self.results[result.id] = msgspec.json.encode(result)
            case ListsRow(lists):
                self.lists = msgspec.json.encode(lists)
            case EpochRow(old, new):
                self._renumber(old, new)
            case JournalRow():
                pass  # for people; the watch reads it as it goes by

    def _renumber(self, old: int, new: int) -> None:
        rows = self.outbox.get(old, {})
        waiting = sorted(seq for seq in rows if seq > self.acked.get(old, 0))
        self.outbox[new] = {
            number: msgspec.structs.replace(rows[seq], epoch=new, seq=number)
            for number, seq in enumerate(waiting, start=1)
        }
        self.acked[old] = max(rows, default=0)

    def acknowledge(self, ack: Ack) -> None:
        """Remember what the ledger has."""
        self.acked[ack.epoch] = ack.seq
        self.meta = (ack.epoch, ack.seq)
        self.incarnation = ack.incarnation

    def events(self, epoch: int, numbers: range) -> list[Event]:
        """Events by number, those that exist."""
        rows = self.outbox.get(epoch, {})
        return [rows[number] for number in numbers if number in rows]

    def restored(self) -> Restored:
        """What a start finds."""
        epoch = max((e for e, rows in self.outbox.items() if rows), default=None)
        rows = self.outbox.get(epoch, {}) if epoch is not None else {}
        acked = self.meta[1] if self.meta is not None and self.meta[0] == epoch else 0
        newest = list(self.results.values())[-RESULTS_MAX:]
        return Restored(
            snapshot=self.snapshot,
            lists=_LISTS.decode(self.lists) if self.lists else Lists(),
            results=tuple(_RESULT.decode(data) for data in newest),
            epoch=epoch,
            last_seq=max(rows, default=0),
            acked_seq=acked,
            incarnation=self.incarnation,
        )
