"""One relay board with inputs: relays as levels, or timed by the board itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

CHANNELS: Final = 8
#: Timers that end within this of the present have ended; smaller than any step.
TIME_EPSILON_S: Final = 1e-9


class Mode(IntEnum):
    """How an input of the board drives the relay of the same channel."""

    NORMAL = 0
    LINKAGE = 1
    TOGGLE = 2
    EDGE = 3


def _ignore(_channel: int, _on: bool) -> None:  # noqa: FBT001 - signature of on_change
    """Nobody listens."""


@dataclass(slots=True)
class RelayBoard:
    """Relays and inputs, eight of each unless told otherwise.

    ``on_change`` is called after a relay has changed, with channel and state. A new command to a
    channel cancels its running timer.
    """

    on_change: Callable[[int, bool], None] = _ignore
    relays_count: int = CHANNELS
    inputs_count: int = CHANNELS
    relays: list[bool] = field(init=False)
    inputs: list[bool] = field(init=False)
    modes: list[Mode] = field(init=False)
    _left_s: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.relays = [False] * self.relays_count
        self.inputs = [False] * self.inputs_count
        self.modes = [Mode.NORMAL] * self.inputs_count

    def set(self, channel: int, *, on: bool) -> None:
        """Bring a relay to a level."""
        self._left_s.pop(channel, None)
        self._switch(channel, on=on)

    def toggle(self, channel: int) -> None:
        """Turn a relay over."""
        self.set(channel, on=not self.relays[channel])

    def flash(self, channel: int, duration_s: float, *, on: bool) -> None:
        """Hold a relay at a level for this long, then turn it over."""
        self._left_s[channel] = duration_s
        self._switch(channel, on=on)

    def set_input(self, channel: int, *, high: bool) -> None:
        """The world changes an input; the channel's mode may drive the relay."""
        if self.inputs[channel] == high:
            return
        self.inputs[channel] = high
        match self.modes[channel]:
            case Mode.NORMAL:
                return
            case Mode.LINKAGE:
                self.set(channel, on=high)
            case Mode.TOGGLE:
                if high:
                    self.toggle(channel)
            case Mode.EDGE:
                self.toggle(channel)

    @property
    def next_end_s(self) -> float | None:
        """Time until the next timer ends; None when none runs."""
        return min(self._left_s.values(), default=None)

    def advance(self, dt_s: float) -> None:
        """Let the timers run."""
        if not self._left_s:
            return
        self._left_s = {channel: left - dt_s for channel, left in self._left_s.items()}
        ended = [channel for channel, left in self._left_s.items() if left <= TIME_EPSILON_S]
        for channel in ended:
            self.toggle(channel)

    def _switch(self, channel: int, *, on: bool) -> None:
        if self.relays[channel] != on:
            self.relays[channel] = on
            self.on_change(channel, on)
