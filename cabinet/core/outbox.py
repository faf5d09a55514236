"""The cabinet's side of event delivery: go-back-N over a channel that may lose and repeat.

Sans-I/O. The shell asks ``next_range`` what to publish, reads those rows from the store, publishes
them and says ``sent``; it hands in every acknowledgement. Events stay in the store after their
acknowledgement, for 30 days: a ledger restored from a backup has a new incarnation and may
acknowledge less than before, and the sender then goes back to where that ledger stands. A ledger
that acknowledges less without being a new one was put back by somebody who did not say so: the
shell then tells the fleet what it had acknowledged, and the fleet takes a new incarnation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from protocols.messages import EVENT_WINDOW, Ack

RESEND_MIN_MS: Final = 5_000
RESEND_MAX_MS: Final = 30_000
KEEP_ACKED_MS: Final = 30 * 24 * 3_600_000


class AckEffect(StrEnum):
    """What an acknowledgement meant."""

    ADVANCED = "advanced"  # store it
    REWOUND = "rewound"  # a restored ledger: store it, send again from there
    NOTHING = "nothing"  # late, repeated or of another epoch
    BEHIND = "behind"  # the same ledger knows less than it acknowledged: it may have been put back
    OUTRUN = "outrun"  # the ledger knows more than this journal: it was replaced


@dataclass(frozen=True, slots=True)
class Sender:
    """The window of one epoch: ``acked`` ≤ ``sent`` ≤ ``last``, all sequence numbers."""

    epoch: int
    last: int = 0  # newest committed event
    acked: int = 0
    sent: int = 0
    incarnation: str | None = None
    resend_at_ms: int | None = None  # None while nothing is under way
    tries: int = 0  # resends since the last progress

    def committed(self, epoch: int, last: int) -> Sender:
        """The store holds events up to here; another epoch starts from nothing."""
        if epoch != self.epoch:
            return Sender(epoch=epoch, last=last, incarnation=self.incarnation)
        return replace(self, last=max(self.last, last))

    def next_range(self, now_ms: int) -> range:
        """Sequence numbers to publish now; empty when the window is full or nothing is due."""
        first = self.sent + 1
        if self.resend_at_ms is not None and now_ms >= self.resend_at_ms:
            first = self.acked + 1
        return range(first, min(self.last, self.acked + EVENT_WINDOW) + 1)

    def published(self, numbers: range, now_ms: int, random: Callable[[], float]) -> Sender:
        """These went out: resend after a while unless acknowledged. ``random`` is in [0, 1)."""
        if not numbers:
            return self
        again = numbers.start <= self.sent
        tries = self.tries + 1 if again else self.tries
        wait_ms = _backoff_ms(tries, random)
        due_ms = now_ms + wait_ms
        if not again and self.resend_at_ms is not None:
            due_ms = self.resend_at_ms  # the oldest unacknowledged one decides
        return replace(
            self, sent=max(self.sent, numbers.stop - 1), resend_at_ms=due_ms, tries=tries
        )

    def reconnected(self) -> Sender:
        """The link is new: send again from the first unacknowledged event."""
        return replace(self, sent=self.acked, resend_at_ms=None, tries=0)

    def on_ack(
        self, ack: Ack, now_ms: int, random: Callable[[], float]
    ) -> tuple[Sender, AckEffect]:
        """Take an acknowledgement."""
        if ack.epoch != self.epoch:
            return self, AckEffect.NOTHING
        if ack.seq > self.last:
            return self, AckEffect.OUTRUN
        fresh = ack.incarnation != self.incarnation
        if ack.seq < self.acked:
            if not fresh or self.incarnation is None:
                return self, AckEffect.BEHIND
            behind = replace(
                self,
                acked=ack.seq,
                sent=ack.seq,
                incarnation=ack.incarnation,
                resend_at_ms=None,
                tries=0,
            )
            return behind, AckEffect.REWOUND
        if ack.seq == self.acked and not fresh:
            return self, AckEffect.NOTHING
        sent = max(self.sent, ack.seq)
        due_ms = now_ms + _backoff_ms(0, random) if sent > ack.seq else None
        ahead = replace(
            self,
            acked=ack.seq,
            sent=sent,
            incarnation=ack.incarnation,
            resend_at_ms=due_ms,
            tries=0,
        )
        return ahead, AckEffect.ADVANCED


def _backoff_ms(tries: int, random: Callable[[], float]) -> int:
    """Full jitter between the least wait and a ceiling that doubles up to the greatest."""
    ceiling_ms = min(RESEND_MAX_MS, RESEND_MIN_MS * 2 ** min(tries + 1, 8))
    return RESEND_MIN_MS + int(random() * (ceiling_ms - RESEND_MIN_MS))
