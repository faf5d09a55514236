"""CHINT DTSU666: three-phase energy meter, FC03 floats, high word first, in tenths and thousandths.

The current transformer's ratio multiplies what the meter measured; leave it at 1 for a directly
connected meter (register from memory, unverified).
"""

from __future__ import annotations

from typing import Final

from protocols.device import (
    Capability,
    Device,
    Dialogue,
    Protocol,
    RegisterMeter,
    Role,
    Where,
    Words,
    plausible,
)
from protocols.registers import Access, Kind, Register, RegisterMap, Space


def _float(address: int, name: str, scale: float = 1.0, unit: str = "") -> Register:
    return Register(address, name, Space.HOLDING, Kind.F32, scale=scale, unit=unit)


def _phases(address: int, stem: str, suffix: str, scale: float, unit: str) -> list[Register]:
    return [_float(address + 2 * (n - 1), f"{stem}_l{n}{suffix}", scale, unit) for n in (1, 2, 3)]


def _word(address: int, name: str, access: Access = Access.R) -> Register:
    return Register(address, name, Space.HOLDING, Kind.U16, access=access)


MAP: Final = RegisterMap(
    "chint-dtsu666",
    (
        _word(0x0000, "revision"),
        _word(0x0001, "program_code"),
        _word(0x0003, "network_selection", Access.RW),
        _word(0x0006, "current_ratio", Access.RW),
        _float(0x101E, "import_kwh", 1.0, "kWh"),
        *_phases(0x1020, "import", "_kwh", 1.0, "kWh"),
        _float(0x1028, "export_kwh", 1.0, "kWh"),
        *_phases(0x102A, "export", "_kwh", 1.0, "kWh"),
        _float(0x2000, "voltage_l1_l2_v", 0.1, "V"),
        _float(0x2002, "voltage_l2_l3_v", 0.1, "V"),
        _float(0x2004, "voltage_l3_l1_v", 0.1, "V"),
        *_phases(0x2006, "voltage", "_v", 0.1, "V"),
        *_phases(0x200C, "current", "_a", 0.001, "A"),
        _float(0x2012, "power_w", 0.1, "W"),
        *_phases(0x2014, "power", "_w", 0.1, "W"),
        _float(0x201A, "reactive_var", 0.1, "var"),
        *_phases(0x201C, "reactive", "_var", 0.1, "var"),
        _float(0x202A, "power_factor", 0.001),
        *_phases(0x202C, "power_factor", "", 0.001, ""),
        _float(0x2044, "frequency_hz", 0.01, "Hz"),
    ),
    source="volkszaehler/mbmd dtsu666.go and gerontec/dtsu666, which agree",
    function_codes=frozenset({3, 6, 16}),
)


def identify(_: Where) -> Dialogue[str | None]:
    """Mains voltage and frequency where this meter shows them."""
    volts, hertz = MAP.span("voltage_l1_v"), MAP.span("frequency_hz")
    told = MAP.decode_span(volts, (yield Words(volts.space, volts.address, volts.count)))
    told |= MAP.decode_span(hertz, (yield Words(hertz.space, hertz.address, hertz.count)))
    volt, frequency = told["voltage_l1_v"], told["frequency_hz"]
    if not (plausible(volt, 80, 300) and plausible(frequency, 45, 65)):
        return None
    return f"{volt:.1f} V, {frequency:.1f} Hz"


DEVICE: Final = Device(
    type="chint-dtsu666",
    title="CHINT DTSU666",
    role=Role.METER,
    capabilities=frozenset({Capability.METER}),
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source=MAP.source,
    identify=identify,
    names_itself=False,
    processing_ms=200,
    table=MAP,
    blank=(range(0x0010), range(0x1000, 0x1050), range(0x2000, 0x2060)),
    meter=RegisterMeter(MAP, "voltage_l1_v", "power_w", "import_kwh"),
    note="ships at 9600 8N1; leave the current ratio at 1 without transformers",
)
