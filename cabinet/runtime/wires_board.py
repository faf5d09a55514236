"""One relay board: made safe first, then its inputs are read for ever and its relays kept."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from cabinet import ports
from cabinet.calls import Urgency
from cabinet.core.model import UnlockResult
from cabinet.errors import CabinetError, DeviceRefusedError, LinkError
from cabinet.runtime.bus import Station
from cabinet.runtime.wires_keeper import Keeper
from cabinet.runtime.wires_poll import Poll

log = logging.getLogger(__name__)

PREPARE_RETRY_S: Final = 1.0
#: A board in a wrong control mode needs a technician; look again now and then.
PREPARE_REFUSED_RETRY_S: Final = 15.0
#: Levels are written again at this pace: a board that restarted has forgotten them.
LEVEL_RENEW_S: Final = 5.0
#: Lamps too, but nothing depends on them, and a cabinet may have many.
LAMP_RENEW_S: Final = 60.0


class Board(ports.Lock, ports.Outlet, Protocol):
    """What a driver with the role of a board offers."""

    async def prepare(self) -> None:
        """Check that nothing but us drives its relays."""
        ...

    async def read_inputs(self, urgency: Urgency = Urgency.DOOR) -> tuple[bool, ...]:
        """The level of every input, in channel order."""
        ...

    async def light(self, channel: int, *, on: bool) -> None:
        """Switch a lamp: everything else on the bus goes first."""
        ...


class Lease:
    """A relay held by renewing it; dropped by a safety write.

    It is live until its last renewal has run out at the board, whatever became of later ones.
    """

    def __init__(self, lease_ms: int) -> None:
        self.keeper: Keeper[bool]
        self._lease_s = lease_ms / 1_000
        self._live_until = 0.0

    @property
    def is_live(self) -> bool:
        """Whether the board holds the relay, as far as it told us."""
        return asyncio.get_running_loop().time() < self._live_until

    def renewed(self) -> None:
        """The board has started its time anew."""
        self._live_until = asyncio.get_running_loop().time() + self._lease_s

    def dropped(self) -> None:
        """The board has switched the relay off."""
        self._live_until = 0.0


class BoardWires:
    """Owns the traffic of one board. ``off``: the relays to switch off first; None: all at once."""

    def __init__(
        self,
        driver: Board,
        station: Station,
        period_s: float,
        on_levels: Callable[[str, tuple[bool, ...]], None],
        off: Sequence[int] | None = None,
    ) -> None:
        self._off = off
        self.name = station.name
        self.station = station
        self.started = asyncio.Event()  # made safe, or known not to answer
        self.seen = asyncio.Event()  # inputs read once, or known not to answer
        self._driver = driver
        self._on_levels = on_levels
        self._prepared = asyncio.Event()
        self._unprepared = asyncio.Event()
        self._all_off_done = False
        self._told_off = asyncio.Event()  # with or without an answer
        self._was_offline = False
        self._keepers: list[Keeper[bool]] = []
        self._urgency = Urgency.DOOR
        self._poll = Poll(self._read, lambda: period_s)

    async def run(self) -> None:
        """Serve the board until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_prepared(), name=f"{self.name} prepare")
            group.create_task(self._watch_inputs(), name=f"{self.name} inputs")
            for keeper in self._keepers:
                group.create_task(keeper.run(), name=f"{self.name} relay")

    @property
    def made_safe(self) -> bool:
        """Whether it has taken the order to switch everything off."""
        return self._prepared.is_set()

    def lease(self, channel: int, lease_ms: int, renew_s: float) -> Lease:
        """A relay that drops by itself when nobody renews it."""
        lease = Lease(lease_ms)

        async def apply(on: bool) -> None:  # noqa: FBT001 - the goal itself
            if on:
                self._need_prepared()
                await self._driver.lease(channel, lease_ms)
                lease.renewed()
            else:
                await self._driver.set_relay(channel, on=False)
                lease.dropped()

        lease.keeper = self._keep(f"lease {channel}", apply, lambda on: renew_s if on else None)
        return lease

    def level(self, channel: int) -> Keeper[bool]:
        """A relay set on or off."""

        async def apply(on: bool) -> None:  # noqa: FBT001 - the goal itself
            await self._driver.set_relay(channel, on=on)

        return self._keep(f"relay {channel}", apply, lambda _: LEVEL_RENEW_S)

    def lamp(self, channel: int) -> Keeper[bool]:
        """A relay with a lamp."""

        async def apply(on: bool) -> None:  # noqa: FBT001 - the goal itself
            await self._driver.light(channel, on=on)

        return self._keep(f"lamp {channel}", apply, lambda _: LAMP_RENEW_S)

    async def unlock(self, channel: int, pulse_ms: int) -> UnlockResult:
        """Pulse a lock once; the door is read right after."""
        try:
            self._need_prepared()
            await self._driver.pulse(channel, pulse_ms)
        except LinkError as error:
            log.warning("unlock: %s", error)
            return UnlockResult.NO_REPLY if error.sent_maybe else UnlockResult.REFUSED
        except DeviceRefusedError as error:
            log.warning("unlock: %s", error)
            return UnlockResult.REFUSED
        finally:
            self._urgency = Urgency.CONFIRM
            self._poll.now()
        return UnlockResult.SENT

    async def drop(self, channel: int) -> None:
        """Switch one relay off now, outside the keepers: for the end of the daemon."""
        await self._driver.set_relay(channel, on=False)

    def _keep(
        self,
        what: str,
        apply: Callable[[bool], Awaitable[None]],
        renew_s: Callable[[bool], float | None],
    ) -> Keeper[bool]:
        keeper: Keeper[bool] = Keeper(f"{self.name} {what}", apply, renew_s)
        self._keepers.append(keeper)
        return keeper

    def _need_prepared(self) -> None:
        if not self._prepared.is_set():
            raise LinkError(self.name, "not made safe yet", sent_maybe=False)

    async def _keep_prepared(self) -> None:
        while True:
            retry_s = PREPARE_RETRY_S
            try:
                if not self._all_off_done:
                    await self._switch_all_off()
                await self._driver.prepare()
            except DeviceRefusedError as error:
                log.error("%s", error)  # noqa: TRY400 - no traceback: the board is to blame
                retry_s = PREPARE_REFUSED_RETRY_S
                self.started.set()
            except CabinetError as error:
                log.debug("%s", error)
                if self.station.is_offline:
                    self.started.set()
            else:
                self._unprepared.clear()
                self._prepared.set()
                self.started.set()
                for keeper in self._keepers:
                    keeper.again()
                await self._unprepared.wait()
                continue
            await asyncio.sleep(retry_s)

    async def _switch_all_off(self) -> None:
        """The first thing that a board is told, whatever state it was left in."""
        try:
            if self._off is None:
                await self._driver.all_off()
            else:
                for channel in self._off:
                    await self._driver.set_relay(channel, on=False)
            self._all_off_done = True
        finally:
            self._told_off.set()

    async def _watch_inputs(self) -> None:
        await self._told_off.wait()
        await self._poll.run()

    async def _read(self) -> None:
        urgency, self._urgency = self._urgency, Urgency.DOOR
        try:
            levels = await self._driver.read_inputs(urgency)
        except CabinetError as error:
            log.debug("%s", error)
            if self.station.is_offline:
                self._was_offline = True
                self.seen.set()
            return
        if self._was_offline:
            # It may have been replaced or have restarted: check it and set its relays anew.
            self._was_offline = False
            self._prepared.clear()
            self._unprepared.set()
        self._on_levels(self.name, levels)
        self.seen.set()
