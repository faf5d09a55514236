"""What of a cabinet's configuration the fleet may change, and between which bounds.

An allow list: a name that is not here is refused by the fleet before it is sent, and by the cabinet
when it comes all the same. The cabinet holds the values against its own breaker and its own file
besides; what its ``check-config`` would not pass it never applies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protocols.enrolment import CREDENTIALS_VALUE

POWER_MAX_W: Final = 100_000


@dataclass(frozen=True, slots=True)
class Setting:
    """One value, a whole number from ``low`` to ``high``."""

    low: int
    high: int
    unit: str


SETTINGS: Final[Mapping[str, Setting]] = {
    "target_soc_pct": Setting(50, 100, "%"),  # charged up to here
    "offer_soc_pct": Setting(20, 100, "%"),  # offered from here
    "power_default_w": Setting(0, POWER_MAX_W, "W"),  # while there is no plan; within the breaker
}
#: Of the same document, but no setting: it names the secrets that a cabinet should hold.
BESIDE: Final = frozenset({CREDENTIALS_VALUE})


def faults(values: Mapping[str, object], breaker_w: int | None = None) -> list[str]:
    """Everything that is wrong with these values, each with what was expected; empty when nothing is.

    ``breaker_w`` bounds the power; None where it is not known.
    """
    found = []
    for name, value in sorted(values.items()):
        setting = SETTINGS.get(name)
        if name in BESIDE:
            continue
        if setting is None:
            found.append(f"{name}: may not be set from afar; expected {', '.join(SETTINGS)}")
        elif isinstance(value, bool) or not isinstance(value, int):
            found.append(f"{name} {value!r}: expected a whole number of {setting.unit}")
        elif not setting.low <= value <= setting.high:
            found.append(f"{name} {value}: expected {setting.low} to {setting.high} {setting.unit}")
        elif setting.unit == "W" and breaker_w is not None and value > breaker_w:
            found.append(f"{name} {value}: is above the breaker's {breaker_w} W")
    return found


def settings_of(values: Mapping[str, object]) -> dict[str, int]:
    """The settings among the values of a document."""
    return {
        name: value
        for name, value in values.items()
        if name in SETTINGS and isinstance(value, int) and not isinstance(value, bool)
    }
