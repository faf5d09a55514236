"""One bench-type charger: a voltage limit, a current limit, and what the pack makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

#: Direct current out over alternating current in.
EFFICIENCY: Final = 0.92
#: Cable and contacts between charger and pack.
LEAD_OHM: Final = 0.02
HEAT_CAPACITY_J_PER_K: Final = 900.0
COOLING_W_PER_K: Final = 1.2
VOLTAGE_MAX_V: Final = 60.0
CURRENT_MAX_A: Final = 6.0
SUPPLY_V: Final = 66.0
#: Hotter than this it gives nothing, and takes no order to.
OUTPUT_TEMP_MAX_C: Final = 85.0


class Latch(IntEnum):
    """Why the output switched itself off, as its register tells."""

    NONE = 0
    OVP = 1
    OCP = 2


@dataclass(slots=True)
class Charger:
    """The charger of one slot.

    Set-points survive a power cut; the output does not, unless ``boot_power_on``.
    """

    powered: bool = False
    output_on: bool = False
    boot_power_on: bool = False
    voltage_set_v: float = 0.0
    current_set_a: float = 0.0
    ovp_v: float = 62.0
    ocp_a: float = 6.2
    latch: Latch = Latch.NONE
    voltage_v: float = 0.0
    current_a: float = 0.0
    constant_current: bool = False
    sense_v: float = 0.0
    charge_ah: float = 0.0
    energy_wh: float = 0.0
    temp_c: float = 25.0
    error_v: float = 0.0  # how far a broken regulator is above its set-point
    held_temp_c: float | None = None  # a blocked fan: its temperature is this

    @property
    def power_w(self) -> float:
        """Direct-current power into the pack."""
        return self.voltage_v * self.current_a

    @property
    def ac_power_w(self) -> float:
        """What it draws from the mains."""
        return self.power_w / EFFICIENCY

    @property
    def battery_mode(self) -> bool:
        """Whether it senses a pack."""
        return self.powered and self.sense_v > 1.0

    def set_power(self, *, powered: bool) -> None:
        """The mains come or go."""
        if powered != self.powered:
            self.powered = powered
            self.output_on = powered and self.boot_power_on
            self.latch = Latch.NONE

    def set_output(self, *, on: bool) -> None:
        """Switch the output; switching it on clears a latch."""
        if on:
            self.latch = Latch.NONE
        self.output_on = on and self.powered and not self.is_too_hot

    def settle(self, emf_v: float | None, series_ohm: float, *, accepts: bool) -> None:
        """Find voltage and current for the pack that is connected now.

        Args:
            emf_v: what the pack shows at rest; None when no pack is connected.
            series_ohm: the pack's own series resistance.
            accepts: whether the pack's charge path is closed.
        """
        if self.held_temp_c is not None:
            self.temp_c = self.held_temp_c
        self.output_on = self.output_on and not self.is_too_hot
        self.sense_v = emf_v if emf_v is not None and self.powered else 0.0
        target_v = self.voltage_set_v + self.error_v
        self.current_a, self.constant_current = 0.0, False
        if not self.output_on:
            self.voltage_v = 0.0
            return
        if emf_v is None or not accepts:
            self.voltage_v = target_v
        else:
            ohm = series_ohm + LEAD_OHM
            wanted_a = max(0.0, (target_v - emf_v) / ohm)
            self.constant_current = wanted_a > self.current_set_a
            self.current_a = min(wanted_a, self.current_set_a)
            self.voltage_v = emf_v + self.current_a * ohm
            self.sense_v = self.voltage_v
        self._protect()

    def advance(self, dt_s: float, air_c: float, heat_s: float | None = None) -> None:
        """Count charge and energy, warm up and cool down (for ``heat_s``; None: the same)."""
        hours = dt_s / 3_600.0
        self.charge_ah += self.current_a * hours
        self.energy_wh += self.power_w * hours
        if self.held_temp_c is not None:
            return
        flow_w = self.loss_w + COOLING_W_PER_K * (air_c - self.temp_c)
        self.temp_c += flow_w * (dt_s if heat_s is None else heat_s) / HEAT_CAPACITY_J_PER_K

    @property
    def is_too_hot(self) -> bool:
        """Whether its own thermal switch is open."""
        return self.temp_c > OUTPUT_TEMP_MAX_C

    @property
    def loss_w(self) -> float:
        """What becomes heat inside it."""
        return self.ac_power_w - self.power_w

    def _protect(self) -> None:
        if self.voltage_v > self.ovp_v:
            self.latch = Latch.OVP
        elif self.current_a > self.ocp_a:
            self.latch = Latch.OCP
        else:
            return
        self.output_on = False
        self.voltage_v, self.current_a, self.constant_current = 0.0, 0.0, False
