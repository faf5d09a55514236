"""One task that feeds the deciding core and carries out what it asks for.

Inputs wait in a bounded queue; images are not queued, the newest one counts. The order of things
(step, commit, adopt, act, tell, and what happens when the store fails) is ``core.act``'s.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cabinet.core.act import Acting, Answer, Commit, Do, Load, Request, Tell
from cabinet.core.engine import Engine, Input, Now, Observed, Outcome, State, UnlockOutcome
from cabinet.core.model import Effect, Image, Unlock, UnlockResult
from cabinet.core.records import Restored, Write
from cabinet.errors import DeviceRefusedError, LinkError, StoreError
from cabinet.ports import Clock
from protocols.fastclock import REAL, FastClock
from protocols.messages import Telemetry

log = logging.getLogger(__name__)

#: Commands and documents waiting; the uplink waits when it is full.
QUEUE_MAX: Final = 256
#: With no news the engine looks this often, for its deadlines.
TICK_S: Final = 0.1
#: News come in swarms: look at most this often, or the wires get no time.
LOOK_GAP_MS: Final = 20


class Actuator(Protocol):
    """Carries effects out. Only an ``Unlock`` may take long, and only it has a result."""

    async def apply(self, effect: Effect) -> UnlockResult | None:
        """Do it; an ``Unlock`` answers what became of the pulse."""
        ...


class Images(Protocol):
    """Where readings come from. ``changed`` is set on news; whoever waits clears it."""

    changed: asyncio.Event

    def image(self) -> Image:
        """Everything as last read."""
        ...


class Journal(Protocol):
    """The store, as far as the pump needs it."""

    async def commit(self, writes: Sequence[Write]) -> None:
        """All rows or none; raises StoreError."""
        ...

    async def load(self) -> Restored:
        """What is on the disk; raises StoreError."""
        ...


Listener = Callable[[Outcome], None]


class Pump:
    """Owns the engine's state. ``run`` it in a task group; it never returns by itself."""

    def __init__(
        self,
        *,
        engine: Engine,
        state: State,
        store: Journal,
        actuator: Actuator,
        images: Images,
        clock: Clock,
        store_error: str | None = None,
        day: FastClock = REAL,
    ) -> None:
        self._acting = Acting(engine, state, store_error)
        self._store = store
        self._actuator = actuator
        self._images = images
        self._clock = clock
        self._day = day
        self._queue: asyncio.Queue[Input] = asyncio.Queue(maxsize=QUEUE_MAX)
        self._wake = asyncio.Event()
        self._listeners: list[Listener] = []
        self._fresh = False
        self._looked_ms: int | None = None
        self.last_turn_ms = clock.monotonic_ms()  # for the watchdog

    # --- what others may ask ------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The last state that is on the disk."""
        return self._acting.state

    @property
    def store_error(self) -> str | None:
        """Why nothing can be written, None while it can."""
        return self._acting.store_error

    def telemetry(self) -> Telemetry:
        """The cabinet as it stands."""
        return self._acting.telemetry(self.now())

    def now(self) -> Now:
        """The present time, as decisions get it."""
        wall_ms = max(0, int(self._clock.now_utc().timestamp() * 1000))
        day_ms = None if self._day == REAL else self._day.day_ms(wall_ms)
        return Now(self._clock.monotonic_ms(), wall_ms, self._clock.wall_synced(), day_ms)

    def listen(self, listener: Listener) -> None:
        """Call this after every adopted decision; it must not block."""
        self._listeners.append(listener)

    async def submit(self, event: Input) -> None:
        """Hand in an input; waits while the queue is full."""
        await self._queue.put(event)
        self._wake.set()

    # --- the loop -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Decide until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_images(), name="pump images")
            group.create_task(self._watch_time(), name="pump ticks")
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._drain(group)
                await self._look(group)
                self.last_turn_ms = self._clock.monotonic_ms()

    async def _watch_images(self) -> None:
        while True:
            await self._images.changed.wait()
            self._images.changed.clear()
            self._fresh = True
            self._wake.set()

    async def _watch_time(self) -> None:
        while True:
            await self._clock.sleep(TICK_S)
            self._wake.set()

    async def _drain(self, group: asyncio.TaskGroup) -> None:
        for _ in range(self._queue.qsize()):
            await self._turn(self._queue.get_nowait(), group)

    async def _look(self, group: asyncio.TaskGroup) -> None:
        """Look at the newest image, or let time pass; too soon after the last look, wait."""
        now_ms = self._clock.monotonic_ms()
        if self._looked_ms is not None and now_ms - self._looked_ms < LOOK_GAP_MS:
            if self._fresh:
                await self._clock.sleep((LOOK_GAP_MS - (now_ms - self._looked_ms)) / 1000)
                self._wake.set()
            return
        self._looked_ms = now_ms
        self._fresh = False
        await self._turn(Observed(self._images.image()), group)

    async def _turn(self, event: Input, group: asyncio.TaskGroup) -> None:
        failed = self._acting.store_error
        turn = self._acting.turn(event, self.now)
        answer: Answer = None
        while True:
            try:
                request = turn.send(answer)
            except StopIteration:
                break
            answer = await self._carry_out(request, group)
        if self._acting.store_error != failed:
            self._log_store()

    async def _carry_out(self, request: Request, group: asyncio.TaskGroup) -> Answer:
        match request:
            case Do(effect):
                await self._act(effect, group)
            case Tell(outcome):
                for listener in self._listeners:
                    listener(outcome)
            case Commit(writes):
                try:
                    await self._store.commit(writes)
                except StoreError as error:
                    return str(error)
            case Load():
                try:
                    return await self._store.load()
                except StoreError as error:
                    return str(error)
        return None

    def _log_store(self) -> None:
        if self._acting.store_error is None:
            log.info("the store works again")
        else:
            log.error("the store fails, nothing moves: %s", self._acting.store_error)

    async def _act(self, effect: Effect, group: asyncio.TaskGroup) -> None:
        if not isinstance(effect, Unlock):
            await self._actuator.apply(effect)
        else:
            group.create_task(self._unlock(effect), name=f"unlock {effect.slot}")

    async def _unlock(self, effect: Unlock) -> None:
        """Pulse without holding up the pump; the outcome comes back as an input."""
        try:
            result = await self._actuator.apply(effect)
        except LinkError as error:
            result = UnlockResult.NO_REPLY if error.sent_maybe else UnlockResult.REFUSED
        except DeviceRefusedError:
            result = UnlockResult.REFUSED
        if result is not None:
            await self.submit(UnlockOutcome(effect.slot, effect.attempt, result))
