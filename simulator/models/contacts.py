"""What the boards' inputs see of doors and packs: the truth, unless a contact sticks or chatters."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from simulator.models.relay import RelayBoard
from simulator.models.slot import Slot
from simulator.models.wiring import Pin, door_pins, presence_pins

#: A chattering contact turns over after a time between these.
CHATTER_S: Final = (0.02, 0.15)


@dataclass(slots=True)
class _Chatter:
    left_s: float
    next_s: float
    turned: bool = True


@dataclass(slots=True)
class Contacts:
    """The door contact and the presence switch of every slot."""

    board: Callable[[int], RelayBoard]
    slot: Callable[[int], Slot]
    door: Callable[[int], tuple[Pin, ...]] = door_pins
    presence: Callable[[int], tuple[Pin, ...]] = presence_pins
    _stuck: dict[Pin, bool] = field(default_factory=dict)
    _bouncing: dict[int, tuple[float, random.Random]] = field(default_factory=dict)
    _chatter: dict[int, _Chatter] = field(default_factory=dict)
    _doors: dict[int, bool] = field(default_factory=dict)

    def sync(self, number: int) -> None:
        """Bring the inputs of a slot to what its contacts show now."""
        slot = self.slot(number)
        shut = not slot.door.open
        if self._doors.get(number, shut) != shut and number in self._bouncing:
            time_s, chance = self._bouncing[number]
            self._chatter[number] = _Chatter(time_s, chance.uniform(*CHATTER_S))
        self._doors[number] = shut
        chatter = self._chatter.get(number)
        self._show(self.door(number), shut != (chatter is not None and chatter.turned))
        self._show(self.presence(number), slot.pack is not None)

    def stick_door(self, number: int, *, stuck: bool) -> None:
        """Hold the door's contact as it is, or free it."""
        self._stick(self.door(number)[0], number, stuck=stuck)

    def stick_presence(self, number: int, *, stuck: bool) -> None:
        """Hold the presence switch as it is, or free it."""
        self._stick(self.presence(number)[0], number, stuck=stuck)

    def bounce(self, number: int, time_s: float, chance: random.Random) -> None:
        """Let the door's contact chatter for this long after every movement; 0 ends it."""
        self._bouncing.pop(number, None)
        self._chatter.pop(number, None)
        if time_s > 0.0:
            self._bouncing[number] = (time_s, chance)
        self.sync(number)

    @property
    def next_turn_s(self) -> float | None:
        """Time until a chattering contact turns over; None when all are calm."""
        return min((chatter.next_s for chatter in self._chatter.values()), default=None)

    def advance(self, dt_s: float) -> None:
        """Let the contacts chatter."""
        for number, chatter in tuple(self._chatter.items()):
            chatter.left_s -= dt_s
            chatter.next_s -= dt_s
            if chatter.left_s <= 0.0:
                del self._chatter[number]
                self.sync(number)
            elif chatter.next_s <= 0.0:
                _, chance = self._bouncing[number]
                chatter.turned = not chatter.turned
                chatter.next_s = min(chance.uniform(*CHATTER_S), chatter.left_s)
                self.sync(number)

    def _stick(self, pin: Pin, number: int, *, stuck: bool) -> None:
        if stuck:
            self._stuck[pin] = self.board(pin.board).inputs[pin.channel]
        else:
            self._stuck.pop(pin, None)
        self.sync(number)

    def _show(self, pins: tuple[Pin, ...], high: bool) -> None:  # noqa: FBT001 - a level
        level = self._stuck.get(pins[0], high)
        for pin in pins:
            self.board(pin.board).set_input(pin.channel, high=level)
