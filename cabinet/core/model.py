"""What crosses the border between the deciding core and the shell that touches the world.

Upwards comes an ``Image``: everything the buses have read, each reading with the monotonic time of
its last good read. A reading never disappears when a device falls silent; it only grows old, and
the core decides when old means unknown. Downwards go ``Effect`` values.

Times are milliseconds of one monotonic clock (``*_ms``), unless named ``wall``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from protocols.messages import Door, Presence

#: A door or presence reading older than this is unknown, never closed or absent.
CONTACT_AGE_MAX_MS: Final = 1_000
#: A BMS or charger reading older than this is not used for a new decision.
READING_AGE_MAX_MS: Final = 5_000


#: A board that tells more than this is broken, and what it tells is no charge.
SOC_MAX_PCT: Final = 100


def told_soc(soc_pct: int) -> int | None:
    """A pack's charge for reports and books; None when it tells what no pack can hold.

    The fleet refuses such a figure, and with it the movement that it stands in.
    """
    return soc_pct if 0 <= soc_pct <= SOC_MAX_PCT else None


class Input(StrEnum):
    """Cabinet-wide contacts. Wired as closed loops: a broken wire reads as alarm."""

    SMOKE = "smoke"
    FLOOD = "flood"
    SERVICE_DOOR = "service-door"
    ESTOP = "e-stop"


class Output(StrEnum):
    """Cabinet-wide relays. ``CONTACTOR`` is a lease that must be renewed; the others are levels."""

    CONTACTOR = "contactor"
    SIREN = "siren"
    EXTINGUISHER = "extinguisher"
    FAN = "fan"


class BmsReading(Struct, frozen=True):
    """One good poll of a pack. ``serial`` is None when the pack would not tell it."""

    at_ms: int
    serial: str | None
    soc_pct: int
    voltage_v: float
    current_a: float  # into the pack is positive
    cell_v: tuple[float, ...]
    temps_c: tuple[float, ...]
    protection: frozenset[str] = frozenset()
    charge_fet_on: bool = True
    discharge_fet_on: bool = True
    remaining_ah: float = 0.0
    capacity_ah: float = 0.0
    cycles: int = 0

    @property
    def temp_max_c(self) -> float | None:
        """The hottest sensor, None when the pack has none."""
        return max(self.temps_c, default=None)


class Health(Struct, frozen=True):
    """What a pack tells of its age: what it holds when full, and how often it was charged."""

    capacity_ah: float
    cycles: int


class ChargerReading(Struct, frozen=True):
    """One good poll of a charger. ``air_temp_c`` comes from its external probe."""

    at_ms: int
    output_on: bool
    voltage_set_v: float
    current_set_a: float
    voltage_v: float
    current_a: float
    power_w: float
    air_temp_c: float | None = None
    protection: str | None = None  # "ovp", "ocp": the output latched off


class SlotImage(Struct, frozen=True):
    """One slot as its wires last told. ``*_at_ms`` is None before the first good read."""

    slot: int
    door: Door = Door.UNKNOWN
    door_at_ms: int | None = None
    presence: Presence = Presence.UNKNOWN
    presence_at_ms: int | None = None
    bms: BmsReading | None = None
    charger: ChargerReading | None = None

    def door_now(self, now_ms: int) -> Door:
        """The door, or unknown when the reading is old."""
        return self.door if _fresh(self.door_at_ms, now_ms, CONTACT_AGE_MAX_MS) else Door.UNKNOWN

    def presence_now(self, now_ms: int) -> Presence:
        """The presence switch, or unknown when the reading is old."""
        fresh = _fresh(self.presence_at_ms, now_ms, CONTACT_AGE_MAX_MS)
        return self.presence if fresh else Presence.UNKNOWN

    def bms_now(self, now_ms: int, age_max_ms: int = READING_AGE_MAX_MS) -> BmsReading | None:
        """The pack's reading, or None when there is none of this age."""
        return self.bms if self.bms and _fresh(self.bms.at_ms, now_ms, age_max_ms) else None

    def charger_now(
        self, now_ms: int, age_max_ms: int = READING_AGE_MAX_MS
    ) -> ChargerReading | None:
        """The charger's reading, or None when there is none of this age."""
        good = self.charger and _fresh(self.charger.at_ms, now_ms, age_max_ms)
        return self.charger if good else None


class InputReading(Struct, frozen=True):
    """A cabinet contact: active means alarm, broken wire included."""

    active: bool
    at_ms: int


class MeterReading(Struct, frozen=True):
    """An energy meter: the cabinet's, or a socket's."""

    at_ms: int
    power_w: float
    energy_wh: float
    voltage_v: float | None = None
    current_a: float | None = None


class ClimateReading(Struct, frozen=True):
    """The cabinet's own temperature and humidity."""

    at_ms: int
    temp_c: float
    humidity_pct: float


class SocketImage(Struct, frozen=True):
    """One socket of the charging area. ``live``: its relay is held, as far as the board told."""

    number: int
    live: bool = False
    meter: MeterReading | None = None
    probe: ClimateReading | None = None


class Image(Struct, frozen=True):
    """The whole cabinet as last read; never changes during a decision."""

    slots: tuple[SlotImage, ...]
    inputs: Mapping[Input, InputReading] = msgspec.field(default_factory=dict)
    meter: MeterReading | None = None
    climate: ClimateReading | None = None
    devices_offline: frozenset[str] = frozenset()  # names from the config
    sockets: tuple[SocketImage, ...] = ()

    def slot(self, number: int) -> SlotImage:
        """The slot with this number (1-based); raise KeyError when there is none."""
        if not 1 <= number <= len(self.slots):
            raise KeyError(f"slot {number}: the cabinet has slots 1 to {len(self.slots)}")
        return self.slots[number - 1]


def _fresh(at_ms: int | None, now_ms: int, age_max_ms: int) -> bool:
    return at_ms is not None and now_ms - at_ms <= age_max_ms


# --- downwards ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unlock:
    """Pulse a door lock once. ``attempt`` is unique and comes back in the outcome."""

    slot: int
    attempt: str


class UnlockResult(StrEnum):
    """What became of a pulse, as far as the wire can tell; the door sensor has the last word."""

    SENT = "sent"  # the board echoed it
    NO_REPLY = "no-reply"  # it may or may not have fired
    REFUSED = "refused"  # it did not fire


class SetCharger(Struct, frozen=True):
    """Bring one charger to this state; a newer order replaces an older one."""

    slot: int
    on: bool
    voltage_v: float = 0.0
    current_a: float = 0.0


@dataclass(frozen=True, slots=True)
class SetSlotAc:
    """Hold (renew) or drop the AC lease of one slot."""

    slot: int
    on: bool


@dataclass(frozen=True, slots=True)
class SetOutput:
    """Set a cabinet-wide relay; for the contactor: hold (renew) or drop its lease."""

    output: Output
    on: bool


@dataclass(frozen=True, slots=True)
class SetSocket:
    """Hold (renew) or drop the lease of one socket's relay."""

    socket: int
    on: bool


@dataclass(frozen=True, slots=True)
class Indicate:
    """Show something at a slot (light) and say it (prompt key, spoken or shown by the kiosk)."""

    slot: int | None
    light: str  # "off", "ready", "open", "wait", "fault"
    prompt: str = ""


Effect: TypeAlias = Unlock | SetCharger | SetSlotAc | SetOutput | SetSocket | Indicate
