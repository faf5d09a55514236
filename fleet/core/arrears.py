"""Who has written more than is stored here, and must be told again where we stand.

An acknowledgement is not asked for twice: a cabinet to which everything was acknowledged has
nothing left to send, and one that missed the answer of a ledger put back from a backup would never
learn that its events are wanted again. Its telemetry says how far it has written, so that it is
told until what it has is stored.
"""

from __future__ import annotations

from typing import Final

from fleet.core.ingest import Watermark

#: Longer than events are under way in the ordinary course, resends included.
PATIENCE_MS: Final = 60_000


class Arrears:
    """By cabinet, what is stored and since when it has been behind. Bounded by the known cabinets.

    Times are of one monotonic clock, in milliseconds.
    """

    __slots__ = ("_since_ms", "_stored")

    def __init__(self) -> None:
        self._stored: dict[str, Watermark] = {}
        self._since_ms: dict[str, int] = {}

    def stored(self, cabinet: str, mark: Watermark) -> None:
        """Everything up to here is committed; less than before is the word of an older copy."""
        if mark != self._stored.get(cabinet):
            self._stored[cabinet] = mark
            self._since_ms.pop(cabinet, None)

    def written(self, cabinet: str, epoch: int, seq: int, now_ms: int) -> bool:
        """A cabinet says how far it has written; whether to tell it where we stand."""
        mark = self._stored.get(cabinet, Watermark())
        if (epoch, seq) <= (mark.epoch, mark.seq):
            self._since_ms.pop(cabinet, None)
            return False
        since_ms = self._since_ms.setdefault(cabinet, now_ms)
        if now_ms - since_ms < PATIENCE_MS:
            return False
        self._since_ms[cabinet] = now_ms
        return True
