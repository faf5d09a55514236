"""One battery pack: 13 NMC cells in series (48 V) with its own protection board.

The electrical model is an open-circuit voltage curve, a series resistance and one slow
resistor-capacitor pair. Nothing in it knows of "constant current" or "constant voltage": the taper
appears by itself when the charger's voltage limit meets the pack's rising voltage. The figures are
stated assumptions for a 48 V 24 Ah delivery pack, not measurements of a product.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

#: Open-circuit voltage of one NMC cell over its state of charge.
OCV_SOC: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0)
OCV_V: Final = (
    3.00, 3.38, 3.47, 3.57, 3.62, 3.66, 3.71, 3.79, 3.89, 3.98, 4.07, 4.11, 4.15, 4.20,
)  # fmt: skip
SERIES_OHM: Final = 0.10
SLOW_OHM: Final = 0.10
SLOW_TAU_S: Final = 120.0
HEAT_CAPACITY_J_PER_K: Final = 8_000.0
#: From the cells to the air of the slot.
COOLING_W_PER_K: Final = 2.0
IMBALANCE_SIGMA: Final = 0.002
#: Bleeding resistors level the cells with this time constant while the pack is nearly full.
BALANCE_TAU_S: Final = 40_000.0
BALANCE_START_V: Final = 4.08
BALANCE_SPREAD_V: Final = 0.004

#: Protections that open the charge path, the discharge path, or (in both) everything.
CUTS_CHARGE: Final = frozenset(
    {
        "cell-over-voltage",
        "pack-over-voltage",
        "charge-over-temp",
        "charge-under-temp",
        "charge-over-current",
        "charge-timeout",
        "short-circuit",
        "afe-error",
        "mos-lock",
    }
)
CUTS_DISCHARGE: Final = frozenset(
    {
        "cell-under-voltage",
        "pack-under-voltage",
        "discharge-over-temp",
        "discharge-under-temp",
        "discharge-over-current",
        "short-circuit",
        "afe-error",
        "mos-lock",
    }
)
PROTECTIONS: Final = CUTS_CHARGE | CUTS_DISCHARGE


@dataclass(frozen=True, slots=True)
class Threshold:
    """A protection trips past ``trip`` and releases past ``release``."""

    name: str
    trip: float
    release: float

    def holds(self, value: float, *, tripped: bool) -> bool:
        """Whether the protection stands at this value, given whether it stood before."""
        limit = self.release if tripped else self.trip
        return value > limit if self.trip > self.release else value < limit


CELL_HIGH: Final = (Threshold("cell-over-voltage", 4.25, 4.15),)
CELL_LOW: Final = (Threshold("cell-under-voltage", 2.80, 3.00),)
TEMP: Final = (
    Threshold("charge-over-temp", 60.0, 50.0),
    Threshold("charge-under-temp", -1.0, 3.0),
    Threshold("discharge-over-temp", 70.0, 60.0),
    Threshold("discharge-under-temp", -20.0, -15.0),
)


@dataclass(frozen=True, slots=True)
class PackSpec:
    """What a pack is made of."""

    series: int = 13
    capacity_ah: float = 24.0
    soh_pct: float = 100.0
    cycles: int = 40


@dataclass(slots=True)
class Pack:
    """One pack, in a slot or in somebody's hands.

    ``serial`` is None when the barcode cannot be read. ``name`` fixes the scatter of the cells
    together with the seed, so that the same pack is the same in every run.
    """

    serial: str | None
    soc: float
    temp_c: float
    spec: PackSpec = field(default_factory=PackSpec)
    seed: int = 0
    hold_temp: bool = False
    bms_silent: bool = False
    charge_switch_on: bool = True
    discharge_switch_on: bool = True
    forced: frozenset[str] = frozenset()
    tripped: frozenset[str] = frozenset()
    current_a: float = 0.0
    slow_v: float = 0.0
    charged_ah: float = 0.0
    energy_in_wh: float = 0.0
    heat_wh: float = 0.0
    trips: dict[str, int] = field(default_factory=dict)
    weak_cell_v: float = 0.0  # how far the first cell is below the mean of the others
    _spread: tuple[float, ...] = ()
    _terminal_v: float = 0.0

    def __post_init__(self) -> None:
        self.soc = min(1.0, max(0.0, self.soc))
        scatter = random.Random(f"{self.seed}/{self.serial}")  # noqa: S311 - physics, not secrets
        raw = [scatter.gauss(0.0, IMBALANCE_SIGMA) for _ in range(self.spec.series)]
        mean = sum(raw) / len(raw)
        self._spread = tuple(value - mean for value in raw)
        self._protect()

    @property
    def capacity_ah(self) -> float:
        """What it holds today."""
        return self.spec.capacity_ah * self.spec.soh_pct / 100.0

    @property
    def remaining_ah(self) -> float:
        """What is in it now."""
        return self.soc * self.capacity_ah

    @property
    def cycles(self) -> int:
        """Full charges in its life."""
        return self.spec.cycles + int(self.charged_ah / self.capacity_ah)

    @property
    def soc_pct(self) -> int:
        """State of charge as its board tells it."""
        return round(self.soc * 100)

    @property
    def emf_v(self) -> float:
        """What a charger must overcome before any current flows."""
        return self.spec.series * _ocv(self.soc)[0] + self.slow_v

    @property
    def voltage_v(self) -> float:
        """Sum of the cells."""
        return self.emf_v + self.current_a * SERIES_OHM

    @property
    def cell_v(self) -> tuple[float, ...]:
        """Every cell; they sum to ``voltage_v``."""
        mean, slope = self.voltage_v / self.spec.series, _ocv(self.soc)[1]
        share_v = self.weak_cell_v / self.spec.series
        return tuple(
            mean + slope * delta + share_v - (self.weak_cell_v if index == 0 else 0.0)
            for index, delta in enumerate(self._spread)
        )

    @property
    def temps_c(self) -> tuple[float, float]:
        """Two sensors: core and edge of the cell block."""
        return self.temp_c, self.temp_c - 0.4

    @property
    def protection(self) -> frozenset[str]:
        """Every protection that stands."""
        return self.tripped | self.forced

    @property
    def charge_fet_on(self) -> bool:
        """Whether current can flow in."""
        return self.charge_switch_on and not (self.protection & CUTS_CHARGE)

    @property
    def discharge_fet_on(self) -> bool:
        """Whether current can flow out."""
        return self.discharge_switch_on and not (self.protection & CUTS_DISCHARGE)

    @property
    def terminal_v(self) -> float:
        """What a charger's sense wire sees: nothing when both paths are open."""
        return self.voltage_v if self.charge_fet_on or self.discharge_fet_on else 0.0

    @property
    def balancing(self) -> frozenset[int]:
        """Cells whose bleeding resistor is on, from 0."""
        cells = self.cell_v
        low = min(cells)
        return frozenset(
            index
            for index, volt in enumerate(cells)
            if volt >= BALANCE_START_V and volt - low >= BALANCE_SPREAD_V
        )

    def advance(
        self, dt_s: float, current_a: float, air_c: float, heat_s: float | None = None
    ) -> None:
        """Let ``current_a`` (in is positive) flow for ``dt_s`` in air of this temperature.

        ``heat_s`` is the time in which it warms; None: the same.
        """
        self.current_a = current_a
        heat_w = current_a * current_a * SERIES_OHM + self.slow_v * self.slow_v / SLOW_OHM
        hours = dt_s / 3_600.0
        self.energy_in_wh += self.voltage_v * current_a * hours
        self.heat_wh += heat_w * hours
        self.charged_ah += max(0.0, current_a) * hours
        self.soc = min(1.0, max(0.0, self.soc + current_a * hours / self.capacity_ah))
        keep = math.exp(-dt_s / SLOW_TAU_S)
        self.slow_v = self.slow_v * keep + current_a * SLOW_OHM * (1.0 - keep)
        if not self.hold_temp:
            flow_w = heat_w + COOLING_W_PER_K * (air_c - self.temp_c)
            self.temp_c += flow_w * (dt_s if heat_s is None else heat_s) / HEAT_CAPACITY_J_PER_K
        if self.voltage_v >= BALANCE_START_V * self.spec.series:
            keep = math.exp(-dt_s / BALANCE_TAU_S)
            self._spread = tuple(delta * keep for delta in self._spread)
        self._protect()

    def force(self, names: frozenset[str]) -> None:
        """Pretend that exactly these protections stand, until the next call."""
        for name in names - self.forced:
            self.trips[name] = self.trips.get(name, 0) + 1
        self.forced = names

    def set_switches(self, *, charge: bool, discharge: bool) -> None:
        """Open or close the charge and discharge paths by order of the host."""
        self.charge_switch_on = charge
        self.discharge_switch_on = discharge

    def check(self) -> None:
        """Look at every limit again, after a hand has changed something."""
        self._protect()

    def _protect(self) -> None:
        mean, slope = self.voltage_v / self.spec.series, _ocv(self.soc)[1]
        high_v, low_v = mean + slope * max(self._spread), mean + slope * min(self._spread)
        if self.weak_cell_v:
            high_v, low_v = max(self.cell_v), min(self.cell_v)
        standing = frozenset(
            threshold.name
            for thresholds, value in ((CELL_HIGH, high_v), (CELL_LOW, low_v), (TEMP, self.temp_c))
            for threshold in thresholds
            if threshold.holds(value, tripped=threshold.name in self.tripped)
        )
        if standing != self.tripped:
            for name in standing - self.tripped:
                self.trips[name] = self.trips.get(name, 0) + 1
            self.tripped = standing


def _ocv(soc: float) -> tuple[float, float]:
    """Voltage of a resting cell, and its slope per unit of charge."""
    right = min(len(OCV_SOC) - 1, max(1, bisect_right(OCV_SOC, soc)))
    x0, x1, y0, y1 = OCV_SOC[right - 1], OCV_SOC[right], OCV_V[right - 1], OCV_V[right]
    slope = (y1 - y0) / (x1 - x0)
    return y0 + slope * (soc - x0), slope
