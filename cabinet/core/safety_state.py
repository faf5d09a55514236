"""What safety remembers between two steps, and what it tells the rest of the cabinet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

#: ``seen_ms`` of a trip that an earlier boot latched: its clock means nothing now.
BEFORE_BOOT: Final = -1


class Code(StrEnum):
    """Alarm codes as they appear in alarm events."""

    # latched: only a technician's clear releases them
    SMOKE = "smoke"
    FIRE = "over-temperature"  # some sensor at 80 °C or more
    FLOOD = "flood"
    ESTOP = "e-stop"
    AIR_TRIP = "slot-air-trip"
    RISE = "temperature-rise"
    # standing as long as their cause
    SERVICE_DOOR = "service-door"
    SMOKE_UNKNOWN = "smoke-unknown"
    ESTOP_UNKNOWN = "e-stop-unknown"
    AIR_WARM = "slot-air-warm"
    CELL_HOT = "cell-hot"
    CELL_WARM = "cell-warm"
    CELL_COLD = "cell-cold"
    CELL_OVER_VOLTAGE = "cell-over-voltage"
    CELL_DAMAGED = "cell-under-voltage"
    WRONG_PACK = "wrong-pack"
    BMS_SILENT = "bms-silent"
    BMS_PROTECTION = "bms-protection"
    CHARGER_SILENT = "charger-silent"
    CHARGER_STRAY = "charger-stray"
    CHARGER_PROTECTION = "charger-protection"
    OVER_POWER = "over-power"


LATCHED: Final = frozenset(
    {Code.SMOKE, Code.FIRE, Code.FLOOD, Code.ESTOP, Code.AIR_TRIP, Code.RISE}
)
SEVERITY: Final[Mapping[Code, str]] = MappingProxyType(
    {
        Code.SMOKE: "critical",
        Code.FIRE: "critical",
        Code.FLOOD: "critical",
        Code.ESTOP: "critical",
        Code.AIR_TRIP: "critical",
        Code.RISE: "critical",
        Code.CELL_HOT: "critical",
        Code.CELL_OVER_VOLTAGE: "critical",
        Code.CHARGER_STRAY: "critical",
        Code.OVER_POWER: "critical",
        Code.CELL_WARM: "info",
        Code.CELL_COLD: "info",
    }
)


class Trip(Struct, frozen=True):
    """A latched trip. ``active`` tells whether its cause may still be there."""

    code: Code
    slot: int | None
    seen_ms: int  # when its cause was last seen
    active: bool = True


class Sample(Struct, frozen=True):
    """One temperature of a charging pack."""

    at_ms: int
    temp_c: float


class Track(Struct, frozen=True):
    """What safety remembers of one slot. It means nothing to another boot."""

    warm: bool = False  # too warm to charge, until it is below the resume temperature
    hot: bool = False  # the same after charge_stop_c
    cold: bool = False
    over_voltage: bool = False
    air_warm: bool = False
    bms_silent: bool = False
    charger_fault: Code | None = None  # what it was last deprived of AC for
    powered_since_ms: int | None = None  # since when the charger has had AC
    retry_at_ms: int | None = None  # when a charger without an answer gets AC again
    stray_since_ms: int | None = None
    samples: tuple[Sample, ...] = ()


class Shed(Struct, frozen=True):
    """How far charging is held below the breaker because the meter said it was exceeded."""

    shed_w: int = 0
    meter_at_ms: int | None = None  # the reading that was judged last
    calm_since_ms: int | None = None


class SafetyState(Struct, frozen=True):
    """Latched trips, and what else must be remembered. Serialisable by msgspec.

    Store ``latched``, and only when it changes: the rest is of this boot and changes every step.
    """

    trips: tuple[Trip, ...] = ()
    tracks: tuple[Track, ...] = ()
    shed: Shed = Shed()
    fan: bool = False

    @property
    def latched(self) -> SafetyState:
        """The trips alone, in the form that survives a restart."""
        return SafetyState(
            trips=tuple(Trip(trip.code, trip.slot, BEFORE_BOOT) for trip in self.trips)
        )

    def has(self, code: Code, slot: int | None = None) -> bool:
        """Whether this trip is latched."""
        return any(trip.code == code and trip.slot == slot for trip in self.trips)


def with_trip(state: SafetyState, trip: Trip) -> SafetyState:
    """The state with this trip in place of an earlier one of its code and slot."""
    others = tuple(t for t in state.trips if (t.code, t.slot) != (trip.code, trip.slot))
    return msgspec.structs.replace(state, trips=(*others, trip))


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person should know; it stands as long as it is in the verdict."""

    code: str
    slot: int | None
    severity: str  # "info", "warning" or "critical"


def alarm(code: Code, slot: int | None = None) -> Alarm:
    """The alarm of a code, with its severity."""
    return Alarm(code.value, slot, SEVERITY.get(code, "warning"))


class Verdict(Struct, frozen=True):
    """What may be on, open and charged now; it wins over any order or plan."""

    cabinet_ac: bool = False
    slot_ac: frozenset[int] = frozenset()  # slots whose AC may be held
    charge_factor: Mapping[int, float] = msgspec.field(
        default_factory=dict
    )  # 0 to 1; absent means 0
    power_cap_w: int = 0  # breaker, or less after it was exceeded
    doors_locked: bool = True  # no rider's door may open
    locked_slots: frozenset[int] = frozenset()
    siren: bool = False
    extinguisher: bool = False
    fan: bool = False
    alarms: frozenset[Alarm] = frozenset()
    quarantine: frozenset[int] = frozenset()  # packs that are never offered nor charged
