"""One task owns one line: transactions by urgency, gaps, time-outs, and each device's health.

Here the hazards of a shared serial bus end: a transaction in flight is never interrupted (its
caller may be cancelled, the bus finishes), nothing is sent before the line was silent long enough,
a late reply is never taken for another one, a write is never sent twice, and a dead device costs
the others next to nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

from cabinet.calls import Call, Urgency
from cabinet.errors import CabinetError, DeviceRefusedError, LinkError
from cabinet.ports import Clock
from cabinet.runtime.bus_health import Health, State
from cabinet.runtime.bus_metrics import BusMetrics, Result
from cabinet.runtime.line import Line, LineDownError, NoReplyError
from protocols.decoding import Spoilt, diagnose
from protocols.device import Protocol

log = logging.getLogger(__name__)

T = TypeVar("T")

BITS_PER_BYTE: Final = 10
#: Modbus: 3.5 characters of silence, a fixed time above 19200 baud.
SILENT_CHARS: Final = 3.5
FAST_BAUD: Final = 19_200
FAST_GAP_S: Final = 0.001_75
#: USB adapters and a busy computer; on top of the wire time and the device's own time.
SLACK_S: Final = 0.025
#: After a time-out the line must be quiet this long before another device is asked …
GUARD_QUIET_S: Final = 0.010
#: … but a babbling line stops the others no longer than this.
GUARD_MAX_S: Final = 0.060
#: Reads of a device that just timed out wait this long: its late reply could pass for theirs.
LATE_REPLY_S: Final = 0.250
#: … and longer once a device was seen to answer later than that.
LATE_REPLY_MAX_S: Final = 2.0
LATE_MARGIN: Final = 1.5
#: With every reply in time it comes nearer to the usual again.
LATE_DECAY: Final = 0.9
#: Bytes that nobody waits for are a late reply when a device missed its time this long ago.
LATE_SEEN_MAX_S: Final = 5.0
#: Polls let more urgent ones pass for this long, then it is their turn: also on a bus that has more
#: to do than it can, leases are renewed and the meter is read.
PATIENCE_S: Final = {
    Urgency.DOOR: 0.0,
    Urgency.READING: 0.3,
    Urgency.METER: 1.5,
    Urgency.CLIMATE: 4.0,
}
#: Each device has a few callers, each with one call at a time; more than this is a bug.
QUEUE_MAX: Final = 256
#: The event loop's timers wake up to this much late; the rest of a gap is waited out in turns.
TIMER_TICK_S: Final = 0.001
#: The loop turns at least this often, also with nothing to do or no port, for the watchdog.
TURN_MAX_S: Final = 0.5
#: A socket on which nothing answers for this long is opened anew, since it may be half-open; then
#: after twice that time, and so on.
DEAF_FIRST_S: Final = 15.0
DEAF_MAX_S: Final = 300.0


#: A reply that may still come: whose, when it was asked for, and by what.
_Pending: TypeAlias = "tuple[Station, float, bytes]"


@dataclass(order=True, slots=True)
class _Job:
    key: tuple[int, float, int]
    call: Call[Any] = field(compare=False)
    station: Station = field(compare=False)
    done: asyncio.Future[Any] = field(compare=False)
    asked_at: float = field(compare=False)


class Station:
    """One device's place on a bus; implements ``cabinet.calls.Wire``."""

    def __init__(self, bus: Bus, name: str, processing_ms: int, turnaround_ms: int) -> None:
        self._bus = bus
        self._name = name
        self.processing_s = processing_ms / 1_000
        self.turnaround_s = turnaround_ms / 1_000
        self.health = Health()
        self.quiet_until = 0.0
        self.late_s = LATE_REPLY_S

    @property
    def name(self) -> str:
        """The device's name in the configuration."""
        return self._name

    @property
    def is_offline(self) -> bool:
        """Given up for now: three misses in a row, or no port."""
        return self.health.state is State.OFFLINE or not self._bus.is_open

    def revive(self) -> None:
        """There is reason to think that the device is back: ask it as if it had never failed."""
        self.health.revive()

    async def ask(self, call: Call[T]) -> T:
        """Carry out one transaction; see ``cabinet.calls.Wire``."""
        return await self._bus.ask(self, call)


class Bus:
    """The queue before one line. ``run`` must be running for anything to move."""

    def __init__(
        self,
        name: str,
        line: Line,
        clock: Clock,
        *,
        turnaround_ms: int = 0,
        protocol: Protocol = Protocol.MODBUS_RTU,
    ) -> None:
        self.name = name
        self.protocol = protocol
        self.metrics = BusMetrics()
        self.last_turn_ms = clock.monotonic_ms()
        self._line = line
        self._clock = clock
        self._gap_s = max(_silence_s(line), turnaround_ms / 1_000)
        self._queue: list[_Job] = []
        self._numbers = itertools.count()
        self._arrived = asyncio.Event()
        self._stations: dict[str, Station] = {}
        self._last: Station | None = None
        self._heard_good_at = 0.0
        self._deaf_s = DEAF_FIRST_S
        self._missed_at: _Pending | None = None
        line.on_stray = self._on_stray

    @property
    def queued(self) -> int:
        """How many calls wait."""
        return len(self._queue)

    @property
    def oldest_s(self) -> float:
        """How long the call has waited that waits longest; 0 when none does."""
        waiting = [job.asked_at for job in self._queue if not job.done.done()]
        return asyncio.get_running_loop().time() - min(waiting) if waiting else 0.0

    @property
    def echoes(self) -> bool:
        """Whether its adapter hears itself."""
        return bool(self._line.echoes)

    @property
    def is_open(self) -> bool:
        """Whether the port is there."""
        return self._line.is_open

    @property
    def stations(self) -> Iterable[Station]:
        """Every device on this bus."""
        return self._stations.values()

    def station(self, name: str, *, processing_ms: int, turnaround_ms: int = 0) -> Station:
        """Give a device its place."""
        assert name not in self._stations
        self._stations[name] = Station(self, name, processing_ms, turnaround_ms)
        return self._stations[name]

    async def ask(self, station: Station, call: Call[T]) -> T:
        """Queue a call and wait for its reply; see ``cabinet.calls.Wire``."""
        if not self._admits(station, call):
            self.metrics.skipped[station.name] += 1
            raise LinkError(station.name, "offline", sent_maybe=False)
        if len(self._queue) >= QUEUE_MAX:
            raise LinkError(station.name, "the bus queue is full", sent_maybe=False)
        loop = asyncio.get_running_loop()
        now = loop.time()
        done: asyncio.Future[T] = loop.create_future()
        key = (*self._rank(station, call, now), next(self._numbers))
        heapq.heappush(self._queue, _Job(key, call, station, done, now))
        self._arrived.set()
        # Cancelling the caller cancels only this future: the bus task owns the transaction.
        return await done

    async def run(self) -> None:
        """Serve the line until cancelled."""
        try:
            while True:
                self.last_turn_ms = self._clock.monotonic_ms()
                await self._turn()
        finally:
            self._fail_all("the bus has stopped")
            self._line.close()

    async def _turn(self) -> None:
        was_open = self._line.is_open
        if not await self._line.ensure_open():
            self._fail_all("the port is missing")
            await self._rest(self._line.retry_in_s() or TURN_MAX_S)
            return
        if not was_open:
            self.metrics.opens += 1
            self._heard_good_at = asyncio.get_running_loop().time()
            for station in self.stations:
                station.revive()
        if not self._queue:
            await self._rest(TURN_MAX_S)
            return
        await self._keep_gap()
        job = self._next()
        if isinstance(job, _Job):
            await self._serve(job)
        else:
            await self._rest(job)

    async def _rest(self, at_most_s: float) -> None:
        """Until a call arrives."""
        self._arrived.clear()
        try:
            async with asyncio.timeout(min(at_most_s, TURN_MAX_S)):
                await self._arrived.wait()
        except TimeoutError:
            return

    async def _keep_gap(self) -> None:
        gap_s = self._gap_s
        if self._last:
            gap_s = max(gap_s, self._last.turnaround_s)
        await _sleep_until(self._line.heard_at + gap_s)

    def _next(self) -> _Job | float:
        """The most urgent job that may run now, or the time until one may."""
        now = asyncio.get_running_loop().time()
        deferred: list[_Job] = []
        try:
            while self._queue:
                job = heapq.heappop(self._queue)
                if job.done.done():
                    continue  # its caller has gone
                if job.call.is_read and job.station.quiet_until > now:
                    deferred.append(job)
                elif not self._admits(job.station, job.call):
                    self.metrics.skipped[job.station.name] += 1
                    job.done.set_exception(LinkError(job.station.name, "offline", sent_maybe=False))
                else:
                    return job
            return min((job.station.quiet_until - now for job in deferred), default=TURN_MAX_S)
        finally:
            for job in deferred:
                heapq.heappush(self._queue, job)

    @staticmethod
    def _rank(station: Station, call: Call[Any], now: float) -> tuple[int, float]:
        """Orders by urgency; polls among themselves by when they are due, so that none starves.

        Safety writes to an offline device are tried, but do not hold up the living ones.
        """
        urgency = call.urgency
        if urgency is Urgency.SAFETY and station.health.state is State.OFFLINE:
            urgency = Urgency.READING
        patience_s = PATIENCE_S.get(urgency)
        return (urgency, now) if patience_s is None else (Urgency.DOOR, now + patience_s)

    def _admits(self, station: Station, call: Call[Any]) -> bool:
        now_ms = self._clock.monotonic_ms()
        urgent = call.urgency is Urgency.SAFETY
        return urgent or station.health.admits(now_ms, is_read=call.is_read)

    async def _serve(self, job: _Job) -> None:
        loop = asyncio.get_running_loop()
        self.metrics.queue_wait.add((loop.time() - job.asked_at) * 1_000)
        if job.station.health.state is State.OFFLINE:
            self.metrics.probes[job.station.name] += 1
        error: CabinetError | None = None
        for turn in range(job.call.tries):
            if turn:
                self.metrics.retries[job.station.name] += 1
                await self._keep_gap()
            started = loop.time()
            try:
                reply = await self._transact(job)
            except CabinetError as failure:
                error = failure
            else:
                _deliver(job, reply)
                return
            finally:
                took_s = loop.time() - started
                self.metrics.busy_ms += took_s * 1_000
                self.metrics.usage.add(loop.time(), took_s)
            if isinstance(error, DeviceRefusedError) or not self._line.is_open:
                break
        assert error is not None
        if not job.done.done():
            job.done.set_exception(error)

    async def _transact(self, job: _Job) -> Any:
        """One request and its reply; keeps health and counters."""
        call, station, counts = job.call, job.station, self.metrics.requests
        loop = asyncio.get_running_loop()
        started = loop.time()
        self._last = station
        timeout_s = self._timeout_s(call, station)
        try:
            if call.reply_bytes == 0:
                wire_s = BITS_PER_BYTE * len(call.request) / self._line.baud
                await self._line.tell(call.request, wire_s)
                return b""
            if not call.is_read:
                await self._line.learn_echo()
            started = loop.time()
            reply = await self._line.exchange(
                call.request, call.take, timeout_s, strict=not call.is_read
            )
        except LineDownError as error:
            counts[station.name, Result.LINE_DOWN] += 1
            raise LinkError(station.name, error.why, sent_maybe=error.sent_maybe) from error
        except DeviceRefusedError:
            counts[station.name, Result.REFUSED] += 1
            self._good(station)
            raise
        except NoReplyError as error:
            result = Result.GARBAGE if error.received else Result.TIMEOUT
            counts[station.name, result] += 1
            why = f"no valid reply in {timeout_s * 1_000:.0f} ms"
            spoilt = None
            if error.received:
                spoilt = diagnose(self.protocol, call.request, error.received)
                self.metrics.spoilt[station.name, spoilt] += 1
                why += f", received ({spoilt}) {error.received[:32].hex(' ')}"
            # What came torn has come; after anything else the reply may still be on its way.
            pending = None if spoilt is Spoilt.CHECKSUM else (station, started, call.request)
            await self._missed(station, pending)
            raise LinkError(station.name, why) from error
        self.metrics.good(station.name, (loop.time() - started) * 1_000)
        self._good(station)
        return reply

    def _good(self, station: Station) -> None:
        self._heard_good_at = asyncio.get_running_loop().time()
        self._deaf_s = DEAF_FIRST_S
        if station.health.state is State.OFFLINE:
            log.debug("%s answers again", station.name)
        station.late_s = max(LATE_REPLY_S, LATE_DECAY * station.late_s)
        station.health.good()

    def _on_stray(self, data: bytes) -> None:
        """Bytes for nobody: of a device that answers too late, or noise."""
        self.metrics.strays += 1
        if self._missed_at is None:
            return
        station, asked_at, request = self._missed_at
        waited_s = asyncio.get_running_loop().time() - asked_at
        sound = diagnose(self.protocol, request, data) is Spoilt.FOREIGN
        if not sound or waited_s > LATE_SEEN_MAX_S:
            return
        self._missed_at = None
        self.metrics.late[station.name] += 1
        station.late_s = min(max(LATE_REPLY_S, LATE_MARGIN * waited_s), LATE_REPLY_MAX_S)

    async def _missed(self, station: Station, pending: _Pending | None) -> None:
        loop = asyncio.get_running_loop()
        before = station.health.state
        station.health.miss(self._clock.monotonic_ms())
        if station.health.state is State.OFFLINE and before is not State.OFFLINE:
            log.debug("%s does not answer", station.name)
        if pending is not None:
            self._missed_at = pending
            station.quiet_until = max(loop.time() + LATE_REPLY_S, pending[1] + station.late_s)
        end = loop.time() + GUARD_MAX_S
        while self._line.is_open and loop.time() < end:
            wait_s = self._line.heard_at + GUARD_QUIET_S - loop.time()
            if wait_s <= 0:
                break
            await asyncio.sleep(wait_s)
        if self._line.is_socket and loop.time() - self._heard_good_at > self._deaf_s:
            self._deaf_s = min(2 * self._deaf_s, DEAF_MAX_S)
            self._line.lose("nothing answers through this socket")

    def _timeout_s(self, call: Call[Any], station: Station) -> float:
        """Time on the wire and in the device, twice the gap for its own silences, and slack."""
        bits = BITS_PER_BYTE * (len(call.request) + call.reply_bytes)
        return bits / self._line.baud + 2 * self._gap_s + station.processing_s + SLACK_S

    def _fail_all(self, why: str) -> None:
        jobs, self._queue = self._queue, []
        for job in jobs:
            if not job.done.done():
                job.done.set_exception(LinkError(job.station.name, why, sent_maybe=False))


async def _sleep_until(when: float) -> None:
    """Until this loop time, and hardly later: a whole tick per transaction is a tenth of it."""
    loop = asyncio.get_running_loop()
    while (left_s := when - loop.time()) > 0:  # noqa: ASYNC110 - a time, not an event
        await asyncio.sleep(max(0.0, left_s - TIMER_TICK_S))


def _silence_s(line: Line) -> float:
    if line.url.startswith("modbus-tcp://"):
        return 0.0  # frames are delimited by their length there
    return FAST_GAP_S if line.baud > FAST_BAUD else SILENT_CHARS * 11 / line.baud


def _deliver(job: _Job, reply: object) -> None:
    if not job.done.done():
        job.done.set_result(reply)
