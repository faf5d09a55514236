"""What goes up to the fleet, and what its messages mean. Sans-I/O.

The shell (the uplink, or a simulation) owns the connection and the store; it asks what to publish,
says what went out, and hands in what came. Everything waits in the store, not here: a lost
connection costs nothing but time. Answers that find no room are dropped, since the fleet asks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cabinet.core.commands import RETAINED
from cabinet.core.engine_model import (
    ChallengeReceived,
    CommandReceived,
    DocumentReceived,
    Durable,
    JournalOutrun,
    Now,
    OrderUnfit,
    Outcome,
)
from cabinet.core.outbox import AckEffect, Sender
from cabinet.core.records import Restored
from protocols import messages, topics
from protocols.errors import MessageError
from protocols.messages import Ack, Result
from protocols.topics import Leaf

ANSWERS_MAX: Final = 64
#: A late acknowledgement looks like a ledger that was put back; a fleet hears of it this often.
PROTEST_GAP_MS: Final = 60_000
_Document: TypeAlias = messages.DesiredPlan | messages.DesiredConfig | messages.DesiredList
_DOCUMENTS: Final[dict[Leaf, type[_Document]]] = {
    Leaf.DESIRED_PLAN: messages.DesiredPlan,
    Leaf.DESIRED_CONFIG: messages.DesiredConfig,
    Leaf.DESIRED_LISTS: messages.DesiredList,
}
Order: TypeAlias = CommandReceived | ChallengeReceived | DocumentReceived | OrderUnfit


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to read from the store and to publish, in order."""

    epoch: int
    numbers: range


@dataclass(frozen=True, slots=True)
class KeepAck:
    """Remember this acknowledgement; ``wall_ms`` is None while the wall clock is not trusted."""

    ack: Ack
    wall_ms: int | None


class Delivery:
    """The cabinet's end of the link. ``random`` is in [0, 1) and only spreads load."""

    __slots__ = ("_cabinet", "_protested_ms", "_random", "answers", "protests", "sender")

    def __init__(self, cabinet: str, sender: Sender, random: Callable[[], float]) -> None:
        self._cabinet = cabinet
        self._random = random
        self.sender = sender
        self.answers: deque[Result] = deque(maxlen=ANSWERS_MAX)
        self.protests = 0  # each one is a reason to tell the fleet again what it acknowledged
        self._protested_ms: int | None = None

    @property
    def depth(self) -> int:
        """Events that the fleet has not acknowledged."""
        return max(0, self.sender.last - self.sender.acked)

    # --- upwards ------------------------------------------------------------------------------

    def adopted(self, outcome: Outcome) -> bool:
        """Take in a decision that is on the disk; whether there are new events to publish."""
        durable = outcome.state.durable
        self.answers.extend(outcome.replies)
        if durable.seq <= self.sender.last and durable.epoch == self.sender.epoch:
            return False
        self.sender = self.sender.committed(durable.epoch, durable.seq)
        return True

    def connected(self) -> None:
        """The link is new: whatever was under way may be lost."""
        self.sender = self.sender.reconnected()

    def due(self, now_ms: int) -> Batch | None:
        """What to publish now, None when nothing is."""
        numbers = self.sender.next_range(now_ms)
        return Batch(self.sender.epoch, numbers) if numbers else None

    def published(self, batch: Batch, now_ms: int) -> None:
        """These went out; of an epoch that ended meanwhile it means nothing any more."""
        if batch.epoch == self.sender.epoch:
            self.sender = self.sender.published(batch.numbers, now_ms, self._random)

    # --- downwards ----------------------------------------------------------------------------

    def read(self, topic: str, payload: bytes, *, retained: bool) -> Order | Ack | None:
        """What a message is; None for a document that was taken back.

        Raises:
            MessageError: it is none that this cabinet obeys.
        """
        parsed = topics.parse(topic)
        if parsed.cabinet != self._cabinet:
            raise MessageError(f"topic {topic!r} is not for {self._cabinet}")
        match parsed.leaf:
            case Leaf.COMMAND:
                if retained:  # a leftover of who knows when
                    return OrderUnfit(RETAINED)
                return CommandReceived(messages.decode(payload, messages.Command))
            case Leaf.CHALLENGE:
                return ChallengeReceived(messages.decode(payload, messages.Challenge))
            case Leaf.ACK:
                return messages.decode(payload, Ack)
            case Leaf.DESIRED_PLAN | Leaf.DESIRED_CONFIG | Leaf.DESIRED_LISTS:
                if not payload:
                    return None
                return DocumentReceived(messages.decode(payload, _DOCUMENTS[parsed.leaf]))
            case _:
                raise MessageError(f"topic {topic!r} is none that a cabinet obeys")

    def acknowledged(self, ack: Ack, now: Now) -> KeepAck | JournalOutrun | None:
        """What an acknowledgement asks for: to be kept, or a new epoch; None when nothing."""
        self.sender, effect = self.sender.on_ack(ack, now.mono_ms, self._random)
        match effect:
            case AckEffect.ADVANCED | AckEffect.REWOUND:
                return KeepAck(ack, now.wall_ms if now.wall_synced else None)
            case AckEffect.OUTRUN:
                return JournalOutrun(ack, self.sender.acked)
            case AckEffect.BEHIND:
                self._protest(now.mono_ms)
                return None
            case AckEffect.NOTHING:
                return None

    def _protest(self, now_ms: int) -> None:
        last_ms = self._protested_ms
        if last_ms is None or now_ms - last_ms >= PROTEST_GAP_MS:
            self.protests += 1
            self._protested_ms = now_ms


def sender_of(restored: Restored, durable: Durable) -> Sender:
    """The window to start from: nothing is under way, and what is unacknowledged goes out again."""
    same = restored.epoch == durable.epoch
    acked = restored.acked_seq if same else 0
    return Sender(
        epoch=durable.epoch,
        last=restored.last_seq if same else 0,
        acked=acked,
        sent=acked,
        incarnation=restored.incarnation,
    )
