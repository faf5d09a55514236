"""The command dispatcher: from the outbox, by challenge, nonce and signature, to a result."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Final, Protocol

from fleet.core.commands import (
    Ask,
    Expired,
    Lane,
    Nonce,
    QueuedCommand,
    Send,
    Wait,
    envelope,
    verdict_on,
)
from fleet.core.ids import ulid
from fleet.core.ledger import SwapState
from fleet.core.operations import ENDS_LATER
from fleet.core.records import NewCommand
from fleet.core.swaps import NO_ANSWER
from fleet.errors import FleetError
from fleet.ports import Clock
from fleet.runtime.hub import Hub
from fleet.runtime.ingest import Publisher
from fleet.runtime.metrics import FleetMetrics
from protocols import topics
from protocols.messages import (
    Challenge,
    Command,
    Result,
    Step,
    encode,
)
from protocols.topics import Leaf

log = logging.getLogger(__name__)

COMMAND_LIFE_MS: Final = 20_000  # a person waits before the door; later he has gone
NONCES_ASKED: Final = 2
COMMAND_QOS: Final = 1
STORE_RETRY_S: Final = 0.5
_IDLE_S: Final = 60.0
LAST_WORDS: Final = frozenset({"done", "failed"})
LAST_WORD_WAIT_MS: Final = 5_000  # a pulse, its confirmation and two publications
LAST_WORD_TRIES: Final = 3
LATE_MAX: Final = 1_000  # results of nobody's commands must not fill the memory


class CommandRows(Protocol):
    """What the dispatcher needs of the store."""

    async def add_once(self, new: NewCommand) -> QueuedCommand | None:
        """Queue a command unless one of this id was queued before."""
        ...

    async def waiting(self) -> list[QueuedCommand]:
        """What is neither answered nor expired, in order."""
        ...

    async def settle(
        self,
        command: QueuedCommand,
        state: str,
        now_ms: int,
        *,
        reason: str | None = None,
        evidence: str = "",
        verdict: Step | None = None,
    ) -> SwapState | None:
        """Record how it ended."""
        ...

    async def finish(self, cabinet: str, result: Result, now_ms: int) -> bool:
        """Record the last word on an accepted command."""
        ...


class Commands:
    """All lanes. ``submit`` takes what is stored already and may be called from anywhere."""

    def __init__(
        self,
        *,
        rows: CommandRows,
        publisher: Publisher,
        sign: Callable[[Command], Command],
        clock: Clock,
        metrics: FleetMetrics,
        swap_hub: Hub,
        order_hub: Hub,
        cabinet_hub: Hub,
    ) -> None:
        self._rows = rows
        self._publisher = publisher
        self._sign = sign
        self._clock = clock
        self._metrics = metrics
        self._swap_hub = swap_hub
        self._order_hub = order_hub
        self._cabinet_hub = cabinet_hub
        self._late: list[tuple[str, Result]] = []
        self._unfinished: dict[str, tuple[QueuedCommand, int, int]] = {}
        self._lanes: dict[str, Lane] = {}
        self._wake = asyncio.Event()
        self._settled: list[tuple[QueuedCommand, Result | None, bool]] = []

    async def load(self) -> None:
        """Take up what an earlier process left; those too old expire in the first round."""
        for command in await self._rows.waiting():
            self.submit(command)

    async def order(
        self,
        cabinet: str,
        type_: str,
        *,
        actor: str,
        swap_id: str,
        key: str | None = None,
    ) -> None:
        """Store a command of a swap and send it; the same ``key`` sends it once."""
        now_ms = self._clock.wall_ms()
        command = await self._rows.add_once(
            NewCommand(
                id=new_id(now_ms) if key is None else key,
                cabinet=cabinet,
                type=type_,
                args={},
                actor=actor,
                now_ms=now_ms,
                expires_ms=now_ms + COMMAND_LIFE_MS,
                swap_id=swap_id,
            )
        )
        if command is not None:
            self.submit(command)

    def submit(self, command: QueuedCommand) -> None:
        """Send a stored command as soon as its turn comes."""
        life_ms = command.expires_ms - self._clock.wall_ms()
        lane = self._lanes.setdefault(command.cabinet, Lane())
        lane.add(command, self._clock.monotonic_ms() + life_ms)
        self._wake.set()

    def on_result(self, cabinet: str, result: Result) -> None:
        """Take a result from the broker's callback."""
        lane = self._lanes.get(cabinet)
        command = None
        if lane is not None:
            command = lane.take(result, self._clock.monotonic_ms())
        if command is not None:
            self._settled.append((command, result, True))
        elif result.outcome in LAST_WORDS and len(self._late) < LATE_MAX:
            self._late.append((cabinet, result))
        self._wake.set()

    async def run(self) -> None:
        """Send, repeat and settle until cancelled."""
        while True:
            self._wake.clear()
            until_ms = await self._round()
            while self._settled:
                await self._settle(*self._settled[0])
                self._settled.pop(0)
            while self._late:
                await self._finish(*self._late.pop(0))
            until_ms = self._ask_again(until_ms)
            idle_s = _IDLE_S
            if until_ms is not None:
                idle_s = max(0.0, (until_ms - self._clock.monotonic_ms()) / 1_000)
            try:
                async with asyncio.timeout(min(idle_s, _IDLE_S)):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _round(self) -> int | None:
        """Let every lane move until it waits; the earliest moment to look again."""
        earliest: int | None = None
        lanes = list(self._lanes.items())
        waits = await asyncio.gather(*(self._advance(cabinet, lane) for cabinet, lane in lanes))
        for (cabinet, lane), until_ms in zip(lanes, waits, strict=True):
            if until_ms is None:
                if not lane.nonces and not lane.queue:
                    del self._lanes[cabinet]
            else:
                earliest = until_ms if earliest is None else min(earliest, until_ms)
        return earliest

    async def _advance(self, cabinet: str, lane: Lane) -> int | None:
        while True:
            match lane.next(self._clock.monotonic_ms()):
                case Ask():
                    await self._challenge(cabinet)
                case Send(command, nonce):
                    await self._send(command, nonce)
                case Expired(command, sent):
                    self._settled.append((command, None, sent))
                case Wait(until_ms):
                    return until_ms

    async def _challenge(self, cabinet: str) -> None:
        challenge = Challenge(id=new_id(self._clock.wall_ms()), count=NONCES_ASKED)
        await self._publish(cabinet, Leaf.CHALLENGE, encode(challenge), qos=0)

    async def _send(self, command: QueuedCommand, nonce: Nonce) -> None:
        self._metrics.commands_sent.inc()
        payload = encode(self._sign(envelope(command, nonce)))
        await self._publish(command.cabinet, Leaf.COMMAND, payload, qos=COMMAND_QOS)

    async def _publish(self, cabinet: str, leaf: Leaf, payload: bytes, *, qos: int) -> None:
        try:
            await self._publisher.publish(topics.build(cabinet, leaf), payload, qos=qos)
        except FleetError as error:
            about = {"cabinet": cabinet}  # and it is repeated
            log.warning("cabinet %s: %s not sent: %s", cabinet, leaf.value, error, extra=about)

    async def _settle(self, command: QueuedCommand, result: Result | None, sent: bool) -> None:
        state = "expired" if result is None else result.outcome
        reason = NO_ANSWER if result is None else result.reason
        about = {"cabinet": command.cabinet, "command": command.id, "swap": command.swap_id}
        log.info(
            "command %s %s at %s: %s%s",
            *(command.id, command.type, command.cabinet, state, f" ({reason})" if reason else ""),
            extra=about,
        )
        self._metrics.commands.labels(state).inc()
        evidence = "sent, unanswered" if result is None and sent else ""
        while True:
            try:
                ended = await self._rows.settle(
                    command,
                    state,
                    self._clock.wall_ms(),
                    reason=reason,
                    evidence=evidence if result is None else result.evidence,
                    verdict=verdict_on(command, result),
                )
                break
            except FleetError as error:
                log.warning("command %s: %s; trying again", command.id, error, extra=about)
                await self._clock.sleep(STORE_RETRY_S)
        if ended is not None:
            self._metrics.swap_attempts.labels(reason or state).inc()
        if command.swap_id is not None:
            self._swap_hub.tell([command.swap_id])
        self._order_hub.tell([command.id])
        if command.type == "pack.hold":
            self._cabinet_hub.tell([command.cabinet])
        if state in LAST_WORDS:
            self._unfinished.pop(command.id, None)
        if state == "accepted" and command.type in ENDS_LATER:
            due_ms = self._clock.monotonic_ms() + LAST_WORD_WAIT_MS
            self._unfinished.setdefault(command.id, (command, due_ms, LAST_WORD_TRIES))

    async def _finish(self, cabinet: str, result: Result) -> None:
        """The last word on a command that was accepted earlier."""
        try:
            news = await self._rows.finish(cabinet, result, self._clock.wall_ms())
        except FleetError as error:
            about = {"cabinet": cabinet, "command": result.id}
            log.warning("command %s: last word not stored: %s", result.id, error, extra=about)
            return  # and asked for again
        self._unfinished.pop(result.id, None)
        if news:
            self._metrics.commands.labels(result.outcome).inc()
            self._order_hub.tell([result.id])

    def _ask_again(self, until_ms: int | None) -> int | None:
        """Repeat commands whose last word is overdue: the cabinet answers with what it stored."""
        now_ms = self._clock.monotonic_ms()
        for command, due_ms, tries in list(self._unfinished.values()):
            next_ms = due_ms
            if due_ms <= now_ms and tries == 0:
                del self._unfinished[command.id]
                continue
            if due_ms <= now_ms:
                deadline_ms, next_ms = now_ms + LAST_WORD_WAIT_MS, now_ms + 2 * LAST_WORD_WAIT_MS
                self._lanes.setdefault(command.cabinet, Lane()).add(command, deadline_ms)
                self._unfinished[command.id] = (command, next_ms, tries - 1)
                self._wake.set()
            until_ms = next_ms if until_ms is None else min(until_ms, next_ms)
        return until_ms


def new_id(wall_ms: int) -> str:
    """A fresh identifier that sorts by time."""
    return ulid(wall_ms, secrets.token_bytes(10))
