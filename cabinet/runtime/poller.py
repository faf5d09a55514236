"""All wires of the cabinet: readings come up as an ``Image``, effects go down to the devices."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Final

from cabinet.calls import Place
from cabinet.config import BusConfig, Channel, Config, DeviceConfig, SlotConfig
from cabinet.config_devices import Role
from cabinet.core.model import (
    BmsReading,
    ChargerReading,
    Effect,
    Image,
    Indicate,
    Output,
    SetCharger,
    SetOutput,
    SetSlotAc,
    SetSocket,
    Unlock,
    UnlockResult,
)
from cabinet.errors import CabinetError
from cabinet.ports import Clock, Voice
from cabinet.runtime.bus import Bus, Station
from cabinet.runtime.indicator import RelayIndicator, SlotLamps
from cabinet.runtime.line import Line
from cabinet.runtime.wires_board import BoardWires, Lease
from cabinet.runtime.wires_keeper import Keeper
from cabinet.runtime.wires_picture import Picture
from cabinet.runtime.wires_poll import Poll
from cabinet.runtime.wires_slot import BmsWires, ChargerWires
from cabinet.runtime.wires_sockets import SocketWires
from cabinet.runtime.wires_trace import tap_of
from protocols.messages import Presence
from protocols.trace import Ring

log = logging.getLogger(__name__)

DOOR_PERIOD_S: Final = 0.2  # boards with a door or a cabinet-wide input
PRESENCE_PERIOD_S: Final = 0.4
RELAYS_PERIOD_S: Final = 2.0  # boards without any input in use: only to see that they are there
METER_PERIOD_S: Final = 2.0
CLIMATE_PERIOD_S: Final = 10.0
WATCH_PERIOD_S: Final = 0.25
#: A board whose port is missing must not keep the others from their work.
READY_WAIT_S: Final = 4.0
#: For the chargers, then for the leases; what is not off by then drops with its lease.
SAFE_TIMEOUT_S: Final = 1.5

Drivers = Mapping[str, Callable[[Place], Any]]


class Wires:
    """Owns every bus and every driver of one configuration.

    ``changed`` is set when something moved that the core should look at without waiting for its
    next tick: contacts, packs, chargers, devices coming and going. Whoever waits clears it.
    ``ready`` is set once every board was made safe and read, or is known not to answer. ``left`` are
    outputs that are left as they are when the boards are told to switch everything off.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        drivers: Drivers,
        voice: Voice | None = None,
        *,
        left: Collection[Output] = (),
    ) -> None:
        self.changed = asyncio.Event()
        self.ready = asyncio.Event()
        self.indications: dict[int | None, Indicate] = {}
        self._config = config
        self._clock = clock
        self._drivers = drivers
        self._picture = Picture(config)
        self.trace = Ring()
        self.buses = {bus.name: self._bus(bus) for bus in config.buses}
        self._left = tuple(config.outputs[name] for name in left if name in config.outputs)
        self._stations = {device.name: self._station(device) for device in config.devices}
        self._boards = {
            device.name: self._board(device)
            for device in config.devices
            if device.traits.role is Role.BOARD
        }
        self._slots = {slot.number: slot for slot in config.slots}
        self._lights = RelayIndicator({slot.number: self._lamps(slot) for slot in config.slots})
        self._voice = voice
        self._contactor = self._lease(config.outputs[Output.CONTACTOR])
        self._outputs = {name: self._output(name, c) for name, c in config.outputs.items()}
        self._ac = {slot.number: self._lease(slot.ac) for slot in config.slots}
        self._chargers = {slot.number: self._charger(slot.number) for slot in config.slots}
        self._bms = {slot.number: self._one_bms(slot.number) for slot in config.slots}
        self._powered: frozenset[int] = frozenset()
        self._of_sockets = {name for each in config.sockets for name in (each.meter, each.probe)}
        self._sockets = SocketWires(
            config.sockets,
            {each.number: self._lease(each.relay) for each in config.sockets},
            {name: self._driver(config.device(name)) for name in self._of_sockets if name},
            self._picture,
            self.changed.set,
        )

    def image(self) -> Image:
        """Everything as last read."""
        return self._picture.image()

    def hurry(self, slot: int) -> None:
        """The pack in this slot is waited for: poll it at once, and often until it answers."""
        self._bms[slot].hurry()

    async def run(self) -> None:
        """Serve the wires until cancelled; then switch off what must not outlive the daemon."""
        async with asyncio.TaskGroup() as group:
            buses = [
                group.create_task(bus.run(), name=f"bus {bus.name}") for bus in self.buses.values()
            ]
            try:
                await self._serve()
            finally:
                await self._switch_off()
                for task in buses:
                    task.cancel()

    async def apply(self, effect: Effect) -> UnlockResult | None:
        """Carry out an effect. Only ``Unlock`` waits for the wire; the rest is kept from now on."""
        match effect:
            case Unlock(slot=slot):
                lock = self._slots[slot].lock
                return await self._boards[lock.board].unlock(
                    lock.channel, self._config.wiring.pulse_ms
                )
            case SetCharger(slot=slot):
                self._chargers[slot].keeper.want(effect)
            case SetSlotAc(slot=slot, on=on):
                self._ac[slot].keeper.want(on)
            case SetOutput(output=output, on=on):
                if output in self._outputs:
                    self._outputs[output].want(on)
                else:
                    log.debug("this cabinet has no %s", output)
            case SetSocket():
                self._sockets.want(effect)
            case Indicate(slot=slot):
                self._indicate(effect)
        return None

    def _indicate(self, effect: Indicate) -> None:
        self.indications[effect.slot] = effect
        if effect.slot is not None:
            self._lights.show(effect.slot, effect.light)
        if effect.prompt and self._voice is not None:
            self._voice.say(effect.prompt, effect.slot)

    async def make_safe(self) -> None:
        """Chargers off and every lease dropped, and kept so; returns when done or out of time."""
        for slot, charger in self._chargers.items():
            charger.keeper.want(SetCharger(slot, on=False))
        await _settled([charger.keeper for charger in self._chargers.values()])
        self._sockets.drop()
        for lease in self._leases():
            lease.want(False)  # noqa: FBT003 - the goal itself
        await _settled(self._leases())

    def not_made_safe(self) -> frozenset[str]:
        """The boards that have not taken the order to switch everything off."""
        return frozenset(name for name, board in self._boards.items() if not board.made_safe)

    # --- construction -------------------------------------------------------------------------

    def _bus(self, bus: BusConfig) -> Bus:
        line = Line(
            bus.port,
            baud=bus.baud,
            parity=bus.parity,
            stopbits=bus.stopbits,
            reopen_max_s=bus.reopen_max_s,
            tap=tap_of(self.trace, bus.name, self._clock),
        )
        return Bus(
            bus.name,
            line,
            self._clock,
            turnaround_ms=bus.turnaround_ms,
            protocol=bus.protocol,
        )

    def _station(self, device: DeviceConfig) -> Station:
        return self.buses[device.bus].station(
            device.name,
            processing_ms=device.processing_ms,
            turnaround_ms=device.turnaround_ms,
        )

    def _driver(self, device: DeviceConfig) -> Any:
        protocol = next(bus.protocol for bus in self._config.buses if bus.name == device.bus)
        place = Place(
            wire=self._stations[device.name],
            address=device.address,
            protocol=protocol,
            pack=self._config.pack,
            clock=self._clock,
            number=device.number,
        )
        return self._drivers[device.type](place)

    def _board(self, device: DeviceConfig) -> BoardWires:
        doors = {slot.door.board for slot in self._config.slots}
        quick = doors | {channel.board for channel in self._config.inputs.values()}
        seen = quick | {slot.presence.board for slot in self._config.slots}
        period_s = PRESENCE_PERIOD_S if device.name in seen else RELAYS_PERIOD_S
        period_s = DOOR_PERIOD_S if device.name in quick else period_s
        station = self._stations[device.name]
        left = {channel.channel for channel in self._left if channel.board == device.name}
        off = tuple(n for n in range(device.traits.relays) if n not in left) if left else None
        return BoardWires(self._driver(device), station, period_s, self._on_levels, off)

    def _lease(self, channel: Channel) -> Lease:
        wiring = self._config.wiring
        board = self._boards[channel.board]
        return board.lease(channel.channel, wiring.lease_ms, wiring.renew_ms / 1_000)

    def _output(self, name: Output, channel: Channel) -> Keeper[bool]:
        if name is Output.CONTACTOR:
            return self._contactor.keeper
        return self._boards[channel.board].level(channel.channel)

    def _charger(self, slot: int) -> ChargerWires:
        device = self._config.device(self._slots[slot].charger)
        return ChargerWires(
            slot,
            self._driver(device),
            self._stations[device.name],
            lambda: self._has_mains(slot),
            self._on_charger,
        )

    def _one_bms(self, slot: int) -> BmsWires:
        device = self._config.device(self._slots[slot].bms)
        station = self._stations[device.name]
        return BmsWires(slot, self._driver(device), station, self._on_bms)

    def _lamps(self, slot: SlotConfig) -> SlotLamps:
        green, red = (
            None if lamp is None else self._boards[lamp.board].lamp(lamp.channel)
            for lamp in (slot.green, slot.red)
        )
        return SlotLamps(green, red)

    def _leases(self) -> list[Keeper[bool]]:
        slots = (lease.keeper for lease in self._ac.values())
        return [self._contactor.keeper, *slots, *self._sockets.keepers]

    def _has_mains(self, slot: int) -> bool:
        return self._contactor.is_live and self._ac[slot].is_live

    # --- work ---------------------------------------------------------------------------------

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            for board in self._boards.values():
                group.create_task(board.run(), name=board.name)
            for charger in self._chargers.values():
                group.create_task(charger.run(), name=charger.station.name)
            for bms in self._bms.values():
                group.create_task(bms.run(), name=bms.station.name)
            for device in self._config.devices:
                single = device.traits.role in {Role.METER, Role.CLIMATE}
                if single and device.name not in self._of_sockets:
                    group.create_task(self._single(device).run(), name=device.name)
            for name, work in self._sockets.works().items():
                group.create_task(work, name=name)
            watch = Poll(self._watch, lambda: WATCH_PERIOD_S)
            group.create_task(watch.run(), name="watch")
            group.create_task(self._announce(), name="announce")

    async def _announce(self) -> None:
        try:
            async with asyncio.timeout(READY_WAIT_S):
                for board in self._boards.values():
                    await board.started.wait()
                    await board.seen.wait()
        except TimeoutError:
            late = [
                name
                for name, board in self._boards.items()
                if not (board.started.is_set() and board.seen.is_set())
            ]
            log.warning("starting without %s", ", ".join(late))
        self.ready.set()

    def _single(self, device: DeviceConfig) -> Poll:
        driver = self._driver(device)
        is_meter = device.traits.role is Role.METER
        put: Callable[[Any], None] = self._picture.meter if is_meter else self._picture.climate

        async def read() -> None:
            try:
                put(await driver.read())
            except CabinetError as error:
                log.debug("%s", error)

        return Poll(read, lambda: METER_PERIOD_S if is_meter else CLIMATE_PERIOD_S)

    def _on_levels(self, board: str, levels: tuple[bool, ...]) -> None:
        moves = self._picture.contacts(board, levels, self._clock.monotonic_ms())
        for slot in moves.opened | moves.removed:
            self._bms[slot].forget()
        for slot in moves.removed:
            self._picture.bms(slot, None)
        for slot in moves.inserted | moves.closed:
            if self._picture.slot(slot).presence is not Presence.ABSENT:
                self.hurry(slot)
        if moves.news:
            self.changed.set()

    def _on_charger(self, slot: int, reading: ChargerReading) -> None:
        if self._picture.charger(slot, reading):
            self.changed.set()

    def _on_bms(self, slot: int, reading: BmsReading) -> None:
        if self._picture.bms(slot, reading):
            self.changed.set()

    async def _watch(self) -> None:
        powered = frozenset(slot for slot in self._chargers if self._has_mains(slot))
        for slot in powered - self._powered:
            self._chargers[slot].power_came()
        self._powered = powered
        self._sockets.watch()
        missing, before = self._missing(), self.image().devices_offline
        if self._picture.offline(missing):
            for name in sorted(missing - before):
                log.warning("%s does not answer", name)
            for name in sorted(before - missing):
                log.info("%s is back", name)
            self.changed.set()

    def _missing(self) -> frozenset[str]:
        """Devices that are silent and should not be.

        A charger without mains and the BMS port of an empty slot are silent by nature.
        """
        excused = {c.station.name for c in self._chargers.values() if not c.is_missing}
        for slot, bms in self._bms.items():
            if self._picture.slot(slot).presence is not Presence.PRESENT:
                excused.add(bms.station.name)
        silent = {name for name, station in self._stations.items() if station.is_offline}
        return frozenset(silent - excused)

    async def _switch_off(self) -> None:
        """With the keepers gone: chargers off, leases dropped; siren and extinguisher stay."""
        # Outputs first: a charger that has lost its mains cannot confirm anything.
        await _within(SAFE_TIMEOUT_S, [charger.stop() for charger in self._chargers.values()])
        channels = [slot.ac for slot in self._config.slots]
        channels += [socket.relay for socket in self._config.sockets]
        channels.append(self._config.outputs[Output.CONTACTOR])
        drops = [
            self._boards[channel.board].drop(channel.channel)
            for channel in channels
            if not self._boards[channel.board].station.is_offline
        ]
        await _within(SAFE_TIMEOUT_S, drops)


async def _settled(keepers: Sequence[Keeper[Any]]) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SAFE_TIMEOUT_S):
            for keeper in keepers:
                await keeper.settled()


async def _within(timeout_s: float, work: list[Coroutine[Any, Any, None]]) -> None:
    """Do it all side by side; what fails or takes longer is named in the log and left."""
    try:
        async with asyncio.timeout(timeout_s):
            results = await asyncio.gather(*work, return_exceptions=True)
    except TimeoutError:
        log.warning("not everything was switched off in %.1f s", timeout_s)
        return
    for result in results:
        if isinstance(result, CabinetError):
            log.warning("switching off: %s", result)
