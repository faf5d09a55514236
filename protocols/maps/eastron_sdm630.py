"""Eastron SDM630: three-phase energy meter. All measurements are FC04 floats, high word first."""

from __future__ import annotations

from typing import Final

from protocols.registers import Access, Kind, Register, RegisterMap, Space

PHASES: Final = (1, 2, 3)
BAUD_CODES: Final = {0: 2400, 1: 4800, 2: 9600, 3: 19200, 4: 38400}


def _measured(address: int, name: str, unit: str = "") -> Register:
    return Register(address, name, Space.INPUT, Kind.F32, unit=unit)


def _phases(address: int, stem: str, suffix: str = "", unit: str = "") -> tuple[Register, ...]:
    return tuple(
        _measured(address + 2 * (phase - 1), f"{stem}_l{phase}{suffix}", unit) for phase in PHASES
    )


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
    "eastron-sdm630",
    (
        *_phases(0x0000, "voltage", "_v", "V"),
        *_phases(0x0006, "current", "_a", "A"),
        *_phases(0x000C, "power", "_w", "W"),
        *_phases(0x0012, "apparent", "_va", "VA"),
        *_phases(0x0018, "reactive", "_var", "var"),
        *_phases(0x001E, "power_factor"),
        *_phases(0x0024, "phase_angle", "_deg", "deg"),
        _measured(0x002A, "voltage_mean_v", "V"),
        _measured(0x002E, "current_mean_a", "A"),
        _measured(0x0030, "current_sum_a", "A"),
        _measured(0x0034, "power_w", "W"),
        _measured(0x0038, "apparent_va", "VA"),
        _measured(0x003C, "reactive_var", "var"),
        _measured(0x003E, "power_factor"),
        _measured(0x0042, "phase_angle_deg", "deg"),
        _measured(0x0046, "frequency_hz", "Hz"),
        _measured(0x0048, "import_kwh", "kWh"),
        _measured(0x004A, "export_kwh", "kWh"),
        _measured(0x004C, "import_kvarh", "kvarh"),
        _measured(0x004E, "export_kvarh", "kvarh"),
        _measured(0x00C8, "voltage_l1_l2_v", "V"),
        _measured(0x00CA, "voltage_l2_l3_v", "V"),
        _measured(0x00CC, "voltage_l3_l1_v", "V"),
        _measured(0x00CE, "voltage_line_mean_v", "V"),
        _measured(0x00E0, "current_neutral_a", "A"),
        _measured(0x0156, "total_kwh", "kWh"),
        _measured(0x0158, "total_kvarh", "kvarh"),
        *_phases(0x015A, "import", "_kwh", "kWh"),
        *_phases(0x0160, "export", "_kwh", "kWh"),
        *_phases(0x0166, "total", "_kwh", "kWh"),
        _setting(0x0002, "demand_period_min", 0, 60, "min"),
        _setting(0x000C, "relay_pulse_ms", 60, 200, "ms"),
        _setting(0x0012, "parity_stop", 0, 3),
        _setting(0x0014, "modbus_id", 1, 247),
        _setting(0x001C, "baud_code", 0, 4),
        Register(0xFC00, "serial", Space.HOLDING, Kind.U32),
    ),
    source="volkszaehler/mbmd sdm.go, esphome sdm_meter and PyPI sdm_modbus, which agree",
    function_codes=frozenset({3, 4, 16}),
)
