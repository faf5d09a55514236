"""Which cabinets to offer a rider near a place: what each would cost rider and fleet together.

Every station gets one figure in money, and the cheapest comes first:

    way to it  +  chance that nothing is left on arrival x a way for nothing
               +  what the plan pays to charge the pack that is brought there
               +  chance that this pack is missed there before one is charged x a lost swap

Riders who come meanwhile are Poisson. Packs that become ready on the way count, those that riders
bring do not: charging takes longer than any way that is worth riding. A figure depends on its own
station only, so that an offer never turns on who else is offered.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

#: A rider's way is longer than the crow's, and this fast.
DETOUR: Final = 1.3
SPEED_KMH: Final = 18.0
#: What a kilometre of way costs a rider in time, and a way for nothing, both as money.
PER_KM: Final = 1.0
IN_VAIN: Final = 6.0
#: What a returned pack needs until it is ready.
CHARGE_H: Final = 2.5
#: Swaps per hour of a station of which nothing is known: thirty a day.
RATE_UNKNOWN: Final = 1.25


@dataclass(frozen=True, slots=True)
class Station:
    """A cabinet that serves riders now."""

    cabinet: str
    name: str
    distance_m: int
    full: int
    empty: int
    rate_per_h: float = RATE_UNKNOWN
    ready_in_h: tuple[float, ...] = ()  # of packs that are being charged, at their full rate
    energy_cost: float = 0.0  # of a swap here, at the plan's margin
    lost_swap_price: float = 2.0


class StationView(Struct, frozen=True, kw_only=True):
    """One offer. ``chance`` is that a full battery is there on arrival; costs are for operators."""

    cabinet: str
    name: str
    distance_m: int
    full: int
    arrival_s: int
    expected_full: float
    chance: float
    cost: float | None = None
    balance_cost: float | None = None  # part of it: what the swap does to the balance


def offers(stations: Iterable[Station], count: int) -> list[StationView]:
    """The best ``count``, best first; who has no full pack or no free slot is left out."""
    weighed = [weigh(each) for each in stations if each.full > 0 and each.empty > 0]
    weighed.sort(key=lambda each: (each.cost or 0.0, each.distance_m, each.cabinet))
    return weighed[:count]


def weigh(station: Station) -> StationView:
    """What this station would be to the rider and to the fleet."""
    way_km = station.distance_m * DETOUR / 1_000
    arrival_h = way_km / SPEED_KMH
    there = station.full + sum(hours <= arrival_h for hours in station.ready_in_h)
    met = station.rate_per_h * arrival_h
    chance = at_most(there - 1, met)
    soon = station.full + sum(hours <= CHARGE_H for hours in station.ready_in_h)
    missed = 1.0 - at_most(soon - 1, station.rate_per_h * CHARGE_H)
    balance = station.energy_cost + missed * station.lost_swap_price
    return StationView(
        cabinet=station.cabinet,
        name=station.name,
        distance_m=station.distance_m,
        full=station.full,
        arrival_s=round(arrival_h * 3_600),
        expected_full=left(there, met),
        chance=chance,
        cost=way_km * PER_KM + (1.0 - chance) * IN_VAIN + balance,
        balance_cost=balance,
    )


def at_most(count: int, mean: float) -> float:
    """That a Poisson count of this mean is ``count`` or less."""
    if count < 0:
        return 0.0
    term = total = math.exp(-mean)
    for number in range(1, count + 1):
        term *= mean / number
        total += term
    return min(total, 1.0)


def left(packs: int, mean: float) -> float:
    """Mean of what is left of ``packs`` after a Poisson count of this mean has taken of them."""
    return sum(at_most(packs - number, mean) for number in range(1, packs + 1))
