"""XY-MD02 (SHT20): temperature and humidity of the cabinet."""

from __future__ import annotations

from typing import Final

from cabinet.adapters.devices.modbus import Modbus
from cabinet.calls import Place, Urgency
from cabinet.core.model import ClimateReading
from protocols.maps.xy_md02 import MAP

BOTH: Final = MAP.span("temperature_c", "humidity_pct")


class XyMd02:
    """Implements ``cabinet.ports.Climate``."""

    def __init__(self, place: Place) -> None:
        self._modbus = Modbus(place)
        self._clock = place.clock

    async def read(self) -> ClimateReading:
        """Poll it."""
        told = await self._modbus.read_span(MAP, BOTH, Urgency.CLIMATE)
        return ClimateReading(
            at_ms=self._clock.monotonic_ms(),
            temp_c=float(told["temperature_c"]),
            humidity_pct=float(told["humidity_pct"]),
        )
