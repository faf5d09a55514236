"""Delivery of commands to one cabinet: one at a time, in order, each until answered or expired.

A command needs a nonce of the cabinet's. Every result carries some; when none is fresh enough the
fleet asks by a challenge. An unanswered command is repeated with a fresh nonce and the same id: the
cabinet answers a repeat with the stored result and never acts twice.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from protocols.messages import (
    NONCE_LIFE_MS,
    NONCES_MAX,
    Command,
    Precondition,
    Result,
    Step,
)

#: A nonce lives 15 s from its issue; older than this it may die on the way.
NONCE_USE_MS: Final = NONCE_LIFE_MS - 5_000
CHALLENGE_WAIT_MS: Final = 1_000
RESULT_WAIT_MS: Final = 2_000
#: Refusals of the envelope, not of the order: nothing was executed, so ask again.
RETRY_REASONS: Final = frozenset({"unknown-nonce", "stale-nonce", "wrong-boot"})
QUEUE_MAX: Final = 16  # commands waiting for one cabinet; people stand before it, not machines


@dataclass(frozen=True, slots=True)
class QueuedCommand:
    """One row of the command outbox; ``expires_ms`` is wall time, ``seq`` rises per cabinet."""

    id: str
    cabinet: str
    seq: int
    type: str
    args: dict[str, Any]
    actor: str
    created_ms: int
    expires_ms: int
    swap_id: str | None = None
    reason: str = ""
    precondition: Precondition | None = None


@dataclass(frozen=True, slots=True)
class Nonce:
    """One of the cabinet's nonces, not older than ``received_ms`` (monotonic) says."""

    value: str
    boot_id: str
    received_ms: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Publish a challenge."""


@dataclass(frozen=True, slots=True)
class Send:
    """Sign and publish this command with this nonce."""

    command: QueuedCommand
    nonce: Nonce


@dataclass(frozen=True, slots=True)
class Expired:
    """The command's time is over; ``sent`` tells whether the cabinet may have seen it."""

    command: QueuedCommand
    sent: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until then (monotonic), or until a result or a new command; None: idle."""

    until_ms: int | None


Move: TypeAlias = Ask | Send | Expired | Wait


@dataclass(slots=True)
class Lane:
    """The commands of one cabinet. Deadlines are monotonic; the caller converts the wall's."""

    queue: deque[tuple[QueuedCommand, int]] = field(default_factory=deque)
    nonces: deque[Nonce] = field(default_factory=lambda: deque(maxlen=NONCES_MAX))
    sent: bool = False
    asking: bool = False
    quiet_until_ms: int = 0

    def add(self, command: QueuedCommand, deadline_ms: int) -> None:
        """Queue a command behind the others."""
        self.queue.append((command, deadline_ms))

    def next(self, now_ms: int) -> Move:
        """What to do now; call again after carrying it out, until it says Wait."""
        if not self.queue:
            return Wait(None)
        command, deadline_ms = self.queue[0]
        if now_ms >= deadline_ms:
            sent = self.sent
            self._done(now_ms)
            return Expired(command, sent)
        if now_ms < self.quiet_until_ms:
            return Wait(min(self.quiet_until_ms, deadline_ms))
        while self.nonces:
            nonce = self.nonces.popleft()
            if now_ms - nonce.received_ms <= NONCE_USE_MS:
                self.sent, self.asking = True, False
                self.quiet_until_ms = now_ms + RESULT_WAIT_MS
                return Send(command, nonce)
        self.asking = True
        self.quiet_until_ms = now_ms + CHALLENGE_WAIT_MS
        return Ask()

    def take(self, result: Result, now_ms: int) -> QueuedCommand | None:
        """Take up a result; the command that it settles, or None."""
        if any(nonce.boot_id != result.boot_id for nonce in self.nonces):
            self.nonces.clear()
        self.nonces.extend(Nonce(value, result.boot_id, now_ms) for value in result.nonces)
        if result.outcome == "nonces":
            if self.asking:
                self.quiet_until_ms = now_ms
            return None
        if not self.queue or self.queue[0][0].id != result.id:
            return None
        command = self.queue[0][0]
        if result.outcome == "refused" and result.reason in RETRY_REASONS:
            self.sent = False
            self.quiet_until_ms = now_ms
            return None
        self._done(now_ms)
        return command

    def _done(self, now_ms: int) -> None:
        self.queue.popleft()
        self.sent = self.asking = False
        self.quiet_until_ms = now_ms


def next_seq(last: int, wall_ms: int) -> int:
    """The sequence number of a new command: above the last one, and never below the wall clock.

    After a backup was restored the last number is an old one, which the cabinet has seen; the clock
    has gone on.
    """
    return max(last + 1, wall_ms)


def envelope(command: QueuedCommand, nonce: Nonce) -> Command:
    """The message of a command, yet to be signed."""
    return Command(
        id=command.id,
        cabinet=command.cabinet,
        seq=command.seq,
        type=command.type,
        args=command.args,
        expires_at_ms=command.expires_ms,
        ttl_ms=NONCE_LIFE_MS,
        nonce=nonce.value,
        boot_id=nonce.boot_id,
        actor=command.actor,
        reason=command.reason,
        swap_id=command.swap_id,
        precondition=command.precondition,
    )


def verdict_on(command: QueuedCommand, result: Result | None) -> Step | None:
    """How the swap ends when its start did not come about; ``result`` is None for no answer."""
    if command.type != "swap.start":
        return None
    if result is None:
        return Step.CANCELLED
    return {"refused": Step.REJECTED, "failed": Step.FAULTED}.get(result.outcome)
