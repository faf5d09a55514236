"""One socket of the charging area: a relay, a meter, and the e-bike charger that a rider plugs in.

Sockets keep wall pace, whatever pace the physics has: a daemon holds the energy of their meters
against its own clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from simulator.errors import HandsError
from simulator.models.meter import Meter
from simulator.models.truth import Kind, TruthLog

#: A charger whose battery is full, or that was left plugged in without one.
TRICKLE_W: Final = 3.0
#: Of the battery's energy, what is left when the charger begins to taper, and how fast it falls.
TAPER_LEFT: Final = 0.2
POWER_MAX_W: Final = 5_000.0


@dataclass(slots=True)
class Load:
    """An e-bike's charger: full power, then a taper, then next to nothing."""

    power_w: float = 150.0
    capacity_wh: float = 480.0
    missing_wh: float = 300.0  # until the battery is full, at the mains

    @property
    def draw_w(self) -> float:
        """What it would draw now."""
        share = self.missing_wh / (self.capacity_wh * TAPER_LEFT)
        return max(TRICKLE_W, self.power_w * min(1.0, share))

    def advance(self, dt_s: float) -> None:
        """Take energy; in the taper the draw falls with what is missing."""
        draw_w = self.draw_w
        if draw_w <= TRICKLE_W:
            return
        taper_wh = self.capacity_wh * TAPER_LEFT
        if self.missing_wh <= taper_wh:
            self.missing_wh *= math.exp(-self.power_w * dt_s / 3_600.0 / taper_wh)
        else:
            self.missing_wh -= draw_w * dt_s / 3_600.0


@dataclass(slots=True)
class Socket:
    """Number ``number``, 1-based. ``extra_w`` and ``welded`` are what can go wrong."""

    number: int
    log: TruthLog
    relay_on: bool = False
    load: Load | None = None
    extra_w: float = 0.0
    welded: bool = False
    meter: Meter = field(default_factory=lambda: Meter(power_w=0.0))

    @property
    def live(self) -> bool:
        """Whether there is voltage at the outlet, given mains."""
        return self.relay_on or self.welded

    @property
    def power_w(self) -> float:
        """What flows through it, given mains."""
        if not self.live:
            return 0.0
        return (self.load.draw_w if self.load else 0.0) + self.extra_w

    def switch(self, *, on: bool) -> None:
        """The relay moves."""
        self.relay_on = on

    def plug(self, load: Load) -> None:
        """A hand plugs a charger in; raise HandsError when one is in already."""
        if self.load is not None:
            raise HandsError(f"socket {self.number}: something is plugged in already")
        self.load = load
        self.log.add(Kind.PLUGGED, socket=self.number, power_w=load.power_w)

    def unplug(self) -> None:
        """A hand pulls the plug; raise HandsError when there is none."""
        if self.load is None:
            raise HandsError(f"socket {self.number}: nothing is plugged in")
        self.load = None
        self.log.add(Kind.UNPLUGGED, socket=self.number)

    def spoil(self, *, extra_w: float | None = None, welded: bool | None = None) -> None:
        """Make something go wrong, or right again."""
        if extra_w is not None:
            self.extra_w = extra_w
        if welded is not None:
            self.welded = welded
        self.log.add(
            Kind.SOCKET_SPOILT, socket=self.number, extra_w=self.extra_w, welded=self.welded
        )

    def advance(self, dt_s: float, at_s: float, *, mains: bool) -> None:
        """Let energy flow and be counted."""
        power_w = self.power_w if mains else 0.0
        self.meter.advance(dt_s, at_s, power_w)
        if self.load is not None and self.live and mains:
            self.load.advance(dt_s)
