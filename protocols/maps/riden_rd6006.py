"""Riden RD60xx: 60 V programmable supplies used as CC-CV chargers; each model has its own scales.

There is no communication watchdog in this map: the output goes on when the master dies. Hence the
slot-AC lease outside it, ``ovp_v`` and ``ocp_a`` inside it, and ``boot_power_on`` 0.
Calibration (54 to 62) is read-only here and the bootloader word (256) is left out, so that nothing
can write them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.registers import Access, Kind, Register, RegisterMap, Space

MODEL_RD6006: Final = 60061
PRESETS: Final = 10
PRESET_BASE: Final = 80
PRESET_WORDS: Final = 4

PROTECTION_NONE: Final = 0
PROTECTION_OVP: Final = 1
PROTECTION_OCP: Final = 2
MODE_CV: Final = 0
MODE_CC: Final = 1
SIGN_MINUS: Final = 1


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the family: its ids, what it gives, and what its registers count in."""

    name: str
    ids: range
    current_max_a: float
    voltage_scale: float = 0.01
    current_scale: float = 0.01
    power_scale: float = 0.01
    voltage_max_v: float = 60.0
    #: How far the supply's own limits may stand above what it gives.
    ovp_margin_v: float = 2.0
    ocp_margin_a: float = 0.2


RD6006: Final = Model("RD6006", range(60_061, 60_065), 6.0, current_scale=0.001)
RD6006P: Final = Model(
    "RD6006P", range(60_065, 60_066), 6.0, 0.001, current_scale=0.0001, power_scale=0.001
)
RD6012: Final = Model("RD6012", range(60_120, 60_125), 12.0)
RD6018: Final = Model("RD6018", range(60_180, 60_190), 18.0)
MODELS: Final = (RD6006, RD6006P, RD6012, RD6018)

VOLTAGE_MAX_V: Final = RD6006.voltage_max_v
CURRENT_MAX_A: Final = RD6006.current_max_a


def _word(
    address: int, name: str, high: float | None = None, access: Access = Access.R, doc: str = ""
) -> Register:
    return Register(address, name, Space.HOLDING, Kind.U16, high=high, access=access, doc=doc)


def _switch(address: int, name: str, access: Access = Access.RW, doc: str = "") -> Register:
    return _word(address, name, high=1, access=access, doc=doc)


def _volts(
    model: Model, address: int, name: str, high: float | None, access: Access = Access.R
) -> Register:
    scale = model.voltage_scale
    return Register(
        address, name, Space.HOLDING, Kind.U16, scale=scale, unit="V", high=high, access=access
    )


def _amps(
    model: Model, address: int, name: str, high: float | None, access: Access = Access.R
) -> Register:
    scale = model.current_scale
    return Register(
        address, name, Space.HOLDING, Kind.U16, scale=scale, unit="A", high=high, access=access
    )


def _degrees(address: int, name: str, unit: str) -> Register:
    return Register(
        address, name, Space.HOLDING, Kind.U16, unit=unit, doc="magnitude; sign in the word before"
    )


def _preset(model: Model, number: int) -> tuple[Register, ...]:
    base = PRESET_BASE + PRESET_WORDS * number
    voltage, current = f"preset_{number}_voltage_v", f"preset_{number}_current_a"
    # Preset 0 is the one in use, so its protections are the device's.
    ovp, ocp = ("ovp_v", "ocp_a") if number == 0 else (
        f"preset_{number}_ovp_v", f"preset_{number}_ocp_a"
    )  # fmt: skip
    ovp_max_v = model.voltage_max_v + model.ovp_margin_v
    ocp_max_a = model.current_max_a + model.ocp_margin_a
    return (
        _volts(model, base, voltage, model.voltage_max_v, Access.RW),
        _amps(model, base + 1, current, model.current_max_a, Access.RW),
        _volts(model, base + 2, ovp, ovp_max_v, Access.RW),
        _amps(model, base + 3, ocp, ocp_max_a, Access.RW),
    )


def _settings() -> tuple[Register, ...]:
    return (
        _word(48, "clock_year", access=Access.RW),
        _word(49, "clock_month", high=12, access=Access.RW),
        _word(50, "clock_day", high=31, access=Access.RW),
        _word(51, "clock_hour", high=23, access=Access.RW),
        _word(52, "clock_minute", high=59, access=Access.RW),
        _word(53, "clock_second", high=59, access=Access.RW),
        *(_word(address, f"calibration_{address}") for address in range(54, 63)),
        _switch(66, "take_ok"),
        _switch(67, "take_out"),
        _switch(68, "boot_power_on", doc="1: the output comes on with the power"),
        _switch(69, "buzzer_on"),
        _switch(70, "logo_on"),
        _word(71, "language", access=Access.RW),
        _word(72, "backlight", high=5, access=Access.RW),
    )


def _readings(model: Model) -> tuple[Register, ...]:
    return (
        _word(0, "model_id", doc="60061 to 60064 are RD6006"),
        Register(1, "serial", Space.HOLDING, Kind.U32),
        Register(3, "firmware", Space.HOLDING, Kind.U16, scale=0.01),
        _switch(4, "internal_temp_sign", Access.R, "1 is minus"),
        _degrees(5, "internal_temp_c", "degC"),
        _switch(6, "internal_temp_sign_fahrenheit", Access.R, "1 is minus"),
        _degrees(7, "internal_temp_f", "degF"),
        _volts(model, 8, "voltage_set_v", model.voltage_max_v, Access.RW),
        _amps(model, 9, "current_set_a", model.current_max_a, Access.RW),
        _volts(model, 10, "voltage_out_v", None),
        _amps(model, 11, "current_out_a", None),
        Register(12, "power_w", Space.HOLDING, Kind.U32, scale=model.power_scale, unit="W"),
        _volts(model, 14, "voltage_in_v", None),
        _switch(15, "keypad_lock"),
        _word(16, "protection", doc="0 none, 1 over-voltage, 2 over-current"),
        _switch(17, "cv_cc", Access.R, "0 constant voltage, 1 constant current"),
        _switch(18, "output_on"),
        _word(19, "preset", high=PRESETS - 1, access=Access.W, doc="recalls a preset"),
        _switch(32, "battery_mode", Access.R),
        _volts(model, 33, "battery_voltage_v", None),
        _switch(34, "external_temp_sign", Access.R, "1 is minus"),
        _degrees(35, "external_temp_c", "degC"),
        _switch(36, "external_temp_sign_fahrenheit", Access.R, "1 is minus"),
        _degrees(37, "external_temp_f", "degF"),
        Register(38, "charge_ah", Space.HOLDING, Kind.U32, scale=0.001, unit="Ah"),
        Register(40, "energy_wh", Space.HOLDING, Kind.U32, scale=0.001, unit="Wh"),
    )


def table(model: Model) -> RegisterMap:
    """The registers of one model."""
    presets = (register for number in range(PRESETS) for register in _preset(model, number))
    return RegisterMap(
        f"riden-{model.name.lower()}",
        (*_readings(model), *_settings(), *presets),
        source="ShayBox/Riden, Baldanos/rd6006 and PyPI rd6006 0.2, which agree",
        function_codes=frozenset({3, 6, 16}),
    )


MAPS: Final = {model: table(model) for model in MODELS}
MAP: Final = MAPS[RD6006]


def temperature_c(sign: int, magnitude_c: int) -> int:
    """A temperature from its two words."""
    return -magnitude_c if sign == SIGN_MINUS else magnitude_c


def temperature_words(temp_c: float) -> tuple[int, int]:
    """Sign and magnitude of a temperature, in whole degrees."""
    whole_c = round(temp_c)
    return (SIGN_MINUS, -whole_c) if whole_c < 0 else (0, whole_c)
