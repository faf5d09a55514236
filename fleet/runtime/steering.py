"""``fleet.ports.Steering`` over the live picture, with the plan's knowledge where there is a plan."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from fleet.core.distance import distance_m
from fleet.core.steering import RATE_UNKNOWN, Station, StationView, offers
from fleet.core.swaps import refuse_cabinet
from fleet.runtime.live import LivePicture

if TYPE_CHECKING:  # it brings a compiler; who has a plan has it
    from fleet.runtime.outlook import Outlook

#: Farther than this nobody rides for a battery.
REACH_M: Final = 10_000
DEGREE_M: Final = 111_000.0
#: The nearest so many are weighed.
WEIGHED_MAX: Final = 50


class SteeringService:
    """Implements ``fleet.ports.Steering``."""

    def __init__(self, live: LivePicture, outlook: Outlook | None) -> None:
        self._live = live
        self._outlook = outlook
        self._by_lat: list[tuple[float, float, str]] = []
        self._known = -1

    async def near(self, lat: float, lon: float, count: int) -> list[StationView]:
        """The best stations for a rider at this place."""
        if self._outlook is not None:
            await asyncio.to_thread(self._outlook.refresh)
        found = islice(self._serving(lat, lon), WEIGHED_MAX)
        return offers((self._station(cabinet, way_m) for way_m, cabinet in found), count)

    def _serving(self, lat: float, lon: float) -> Iterator[tuple[int, str]]:
        """(metres, cabinet) of those that serve riders now, the nearest first."""
        for way_m, cabinet in sorted(self._within_reach(lat, lon)):
            if refuse_cabinet(self._live.facts(cabinet)) is None:
                yield way_m, cabinet

    def _within_reach(self, lat: float, lon: float) -> Iterator[tuple[int, str]]:
        if self._known != self._live.revision:
            self._known = self._live.revision
            places = self._live.places()
            self._by_lat = sorted((*place, cabinet) for cabinet, place in places.items())
        span = REACH_M / DEGREE_M
        for place in range(bisect_left(self._by_lat, (lat - span,)), len(self._by_lat)):
            other_lat, other_lon, cabinet = self._by_lat[place]
            if other_lat > lat + span:
                return
            way_m = distance_m(lat, lon, other_lat, other_lon)
            if way_m <= REACH_M:
                yield way_m, cabinet

    def _station(self, cabinet: str, way_m: int) -> Station:
        view = self._live.view(cabinet)
        seen = self._outlook.of(cabinet, view.slots) if self._outlook is not None else None
        if seen is None:
            return Station(cabinet, view.name, way_m, view.full, view.empty, RATE_UNKNOWN)
        return Station(
            cabinet=cabinet,
            name=view.name,
            distance_m=way_m,
            full=view.full,
            empty=view.empty,
            rate_per_h=seen.rate_per_h,
            ready_in_h=seen.ready_in_h,
            energy_cost=seen.energy_cost,
            lost_swap_price=seen.lost_swap_price,
        )
