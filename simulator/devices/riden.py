"""The charger's Modbus face, as a Riden of any model shows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from protocols.maps import riden_rd6006
from protocols.registers import Register, Value
from simulator.devices.base import RegisterDevice
from simulator.models.charger import SUPPLY_V, Charger
from simulator.models.slot import Slot
from simulator.wires.bus import Answer

FIRMWARE: Final = 1.42
#: The device answers for a whole page; what has no meaning there reads as zero. The bootloader's
#: word is not served.
PAGE: Final = range(120)
#: What the presets hold until somebody writes them.
PRESET_START: Final = {"voltage_v": 5.0, "current_a": 1.0, "ovp_v": 62.0, "ocp_a": 6.2}


class RidenCharger(RegisterDevice):
    """One charger; without mains it hears nothing."""

    def __init__(
        self, name: str, unit: int, slot: Slot, model: riden_rd6006.Model = riden_rd6006.RD6006
    ) -> None:
        super().__init__(name, unit, riden_rd6006.MAPS[model], PAGE)
        self._slot = slot
        self._kept: dict[str, Value] = {
            f"preset_{number}_{part}": value
            for number in range(1, riden_rd6006.PRESETS)
            for part, value in PRESET_START.items()
        }
        self._show = _readings(slot, unit, model.ids[0])

    def hears(self, unit: int) -> bool:
        """Only its own address, and only with mains."""
        return unit == self.unit and self._slot.charger.powered

    def answer(self, unit: int, pdu: bytes) -> Answer | None:
        """Act, and answer."""
        said = super().answer(unit, pdu)
        self._slot.settle()
        return said

    def value(self, register: Register) -> Value:
        """What a register shows now."""
        reading = self._show.get(register.name)
        return self._kept.get(register.name, 0) if reading is None else reading()

    def change(self, name: str, value: Value) -> None:
        """Take a set-point, a limit or a setting; what has no physics is kept and shown again."""
        charger = self._slot.charger
        match name:
            case "voltage_set_v" | "preset_0_voltage_v":
                charger.voltage_set_v = float(value)
            case "current_set_a" | "preset_0_current_a":
                charger.current_set_a = float(value)
            case "ovp_v":
                charger.ovp_v = float(value)
            case "ocp_a":
                charger.ocp_a = float(value)
            case "output_on":
                charger.set_output(on=bool(value))
            case "boot_power_on":
                charger.boot_power_on = bool(value)
            case "preset":
                self._recall(int(value))
            case _:
                self._kept[name] = value

    def _recall(self, number: int) -> None:
        if number == 0:  # the one in use already
            return
        for part, target in (
            ("voltage_v", "voltage_set_v"),
            ("current_a", "current_set_a"),
            ("ovp_v", "ovp_v"),
            ("ocp_a", "ocp_a"),
        ):
            self.change(target, self._kept[f"preset_{number}_{part}"])


def _readings(slot: Slot, unit: int, model_id: int) -> Mapping[str, Callable[[], Value]]:
    charger: Charger = slot.charger
    return {
        "model_id": lambda: model_id,
        "serial": lambda: 6_000 + unit,
        "firmware": lambda: FIRMWARE,
        "internal_temp_sign": lambda: round(charger.temp_c) < 0,
        "internal_temp_c": lambda: abs(round(charger.temp_c)),
        "internal_temp_sign_fahrenheit": lambda: _fahrenheit(charger.temp_c) < 0,
        "internal_temp_f": lambda: abs(_fahrenheit(charger.temp_c)),
        "voltage_set_v": lambda: charger.voltage_set_v,
        "current_set_a": lambda: charger.current_set_a,
        "voltage_out_v": lambda: charger.voltage_v,
        "current_out_a": lambda: charger.current_a,
        "power_w": lambda: charger.power_w,
        "voltage_in_v": lambda: SUPPLY_V,
        "protection": lambda: int(charger.latch),
        "cv_cc": lambda: int(charger.constant_current),
        "output_on": lambda: int(charger.output_on),
        "battery_mode": lambda: int(charger.battery_mode),
        "battery_voltage_v": lambda: charger.sense_v,
        "external_temp_sign": lambda: round(slot.air_c) < 0,
        "external_temp_c": lambda: abs(round(slot.air_c)),
        "external_temp_sign_fahrenheit": lambda: _fahrenheit(slot.air_c) < 0,
        "external_temp_f": lambda: abs(_fahrenheit(slot.air_c)),
        "charge_ah": lambda: charger.charge_ah,
        "energy_wh": lambda: charger.energy_wh,
        "boot_power_on": lambda: int(charger.boot_power_on),
        "preset_0_voltage_v": lambda: charger.voltage_set_v,
        "preset_0_current_a": lambda: charger.current_set_a,
        "ovp_v": lambda: charger.ovp_v,
        "ocp_a": lambda: charger.ocp_a,
    }


def _fahrenheit(temp_c: float) -> int:
    return round(temp_c * 1.8 + 32)
