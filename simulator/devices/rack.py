"""Everything that hangs on the wires of one cabinet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from simulator.devices.jbd import BmsPort
from simulator.devices.riden import RidenCharger
from simulator.devices.sensors import ClimateSensor, EnergyMeter
from simulator.devices.waveshare import WaveshareBoard
from simulator.models.cabinet import Cabinet
from simulator.wires.bus import BusDevice, ModbusBus

METER_UNIT: Final = 10
CLIMATE_UNIT: Final = 20


@dataclass(frozen=True, slots=True)
class Rack:
    """The two buses, and the battery port of every slot."""

    bus_a: ModbusBus
    bus_chargers: ModbusBus
    packs: dict[int, BmsPort]

    @classmethod
    def of(
        cls, cabinet: Cabinet, catch_up: Callable[[], None], reserved: Literal["zeros", "exception"]
    ) -> Rack:
        """Wire a cabinet as it leaves the factory."""
        common: list[BusDevice] = [
            WaveshareBoard(f"board-{number}", number, board)
            for number, board in cabinet.boards.items()
        ]
        common += [
            EnergyMeter("meter", METER_UNIT, cabinet.meter, reserved),
            ClimateSensor("climate", CLIMATE_UNIT, cabinet.climate),
        ]
        chargers = [
            RidenCharger(f"charger-{slot.number:02d}", slot.number, slot) for slot in cabinet.slots
        ]
        return cls(
            bus_a=ModbusBus(common, cabinet.silent, catch_up),
            bus_chargers=ModbusBus(chargers, cabinet.silent, catch_up),
            packs={
                slot.number: BmsPort(f"bms-{slot.number:02d}", slot, cabinet.silent, catch_up)
                for slot in cabinet.slots
            },
        )
