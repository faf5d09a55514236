"""What a cabinet keeps to by itself, whatever it is ordered: its settings, as told and as wished.

A setting that was told is in force, one that is wished may be at any moment. So of what may be taken the
lower counts, and of what is taken without a plan the higher; what neither says is the grid's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from fleet.core.balance.instance import Ints
from protocols.settings import Value

HOUR_MIN: Final = 60
DAY_H: Final = 24


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours of the local day in which no more than this is taken; may pass midnight."""

    from_h: int
    until_h: int
    power_w: int

    def holds(self, minute: int) -> bool:
        """At this minute of the day."""
        return (minute // HOUR_MIN - self.from_h) % DAY_H < (self.until_h - self.from_h) % DAY_H


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """Of the whole cabinet, its own electronics included. None: nobody says."""

    most_w: int | None = None
    default_w: int | None = None
    quiet: tuple[Quiet, ...] = ()


NOTHING_SAID: Final = OwnLimits()


def own_limits(told: Mapping[str, Value], wished: Mapping[str, Value]) -> OwnLimits:
    """Of one cabinet: ``told`` by itself, in force now or before it fell silent; ``wished`` by the fleet.

    What is not wished stays as it was told.
    """
    most: list[int] = []
    alone: list[int] = []
    quiet: list[Quiet] = []
    for values in (told, {**told, **wished}):
        most_w, default_w = _whole(values, "power_max_w"), _whole(values, "power_default_w")
        if most_w is not None:
            most.append(most_w)
        if default_w is not None:
            alone.append(default_w if most_w is None else min(default_w, most_w))
        begin, end = _whole(values, "quiet_from_h"), _whole(values, "quiet_until_h")
        quiet_w = _whole(values, "quiet_power_w")
        if begin is not None and end is not None and quiet_w is not None and begin != end:
            quiet.append(Quiet(begin, end, quiet_w))
    if not most and not alone and not quiet:
        return NOTHING_SAID
    return OwnLimits(min(most, default=None), max(alone, default=None), tuple(dict.fromkeys(quiet)))


def _whole(values: Mapping[str, Value], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None


def most_to_charge(
    limits: Sequence[OwnLimits], minutes: Sequence[int], *, breaker_w: int, own_w: int
) -> Ints:
    """What each cabinet can be charged with [N,T]: by the grid, and no more than it would take.

    ``minutes`` are those of the day at which the intervals begin, ``own_w`` is what a cabinet keeps of
    its power for itself.
    """
    most = np.full((len(limits), len(minutes)), breaker_w, np.int64)
    for row, each in enumerate(limits):
        if each.most_w is not None:
            np.minimum(most[row], max(each.most_w - own_w, 0), out=most[row])
        for quiet in each.quiet:
            held = [quiet.holds(minute) for minute in minutes]
            most[row, held] = np.minimum(most[row, held], max(quiet.power_w - own_w, 0))
    return most
