"""What is known of demand, by cabinet and interval: riders served and turned away, and sockets.

A cabinet that runs out of packs is wanted more than its swaps say: who was turned away counts as a
rider there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.forecast import SWAPS_A_DAY, Forecast, Forecaster, by_today
from fleet.core.balance.instance import Floats
from fleet.core.balance.sockets import SocketUse
from fleet.core.console_views import TURNED_AWAY
from protocols.fastclock import REAL, FastClock

HISTORY_DAYS: Final = 28
FORECAST_DAYS: Final = 3  # today and what 24 hours and the horizon's spare reach into
SHOWN_MS: Final = 15 * 60_000  # riders who were shown that they can't be served are kept by this


class DemandRows(Protocol):
    """Where swaps are booked."""

    async def taken_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        """(cabinet, interval since ``since_ms``, count)."""
        ...


class LostRows(Protocol):
    """Where riders who were turned away are counted."""

    async def shown_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        """By pages: (cabinet, interval in which their quarter of an hour begins, count)."""
        ...

    async def refused_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int, reasons: Collection[str]
    ) -> list[tuple[str, int, int]]:
        """By cabinets, for these reasons: (cabinet, interval since ``since_ms``, count)."""
        ...


class SocketRows(Protocol):
    """Where sessions at sockets are booked."""

    async def drawn_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int, float]]:
        """(cabinet, interval of the beginning since ``since_ms``, Wh, mean length in s)."""
        ...


class CabinetAges(Protocol):
    """Since when cabinets can have had swaps."""

    async def registered_ms(self) -> dict[str, int]:
        """By cabinet."""
        ...


class Demand:
    """A forecaster, and the days it has learnt."""

    def __init__(
        self,
        rows: DemandRows,
        ages: CabinetAges,
        *,
        cabinets: Sequence[str],
        interval_s: int,
        zone: tzinfo,
        fast: FastClock = REAL,
        sockets: SocketRows | None = None,
        lost: LostRows | None = None,
    ) -> None:
        self._rows = rows
        self._lost = lost
        self._sockets = sockets
        self._use = SocketUse(len(cabinets), interval_s)
        self._ages = ages
        self._place = {cabinet: place for place, cabinet in enumerate(cabinets)}
        self._interval_ms = interval_s * 1_000
        self._fast = fast  # the ledger books in real time
        self._zone = zone
        prior = np.full(len(cabinets), SWAPS_A_DAY)
        self._forecaster = Forecaster(prior, interval_s=interval_s)
        self._next: date | None = None  # the first day that is not learnt yet
        self._today: date | None = None
        self._so_far: Floats = np.zeros(len(cabinets))  # of today's whole intervals
        self._so_far_count = 0

    async def catch_up(self, now_ms: int) -> int:
        """Learn every whole day that is over, and how today went so far; raise StoreError.

        Returns how many days were learnt.
        """
        learnt = await self._catch_up(now_ms)
        midnight_ms, count = self._midnight_ms(self._local(now_ms).date()), self._place_of(now_ms)
        if count:
            came = await self._came(midnight_ms, midnight_ms + count * self._interval_ms, count)
            self._so_far = came.sum(axis=1)
        self._today, self._so_far_count = self._local(now_ms).date(), count
        return learnt

    async def _catch_up(self, now_ms: int) -> int:
        today = self._local(now_ms).date()
        oldest = today - timedelta(days=HISTORY_DAYS)
        day = max(self._next or oldest, oldest)
        ages = await self._ages.registered_ms() if day < today else {}
        since = np.full(len(self._place), now_ms)
        for cabinet, place in self._place.items():
            age_ms = ages.get(cabinet)
            since[place] = now_ms if age_ms is None else self._fast.day_ms(age_ms)
        learnt = 0
        while day < today:
            learnt += await self._learn(day, since)
            day += timedelta(days=1)
            self._next = day
        return learnt

    async def _learn(self, day: date, since_ms: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
        begin, end = self._midnight_ms(day), self._midnight_ms(day + timedelta(days=1))
        there = since_ms <= begin
        if not there.any():
            return 0
        counts = await self._came(begin, end, self._forecaster.intervals)
        observed = np.repeat(there[:, None], counts.shape[1], axis=1)
        await asyncio.to_thread(self._forecaster.learn, counts, day.weekday(), observed=observed)
        await self._learn_sockets(begin, end, there)
        return 1

    async def _came(self, begin_ms: int, end_ms: int, intervals: int) -> Floats:
        """Riders served and turned away [C,I]; a day may be an hour longer than the profile."""
        counts = np.zeros((len(self._place), intervals))
        step_ms = max(self._interval_ms // self._fast.rate, 1)
        span = self._fast.real_ms(begin_ms), self._fast.real_ms(end_ms), step_ms
        rows = await self._rows.taken_by_interval(*span)
        shown: list[tuple[str, int, int]] = []
        if self._lost is not None:
            rows = [*rows, *await self._lost.refused_by_interval(*span, TURNED_AWAY)]
            shown = await self._lost.shown_by_interval(*span)
        parts = max(SHOWN_MS // step_ms, 1)
        for found, spread in ((rows, 1), (shown, parts)):
            for cabinet, interval, count in found:
                place = self._place.get(cabinet)
                if place is not None:
                    first = min(interval, intervals - 1)
                    counts[place, first : first + spread] += count / spread
        return counts

    async def _learn_sockets(self, begin: int, end: int, there: NDArray[np.bool_]) -> None:
        if self._sockets is None:
            return
        rate = self._fast.rate
        rows = await self._sockets.drawn_by_interval(
            self._fast.real_ms(begin),
            self._fast.real_ms(end),
            max(self._interval_ms // rate, 1),
        )
        known = [
            (self._place[cabinet], interval, float(energy_wh), length_s * rate)
            for cabinet, interval, energy_wh, length_s in rows
            if cabinet in self._place
        ]
        self._use.learn(known, there)

    def forecast(self, now_ms: int, count: int) -> Forecast:
        """Swaps, and power of sockets, of ``count`` intervals, the present one first."""
        now, first = self._local(now_ms), self._place_of(now_ms)
        days = [((now.weekday() + ahead) % 7, ()) for ahead in range(FORECAST_DAYS)]
        swaps = self._forecaster.forecast(days, first, count)
        if self._today == now.date() and 0 < self._so_far_count <= first:
            expected = self._forecaster.forecast(days[:1], 0, self._so_far_count).mean.sum(axis=1)
            left = self._forecaster.intervals - first
            swaps = by_today(swaps, self._so_far, expected, left)
        if self._sockets is None:
            return swaps
        day_w = self._use.expected_w()
        return replace(swaps, socket_w=day_w[:, (first + np.arange(count)) % day_w.shape[1]])

    def _place_of(self, now_ms: int) -> int:
        """The interval of the local day."""
        now = self._local(now_ms)
        return (now.hour * 3_600 + now.minute * 60 + now.second) * 1_000 // self._interval_ms

    def _local(self, now_ms: int) -> datetime:
        return datetime.fromtimestamp(now_ms / 1_000, self._zone)

    def _midnight_ms(self, day: date) -> int:
        return int(datetime.combine(day, time(), self._zone).timestamp() * 1_000)
