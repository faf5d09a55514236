"""What a cabinet runs by: its own configuration with the fleet's settings laid over it.

``PLACES`` says where each setting of ``protocols.settings`` stands in ``EngineConfig``. Laying over
never loosens what has a safe side, and never takes power above the breaker, whatever is laid: a
document of yesterday may meet a file of today.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from cabinet.core.engine_model import EngineConfig
from protocols.messages import DesiredConfig
from protocols.settings import SETTINGS, Safe, Value, faults, settings_of

_S: Final = 1_000
_H: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Place:
    """A field of ``EngineConfig`` or of one of its ``part`` s; ``scale`` of it make one unit."""

    field: str
    part: str = ""
    scale: int = 1


def _swap(field: str, scale: int = _S) -> Place:
    return Place(field, "swap", scale)


_SAFETY: Final = (
    "charge_temp_min_c",
    "charge_resume_cold_c",
    "charge_derate_c",
    "charge_resume_c",
    "charge_temp_max_c",
    "charge_stop_c",
    "air_warn_c",
    "air_trip_c",
)
_BY_NAME: Final = (
    "target_soc_pct",
    "offer_soc_pct",
    "power_default_w",
    "power_max_w",
    "quiet_from_h",
    "quiet_until_h",
    "quiet_power_w",
    "hold_leave_full",
    "kiosk_language",
    "kiosk_note_zh",
    "kiosk_note_en",
    "telemetry_s",
)
PLACES: Final[Mapping[str, Place]] = {
    **{name: Place(name) for name in _BY_NAME},
    **{name: Place(name, "safety") for name in _SAFETY},
    "return_wait_s": _swap("return_ms"),
    "verify_wait_s": _swap("verify_ms"),
    "back_wait_s": _swap("back_ms"),
    "pickup_wait_s": _swap("pickup_ms"),
    "pickup_held_s": _swap("held_ms"),
    "close_wait_s": _swap("close_ms"),
    "remind_s": _swap("remind_ms"),
    "keep_empty": _swap("keep_empty", 1),
    "door_alarm_s": Place("left_open_ms", scale=_S),
    "second_scan_s": Place("second_scan_ms", scale=_S),
    "offline_per_day": Place("per_day", "offline"),
    "offline_wrong_max": Place("wrong_max", "offline"),
    "keypad_lock_s": Place("lock_ms", "offline", _S),
    "offline_ticket_h": Place("ticket_life_ms", "offline", _H),
}


def value_of(config: EngineConfig, name: str) -> Value:
    """What a configuration says of a setting; a fraction is told as its stricter neighbour."""
    place = PLACES[name]
    found = getattr(getattr(config, place.part) if place.part else config, place.field)
    if isinstance(found, str):
        return found
    exact: float = found / place.scale
    return math.ceil(exact) if SETTINGS[name].safe is Safe.HIGHER else math.floor(exact)


def told(config: EngineConfig) -> dict[str, Value]:
    """Every setting as it is."""
    return {name: value_of(config, name) for name in PLACES}


def unfit(own: EngineConfig, values: Mapping[str, object]) -> str:
    """Why these values may not be laid over this configuration; empty where they may."""
    found = faults(values, own.breaker_w)
    for name, value in settings_of(values).items():
        safe, usual = SETTINGS[name].safe, value_of(own, name)
        if safe is None or isinstance(value, str) or isinstance(usual, str):
            continue
        if value > usual if safe is Safe.LOWER else value < usual:
            side = "above" if safe is Safe.LOWER else "below"
            found.append(f"{name} {value}: is {side} this cabinet's own {usual}")
    if found:
        return "; ".join(found)
    try:
        _laid(own, settings_of(values))
    except ValueError as error:
        return str(error)
    return ""


def lay(own: EngineConfig, values: Mapping[str, object]) -> EngineConfig:
    """The configuration with these settings; its own where they make no sense together."""
    try:
        return _laid(own, settings_of(values))
    except ValueError:
        return own


def _laid(own: EngineConfig, settings: Mapping[str, Value]) -> EngineConfig:
    """Raise ValueError where the limits of safety contradict one another."""
    changes: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        place = PLACES[name]
        part = getattr(own, place.part) if place.part else own
        changes.setdefault(place.part, {})[place.field] = _bounded(
            name, value, getattr(part, place.field), place.scale, own.breaker_w
        )
    flat = changes.pop("", {})
    return replace(
        own, **flat, **{part: replace(getattr(own, part), **new) for part, new in changes.items()}
    )


def _bounded(name: str, value: Value, usual: Any, scale: int, breaker_w: int) -> Any:
    setting = SETTINGS[name]
    if setting.is_text or isinstance(value, str):
        # Of a document that an other version took: what it was cannot be told any more.
        return value if setting.is_text and isinstance(value, str) else usual
    exact = value * scale
    if setting.safe is Safe.LOWER:
        exact = min(exact, usual)
    elif setting.safe is Safe.HIGHER:
        exact = max(exact, usual)
    return min(exact, breaker_w) if setting.unit == "W" else exact


class Running:
    """The configuration by the newest document; computed once for each."""

    __slots__ = ("_document", "_laid", "own")

    def __init__(self, own: EngineConfig) -> None:
        self.own = self._laid = own
        self._document: DesiredConfig | None = None

    def by(self, document: DesiredConfig | None) -> EngineConfig:
        """The cabinet's own, or what the fleet has made of it."""
        if document is not self._document:
            self._document = document
            self._laid = self.own if document is None else lay(self.own, document.values)
        return self._laid
