"""XY-MD02 (SHT20): temperature and humidity of the cabinet."""

from __future__ import annotations

from typing import Final

from protocols.device import (
    Capability,
    Device,
    Dialogue,
    Protocol,
    Role,
    Where,
    Words,
    plausible,
)
from protocols.maps.xy_md02 import MAP
from protocols.registers import Space


def identify(where: Where) -> Dialogue[str | None]:
    """Its own address in its own register, and a climate that people live in."""
    span = MAP.span("temperature_c", "humidity_pct")
    told = MAP.decode_span(span, (yield Words(Space.INPUT, span.address, span.count)))
    (address,) = yield Words(Space.HOLDING, MAP["device_address"].address, 1)
    climate = plausible(told["temperature_c"], -40, 85) and plausible(told["humidity_pct"], 0, 100)
    if not climate or address != where.address:
        return None
    return f"{told['temperature_c']:.1f} °C, {told['humidity_pct']:.1f} %"


DEVICE: Final = Device(
    type="xy-md02",
    title="XY-MD02 (SHT20)",
    role=Role.CLIMATE,
    capabilities=frozenset({Capability.CLIMATE}),
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source=MAP.source,
    identify=identify,
    names_itself=False,
)
