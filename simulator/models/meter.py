"""The cabinet's energy meter and its climate sensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

MAINS_V: Final = 230.0
MAINS_HZ: Final = 50.0
#: The mains sag and swell by this much, slowly.
SWING_V: Final = 2.0
SWING_PERIOD_S: Final = 900.0
POWER_FACTOR: Final = 0.98
#: Computer, router, boards and lamps.
STANDBY_W: Final = 40.0
#: The meter's demand is the mean over this sliding window, as an exponential.
DEMAND_TAU_S: Final = 900.0
#: The cabinet's air follows slowly; a slot one degree warmer lifts it by this much.
AIR_TAU_S: Final = 1_200.0
SLOT_GAIN: Final = 0.04
#: What is left of that warmth while the fan runs.
FAN_FACTOR: Final = 0.4


@dataclass(slots=True)
class Meter:
    """A single-phase meter in front of everything."""

    phase: float = 0.0
    voltage_v: float = MAINS_V
    power_w: float = STANDBY_W
    import_kwh: float = 0.0
    import_kvarh: float = 0.0
    demand_w: float = STANDBY_W
    demand_max_w: float = STANDBY_W
    current_max_a: float = 0.0

    @property
    def apparent_va(self) -> float:
        """Apparent power."""
        return self.power_w / POWER_FACTOR

    @property
    def reactive_var(self) -> float:
        """Reactive power; electronic loads make it capacitive, the meter counts it unsigned."""
        return math.sqrt(self.apparent_va**2 - self.power_w**2)

    @property
    def current_a(self) -> float:
        """Current of the phase."""
        return self.apparent_va / self.voltage_v

    def advance(self, dt_s: float, at_s: float, power_w: float) -> None:
        """Count what flows."""
        turn = at_s / SWING_PERIOD_S + self.phase
        self.voltage_v = MAINS_V + SWING_V * math.sin(2 * math.pi * turn)
        self.power_w = power_w
        self.import_kwh += power_w * dt_s / 3_600_000.0
        self.import_kvarh += self.reactive_var * dt_s / 3_600_000.0
        self.demand_w += (power_w - self.demand_w) * (1.0 - math.exp(-dt_s / DEMAND_TAU_S))
        self.demand_max_w = max(self.demand_max_w, self.demand_w)
        self.current_max_a = max(self.current_max_a, self.current_a)


@dataclass(slots=True)
class Climate:
    """Air of the cabinet: the street's, warmed by what the slots lose."""

    temp_c: float = 25.0
    humidity_pct: float = 55.0
    temp_offset_c: float = 0.0
    humidity_offset_pct: float = 0.0

    @property
    def shown_temp_c(self) -> float:
        """What the sensor tells, its offset included."""
        return self.temp_c + self.temp_offset_c

    @property
    def shown_humidity_pct(self) -> float:
        """What the sensor tells, its offset included."""
        return min(100.0, max(0.0, self.humidity_pct + self.humidity_offset_pct))

    def advance(self, dt_s: float, ambient_c: float, slot_air_c: list[float], *, fan: bool) -> None:
        """Drift towards the street's temperature plus the slots' warmth."""
        warmth = sum(air - ambient_c for air in slot_air_c) * SLOT_GAIN
        goal_c = ambient_c + warmth * (FAN_FACTOR if fan else 1.0)
        share = 1.0 - math.exp(-dt_s / AIR_TAU_S)
        self.temp_c += (goal_c - self.temp_c) * share
        dry = 55.0 - 2.0 * (self.temp_c - ambient_c)
        self.humidity_pct += (min(99.0, max(5.0, dry)) - self.humidity_pct) * share
