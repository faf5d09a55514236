"""Eastron SDM120 (one phase) and SDM630 (three phases) energy meters."""

from __future__ import annotations

from typing import Final

from protocols.device import (
    Capability,
    Device,
    Dialogue,
    Protocol,
    RefusedError,
    RegisterMeter,
    Role,
    Where,
    Words,
    plausible,
)
from protocols.maps import eastron_sdm120, eastron_sdm630
from protocols.registers import RegisterMap, Space

VOLTS: Final = (80.0, 300.0)
HERTZ: Final = (45.0, 65.0)
#: Words of the serial number: a holding register beyond any setting.
SERIAL: Final = 0xFC00
#: Words between the known registers; past the end there is nothing.
BLANK: Final = (range(0x0170),)


def _mains(table: RegisterMap, *volts: str) -> Dialogue[str | None]:
    """Mains voltage and frequency where an Eastron shows them, and its serial."""
    span = table.span(*volts)
    told = table.decode_span(span, (yield Words(Space.INPUT, span.address, span.count)))
    hertz = table.span("frequency_hz")
    told |= table.decode_span(hertz, (yield Words(Space.INPUT, hertz.address, hertz.count)))
    good = all(plausible(told[name], *VOLTS) for name in volts)
    if not good or not plausible(told["frequency_hz"], *HERTZ):
        return None
    high, low = yield Words(Space.HOLDING, SERIAL, 2)
    return f"serial {high << 16 | low}, {told[volts[0]]:.1f} V, {told['frequency_hz']:.1f} Hz"


def identify_sdm120(_: Where) -> Dialogue[str | None]:
    """One phase of mains, and nothing where an SDM630 has its second."""
    second = eastron_sdm630.MAP["voltage_l2_v"]
    try:
        words = yield Words(Space.INPUT, second.address, second.words)
    except RefusedError:
        words = (0, 0)
    if any(words):
        return None
    return (yield from _mains(eastron_sdm120.MAP, "voltage_v"))


def identify_sdm630(_: Where) -> Dialogue[str | None]:
    """Three phases of mains; with one phase only it passes for an SDM120, which reads the same."""
    return (yield from _mains(eastron_sdm630.MAP, *(f"voltage_l{n}_v" for n in (1, 2, 3))))


SDM120: Final = Device(
    type="eastron-sdm120",
    title="Eastron SDM120",
    role=Role.METER,
    capabilities=frozenset({Capability.METER, Capability.SERIAL}),
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source=eastron_sdm120.MAP.source,
    identify=identify_sdm120,
    names_itself=False,
    baud=2_400,
    processing_ms=200,
    table=eastron_sdm120.MAP,
    blank=BLANK,
    meter=RegisterMeter(eastron_sdm120.MAP, "voltage_v", "power_w", "import_kwh"),
    note="delivered at 2400 baud; set it to the speed of its bus first",
)
SDM630: Final = Device(
    type="eastron-sdm630",
    title="Eastron SDM630",
    role=Role.METER,
    capabilities=frozenset({Capability.METER, Capability.SERIAL}),
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source=eastron_sdm630.MAP.source,
    identify=identify_sdm630,
    names_itself=False,
    processing_ms=200,
    table=eastron_sdm630.MAP,
    blank=BLANK,
    meter=RegisterMeter(eastron_sdm630.MAP, "voltage_l1_v", "power_w", "import_kwh"),
)
DEVICES: Final = (SDM120, SDM630)
