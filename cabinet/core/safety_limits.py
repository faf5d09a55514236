"""Every number of the safety rules, by name, with its bounds.

The bounds keep a configuration from switching a rule off: a limit may be made stricter at will,
but looser only within what the rule was meant for. The values are conservative engineering
defaults for lithium-ion packs of up to 60 V, not figures of a standard.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Final

#: (low, high) of each limit that is a number, both included.
BOUNDS: Final[Mapping[str, tuple[float, float]]] = MappingProxyType(
    {
        "charge_temp_min_c": (-10.0, 15.0),
        "charge_temp_max_c": (30.0, 50.0),
        "charge_derate_c": (25.0, 45.0),
        "charge_derate_floor": (0.0, 1.0),
        "charge_stop_c": (40.0, 60.0),
        "charge_resume_c": (20.0, 45.0),
        "charge_resume_cold_c": (-10.0, 20.0),
        "air_warn_c": (35.0, 65.0),
        "air_trip_c": (40.0, 70.0),
        "fire_c": (60.0, 100.0),
        "rise_c_per_min": (0.2, 5.0),
        "rise_minutes": (1, 10),
        "cell_voltage_max_v": (3.4, 4.4),
        "cell_voltage_resume_v": (3.2, 4.35),
        "cell_voltage_min_v": (0.5, 3.0),
        "charge_voltage_max_v": (10.0, 60.0),
        "breaker_w": (100, 100_000),
        "bms_silent_ms": (2_000, 30_000),
        "charger_silent_ms": (1_000, 30_000),
        "charger_boot_ms": (1_000, 60_000),
        "charger_retry_ms": (5_000, 3_600_000),
        "charger_stray_ms": (2_000, 30_000),
        "input_age_max_ms": (500, 10_000),
        "cooldown_ms": (60_000, 3_600_000),
        "fan_on_c": (20.0, 55.0),
        "fan_off_c": (15.0, 50.0),
    }
)
#: Pairs that must rise from the first to the second.
_RISING: Final = (
    ("charge_temp_min_c", "charge_derate_c"),
    ("charge_temp_min_c", "charge_resume_cold_c"),
    ("charge_resume_cold_c", "charge_derate_c"),
    ("charge_derate_c", "charge_temp_max_c"),
    ("charge_temp_max_c", "charge_stop_c"),
    ("charge_resume_c", "charge_temp_max_c"),
    ("charge_resume_cold_c", "charge_resume_c"),
    ("charge_stop_c", "fire_c"),
    ("air_warn_c", "air_trip_c"),
    ("air_trip_c", "fire_c"),
    ("cell_voltage_min_v", "cell_voltage_resume_v"),
    ("cell_voltage_resume_v", "cell_voltage_max_v"),
    ("fan_off_c", "fan_on_c"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one cabinet. Raises ValueError naming field, value and bounds."""

    charge_temp_min_c: float = 0.0  # colder cells are not charged
    charge_temp_max_c: float = 45.0  # at this, charging stops until the cells are cool again
    charge_derate_c: float = 40.0  # from here the current falls …
    charge_derate_floor: float = 0.2  # … to this part of it, just below charge_temp_max_c
    charge_stop_c: float = 50.0  # at this the slot's AC is dropped as well, and the pack isolated
    charge_resume_c: float = 43.0  # stopped by heat: charged again below this
    charge_resume_cold_c: float = 2.0  # stopped by cold: charged again above this
    air_warn_c: float = 55.0
    air_trip_c: float = 60.0  # slot AC off, door locked, latched
    fire_c: float = 80.0  # any sensor: the same as smoke
    rise_c_per_min: float = 1.0  # faster, in each of rise_minutes minutes running: latched
    rise_minutes: int = 3
    cell_voltage_max_v: float = 4.25
    cell_voltage_resume_v: float = 4.21
    cell_voltage_min_v: float = 2.0  # a cell below this is damaged: never charged
    charge_voltage_max_v: float = 54.6  # what the chargers are set to; guards against other packs
    breaker_w: int = 3_500
    bms_silent_ms: int = 10_000
    charger_silent_ms: int = 5_000  # three missed polls and the time of a late one
    charger_boot_ms: int = 8_000  # from power to the first answer
    charger_retry_ms: int = 60_000  # a charger that fell silent is left without power this long
    charger_stray_ms: int = 8_000  # an output that stays on against orders loses its AC after this
    input_age_max_ms: int = 3_000  # an older smoke or e-stop contact is unknown
    cooldown_ms: int = 300_000  # a hot sensor that can no longer be read counts as hot this long
    fan_on_c: float = 35.0
    fan_off_c: float = 32.0
    estop_fitted: bool = True  # false only for a cabinet whose e-stop is not wired to the daemon

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type == "bool":
                if not isinstance(value, bool):
                    raise ValueError(f"{item.name} = {value!r}: expected true or false")
                continue
            low, high = BOUNDS[item.name]
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{item.name} = {value!r}: expected a number")  # noqa: TRY004 - one error for all limits
            if item.type == "int" and not isinstance(value, int):
                raise ValueError(f"{item.name} = {value!r}: expected a whole number")
            if not (math.isfinite(value) and low <= value <= high):
                raise ValueError(f"{item.name} = {value:g}: expected {low:g} to {high:g}")
        for lower, upper in _RISING:
            if not getattr(self, lower) < getattr(self, upper):
                raise ValueError(
                    f"{lower} = {getattr(self, lower):g} must be below "
                    f"{upper} = {getattr(self, upper):g}"
                )

    def derate(self, temp_c: float) -> float:
        """The part of the current allowed at this cell temperature, inside the window."""
        if temp_c <= self.charge_derate_c:
            return 1.0
        span_c = self.charge_temp_max_c - self.charge_derate_c
        fall = min(1.0, (temp_c - self.charge_derate_c) / span_c)
        return 1.0 - fall * (1.0 - self.charge_derate_floor)
