"""Finds what hangs on unknown ports: every port at the same time, one question after another."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from cabinet.adapters.devices import DRIVERS
from cabinet.adapters.devices.dialogue import identify
from cabinet.calls import Call, Place, Urgency
from cabinet.commission.ports import Port, trouble
from cabinet.commission.wires import Relay, held, running
from cabinet.config import PackConfig
from cabinet.core.commission.findings import Cause
from cabinet.core.commission.inventory import Found, PortFound, PortState
from cabinet.core.commission.proposal import Pin, bus_name, place_boards
from cabinet.core.commission.scan_plan import (
    SWEEP_PROCESSING_MS,
    Round,
    Wish,
    is_particular,
    plan,
    probe_addresses,
    setting_of,
    single_tries,
)
from cabinet.core.commission.sweep import (
    ANSWER_BYTES,
    Sweep,
    Weight,
    best,
    first_question,
    question,
    units_in,
    weighed,
)
from cabinet.errors import CabinetError, LinkError
from cabinet.ports import Clock
from cabinet.runtime.bus import Bus, Station
from cabinet.runtime.line import Line
from protocols.device import Device, Protocol, Role

Tell = Callable[[str], None]

REOPEN_MAX_S: Final = 0.5
#: Nothing is charged by a scan; drivers want to know the packs all the same.
NO_PACK: Final = PackConfig(54.6, 0.1, 0.1, 960.0)
#: A device that gave no sign when asked what it is may just be slow: this many times as long.
PATIENCE: Final = 3
#: From mains to a charger that answers.
CHARGER_BOOT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Scan:
    """How to look, and where to tell what happens."""

    types: Sequence[Device]
    wish: Wish
    clock: Clock
    tell: Tell

    async def ports(self, ports: Iterable[Port]) -> tuple[PortFound, ...]:
        """What is on each port, in the order given."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.port(port), name=port.name) for port in ports]
        return tuple(task.result() for task in tasks)

    async def port(self, port: Port) -> PortFound:
        """What is on one port: at the first setting at which anything answers."""
        if port.is_scanner:
            return _nothing(port, PortState.SCANNER)
        if (wrong := trouble(port)) is not None:
            self.tell(f"{port.name}: cannot be used: {wrong.detail}")
            return _nothing(port, PortState.UNUSABLE, wrong.cause, wrong.detail)
        troubled: PortFound | None = None
        opened = False
        for wanted in plan(self.types, self.wish, over_tcp=_over_tcp(port)):
            round_ = _without_parity(wanted) if _is_pty(port) else wanted
            if not await _opens(port, round_):
                continue
            opened = True
            found = await self._round(port, round_)
            if found.devices:
                self.tell(f"{port.name}: {_told(found)}")
                return found
            if found.state is PortState.TROUBLED and troubled is None:
                troubled = found
        if troubled is not None:
            self.tell(f"{port.name}: something talks that nobody understands")
            return troubled
        self.tell(f"{port.name}: silent" if opened else f"{port.name}: refuses every setting")
        if opened:
            return _nothing(port, PortState.SILENT)
        return _nothing(port, PortState.UNUSABLE, Cause.PORT_UNFIT, "refuses every setting")

    async def _round(self, port: Port, round_: Round) -> PortFound:
        setting = round_.setting
        bus = _bus(port, round_, self.clock)
        async with running([bus]):
            probe = _Probe(self, bus, _over_tcp(port))
            for device in round_.singles:
                if found := await probe.single(device):
                    protocol = next(iter(device.protocols))
                    return _with(port, round_, found, Sweep(echo=bus.echoes), protocol)
            protocol = Protocol.MODBUS_TCP if _over_tcp(port) else Protocol.MODBUS_RTU
            sweep = await probe.sweep(round_.addresses)
            if sweep.answered:
                sweep = await probe.sweep(round_.more, sweep)
                sweep = await probe.sweep(sweep.doubtful, sweep)
            devices = [await probe.recognise(unit, round_.modbus) for unit in sweep.answered]
            for device in round_.modbus:
                # Some devices are deaf to the sweep's question, but not to one of their own.
                here = setting_of(device) == setting and device.address not in sweep.answered
                if here and is_particular(device) and round_.addresses:
                    told = await probe.ask(device, device.address, protocol)
                    if told is not None:
                        devices.append(
                            Found(type=device.type, address=device.address, identity=told)
                        )
                        break
            sweep.echo = sweep.echo or bus.echoes
        return _with(port, round_, tuple(devices), sweep, protocol)

    async def powered(
        self, found: Sequence[PortFound], cabinet: Sequence[PortFound], pins: Sequence[Pin]
    ) -> tuple[PortFound, ...]:
        """Scan the silent ports again while these relays give the chargers mains.

        ``cabinet`` is the part of what was found from which the pins have their boards' names.

        Raises:
            CabinetError: a board did not switch its relay.
        """
        # Also those that pass for empty slots: a charger's port may have such a name.
        again = [p for p in found if p.state is PortState.SILENT]
        async with self._relays(cabinet, pins) as relays, held(relays):
            await self.clock.sleep(CHARGER_BOOT_S)
            # Only chargers have come to life, so only they are looked for.
            chargers = tuple(device for device in self.types if device.role is Role.CHARGER)
            charging = dataclasses.replace(self, types=chargers)
            fresh = await charging.ports([Port(p.name, p.path) for p in again])
        by_name = {port.name: port for port in fresh}
        return tuple(by_name.get(port.name, port) for port in found)

    @contextlib.asynccontextmanager
    async def _relays(
        self, cabinet: Sequence[PortFound], pins: Sequence[Pin]
    ) -> AsyncIterator[tuple[Relay, ...]]:
        """These pins as relays of drivers whose buses run."""
        wanted = {pin.board for pin in pins}
        boards = {p.name: (p, d) for p, d in place_boards(cabinet, self.types) if p.name in wanted}
        buses: dict[str, Bus] = {}
        drivers = {}
        for placed, device in boards.values():
            port = next(p for p in cabinet if bus_name(p) == placed.bus)
            if placed.bus not in buses:
                line = Line(port.path, baud=port.baud, parity=port.parity, stopbits=port.stopbits)
                buses[placed.bus] = Bus(placed.bus, line, self.clock)
            station = buses[placed.bus].station(
                placed.name, processing_ms=device.processing_ms, turnaround_ms=device.turnaround_ms
            )
            place = Place(station, placed.address, port.protocol, NO_PACK, self.clock)
            drivers[placed.name] = DRIVERS[placed.type](place)
        async with running(buses.values()):
            yield tuple((drivers[pin.board], pin.channel) for pin in pins)


class _Probe:
    """Asks on one running bus."""

    def __init__(self, scan: Scan, bus: Bus, over_tcp: bool) -> None:  # noqa: FBT001 - of the port
        self._scan, self._bus, self._over_tcp = scan, bus, over_tcp
        self._numbers = itertools.count()
        self._unanswered: set[bytes] = set()
        self._heard = False  # anything, at the last question

    async def single(self, device: Device) -> tuple[Found, ...]:
        """Devices of one type with a protocol of its own; all of them once one has answered."""
        found: dict[int, Found] = {}
        protocol = next(iter(device.protocols))
        addresses = list(probe_addresses(device, self._scan.wish))
        while addresses:
            address = addresses.pop(0)
            frame = first_question(device, address)
            if frame in self._unanswered:
                continue  # another type of the same family asked just this
            told = None
            for _ in range(single_tries(device)):
                told = told or await self.ask(device, address, protocol)
            if told is None:
                if frame is not None and not self._heard:
                    self._unanswered.add(frame)
                continue
            known = 0 if device.addresses is None else address
            if not found and device.addresses is not None:
                addresses = [a for a in device.addresses if a != address]
            found[address] = Found(type=device.type, address=known, identity=told)
        return tuple(found[address] for address in sorted(found))

    async def sweep(self, addresses: Sequence[int], before: Sweep | None = None) -> Sweep:
        """The same harmless question to every address; adds to what was heard before."""
        sweep = before or Sweep()
        for unit in addresses:
            sent = question(unit, over_tcp=self._over_tcp)
            received = await self._question(unit, sent)
            sweep.note(unit, sent, received, over_tcp=self._over_tcp)
        return sweep

    async def _question(self, unit: int, sent: bytes) -> bytes:
        heard = b""

        def take(received: bytes) -> bytes | None:
            nonlocal heard
            heard = received
            return received if unit in units_in(received, over_tcp=self._over_tcp) else None

        station = self._station("sweep", unit, SWEEP_PROCESSING_MS)
        with contextlib.suppress(LinkError):
            await station.ask(Call(sent, take, ANSWER_BYTES, Urgency.READING, is_read=True))
        return heard

    async def recognise(self, unit: int, types: Sequence[Device]) -> Found:
        """Which type answers at this address; asked again before it is called unknown."""
        found = await self._recognised(unit, types, 1)
        if found.type:
            return found
        patient = await self._recognised(unit, types, PATIENCE)
        return msgspec.structs.replace(patient, slow=True)

    async def _recognised(self, unit: int, types: Sequence[Device], patience: int) -> Found:
        protocol = Protocol.MODBUS_TCP if self._over_tcp else Protocol.MODBUS_RTU
        weights: dict[str, int] = {}
        told: dict[str, str] = {}
        heard = False
        for device in types:
            if device.addresses is not None and unit not in device.addresses:
                continue
            weight = Weight()
            waiting = dataclasses.replace(device, processing_ms=patience * device.processing_ms)
            identity = await self.ask(waiting, unit, protocol, weight)
            heard = heard or self._heard
            if identity is None:
                continue
            weights[device.type], told[device.type] = weight.values, identity
            if device.names_itself:
                break
        named = next((d.type for d in types if d.names_itself and d.type in told), None)
        kind = named or best(weights)
        if kind is None:
            return Found(type="", address=unit, heard=heard)
        return Found(type=kind, address=unit, identity=told[kind])

    async def ask(
        self, device: Device, address: int, protocol: Protocol, weight: Weight | None = None
    ) -> str | None:
        """What the device says of itself as this type; None when it is no such device, or silent."""
        tally = weight or Weight()
        checked = dataclasses.replace(
            device, identify=lambda where: weighed(device.identify(where), tally)
        )
        station = self._station(device.type, address, device.processing_ms, device.turnaround_ms)
        place = Place(station, address, protocol, NO_PACK, self._scan.clock)
        self._heard = True
        try:
            return await identify(checked, place)
        except LinkError:
            self._heard = False
            return None
        except CabinetError:
            return None

    def _station(self, what: str, unit: int, processing_ms: int, turnaround_ms: int = 0) -> Station:
        name = f"{what} {unit} #{next(self._numbers)}"
        return self._bus.station(name, processing_ms=processing_ms, turnaround_ms=turnaround_ms)


def _over_tcp(port: Port) -> bool:
    return port.path.startswith("modbus-tcp://")


def _is_pty(port: Port) -> bool:
    """A simulated port: it refuses parity, now and then, and needs none."""
    return Path(port.path).resolve().is_relative_to("/dev/pts")


def _without_parity(round_: Round) -> Round:
    return dataclasses.replace(round_, setting=dataclasses.replace(round_.setting, parity="N"))


def _line(port: Port, round_: Round) -> Line:
    setting = round_.setting
    return Line(
        port.path,
        baud=setting.baud,
        parity=setting.parity,
        stopbits=setting.stopbits,
        reopen_max_s=REOPEN_MAX_S,
    )


def _bus(port: Port, round_: Round, clock: Clock) -> Bus:
    return Bus(port.name, _line(port, round_), clock)


async def _opens(port: Port, round_: Round) -> bool:
    line = _line(port, round_)
    try:
        return await line.ensure_open()
    finally:
        line.close()


def _nothing(
    port: Port, state: PortState, cause: Cause | None = None, detail: str = ""
) -> PortFound:
    return PortFound(name=port.name, path=port.path, state=state, cause=cause, detail=detail)


def _with(
    port: Port, round_: Round, devices: tuple[Found, ...], sweep: Sweep, protocol: Protocol
) -> PortFound:
    cause = sweep.trouble
    if devices:
        state = PortState.ANSWERED
    else:
        state = PortState.SILENT if cause is None else PortState.TROUBLED
    setting = round_.setting
    return PortFound(
        name=port.name,
        path=port.path,
        state=state,
        cause=cause,
        baud=setting.baud,
        parity=setting.parity,
        stopbits=setting.stopbits,
        protocol=protocol,
        devices=devices,
        garbled=sweep.garbled,
        echoes=sweep.echo,
    )


def _told(found: PortFound) -> str:
    line = f"{found.baud} 8{found.parity}{found.stopbits}"
    names = [
        f"{d.type or 'unknown'}{f' at {d.address}' if d.address else ''}" for d in found.devices
    ]
    return f"{line}: {', '.join(names)}"
