"""Everything that hangs on the wires of one cabinet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from protocols.device import Device
from protocols.devices import DEVICES
from protocols.devices.riden import MODELS
from simulator.devices.base import RegisterDevice
from simulator.devices.charger import DeclaredCharger
from simulator.devices.frames import LockPort, MeterPort, PackPort
from simulator.devices.jbd import BmsPort
from simulator.devices.riden import RidenCharger
from simulator.devices.sensors import ClimateSensor, EnergyMeter
from simulator.devices.waveshare import WaveshareBoard
from simulator.models.cabinet import Cabinet
from simulator.models.outfit import BUS_LOCKS, BUS_METER, LIGHT_BOARD, LOCK_BOARD, RELAY_LOCKS
from simulator.models.slot import Slot
from simulator.models.wiring import SOCKET_BOARD
from simulator.wires.bus import BusDevice, ModbusBus
from simulator.wires.frames import FrameLine

METER_UNIT: Final = 10
CLIMATE_UNIT: Final = 20
#: On the charging area's own line: board 1, meters from 11 on.
SOCKET_BOARD_UNIT: Final = 1
SOCKET_METER_UNIT: Final = 10

Reserved = Literal["zeros", "exception"]


@dataclass(frozen=True, slots=True)
class Rack:
    """The two buses, the battery port of every slot, and lines with frames of their own.

    ``packs`` has the JBD packs; packs of other makes stand in ``frames``, under their slot's line.
    """

    bus_a: ModbusBus
    bus_chargers: ModbusBus
    packs: dict[int, BmsPort]
    frames: dict[str, FrameLine]
    bus_sockets: ModbusBus | None = None

    @classmethod
    def of(cls, cabinet: Cabinet, catch_up: Callable[[], None], reserved: Reserved) -> Rack:
        """Wire a cabinet with the devices of its outfit."""
        charger = DEVICES[cabinet.outfit.chargers]
        chargers = [_charger(slot, charger) for slot in cabinet.slots]
        jbd = DEVICES[cabinet.outfit.bms].bms is None
        return cls(
            bus_a=ModbusBus(_common(cabinet, reserved), cabinet.silent, catch_up),
            bus_chargers=ModbusBus(chargers, cabinet.silent, catch_up),
            packs={
                slot.number: BmsPort(f"bms-{slot.number:02d}", slot, cabinet.silent, catch_up)
                for slot in (cabinet.slots if jbd else ())
            },
            frames=_frames(cabinet, catch_up),
            bus_sockets=_sockets(cabinet, catch_up, reserved),
        )


def _sockets(
    cabinet: Cabinet, catch_up: Callable[[], None], reserved: Reserved
) -> ModbusBus | None:
    """The charging area's line; None without sockets."""
    if not cabinet.sockets:
        return None
    name, board = f"board-{SOCKET_BOARD}", cabinet.boards[SOCKET_BOARD]
    devices: list[BusDevice] = [WaveshareBoard(name, SOCKET_BOARD_UNIT, board, RELAY_LOCKS)]
    devices += [
        EnergyMeter(
            f"socket-meter-{each.number}", SOCKET_METER_UNIT + each.number, each.meter, reserved
        )
        for each in cabinet.sockets
    ]
    devices.append(ClimateSensor("area-climate", CLIMATE_UNIT, cabinet.area))
    return ModbusBus(devices, cabinet.silent, catch_up)


def _common(cabinet: Cabinet, reserved: Reserved) -> list[BusDevice]:
    outfit = cabinet.outfit
    types = {LIGHT_BOARD: outfit.lights}
    devices: list[BusDevice] = [
        WaveshareBoard(f"board-{number}", number, board, types.get(number, RELAY_LOCKS))
        for number, board in cabinet.boards.items()
        if number not in {LOCK_BOARD, SOCKET_BOARD}
    ]
    if not outfit.has_meter_line:
        meter = EnergyMeter("meter", METER_UNIT, cabinet.meter, reserved, outfit.meter_device)
        devices.append(meter)
    return [*devices, ClimateSensor("climate", CLIMATE_UNIT, cabinet.climate)]


def _charger(slot: Slot, device: Device) -> RegisterDevice:
    name = f"charger-{slot.number:02d}"
    if device.charger_twin is not None:
        assert device.addresses is not None, "chargers share a bus"
        return DeclaredCharger(name, device.addresses[slot.number - 1], slot, device.charger_twin)
    return RidenCharger(name, slot.number, slot, MODELS[device.type])


def _frames(cabinet: Cabinet, catch_up: Callable[[], None]) -> dict[str, FrameLine]:
    outfit, lines = cabinet.outfit, list[FrameLine]()
    bms = DEVICES[outfit.bms]
    if bms.bms is not None:
        for slot in cabinet.slots:
            port = PackPort(f"bms-{slot.number:02d}", slot, bms, bms.bms)
            name, turnaround_s = f"slot-{slot.number:02d}", bms.turnaround_ms / 1_000.0
            lines.append(FrameLine(name, bms, port, cabinet.silent, catch_up, turnaround_s))
    locks = outfit.lock_board
    if locks is not None and locks.locks_face is not None:
        board = cabinet.boards[LOCK_BOARD]
        lock_port = LockPort(f"board-{LOCK_BOARD}", locks.address, board, locks.locks_face)
        lines.append(FrameLine(BUS_LOCKS, locks, lock_port, cabinet.silent, catch_up))
    meter = outfit.meter_device
    if meter.meter_twin is not None:
        meter_port = MeterPort("meter", cabinet.meter, meter.meter_twin, lambda: cabinet.mains)
        lines.append(FrameLine(BUS_METER, meter, meter_port, cabinet.silent, catch_up))
    return {line.name: line for line in lines}
