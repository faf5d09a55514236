"""The devices of a configuration on their own, without the daemon: read one by one, moved on order.

Nothing happens by itself here: a relay closes and a lock fires only in the methods that say so.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cabinet.adapters.devices import DRIVERS
from cabinet.adapters.store_schema import STORE_FILE
from cabinet.calls import Place
from cabinet.commission.ports import Port, daemon_at, trouble
from cabinet.commission.wires import held, running
from cabinet.config import Channel, Config, DeviceConfig, SlotConfig
from cabinet.config_devices import Role
from cabinet.core.commission.findings import Cause
from cabinet.core.model import BmsReading, ChargerReading, Output
from cabinet.errors import CabinetError, DeviceRefusedError, LinkError
from cabinet.ports import Clock
from cabinet.runtime.bus import Bus
from cabinet.runtime.line import Line

#: Reads of a device that may be asleep or have missed one.
READ_TRIES: Final = 2


class PortTroubleError(CabinetError):
    """A port of the configuration cannot be had; ``troubles`` is (bus, cause, detail) for each."""

    code = "port"

    def __init__(self, troubles: Sequence[tuple[str, Cause, str]]) -> None:
        super().__init__("; ".join(f"{name}: {detail}" for name, _, detail in troubles))
        self.troubles = tuple(troubles)


@dataclass(frozen=True, slots=True)
class Contacts:
    """One slot's switches; None where the board did not answer."""

    closed: bool | None
    present: bool | None


class Bench:
    """Talks to the devices; ``open`` makes one."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.clock = clock
        self.buses = {bus.name: self._bus(bus.name) for bus in config.buses}
        self._drivers = {device.name: self._driver(device) for device in config.devices}
        self._slots = {slot.number: slot for slot in config.slots}

    def of_role(self, role: Role) -> list[DeviceConfig]:
        """Every device with this role, as configured."""
        return [device for device in self.config.devices if device.traits.role is role]

    def slot(self, number: int) -> SlotConfig:
        """The wires of one slot; KeyError when there is none."""
        return self._slots[number]

    # --- looking ------------------------------------------------------------------------------

    async def levels(self) -> dict[str, tuple[bool, ...] | None]:
        """The inputs of every board; None for one that does not answer."""
        return {
            board.name: await self._once(self._drivers[board.name].read_inputs())
            for board in self.of_role(Role.BOARD)
        }

    async def contacts(self) -> dict[int, Contacts]:
        """Door and presence switch of every slot."""
        levels = await self.levels()
        return {
            number: Contacts(_level(slot.door, levels), _level(slot.presence, levels))
            for number, slot in self._slots.items()
        }

    async def bms(self, slot: int) -> BmsReading | None:
        """The battery in a slot; None when none answers."""
        driver = self._drivers[self._slots[slot].bms]
        for _ in range(READ_TRIES):
            driver.forget()
            reading: BmsReading | None = await self._once(driver.read())
            if reading is not None:
                return reading
        return None

    async def charger(self, slot: int) -> ChargerReading | None:
        """The charger of a slot; None when it does not answer."""
        driver = self._drivers[self._slots[slot].charger]
        for _ in range(READ_TRIES):
            reading: ChargerReading | None = await self._once(driver.read())
            if reading is not None:
                return reading
        return None

    async def read(self, device: DeviceConfig) -> Any:
        """A meter or a climate sensor; None when it does not answer."""
        for _ in range(READ_TRIES):
            reading = await self._once(self._drivers[device.name].read())
            if reading is not None:
                return reading
        return None

    # --- moving -------------------------------------------------------------------------------

    async def prepare(self, boards: Iterable[str]) -> dict[str, str]:
        """Make sure that no input drives a relay by itself; the boards that refuse, and why."""
        refused = {}
        for name in sorted(set(boards)):
            try:
                await self._drivers[name].prepare()
            except CabinetError as error:
                refused[name] = str(error)
        return refused

    async def unlock(self, slot: int) -> bool:
        """Pulse one lock once; False when the board did not confirm, so that it may have fired.

        Raises:
            DeviceRefusedError: it did not fire.
        """
        lock = self._slots[slot].lock
        try:
            await self._drivers[lock.board].pulse(lock.channel, self.config.wiring.pulse_ms)
        except LinkError as error:
            if not error.sent_maybe:
                raise DeviceRefusedError(error.device, error.why) from error
            return False
        return True

    @contextlib.asynccontextmanager
    async def power(self, slots: Sequence[int]) -> AsyncIterator[None]:
        """Give the chargers of these slots mains, by leases; off again afterwards.

        Raises:
            CabinetError: a relay could not be switched on.
        """
        channels = [self.config.outputs[Output.CONTACTOR], *(self._slots[n].ac for n in slots)]
        async with held([(self._drivers[c.board], c.channel) for c in channels]):
            yield

    async def order_charge(self, slot: int, *, on: bool) -> None:
        """Trial current into a slot's battery, at the least that the batteries take; or off.

        Raises:
            CabinetError: the charger did not confirm.
        """
        pack = self.config.pack
        driver = self._drivers[self._slots[slot].charger]
        if on:
            await driver.make_safe()
            await driver.set(on=True, voltage_v=pack.voltage_max_v, current_a=pack.current_min_a)
        else:
            await driver.set(on=False, voltage_v=0.0, current_a=0.0)

    # --- construction -------------------------------------------------------------------------

    def _bus(self, name: str) -> Bus:
        bus = next(bus for bus in self.config.buses if bus.name == name)
        line = Line(
            bus.port,
            baud=bus.baud,
            parity=bus.parity,
            stopbits=bus.stopbits,
            reopen_max_s=bus.reopen_max_s,
        )
        return Bus(name, line, self.clock, turnaround_ms=bus.turnaround_ms, protocol=bus.protocol)

    def _driver(self, device: DeviceConfig) -> Any:
        station = self.buses[device.bus].station(
            device.name, processing_ms=device.processing_ms, turnaround_ms=device.turnaround_ms
        )
        protocol = next(bus.protocol for bus in self.config.buses if bus.name == device.bus)
        place = Place(
            station, device.address, protocol, self.config.pack, self.clock, device.number
        )
        return DRIVERS[device.type](place)

    @staticmethod
    async def _once(read: Any) -> Any:
        try:
            return await read
        except CabinetError:
            return None


@contextlib.asynccontextmanager
async def open_bench(config: Config, clock: Clock) -> AsyncIterator[Bench]:
    """The devices of a configuration whose ports are free.

    Raises:
        PortTroubleError: a port is another program's, above all a running cabinetd's, or missing.
    """
    troubles = [
        (bus.name, wrong.cause, wrong.detail)
        for bus in config.buses
        if (wrong := trouble(Port(bus.name, bus.port))) is not None
    ]
    if (daemon := daemon_at(config.cabinet.data_dir / STORE_FILE)) is not None:
        troubles.append(("data_dir", Cause.PORT_BUSY, daemon))
    if troubles:
        raise PortTroubleError(troubles)
    bench = Bench(config, clock)
    async with running(bench.buses.values()):
        yield bench


def _level(channel: Channel, levels: Mapping[str, tuple[bool, ...] | None]) -> bool | None:
    found = levels.get(channel.board)
    if found is None or channel.channel >= len(found):
        return None
    return found[channel.channel] is not channel.invert
