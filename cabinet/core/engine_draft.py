"""One decision in the making: the state so far, and what has been collected to write, do and say."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from cabinet.core.engine_model import (
    RESULTS_MAX,
    Durable,
    EngineConfig,
    Now,
    OfflineAnswer,
    Outcome,
    State,
    encode_durable,
)
from cabinet.core.engine_view import Eye, Sight
from cabinet.core.model import (
    Effect,
    Indicate,
    SetCharger,
    SetOutput,
    SetSlotAc,
    SetSocket,
    Unlock,
)
from cabinet.core.records import EventRow, JournalRow, ResultRow, SnapshotRow, Write
from protocols.messages import Event, Result, raw

#: Effects run in this order: what makes safe first, then doors, then the rest.
_URGENCY: Final[dict[type, int]] = {
    SetOutput: 0,
    SetSlotAc: 1,
    Unlock: 3,
    SetCharger: 4,
    SetSocket: 4,
    Indicate: 5,
}


class Draft:
    """A mutable workbench for one pure step; it never leaves it."""

    __slots__ = (
        "_answers",
        "_before",
        "_effects",
        "_eye",
        "_replies",
        "_since_ms",
        "_writes",
        "config",
        "now",
        "state",
    )

    def __init__(self, state: State, now: Now, config: EngineConfig) -> None:
        self.state = state
        self.now = now
        self.config = config
        self._before = state.durable
        self._writes: list[Write] = []
        self._effects: list[Effect] = []
        self._replies: list[Result] = []
        self._answers: list[OfflineAnswer] = []
        self._since_ms = dict(state.since_ms)
        self._eye = Eye(config, now)

    @property
    def durable(self) -> Durable:
        """What outlives the process, as changed so far."""
        return self.state.durable

    @property
    def now_ms(self) -> int:
        """Monotonic time of the decision."""
        return self.now.mono_ms

    def sight(self) -> Sight:
        """The cabinet as it may be relied on, by the state so far."""
        return self._eye.look(self.state)

    def put(self, **changes: Any) -> None:
        """Change fields of the state."""
        self.state = msgspec.structs.replace(self.state, **changes)

    def keep(self, **changes: Any) -> None:
        """Change fields of what outlives the process."""
        self.state = msgspec.structs.replace(
            self.state, durable=msgspec.structs.replace(self.durable, **changes)
        )

    def event(self, kind: str, body: Struct) -> None:
        """Tell the fleet, in order, at least once."""
        seq = self.durable.seq + 1
        self.keep(seq=seq)
        self._writes.append(
            EventRow(
                Event(
                    epoch=self.durable.epoch,
                    seq=seq,
                    boot_id=self.state.boot_id,
                    mono_ms=self.now.mono_ms,
                    wall_ms=self.now.wall_ms,
                    wall_synced=self.now.wall_synced,
                    type=kind,
                    body=raw(body),
                )
            )
        )

    def journal(self, kind: str, **detail: Any) -> None:
        """Write down what was decided and why."""
        self._writes.append(
            JournalRow(self.now.mono_ms, self.now.wall_ms, self.state.boot_id, kind, detail)
        )

    def write(self, row: Write) -> None:
        """Any other row."""
        self._writes.append(row)

    def effect(self, effect: Effect) -> None:
        """Something to do once all is written."""
        self._effects.append(effect)

    def refused(self, reason: str) -> None:
        """One more order refused for this reason."""
        refusals = self.state.refusals
        self.put(refusals={**refusals, reason: refusals.get(reason, 0) + 1})

    def reply(self, result: Result) -> None:
        """Answer without storing."""
        self._replies.append(result)

    def answer(self, answer: OfflineAnswer) -> None:
        """Answer the rider at the cabinet."""
        self._answers.append(answer)

    def decide(self, result: Result) -> None:
        """Answer a command and store the answer under its id."""
        results = {**self.state.results, result.id: msgspec.structs.replace(result, nonces=())}
        while len(results) > RESULTS_MAX:
            del results[next(iter(results))]
        self.put(results=results)
        self._writes.append(ResultRow(results[result.id], self.now.wall_ms))
        self._replies.append(result)

    def held_ms(self, what: str, slot: int, *, holds: bool) -> int | None:
        """For how long a condition has held without a break; None when it does not."""
        if not holds:
            self._since_ms.pop((what, slot), None)
            return None
        return self.now_ms - self._since_ms.setdefault((what, slot), self.now_ms)

    def outcome(self) -> Outcome:
        """The finished decision; a snapshot is written when something durable changed."""
        durable = self.durable
        if durable is not self._before and durable != self._before:
            self._writes.insert(0, SnapshotRow(encode_durable(durable)))
        if self._since_ms != self.state.since_ms:
            self.put(since_ms=self._since_ms)
        effects = tuple(sorted(self._effects, key=_urgency))
        replies, answers = tuple(self._replies), tuple(self._answers)
        return Outcome(self.state, tuple(self._writes), effects, replies, answers)


def _urgency(effect: Effect) -> int:
    if isinstance(effect, SetCharger | SetSocket) and not effect.on:
        return 2
    return _URGENCY[type(effect)]
