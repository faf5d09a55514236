"""What of a cabinet's configuration the fleet may change, and between which bounds.

An allow list, and the one place where a setting is declared: a name that is not here is refused by
the fleet before it is sent, and by the cabinet when it comes all the same. Every one of them takes
effect between two customers, without a restart. The cabinet holds the values against its own file
besides: a setting with a safe side is only ever moved to that side of what the file says, power never
above its breaker, and what its ``check-config`` would not pass it never applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from protocols.enrolment import CREDENTIALS_VALUE

POWER_MAX_W: Final = 100_000
NOTE_CHARS_MAX: Final = 80
LANGUAGES: Final = ("zh", "en")
#: Cabinets vary the pause by a fifth, and the fleet takes 60 s without a word for silence.
TELEMETRY_MAX_S: Final = 45

Value: TypeAlias = int | str


class Safe(StrEnum):
    """On which side of the cabinet's own value it may be set."""

    LOWER = "lower"
    HIGHER = "higher"


class Group(StrEnum):
    """What it is about, for people who look for it."""

    CHARGE = "charge"
    NIGHT = "night"
    SAFETY = "safety"
    SERVICE = "service"
    OFFLINE = "offline"
    KIOSK = "kiosk"


@dataclass(frozen=True, slots=True)
class Setting:
    """A whole number from ``low`` to ``high``, one of ``choices``, or a text of ``chars_max``."""

    group: Group
    low: int = 0
    high: int = 0
    unit: str = ""
    safe: Safe | None = None  # None: to either side
    choices: tuple[str, ...] = ()
    chars_max: int = 0

    @property
    def is_text(self) -> bool:
        """Whether its values are texts."""
        return bool(self.choices or self.chars_max)

    @property
    def expects(self) -> str:
        """What may stand there, in words."""
        if self.choices:
            return " or ".join(self.choices)
        if self.chars_max:
            return f"at most {self.chars_max} printable characters"
        return f"{self.low} to {self.high} {self.unit}".rstrip()


_CHARGE, _NIGHT, _SAFETY = Group.CHARGE, Group.NIGHT, Group.SAFETY
_SERVICE, _OFFLINE, _KIOSK = Group.SERVICE, Group.OFFLINE, Group.KIOSK

SETTINGS: Final[Mapping[str, Setting]] = {
    "target_soc_pct": Setting(_CHARGE, 50, 100, "%"),  # charged up to here
    "offer_soc_pct": Setting(_CHARGE, 20, 100, "%"),  # offered from here
    "power_default_w": Setting(_CHARGE, 0, POWER_MAX_W, "W"),  # while there is no plan
    "power_max_w": Setting(_CHARGE, 0, POWER_MAX_W, "W", Safe.LOWER),  # whatever the plan says
    # Quiet: nothing is said aloud, and the fans of the chargers have less to do. Local hours; the
    # same hour twice is never.
    "quiet_from_h": Setting(_NIGHT, 0, 23, "h"),
    "quiet_until_h": Setting(_NIGHT, 0, 23, "h"),
    "quiet_power_w": Setting(_NIGHT, 0, POWER_MAX_W, "W"),
    # In this order they must rise from one to the next. The lowest of those that trip are such that
    # a hot afternoon does not shut every cabinet down at once.
    "charge_temp_min_c": Setting(_SAFETY, -10, 15, "°C", Safe.HIGHER),
    "charge_resume_cold_c": Setting(_SAFETY, -10, 20, "°C", Safe.HIGHER),
    "charge_derate_c": Setting(_SAFETY, 30, 45, "°C", Safe.LOWER),
    "charge_resume_c": Setting(_SAFETY, 20, 45, "°C", Safe.LOWER),
    "charge_temp_max_c": Setting(_SAFETY, 35, 50, "°C", Safe.LOWER),
    "charge_stop_c": Setting(_SAFETY, 45, 60, "°C", Safe.LOWER),
    "air_warn_c": Setting(_SAFETY, 45, 65, "°C", Safe.LOWER),
    "air_trip_c": Setting(_SAFETY, 50, 70, "°C", Safe.LOWER),
    "return_wait_s": Setting(_SERVICE, 30, 300, "s"),  # door open for the old pack
    "verify_wait_s": Setting(_SERVICE, 5, 30, "s"),  # pack seen, its BMS silent
    "back_wait_s": Setting(_SERVICE, 30, 300, "s"),  # for taking a refused pack back
    "pickup_wait_s": Setting(_SERVICE, 30, 300, "s"),  # door open for the new pack
    "pickup_held_s": Setting(_SERVICE, 60, 900, "s"),  # not taken: kept for its rider
    "close_wait_s": Setting(_SERVICE, 20, 180, "s"),  # pack taken, door still open
    "remind_s": Setting(_SERVICE, 10, 120, "s"),
    "door_alarm_s": Setting(_SERVICE, 30, 900, "s"),  # a door open this long is an alarm
    "second_scan_s": Setting(_SERVICE, 60, 900, "s"),  # a faulted swap can be gone on with
    "keep_empty": Setting(_SERVICE, 1, 4),  # empty slots left by what only takes a pack in
    "hold_leave_full": Setting(_SERVICE, 0, 8),  # full packs never kept for riders on the way
    "offline_per_day": Setting(_OFFLINE, 0, 6),  # swaps of a rider; 0: none off the network
    "offline_wrong_max": Setting(_OFFLINE, 3, 10, "", Safe.LOWER),  # wrong codes lock the keypad
    "keypad_lock_s": Setting(_OFFLINE, 60, 3_600, "s", Safe.HIGHER),
    "offline_ticket_h": Setting(_OFFLINE, 1, 24, "h", Safe.LOWER),  # a ticket may live so long
    "kiosk_language": Setting(_KIOSK, choices=LANGUAGES),  # the first one
    "kiosk_note_zh": Setting(_KIOSK, chars_max=NOTE_CHARS_MAX),  # prices, a notice
    "kiosk_note_en": Setting(_KIOSK, chars_max=NOTE_CHARS_MAX),
    "telemetry_s": Setting(
        _KIOSK, 2, TELEMETRY_MAX_S, "s"
    ),  # how often it tells, when nothing happens
}
#: Of the same document, but no setting: it names the secrets that a cabinet should hold.
BESIDE: Final = frozenset({CREDENTIALS_VALUE})


def faults(values: Mapping[str, object], breaker_w: int | None = None) -> list[str]:
    """Everything that is wrong with these values, each with what was expected; empty when nothing is.

    ``breaker_w`` bounds the power; None where it is not known.
    """
    found = []
    for name, value in sorted(values.items()):
        if name in BESIDE:
            continue
        setting = SETTINGS.get(name)
        if setting is None:
            found.append(f"{name}: may not be set from afar; expected {', '.join(SETTINGS)}")
        elif why := _wrong(setting, value, breaker_w):
            found.append(f"{name} {why}")
    return found


def _wrong(setting: Setting, value: object, breaker_w: int | None) -> str:
    if setting.is_text:
        good = isinstance(value, str) and (
            value in setting.choices
            if setting.choices
            else len(value) <= setting.chars_max and value.isprintable()
        )
        return "" if good else f"{value!r:.120}: expected {setting.expects}"
    if isinstance(value, bool) or not isinstance(value, int):
        return f"{value!r:.120}: expected a whole number{_of(setting.unit)}"
    if not setting.low <= value <= setting.high:
        return f"{value}: expected {setting.expects}"
    if setting.unit == "W" and breaker_w is not None and value > breaker_w:
        return f"{value}: is above the breaker's {breaker_w} W"
    return ""


def _of(unit: str) -> str:
    return f" of {unit}" if unit else ""


def settings_of(values: Mapping[str, object]) -> dict[str, Value]:
    """The settings among the values of a document."""
    return {
        name: value
        for name, value in values.items()
        if name in SETTINGS and isinstance(value, int | str) and not isinstance(value, bool)
    }
