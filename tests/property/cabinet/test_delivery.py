"""Events over a channel that loses, repeats and reorders: each arrives, in order, once.

The ledger at the other end may be put back to an older state, and may not have been told so.
"""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from cabinet.core.outbox import AckEffect, Sender
from fleet.core.ingest import Claim, Watermark, went_back
from protocols.messages import EVENT_WINDOW, Ack


class Ledger:
    """Accepts the next number only; can be restored to an earlier state."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.incarnation = 0

    def take(self, seq: int) -> Ack:
        if seq == len(self.taken) + 1:
            self.taken.append(seq)
        return Ack(epoch=1, seq=len(self.taken), incarnation=f"i{self.incarnation}")

    def restore(self, kept: int, told: bool) -> None:
        del self.taken[kept:]
        self.incarnation += told

    def hear(self, claim: Claim) -> Ack:
        """A cabinet says what was acknowledged to it."""
        if went_back(Watermark(1, len(self.taken)), claim, f"i{self.incarnation}"):
            self.incarnation += 1
        return self.take(0)


@given(
    seed=st.integers(0, 2**32),
    events=st.integers(1, 600),
    loss=st.floats(0.0, 0.6),
    restores=st.integers(0, 3),
    told=st.booleans(),
)
def test_everything_arrives_in_order(
    seed: int, events: int, loss: float, restores: int, told: bool
) -> None:
    chance = random.Random(seed)
    ledger, sender = Ledger(), Sender(epoch=1)
    up: list[int] = []
    down: list[Ack] = []
    now_ms, committed = 0, 0
    for turn in range(20_000):
        now_ms += chance.randrange(1, 2_000)
        if committed < events:
            committed = min(events, committed + chance.randrange(0, 40))
            sender = sender.committed(1, committed)
        numbers = sender.next_range(now_ms)
        assert len(numbers) <= EVENT_WINDOW
        sender = sender.published(numbers, now_ms, chance.random)
        up += [n for n in numbers if chance.random() >= loss]
        if chance.random() < 0.1:
            chance.shuffle(up)
        while up and chance.random() < 0.95:
            down.append(ledger.take(up.pop(0)))
        if restores and chance.random() < 0.02:
            restores -= 1
            ledger.restore(chance.randrange(len(ledger.taken) + 1), told)
            down.append(ledger.take(0))
        for answer in tuple(down):
            if chance.random() >= loss:
                sender, effect = sender.on_ack(answer, now_ms, chance.random)
                assert effect is not AckEffect.OUTRUN
                if effect is AckEffect.BEHIND:
                    down.append(ledger.hear(Claim(1, sender.acked, sender.incarnation)))
            down.remove(answer)
        if chance.random() < 0.05:
            sender = sender.reconnected()
            down.append(ledger.take(0))  # the ledger greets every link with where it stands
        assert sender.acked <= sender.sent <= sender.last
        if committed == events and not restores and len(ledger.taken) == events and turn > 50:
            break
    assert ledger.taken == list(range(1, events + 1))
