"""The truth log: what physically happened, in order, for tests and trainers to compare against."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeAlias

#: Events kept; a busy hour of a cabinet makes some hundred.
EVENTS_MAX: Final = 10_000

Value: TypeAlias = str | int | float | bool | None


class Kind(StrEnum):
    """What can happen to a cabinet."""

    DOOR_OPENED = "door-opened"
    DOOR_CLOSED = "door-closed"
    LOCK_PULSE = "lock-pulse"
    LOCK_LATCHED = "lock-latched"
    PACK_INSERTED = "pack-inserted"
    PACK_REMOVED = "pack-removed"
    CHARGING_STARTED = "charging-started"
    CHARGING_STOPPED = "charging-stopped"
    CHARGER_TRIPPED = "charger-tripped"
    PROTECTION = "protection"
    RELAY = "relay"
    INPUT = "input"
    SILENT = "silent"
    FROZEN = "frozen"
    FAULT = "fault"
    MAINS = "mains"
    PLUGGED = "plugged"
    UNPLUGGED = "unplugged"
    SOCKET_SPOILT = "socket-spoilt"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; ``seq`` rises by one from 1."""

    seq: int
    sim_ms: int
    wall_ms: int
    kind: Kind
    slot: int | None
    detail: dict[str, Value]


@dataclass(slots=True)
class TruthLog:
    """A bounded ring of events; the oldest fall out, which ``first_seq`` shows."""

    wall_ms: Callable[[], int] = lambda: 0
    events_max: int = EVENTS_MAX
    sim_s: float = 0.0
    seq: int = 0
    _events: deque[Event] = field(init=False)

    def __post_init__(self) -> None:
        self._events = deque(maxlen=self.events_max)

    def add(self, kind: Kind, slot: int | None = None, **detail: Value) -> None:
        """Record one event at the present simulated time."""
        self.seq += 1
        at_ms = round(self.sim_s * 1_000)
        self._events.append(Event(self.seq, at_ms, self.wall_ms(), kind, slot, detail))

    def since(self, seq: int) -> list[Event]:
        """Kept events after ``seq``, oldest first."""
        return [event for event in self._events if event.seq > seq]

    @property
    def first_seq(self) -> int:
        """The oldest event still kept; 1 when nothing fell out yet."""
        return self._events[0].seq if self._events else 1
