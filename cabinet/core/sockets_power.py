"""Power for sockets: who may be on now, and how much is left for the packs.

Two sums are kept. ``bound_w`` is what the sockets can take before they trip: it is taken off the
breaker, which must hold whatever happens. ``expected_w`` is what they take by their meters, and a
little more: it is taken off the plan, whose limits are means over minutes. A session that has just
begun, is paused, or cannot be measured counts with its most in both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

#: Above what is measured: a charger may take a little more at any moment.
ROOM_SHARE: Final = 0.15
ROOM_W: Final = 25.0
#: A change by less than this is no reason to order chargers anew.
GRAIN_W: Final = 25


class Load(Struct, frozen=True):
    """One session: ``drawn_w`` is None until its draw is known."""

    socket: int
    order: int
    power_max_w: int
    drawn_w: float | None = None

    @property
    def expected_w(self) -> int:
        """What to take off the plan."""
        if self.drawn_w is None:
            return self.power_max_w
        wanted_w = self.drawn_w * (1.0 + ROOM_SHARE) + ROOM_W
        grains = -int(-wanted_w // GRAIN_W)
        return min(self.power_max_w, max(0, grains * GRAIN_W))


class Share(Struct, frozen=True):
    """Which sockets have power, and what they count for."""

    powered: frozenset[int] = frozenset()
    expected_w: int = 0
    bound_w: int = 0


def share(loads: Iterable[Load], plan_w: int, breaker_w: int) -> Share:
    """Power for the sessions, the oldest first, as far as plan and breaker reach."""
    powered: set[int] = set()
    expected_w = bound_w = 0
    for load in sorted(loads, key=lambda each: each.order):
        if expected_w + load.expected_w > plan_w or bound_w + load.power_max_w > breaker_w:
            continue
        powered.add(load.socket)
        expected_w += load.expected_w
        bound_w += load.power_max_w
    return Share(frozenset(powered), expected_w, bound_w)
