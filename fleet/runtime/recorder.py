"""Raw messages of the cabinets that someone looks at, bounded; nothing of the others.

Thirty thousand cabinets send gigabytes an hour. So a cabinet is recorded from when its messages are
asked for until nobody has asked for a while; events stay in the store in any case.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from fleet.core.console_views import Message
from fleet.ports import Clock
from protocols import topics
from protocols.errors import MessageError
from protocols.topics import Leaf

KEPT_MS: Final = 15 * 60_000  # after the last asking
CABINETS_MAX: Final = 64
MESSAGES_MAX: Final = 200
CHARS_MAX: Final = 16_000  # a telegram of 64 slots has about that
#: What may be shown. Desired documents are not: lists name riders, and config may name secrets.
SHOWN: Final = frozenset(
    {Leaf.STATUS, Leaf.TELEMETRY, Leaf.EVENT, Leaf.RESULT, Leaf.COMMAND, Leaf.ACK}
)


@dataclass(slots=True)
class _Tape:
    asked_ms: int
    messages: deque[Message] = field(default_factory=lambda: deque(maxlen=MESSAGES_MAX))


class Recorder:
    """Keeps the newest messages of a few cabinets."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tapes: OrderedDict[str, _Tape] = OrderedDict()  # the longest unasked first

    def heard(self, topic: str, payload: bytes) -> None:
        """Keep one message by its topic, which may be anything; never blocks."""
        if not self._tapes:
            return
        with contextlib.suppress(MessageError):
            parsed = topics.parse(topic)
            self.note(parsed.cabinet, parsed.leaf, payload)

    def note(self, cabinet: str, leaf: Leaf, payload: bytes) -> None:
        """Keep one message if its cabinet is recorded; never blocks."""
        tape = self._tapes.get(cabinet)
        if tape is None or leaf not in SHOWN:
            return
        if self._clock.monotonic_ms() - tape.asked_ms > KEPT_MS:
            del self._tapes[cabinet]
            return
        text = payload[: CHARS_MAX * 4].decode("utf-8", "replace")
        kept = Message(
            at_ms=self._clock.wall_ms(),
            leaf=leaf.value,
            text=text[:CHARS_MAX],
            cut=len(text) > CHARS_MAX,
        )
        tape.messages.append(kept)

    def of(self, cabinet: str) -> list[Message]:
        """The newest messages first; from now on the cabinet is recorded."""
        tape = self._tapes.get(cabinet)
        now_ms = self._clock.monotonic_ms()
        if tape is None or now_ms - tape.asked_ms > KEPT_MS:
            tape = self._tapes[cabinet] = _Tape(now_ms)
        tape.asked_ms = now_ms
        self._tapes.move_to_end(cabinet)
        while len(self._tapes) > CABINETS_MAX:
            self._tapes.popitem(last=False)
        return list(reversed(tape.messages))


class Publisher(Protocol):
    """The way to the cabinets."""

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> None:
        """Hand one message to the broker; raise FleetError."""
        ...


class Overheard:
    """A publisher whose messages are recorded once the broker has them."""

    def __init__(self, publisher: Publisher, recorder: Recorder) -> None:
        self._publisher = publisher
        self._recorder = recorder

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> None:
        """Hand one message to the broker; raise FleetError."""
        await self._publisher.publish(topic, payload, qos=qos, retain=retain)
        self._recorder.heard(topic, payload)
