"""What the ledger says of demand: packs handed out and energy from sockets, by cabinet and interval."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.forecast import SWAPS_A_DAY, Forecast, Forecaster
from fleet.core.balance.sockets import SocketUse
from protocols.fastclock import REAL, FastClock

HISTORY_DAYS: Final = 28
FORECAST_DAYS: Final = 3  # today and what 24 hours and the horizon's spare reach into


class DemandRows(Protocol):
    """Where swaps are booked."""

    async def taken_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        """(cabinet, interval since ``since_ms``, count)."""
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
    ) -> None:
        self._rows = rows
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

    async def catch_up(self, now_ms: int) -> int:
        """Learn every whole day that is over; how many they were. Raise StoreError."""
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
        counts = np.zeros((len(self._place), self._forecaster.intervals))
        rows = await self._rows.taken_by_interval(
            self._fast.real_ms(begin),
            self._fast.real_ms(end),
            max(self._interval_ms // self._fast.rate, 1),
        )
        for cabinet, interval, count in rows:
            place = self._place.get(cabinet)
            if place is not None:  # a day may be an hour longer than the profile
                counts[place, min(interval, counts.shape[1] - 1)] += count
        observed = np.repeat(there[:, None], counts.shape[1], axis=1)
        await asyncio.to_thread(self._forecaster.learn, counts, day.weekday(), observed=observed)
        await self._learn_sockets(begin, end, there)
        return 1

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
        now = self._local(now_ms)
        first = (now.hour * 3_600 + now.minute * 60 + now.second) * 1_000 // self._interval_ms
        days = [((now.weekday() + ahead) % 7, ()) for ahead in range(FORECAST_DAYS)]
        swaps = self._forecaster.forecast(days, first, count)
        if self._sockets is None:
            return swaps
        day_w = self._use.expected_w()
        return replace(swaps, socket_w=day_w[:, (first + np.arange(count)) % day_w.shape[1]])

    def _local(self, now_ms: int) -> datetime:
        return datetime.fromtimestamp(now_ms / 1_000, self._zone)

    def _midnight_ms(self, day: date) -> int:
        return int(datetime.combine(day, time(), self._zone).timestamp() * 1_000)
