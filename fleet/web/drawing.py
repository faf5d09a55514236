"""The picture of a cabinet: where each door stands and what it shows. Pure; templates draw it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fleet.core.swaps import TELEMETRY_AGE_MAX_MS
from fleet.core.views import CabinetView
from protocols.messages import SlotState, SlotTelemetry

DOOR_WIDTH: Final = 96
DOOR_HEIGHT: Final = 54
GAP: Final = 8
MARGIN: Final = 14
HEAD: Final = 38  # the cabinet's roof with its lamp
FOOT: Final = 12
#: Doors of a cabinet with up to so many slots stand in so many columns.
COLUMNS: Final = ((3, 1), (8, 2), (18, 3), (64, 4))

#: What a slot is to a rider. Each has a colour, a shape and a word.
LOOKS: Final = {
    SlotState.READY: "full",
    SlotState.CHARGING: "charging",
    SlotState.WAITING: "charging",
    SlotState.EMPTY: "empty",
    SlotState.RESERVED: "busy",
    SlotState.QUARANTINE: "off",
    SlotState.FAULTED: "off",
    SlotState.OUT_OF_SERVICE: "off",
    SlotState.UNKNOWN: "unknown",
}
LEGEND: Final = ("full", "charging", "empty", "busy", "off", "unknown")


@dataclass(frozen=True, slots=True)
class Door:
    """One door of the picture. ``level`` is the height of the charge in its battery."""

    slot: int
    x: int
    y: int
    look: str
    soc_pct: int | None
    level: int
    open: bool = False
    target: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """A cabinet as seen from the front."""

    width: int
    height: int
    doors: tuple[Door, ...]
    live: bool

    def counts(self) -> tuple[tuple[str, int], ...]:
        """How many doors have each look, those that occur."""
        looks = [door.look for door in self.doors]
        return tuple((look, looks.count(look)) for look in LEGEND if look in looks)


def is_live(cabinet: CabinetView) -> bool:
    """Whether what the cabinet last told may be shown as the present."""
    fresh = cabinet.age_ms is not None and cabinet.age_ms <= TELEMETRY_AGE_MAX_MS
    return cabinet.online and fresh


def draw(cabinet: CabinetView, target: int | None = None, *, last_known: bool = False) -> Drawing:
    """The picture of a cabinet; of a silent one every slot is unknown, or as it was last known."""
    live = is_live(cabinet)
    by_number = {slot.slot: slot for slot in cabinet.slots}
    numbers = range(1, max((cabinet.slots_total, *by_number)) + 1)
    columns = next((count for top, count in COLUMNS if len(numbers) <= top), COLUMNS[-1][1])
    doors = []
    for number in numbers:
        row, column = divmod(number - 1, columns)
        x = MARGIN + column * (DOOR_WIDTH + GAP)
        y = HEAD + row * (DOOR_HEIGHT + GAP)
        slot = by_number.get(number) if live or last_known else None
        doors.append(_door(number, x, y, slot, target=number == target))
    rows = -(-len(numbers) // columns)
    return Drawing(
        width=2 * MARGIN + columns * (DOOR_WIDTH + GAP) - GAP,
        height=HEAD + rows * (DOOR_HEIGHT + GAP) - GAP + MARGIN + FOOT,
        doors=tuple(doors),
        live=live,
    )


def _door(number: int, x: int, y: int, slot: SlotTelemetry | None, *, target: bool) -> Door:
    if slot is None:
        return Door(number, x, y, "unknown", None, 0, target=target)
    soc_pct = slot.soc_pct
    return Door(
        slot=number,
        x=x,
        y=y,
        look=LOOKS[slot.state],
        soc_pct=soc_pct,
        level=round(26 * (soc_pct or 0) / 100),
        open=slot.door == "open",
        target=target,
    )
