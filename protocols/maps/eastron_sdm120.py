"""Eastron SDM120: single-phase energy meter. All measurements are FC04 floats, high word first."""

from __future__ import annotations

from typing import Final

from protocols.registers import Access, Kind, Register, RegisterMap, Space

BAUD_CODES: Final = {0: 2400, 1: 4800, 2: 9600, 5: 1200}
PARITY_STOP_CODES: Final = {0: "N1", 1: "E1", 2: "O1", 3: "N2"}


def _measured(address: int, name: str, unit: str = "") -> Register:
    return Register(address, name, Space.INPUT, Kind.F32, unit=unit)


def _setting(address: int, name: str, low: float, high: float, unit: str = "") -> Register:
    return Register(
        address,
        name,
        Space.HOLDING,
        Kind.F32,
        unit=unit,
        low=low,
        high=high,
        access=Access.RW,
    )


MAP: Final = RegisterMap(
    "eastron-sdm120",
    (
        _measured(0x0000, "voltage_v", "V"),
        _measured(0x0006, "current_a", "A"),
        _measured(0x000C, "power_w", "W"),
        _measured(0x0012, "apparent_va", "VA"),
        _measured(0x0018, "reactive_var", "var"),
        _measured(0x001E, "power_factor"),
        _measured(0x0024, "phase_angle_deg", "deg"),
        _measured(0x0046, "frequency_hz", "Hz"),
        _measured(0x0048, "import_kwh", "kWh"),
        _measured(0x004A, "export_kwh", "kWh"),
        _measured(0x004C, "import_kvarh", "kvarh"),
        _measured(0x004E, "export_kvarh", "kvarh"),
        _measured(0x0054, "demand_w", "W"),
        _measured(0x0056, "demand_max_w", "W"),
        _measured(0x0102, "demand_a", "A"),
        _measured(0x0108, "demand_max_a", "A"),
        _measured(0x0156, "total_kwh", "kWh"),
        _measured(0x0158, "total_kvarh", "kvarh"),
        _setting(0x0002, "demand_period_min", 0, 60, "min"),
        _setting(0x000C, "relay_pulse_ms", 60, 200, "ms"),
        _setting(0x0012, "parity_stop", 0, 3),
        _setting(0x0014, "modbus_id", 1, 247),
        _setting(0x001C, "baud_code", 0, 5),
        Register(0xFC00, "serial", Space.HOLDING, Kind.U32),
    ),
    source="volkszaehler/mbmd sdm120.go, esphome sdm_meter and PyPI sdm_modbus, which agree",
    function_codes=frozenset({3, 4, 16}),
)
