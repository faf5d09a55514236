"""Plan against fact: where more is taken than may be, where it is far from the plan, and by whom.

One look says little, a few in a row do. A cabinet that takes more than it was ordered, look after look,
is not taken for one that follows, whatever version it says it has: see ``Unruly``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.grid import Grid
from fleet.core.balance.instance import Floats, Ints

#: Measured against plan, of one feeder: so much, for so many looks.
DEVIATION_SHARE: Final = 0.3
DEVIATION_W: Final = 1_000
LOOKS: Final = 12
OVER_LOOKS: Final = 3
#: Above its order, of one cabinet: no heater or fan that the grid does not know of takes so much more.
ABOVE_SHARE: Final = 0.1
ABOVE_W: Final = 1_000
#: The same below a limit that is exceeded.
PRESSED_W: Final = 250
#: Who took more than it was ordered is watched so long after the last time.
UNRULY_MS: Final = 3_600_000
#: No cabinet takes more than so many times what its breaker and its electronics allow: a wrong meter.
METER_MAX: Final = 1.25


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one look, and those before it."""

    over: tuple[str, ...]  # feeders and regions above their limit for OVER_LOOKS
    over_now: bool  # one of them since this look
    far: bool  # a feeder has been far from the plan for LOOKS
    pressed: NDArray[np.bool_]  # [N] cabinets below one that is above its limit


class Deviations:
    """Looks in a row by feeder and region."""

    def __init__(self, grid: Grid) -> None:
        self._feeder_of = np.array([feeder for _, feeder in grid.cabinets], np.int64)
        self._region_of = np.array([feeder.region for feeder in grid.feeders], np.int64)
        self._limit_w = np.array([feeder.limit_w for feeder in grid.feeders], float)
        self._names = [each.name for each in grid.feeders] + [each.name for each in grid.regions]
        self._away = np.zeros(len(grid.feeders), np.int64)
        self._over = np.zeros(len(self._names), np.int64)

    def take(
        self,
        expected_w: Ints,
        actual_w: Floats,
        has_plan: NDArray[np.bool_],
        region_limit_w: Floats,
    ) -> Verdict:
        """One look at every cabinet [N]; NaN is not known, and counts as what is expected at most.

        ``region_limit_w`` [R] is what holds now, inf where nothing does.
        """
        feeders = len(self._limit_w)
        known = np.isfinite(actual_w)
        drawn_w = np.where(known, actual_w, expected_w)
        feeder_w = np.bincount(self._feeder_of, weights=drawn_w, minlength=feeders)
        region_w = np.bincount(self._region_of, feeder_w, len(region_limit_w))
        total_w = np.concatenate((feeder_w, region_w))
        limit_w = np.concatenate((self._limit_w, region_limit_w))
        self._over = np.where(total_w > limit_w, self._over + 1, 0)
        both = known & has_plan
        weights = np.where(both, drawn_w - expected_w, 0.0)
        away_w = np.abs(np.bincount(self._feeder_of, weights=weights, minlength=feeders))
        weights = np.where(both, expected_w, 0.0)
        plan_w = np.bincount(self._feeder_of, weights=weights, minlength=feeders)
        far = away_w > np.maximum(DEVIATION_W, DEVIATION_SHARE * plan_w)
        self._away = np.where(far, self._away + 1, 0)
        found = bool((self._away >= LOOKS).any())
        if found:
            self._away[:] = 0
        over = self._over >= OVER_LOOKS
        pressed = over[:feeders] | over[feeders:][self._region_of]
        return Verdict(
            tuple(self._names[place] for place in np.flatnonzero(over)),
            bool((self._over == OVER_LOOKS).any()),
            found,
            pressed[self._feeder_of],
        )


class Unruly:
    """Who takes more than it says it was ordered: by a fault, or because its meter is wrong.

    It is offered its safe default and counted with what it was seen to take, until it has kept to its
    orders for UNRULY_MS. A wrong meter can't close a feeder: nobody counts with more than the breaker's.
    """

    def __init__(self, ids: Sequence[str], hold_ms: int = UNRULY_MS) -> None:
        self._ids = tuple(ids)
        self._hold_ms = hold_ms
        self._above = np.zeros(len(ids), np.int64)  # looks in a row
        self._seen: dict[str, tuple[int, int]] = {}  # when it was last above, and the most it took

    def names(self) -> tuple[str, ...]:
        """All of them, by id."""
        return tuple(sorted(self._seen))

    def most_w(self, cabinet: str) -> int | None:
        """What it was seen to take at most, itself included; None of one that keeps to its orders."""
        seen = self._seen.get(cabinet)
        return None if seen is None else seen[1]

    def take(
        self,
        mono_ms: int,
        ordered_w: Ints,
        actual_w: Floats,
        has_plan: NDArray[np.bool_],
        pressed: NDArray[np.bool_],
    ) -> bool:
        """One look at every cabinet [N]; whether somebody is unruly who was not before.

        What is not known (NaN) is never above. ``pressed`` are those below a limit that is exceeded.
        """
        slack_w = np.where(pressed, PRESSED_W, ABOVE_W)
        above = has_plan & (actual_w > ordered_w * (1 + ABOVE_SHARE) + slack_w)
        self._above = np.where(above, self._above + 1, 0)
        fresh = False
        for row in np.flatnonzero(above):
            cabinet = self._ids[row]
            before = self._seen.get(cabinet)
            if before is None and self._above[row] < LOOKS:
                continue
            fresh = fresh or before is None
            self._seen[cabinet] = mono_ms, max(int(actual_w[row]), before[1] if before else 0)
        ends = [name for name, (at, _) in self._seen.items() if mono_ms - at > self._hold_ms]
        for name in ends:
            del self._seen[name]
        return fresh

    def of(self, ids: Sequence[str]) -> Unruly:
        """The same for another set of cabinets."""
        other = Unruly(ids, self._hold_ms)
        other._seen = {name: self._seen[name] for name in ids if name in self._seen}
        return other
