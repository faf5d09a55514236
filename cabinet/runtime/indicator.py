"""The lights of the slots: two lamps each, on relays that nothing else needs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cabinet.runtime.wires_keeper import Keeper

log = logging.getLogger(__name__)

#: What each light looks like: green, red. Both together are amber in a lamp of two colours.
LAMPS: Final[Mapping[str, tuple[bool, bool]]] = {
    "off": (False, False),
    "ready": (True, False),
    "open": (True, False),
    "wait": (True, True),
    "fault": (False, True),
}


@dataclass(frozen=True, slots=True)
class SlotLamps:
    """The lamps that a slot has; with one alone, the other colour stays dark."""

    green: Keeper[bool] | None = None
    red: Keeper[bool] | None = None


class RelayIndicator:
    """Implements ``cabinet.ports.Indicator``; a slot without lamps shows nothing."""

    def __init__(self, slots: Mapping[int, SlotLamps]) -> None:
        self._slots = slots

    def show(self, slot: int, light: str) -> None:
        """Set the light of a slot, and keep it so; returns at once."""
        lamps = self._slots.get(slot)
        if lamps is None:
            return
        if light not in LAMPS:
            log.warning("slot %d: no light is called %r", slot, light)
        green, red = LAMPS.get(light, LAMPS["off"])
        if lamps.green is not None:
            lamps.green.want(green)
        if lamps.red is not None:
            lamps.red.want(red)
