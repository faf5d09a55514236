"""The discipline of every decision: step, commit, adopt, act, tell. Sans-I/O.

``Acting.turn`` is a generator: it yields what must be done next and is sent what became of it. The
shell (the pump, or a simulation) does nothing but carry these requests out, in order; dropping the
generator in between is what a power cut does. A decision's rows are committed before its state is
adopted and before any of its effects runs. When the commit fails nothing is adopted and no door
moves; what makes safe is done all the same, the chargers are switched off, and the store is tried
again once a second, by writing a line. A command that comes meanwhile is refused, and so is one
whose own rows could not be written, as soon as the disk tells that they are not there.

Answers, by request: ``Commit`` and ``Load`` are sent the reason when the store failed (text);
otherwise ``Commit`` is sent None and ``Load`` what is on the disk. ``Do`` and ``Tell`` are sent
None.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from cabinet.core.engine import (
    ChallengeReceived,
    CommandReceived,
    DocumentReceived,
    Engine,
    Input,
    Now,
    Outcome,
    State,
)
from cabinet.core.model import Effect, Output, SetCharger, SetOutput, SetSlotAc, SetSocket
from cabinet.core.records import JournalRow, Restored, Write
from protocols.messages import DesiredList, Result, Telemetry

STORE_RETRY_MS: Final = 1_000
#: As an alarm in telemetry and status; it cannot be an event while nothing can be written.
STORE_ALARM: Final = "store"


@dataclass(frozen=True, slots=True)
class Commit:
    """Write all these rows or none, and make them last."""

    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """Read what is on the disk."""


@dataclass(frozen=True, slots=True)
class Do:
    """Carry an effect out; what becomes of an ``Unlock`` comes back as an input of its own."""

    effect: Effect


@dataclass(frozen=True, slots=True)
class Tell:
    """This decision has been adopted: replies and news may go out."""

    outcome: Outcome


Request: TypeAlias = Commit | Load | Do | Tell
Answer: TypeAlias = str | Restored | None
Turn: TypeAlias = Generator[Request, Answer, None]


class Acting:
    """Owns the engine's state; it is always one that is on the disk."""

    __slots__ = ("_made_safe", "_missed", "_retry_ms", "_unsure", "engine", "state", "store_error")

    def __init__(self, engine: Engine, state: State, store_error: str | None = None) -> None:
        self.engine = engine
        self.state = state
        self.store_error = store_error  # why nothing can be written, None while it can
        self._retry_ms = 0
        self._made_safe: frozenset[Effect] = frozenset()
        self._unsure: str | None = None  # id of a command of which nobody knows whether it is kept
        self._missed: dict[tuple[str, int], DocumentReceived] = {}  # the broker says them only once

    def telemetry(self, now: Now) -> Telemetry:
        """The cabinet as it stands."""
        extra = (STORE_ALARM,) if self.store_error else ()
        return self.engine.telemetry(self.state, now, extra)

    def turn(self, event: Input, clock: Callable[[], Now]) -> Turn:
        """Decide about one input; ``clock`` is asked anew after every wait."""
        if self.store_error is not None:
            yield from self._try_store(clock())
        if self.store_error is None and self._missed:
            missed, self._missed = self._missed, {}
            for document in missed.values():
                yield from self._decide(document, clock)
        yield from self._decide(event, clock)

    def _decide(self, event: Input, clock: Callable[[], Now]) -> Turn:
        now = clock()
        outcome = self.engine.step(self.state, event, now)
        if self.store_error is not None:
            self._keep_document(event)
            yield from self._protect(outcome)
            yield from self._turn_down(event, outcome)
            return
        if outcome.writes:
            failure = yield Commit(outcome.writes)
            if isinstance(failure, str):
                self.store_error = failure
                self._retry_ms = now.mono_ms
                self._made_safe = frozenset()
                self._unsure = event.command.id if isinstance(event, CommandReceived) else None
                self._keep_document(event)
                yield from self._protect(outcome)
                return
        self.state = outcome.state
        for effect in outcome.effects:
            yield Do(effect)
        yield Tell(outcome)

    def _keep_document(self, event: Input) -> None:
        """A desired document that could not be written is taken up when the store works again."""
        if isinstance(event, DocumentReceived):
            document = event.document
            chunk = document.chunk if isinstance(document, DesiredList) else 0
            self._missed[type(document).__name__, chunk] = event

    def _protect(self, outcome: Outcome) -> Turn:
        """Chargers and sockets off, and of a decision that could not be written what makes safe."""
        safe: list[Effect] = [effect for effect in outcome.effects if protects(effect)]
        slots = range(1, self.engine.config.slots + 1)
        safe += [SetCharger(slot, on=False) for slot in slots]
        safe += [SetSocket(each.number, on=False) for each in self.engine.config.sockets]
        for effect in safe:
            if effect not in self._made_safe:
                yield Do(effect)
        self._made_safe = frozenset(safe)
        self.state = self.engine.unwritten(self.state, outcome)

    def _turn_down(self, event: Input, outcome: Outcome) -> Turn:
        """The fleet still gets its nonces, and to each new order the answer that nothing moved.

        An order that was decided before keeps its answer.
        """
        match event:
            case ChallengeReceived():
                known = True
            case CommandReceived(command) if command.id != self._unsure:
                known = command.id in self.state.results
                if not known:
                    yield Tell(Outcome(self.state, replies=(self._refusal(command.id),)))
            case _:
                known = False
        if known:
            self.state = msgspec.structs.replace(self.state, nonces=outcome.state.nonces)
            yield Tell(Outcome(self.state, replies=outcome.replies))

    def _refusal(self, command_id: str) -> Result:
        return Result(
            id=command_id,
            outcome="refused",
            boot_id=self.state.boot_id,
            reason=STORE_ALARM,
            evidence=(self.store_error or "")[:500],
        )

    def _settle_unsure(self, restored: Restored) -> Turn:
        """What the disk says of the command whose commit failed."""
        if self._unsure is None:
            return
        kept = next((r for r in restored.results if r.id == self._unsure), None)
        answer = kept or self._refusal(self._unsure)
        self._unsure = None
        yield Tell(Outcome(self.state, replies=(answer,)))

    def _try_store(self, now: Now) -> Turn:
        """Try again now and then; what is on the disk by then is what counts."""
        if now.mono_ms < self._retry_ms:
            return
        self._retry_ms = now.mono_ms + STORE_RETRY_MS
        restored = yield Load()
        if isinstance(restored, str):
            self.store_error = restored
            return
        assert isinstance(restored, Restored)
        row = JournalRow(now.mono_ms, now.wall_ms, self.state.boot_id, "store-works-again")
        failure = yield Commit((row,))
        if isinstance(failure, str):
            self.store_error = failure
            return
        self.store_error = None
        self.state = self.engine.resumed(self.state, restored)
        yield from self._settle_unsure(restored)


def protects(effect: Effect) -> bool:
    """Whether an effect only ever makes safe, so that it needs no journal."""
    match effect:
        case (
            SetCharger(on=on)
            | SetSlotAc(on=on)
            | SetSocket(on=on)
            | SetOutput(output=Output.CONTACTOR, on=on)
        ):
            return not on
        case SetOutput(output=Output.SIREN | Output.EXTINGUISHER, on=on):
            return on
        case _:
            return False
