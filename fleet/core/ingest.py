"""Contiguous order per cabinet: which events are new, which are repeats, where a gap begins."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import msgspec
from msgspec import Struct

from fleet.core.ledger import SwapState
from protocols.errors import MessageError
from protocols.messages import PAYLOAD_BYTES_MAX, Event, Status, decode

#: Committed together: an inventory names 64 slots, and a statement takes 32,766 values.
BATCH_EVENTS_MAX: Final = 200


class Verdict(StrEnum):
    """What becomes of one event."""

    ACCEPT = "accept"
    DUPLICATE = "duplicate"  # committed earlier: acknowledge again
    GAP = "gap"  # an earlier one is missing: the acknowledgement asks for it
    STALE = "stale"  # of a journal that has been replaced: not acknowledged


@dataclass(frozen=True, slots=True)
class Watermark:
    """Everything of ``epoch`` up to ``seq`` is committed."""

    epoch: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a cabinet says was acknowledged to it: all of ``epoch`` up to ``seq``, and by whom."""

    epoch: int
    seq: int
    incarnation: str | None

    @classmethod
    def of(cls, status: Status) -> Claim:
        """The claim in a status."""
        return cls(status.epoch, status.acked_seq, status.acked_incarnation)


@dataclass(frozen=True, slots=True)
class Arrival:
    """One payload from a cabinet's event topic: its identity, and the event if it is sound."""

    cabinet: str
    epoch: int | None
    seq: int | None
    payload: bytes
    event: Event | None
    error: str = ""


@dataclass(slots=True)
class BatchOutcome:
    """What became of a batch; ``acks`` may be published, for it is committed."""

    acks: dict[str, Watermark] = field(default_factory=dict)
    counts: Counter[Verdict] = field(default_factory=Counter)
    poison: int = 0
    strangers: int = 0  # from cabinets that nobody registered
    swaps: set[str] = field(default_factory=set)  # whose view has changed
    ended: list[SwapState] = field(default_factory=list)

    def merge(self, other: BatchOutcome) -> None:
        """Add the outcome of the next part of the same batch."""
        self.acks.update(other.acks)
        self.counts.update(other.counts)
        self.poison += other.poison
        self.strangers += other.strangers
        self.swaps |= other.swaps
        self.ended += other.ended


class _Envelope(Struct, frozen=True):
    epoch: int
    seq: int


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ID_MAX = 2**63 - 1


def judge(mark: Watermark, epoch: int, seq: int) -> tuple[Verdict, Watermark]:
    """The verdict on the event (epoch, seq), and the watermark to acknowledge.

    A higher epoch is a new journal and starts at 1. Only an accepted event moves what is stored; a
    gap at the start of a new epoch is answered with that epoch and 0.
    """
    if epoch < mark.epoch:
        return Verdict.STALE, mark
    base = mark if epoch == mark.epoch else Watermark(epoch, 0)
    if seq == base.seq + 1:
        return Verdict.ACCEPT, Watermark(epoch, seq)
    return (Verdict.DUPLICATE if seq <= base.seq else Verdict.GAP), base


def went_back(mark: Watermark, claim: Claim, incarnation: str) -> bool:
    """Whether we ourselves acknowledged more than we now have: the store is an older copy.

    ``mark`` must have been read after the claim came, since it only rises.
    """
    if claim.incarnation != incarnation or claim.seq < 1:
        return False
    return (claim.epoch, claim.seq) > (mark.epoch, mark.seq)


def standing(mark: Watermark, claim: Claim | None) -> Watermark:
    """What to tell a cabinet that came online: of an epoch that is new to us, nothing is here."""
    if claim is not None and claim.epoch > mark.epoch:
        return Watermark(claim.epoch, 0)
    return mark


def open_payload(cabinet: str, payload: bytes) -> Arrival:
    """Decode one payload as far as it goes; never raises.

    A poison event whose identity can still be read is quarantined and acknowledged, so that it
    does not hold up those behind it. Without an identity it is quarantined only.
    """
    try:
        event = decode(payload, Event)
    except MessageError as error:
        epoch, seq = _identity(payload)
        return Arrival(cabinet, epoch, seq, payload, None, str(error))
    if event.epoch > _ID_MAX or event.seq > _ID_MAX:
        return Arrival(cabinet, None, None, payload, None, "epoch or seq above 63 bits")
    return Arrival(cabinet, event.epoch, event.seq, payload, event)


def _identity(payload: bytes) -> tuple[int | None, int | None]:
    if len(payload) > PAYLOAD_BYTES_MAX:
        return None, None
    try:
        envelope = _ENVELOPE.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None, None
    if not (0 <= envelope.epoch <= _ID_MAX and 1 <= envelope.seq <= _ID_MAX):
        return None, None
    return envelope.epoch, envelope.seq
