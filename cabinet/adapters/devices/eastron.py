"""Eastron SDM120 (one phase) and SDM630 (three phases) energy meters."""

from __future__ import annotations

from typing import Final

from cabinet.adapters.devices.modbus import Modbus
from cabinet.calls import Place, Urgency
from cabinet.core.model import MeterReading
from protocols.maps import eastron_sdm120, eastron_sdm630
from protocols.registers import RegisterMap

WH_PER_KWH: Final = 1_000.0


class EastronMeter:
    """Implements ``cabinet.ports.Meter``."""

    def __init__(
        self, place: Place, registers: RegisterMap, voltage: str, power: str, energy: str
    ) -> None:
        self._modbus = Modbus(place)
        self._clock = place.clock
        self._map = registers
        self._names = (voltage, power, energy)
        self._now = registers.span(voltage, power)
        self._total = registers.span(energy)

    async def read(self) -> MeterReading:
        """Poll it."""
        voltage, power, energy = self._names
        told = await self._modbus.read_span(self._map, self._now, Urgency.METER)
        told |= await self._modbus.read_span(self._map, self._total, Urgency.METER)
        return MeterReading(
            at_ms=self._clock.monotonic_ms(),
            power_w=float(told[power]),
            energy_wh=float(told[energy]) * WH_PER_KWH,
            voltage_v=float(told[voltage]),
        )


def sdm120(place: Place) -> EastronMeter:
    """An SDM120."""
    return EastronMeter(place, eastron_sdm120.MAP, "voltage_v", "power_w", "import_kwh")


def sdm630(place: Place) -> EastronMeter:
    """An SDM630: power and energy over all phases, voltage of the first."""
    return EastronMeter(place, eastron_sdm630.MAP, "voltage_l1_v", "power_w", "import_kwh")
