"""One slot's charger and battery: polled, and the charger kept at the newest order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from cabinet import ports
from cabinet.core.model import BmsReading, ChargerReading, SetCharger
from cabinet.errors import CabinetError, DeviceRefusedError, LinkError
from cabinet.runtime.bus import Station
from cabinet.runtime.wires_keeper import Keeper
from cabinet.runtime.wires_poll import Poll

log = logging.getLogger(__name__)

PERIOD_S: Final = 1.0
HURRY_PERIOD_S: Final = 0.25
#: A pack that does not answer in this time after it was put in is polled at the usual pace.
HURRY_S: Final = 10.0
#: Set-points as read back may differ from the order by rounding.
VOLTAGE_ROUNDING_V: Final = 0.011
CURRENT_ROUNDING_A: Final = 0.011


class ChargerWires:
    """Owns the traffic of one charger. ``powered`` tells whether its mains is held on."""

    def __init__(
        self,
        slot: int,
        driver: ports.Charger,
        station: Station,
        powered: Callable[[], bool],
        on_reading: Callable[[int, ChargerReading], None],
    ) -> None:
        self.station = station
        self.keeper: Keeper[SetCharger] = Keeper(
            f"{station.name} order", self._apply, lambda _: None
        )
        self._slot = slot
        self._driver = driver
        self._powered = powered
        self._on_reading = on_reading
        self._safe = False  # made safe since it last came to life
        self._refused: str | None = None
        self._poll = Poll(self._read, lambda: PERIOD_S)

    @property
    def is_missing(self) -> bool:
        """It does not answer though it has mains."""
        return self.station.is_offline and self._powered()

    async def run(self) -> None:
        """Serve the charger until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._poll.run(), name=f"{self.station.name} poll")
            group.create_task(self.keeper.run(), name=f"{self.station.name} orders")

    def power_came(self) -> None:
        """Its mains was switched on: it may answer from now."""
        self._safe = False
        self.station.revive()
        self._poll.now()

    async def stop(self) -> None:
        """Output off now, outside the keeper: for the end of the daemon."""
        if self._powered() or self._safe:
            await self._driver.set(on=False, voltage_v=0.0, current_a=0.0)

    async def _apply(self, order: SetCharger) -> None:
        asleep = self.station.is_offline and not self._powered()
        if not order.on and asleep:
            return  # without mains it gives nothing, and stays off when mains returns
        if order.on and not self._safe:
            raise LinkError(self.station.name, "not made safe yet", sent_maybe=False)
        await self._driver.set(on=order.on, voltage_v=order.voltage_v, current_a=order.current_a)
        self._poll.now()

    async def _read(self) -> None:
        try:
            if not self._safe:
                await self._driver.make_safe()
                self._safe = True
                self.keeper.again()
            held = self.keeper.held
            reading = await self._driver.read()
        except DeviceRefusedError as error:
            if self._refused != error.why:
                log.error("%s", error)  # noqa: TRY400 - no traceback: the charger is to blame
            self._refused = error.why
        except CabinetError as error:
            log.debug("%s", error)
            if self.station.is_offline:
                self._safe = False
        else:
            self._refused = None
            self._on_reading(self._slot, reading)
            # A reading may take several questions, and an order may come between them.
            if held == self.keeper.held and self._strays(reading):
                log.warning("%s does not hold its order", self.station.name)
                self.keeper.again()

    def _strays(self, reading: ChargerReading) -> bool:
        """It is not as the held order says, and not because its own protection tripped."""
        order = self.keeper.held
        if order is None:
            return False
        if not order.on or reading.protection:
            return reading.output_on and not order.on
        return (
            not reading.output_on
            or abs(reading.voltage_set_v - order.voltage_v) > VOLTAGE_ROUNDING_V
            or abs(reading.current_set_a - order.current_a) > CURRENT_ROUNDING_A
        )


class BmsWires:
    """Owns the traffic with whatever battery stands in one slot."""

    def __init__(
        self,
        slot: int,
        driver: ports.Bms,
        station: Station,
        on_reading: Callable[[int, BmsReading], None],
    ) -> None:
        self.station = station
        self._slot = slot
        self._driver = driver
        self._on_reading = on_reading
        self._hurry_until = 0.0
        self._poll = Poll(self._read, self._period_s)

    async def run(self) -> None:
        """Poll until cancelled."""
        await self._poll.run()

    def hurry(self) -> None:
        """A reading is waited for: poll at once, and often until one arrives."""
        self._hurry_until = asyncio.get_running_loop().time() + HURRY_S
        self.station.revive()
        self._poll.now()

    def forget(self) -> None:
        """The pack may have changed."""
        self._driver.forget()

    def _period_s(self) -> float:
        hurry = asyncio.get_running_loop().time() < self._hurry_until
        if hurry:
            self.station.revive()
        return HURRY_PERIOD_S if hurry else PERIOD_S

    async def _read(self) -> None:
        try:
            reading = await self._driver.read()
        except CabinetError as error:
            log.debug("%s", error)
            # While it was silent it may have been changed for another, unseen by a dead contact.
            self._driver.forget()
            return
        self._hurry_until = 0.0
        self._on_reading(self._slot, reading)
