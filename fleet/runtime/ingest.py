"""From the broker into the store: events in batches, acknowledged after their commit.

``on_message`` is called for every message by the broker's client and must not block; everything it
holds is bounded. What it drops comes again (events), or is replaced by the next (telemetry).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from fleet.core.arrears import Arrears
from fleet.core.ingest import (
    BATCH_EVENTS_MAX,
    Arrival,
    BatchOutcome,
    Claim,
    Watermark,
    open_payload,
    standing,
    went_back,
)
from fleet.core.records import LatestRow
from fleet.errors import FleetError
from fleet.ports import Clock
from fleet.runtime.hub import Hub
from fleet.runtime.live import LivePicture
from fleet.runtime.metrics import POISON, FleetMetrics
from protocols import topics
from protocols.errors import MessageError
from protocols.messages import Ack, Result, Status, Telemetry, decode, encode
from protocols.topics import Leaf

log = logging.getLogger(__name__)

BATCH_WAIT_S: Final = 0.02  # one fsync per batch; a lone event waits no longer than this
EVENTS_MAX: Final = 10_000  # beyond it the cabinets' outboxes are the queue
LATEST_WRITE_S: Final = 1.0
STORE_RETRY_S: Final = 0.5
ACK_CONCURRENCY: Final = 50
#: All cabinets say within seconds that the store went back; one answer serves them all.
RENEW_GAP_MS: Final = 60_000


class EventRows(Protocol):
    """What ingest needs of the store."""

    async def commit(self, arrivals: Sequence[Arrival], now_ms: int) -> BatchOutcome:
        """Commit a batch; raise FleetError when the store is out of reach."""
        ...

    async def watermarks(self) -> dict[str, Watermark]:
        """What is committed of every cabinet."""
        ...


class LatestRows(Protocol):
    """Where the latest of each cabinet is kept."""

    async def save_latest(self, rows: Sequence[LatestRow]) -> None:
        """Keep it."""
        ...


class Publisher(Protocol):
    """The way to the cabinets."""

    async def publish(
        self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False
    ) -> None:
        """Hand one message to the broker; raise FleetError."""
        ...


class Ingest:
    """Takes reports, stores them, acknowledges, and tells watchers."""

    def __init__(
        self,
        *,
        rows: EventRows,
        latest: LatestRows,
        live: LivePicture,
        publisher: Publisher,
        incarnation: str,
        renew: Callable[[], Awaitable[str]],
        clock: Clock,
        metrics: FleetMetrics,
        swap_hub: Hub,
        cabinet_hub: Hub,
        on_result: Callable[[str, Result], None],
    ) -> None:
        self._rows = rows
        self._latest = latest
        self._live = live
        self._publisher = publisher
        self._incarnation = incarnation
        self._renew = renew
        self._renewed_ms: int | None = None
        self._clock = clock
        self._metrics = metrics
        self._swap_hub = swap_hub
        self._cabinet_hub = cabinet_hub
        self._on_result = on_result
        self._queue: deque[tuple[int, Arrival]] = deque()
        self._queued = asyncio.Event()
        self.store_ok = True
        self._greet: set[str] = set()  # cabinets that came online and want their watermark
        self._arrears = Arrears()
        self._claims: dict[str, Claim] = {}  # what each said, not yet held against the store
        self._unreached: dict[str, Watermark] = {}  # acknowledgements that the broker did not take

    def on_message(self, topic: str, payload: bytes) -> None:
        """Take one message; never raises, never blocks."""
        try:
            parsed = topics.parse(topic)
            if not self._live.known(parsed.cabinet):
                self._metrics.events_dropped.labels("stranger").inc()
                return
            match parsed.leaf:
                case Leaf.EVENT:
                    self._take_event(parsed.cabinet, payload)
                case Leaf.TELEMETRY:
                    self._take_telemetry(parsed.cabinet, decode(payload, Telemetry))
                case Leaf.STATUS:
                    self._take_status(parsed.cabinet, payload)
                case Leaf.RESULT:
                    self._on_result(parsed.cabinet, decode(payload, Result))
                case _:
                    pass
        except MessageError as error:
            self._metrics.events_dropped.labels("malformed").inc()
            log.warning("%s: %s", topic, error)

    async def run(self) -> None:
        """Commit and acknowledge until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit_loop(), name="ingest-commit")
            group.create_task(self._latest_loop(), name="ingest-latest")

    def _take_event(self, cabinet: str, payload: bytes) -> None:
        if len(self._queue) >= EVENTS_MAX:
            self._metrics.events_dropped.labels("overload").inc()
            return
        self._queue.append((self._clock.monotonic_ms(), open_payload(cabinet, payload)))
        self._queued.set()

    def _take_telemetry(self, cabinet: str, telemetry: Telemetry) -> None:
        self._metrics.telemetry.inc()
        if self._live.take_telemetry(cabinet, telemetry):
            self._cabinet_hub.tell([cabinet])
        now_ms = self._clock.monotonic_ms()
        if self._arrears.written(cabinet, telemetry.epoch, telemetry.seq, now_ms):
            self._greet.add(cabinet)
            self._queued.set()

    def _take_status(self, cabinet: str, payload: bytes) -> None:
        if not payload:
            return  # a retained status was cleared
        status = decode(payload, Status)
        if self._live.take_status(cabinet, status):
            self._cabinet_hub.tell([cabinet])
            if status.online:
                self._greet.add(cabinet)
                self._claims[cabinet] = Claim.of(status)
                self._queued.set()

    async def _commit_loop(self) -> None:
        while True:
            await self._queued.wait()
            await self._clock.sleep(BATCH_WAIT_S)
            self._queued.clear()
            while self._queue:
                await self._commit_batch()
            if self._greet or self._claims:
                await self._greet_all()

    async def _commit_batch(self) -> None:
        # As many as one transaction takes: of two, what the first one changed would be told to nobody
        # when the store goes away before the second, and the first is a repeat the next time.
        batch = [self._queue.popleft() for _ in range(min(BATCH_EVENTS_MAX, len(self._queue)))]
        arrivals = [arrival for _, arrival in batch]
        while True:
            try:
                outcome = await self._rows.commit(arrivals, self._clock.wall_ms())
                self.store_ok = True
                break
            except FleetError as error:
                self.store_ok = False
                log.warning("ingest: %s; trying again", error)
                await self._clock.sleep(STORE_RETRY_S)
        waited_s = (self._clock.monotonic_ms() - batch[0][0]) / 1_000
        self._metrics.commit_seconds.observe(waited_s)
        self._count(outcome)
        await self._acknowledge(outcome.acks.items())
        self._greet -= outcome.acks.keys()
        self._swap_hub.tell(outcome.swaps)

    def _count(self, outcome: BatchOutcome) -> None:
        for verdict, number in outcome.counts.items():
            self._metrics.events.labels(verdict.value).inc(number)
        if outcome.poison:
            self._metrics.events.labels(POISON).inc(outcome.poison)
        for swap in outcome.ended:
            if swap.step is None:
                continue
            self._metrics.swap_attempts.labels(swap.step.value).inc()
            self._metrics.swaps_by_authority.labels(swap.authority).inc()
            about = {"cabinet": swap.cabinet, "swap": swap.id}
            log.info("swap %s at %s: %s", swap.id, swap.cabinet, swap.step.value, extra=about)
            for flag in swap.flags:
                log.warning("swap %s at %s: %s", swap.id, swap.cabinet, flag, extra=about)
                self._metrics.swaps_flagged.labels(flag).inc()
            if swap.created_ms is not None and swap.authority == "fleet":
                taken_s = (self._clock.wall_ms() - swap.created_ms) / 1_000
                self._metrics.swap_seconds.labels(swap.step.value).observe(taken_s)

    async def _greet_all(self) -> None:
        """Tell cabinets that came online where we stand: after a restore that may be far back."""
        greet, self._greet = self._greet, set()
        claims, self._claims = self._claims, {}
        try:
            marks = await self._rows.watermarks()
            if await self._check(marks, claims):
                greet |= marks.keys()
        except FleetError as error:
            log.warning("ingest: no watermarks: %s; trying again", error)
            self._greet |= greet
            self._claims = {**claims, **self._claims}
            return
        await self._acknowledge(
            (cabinet, standing(marks[cabinet], claims.get(cabinet)))
            for cabinet in greet
            if cabinet in marks
        )

    async def _check(self, marks: Mapping[str, Watermark], claims: Mapping[str, Claim]) -> bool:
        """Take a new incarnation when a cabinet proves that the store is an older copy."""
        for cabinet, claim in claims.items():
            mark = marks.get(cabinet)
            if mark is None or not went_back(mark, claim, self._incarnation):
                continue
            now_ms = self._clock.monotonic_ms()
            if self._renewed_ms is not None and now_ms - self._renewed_ms < RENEW_GAP_MS:
                return False
            self._incarnation, self._renewed_ms = await self._renew(), now_ms
            self._metrics.renewals.inc()
            log.error(
                "cabinet %s was told that %d/%d is stored, but %d/%d is: the database is an older "
                "copy; asking all cabinets for what is missing (incarnation %s)",
                *(cabinet, claim.epoch, claim.seq, mark.epoch, mark.seq, self._incarnation),
                extra={"cabinet": cabinet},
            )
            return True
        return False

    async def _acknowledge(self, acks: Iterable[tuple[str, Watermark]]) -> None:
        rows = list(acks)
        for start in range(0, len(rows), ACK_CONCURRENCY):
            part = rows[start : start + ACK_CONCURRENCY]
            await asyncio.gather(*(self._send_ack(cabinet, mark) for cabinet, mark in part))

    async def _send_ack(self, cabinet: str, mark: Watermark) -> bool:
        self._arrears.stored(cabinet, mark)
        ack = Ack(epoch=mark.epoch, seq=mark.seq, incarnation=self._incarnation)
        self._unreached[cabinet] = mark
        # One that is lost on its way is made good by the cabinet's repeats, or by its telemetry.
        with contextlib.suppress(FleetError):
            await self._publisher.publish(topics.build(cabinet, Leaf.ACK), encode(ack))
            if self._unreached.get(cabinet) is mark:
                del self._unreached[cabinet]
            return True
        return False

    async def _make_good(self) -> None:
        """What waits for the broker or the store: a cabinet with nothing to send does not ask again."""
        if self._greet or self._claims:
            self._queued.set()
        for cabinet, mark in list(self._unreached.items()):
            if self._unreached.get(cabinet) is mark and not await self._send_ack(cabinet, mark):
                return  # nor would it take the others

    async def _latest_loop(self) -> None:
        while True:
            await self._clock.sleep(LATEST_WRITE_S)
            await self._make_good()
            self._metrics.set_cabinets(self._live.online_count(), len(self._live.ids()))
            self._metrics.set_alarms(self._live.alarm_counts())
            rows = self._live.drain()
            if not rows:
                continue
            try:
                await self._latest.save_latest(rows)
            except FleetError as error:
                log.warning("latest state not stored: %s", error)
