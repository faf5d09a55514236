"""The energy meter, of any type with plain registers, and the climate sensor (XY-MD02)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final, Literal

from protocols.device import Device
from protocols.devices import DEVICES
from protocols.maps import xy_md02
from protocols.registers import Register, Value
from simulator.devices.base import RegisterDevice
from simulator.models.meter import MAINS_HZ, POWER_FACTOR, Climate, Meter

#: The meter's settings as delivered to us: 9600 8N1.
METER_SETTINGS: Final = {
    "demand_period_min": 60,
    "relay_pulse_ms": 100,
    "parity_stop": 0,
    "baud_code": 2,
    "serial": 2_026_110_001,
    "revision": 1,
    "current_ratio": 1,
}
#: The cabinet hangs on the first of the three phases; the others have voltage and nothing else.
_PHASE: Final = re.compile(r"(?P<stem>.+?)_l(?P<phase>[123])(?P<unit>(_[a-z]+)?)")
_BETWEEN_PHASES: Final = frozenset(
    {"voltage_l1_l2_v", "voltage_l2_l3_v", "voltage_l3_l1_v", "voltage_line_mean_v"}
)
#: Names of sums and means over the phases, as the first phase alone makes them.
_SAME: Final = {"current_sum_a": "current_a", "voltage_mean_v": "voltage_v"}


class EnergyMeter(RegisterDevice):
    """The meter. Words it does not define read as zero, or are refused, as the user chooses."""

    def __init__(
        self,
        name: str,
        unit: int,
        meter: Meter,
        reserved: Literal["zeros", "exception"],
        device: Device = DEVICES["eastron-sdm120"],
    ) -> None:
        blank = [address for span in device.blank for address in span]
        assert device.table is not None, f"{device.type} has no registers"
        super().__init__(name, unit, device.table, blank if reserved == "zeros" else ())
        self._show = _readings(meter)
        self._kept: dict[str, Value] = dict(METER_SETTINGS)

    def value(self, register: Register) -> Value:
        """What a register shows now."""
        if register.name == "modbus_id":
            return self.unit
        reading = self._show.get(register.name)
        if reading is not None:
            return reading()
        return self._kept.get(register.name) or self._of_phases(register.name)

    def _of_phases(self, name: str) -> Value:
        """One phase of three, or their sum or mean; 0 for what this meter does not count."""
        if name in _BETWEEN_PHASES:
            return math.sqrt(3) * self._show["voltage_v"]()
        found = _PHASE.fullmatch(name)
        if found is None:
            reading = self._show.get(_SAME.get(name, ""))
            return 0 if reading is None else reading()
        whole = found["stem"] + found["unit"]
        if whole == "power_factor" and found["phase"] != "1":
            return 1.0
        reading = self._show.get(whole)
        loaded = found["phase"] == "1" or whole == "voltage_v"
        return reading() if reading is not None and loaded else 0

    def change(self, name: str, value: Value) -> None:
        """Settings are kept and shown again; the line keeps its speed until power is cycled."""
        if name == "modbus_id":
            self.unit = int(value)
        else:
            self._kept[name] = value


class ClimateSensor(RegisterDevice):
    """The temperature and humidity sensor, with its two calibration offsets."""

    def __init__(self, name: str, unit: int, climate: Climate) -> None:
        super().__init__(name, unit, xy_md02.MAP)
        self._climate = climate
        self._line_baud = 9_600

    def value(self, register: Register) -> Value:
        """What a register shows now."""
        match register.name:
            case "temperature_c":
                return self._climate.shown_temp_c
            case "humidity_pct":
                return self._climate.shown_humidity_pct
            case "temperature_offset_c":
                return self._climate.temp_offset_c
            case "humidity_offset_pct":
                return self._climate.humidity_offset_pct
            case "device_address":
                return self.unit
            case _:
                return self._line_baud

    def change(self, name: str, value: Value) -> None:
        """Take an offset, an address or a setting."""
        match name:
            case "temperature_offset_c":
                self._climate.temp_offset_c = float(value)
            case "humidity_offset_pct":
                self._climate.humidity_offset_pct = float(value)
            case "device_address":
                self.unit = int(value)
            case _:
                self._line_baud = int(
                    value
                )  # in force after the next power cycle, as on the device


def _readings(meter: Meter) -> Mapping[str, Callable[[], Value]]:
    return {
        "voltage_v": lambda: meter.voltage_v,
        "current_a": lambda: meter.current_a,
        "power_w": lambda: meter.power_w,
        "apparent_va": lambda: meter.apparent_va,
        "reactive_var": lambda: meter.reactive_var,
        "phase_angle_deg": lambda: math.degrees(math.acos(POWER_FACTOR)),
        "power_factor": lambda: POWER_FACTOR,
        "frequency_hz": lambda: MAINS_HZ,
        "import_kwh": lambda: meter.import_kwh,
        "import_kvarh": lambda: meter.import_kvarh,
        "demand_w": lambda: meter.demand_w,
        "demand_max_w": lambda: meter.demand_max_w,
        "demand_a": lambda: meter.demand_w / POWER_FACTOR / meter.voltage_v,
        "demand_max_a": lambda: meter.current_max_a,
        "total_kwh": lambda: meter.import_kwh,
        "total_kvarh": lambda: meter.import_kvarh,
    }
