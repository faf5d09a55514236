"""The service that the loop is held to: who came, who was turned away, and what charging at once would do.

The picture of charging at once and the price of a lost swap (``fleet.core.balance.promise``) are fed
before every run: riders served and turned away for want of a full pack, live slots, and what feeders
and regions leave. Both are kept over a restart. Where anything is missing, or nothing was counted for a
day, the grid's own price holds.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import logging
import zlib
from collections import Counter, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance import horizon
from fleet.core.balance.curve import ServiceNote
from fleet.core.balance.grid import Grid
from fleet.core.balance.horizon import Problem, Site, Standing
from fleet.core.balance.instance import Ints
from fleet.core.balance.mirror import NO_PACK, Mirror
from fleet.core.balance.promise import LostPrice, Promise, kept, recalled
from fleet.errors import FleetError, InvalidError
from protocols.fastclock import REAL, FastClock

log = logging.getLogger(__name__)

NOTE: Final = "balance-service"
#: Why a rider was turned away that charging sooner could have helped.
NO_FULL: Final = "no-full-battery"
#: A longer time without a look is not judged: not all of its riders were counted.
JUDGED_MS: Final = 30 * 60_000
#: After a longer one the picture begins again from what stands there.
PICTURE_MS: Final = 6 * 3_600_000
#: So old a balance says nothing; the grid's price holds.
WORD_MS: Final = 24 * 3_600_000
#: Sums of the last day are kept by the hour.
HOUR_MS: Final = 3_600_000
HOURS_KEPT: Final = 24
#: A picture of 75,000 cabinets is half a million characters.
TEXT_MAX: Final = 8_000_000
PICTURE_BYTES_MAX: Final = 16_000_000


class ServedRows(Protocol):
    """Where swaps are booked."""

    async def taken_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int
    ) -> list[tuple[str, int, int]]:
        """(cabinet, interval since ``since_ms``, count)."""
        ...


class RefusedRows(Protocol):
    """Where riders whom a cabinet refused are booked."""

    async def refused_by_interval(
        self, since_ms: int, until_ms: int, interval_ms: int, reasons: Collection[str]
    ) -> list[tuple[str, int, int]]:
        """For these reasons: (cabinet, interval since ``since_ms``, count)."""
        ...


class Notes(Protocol):
    """Where small facts are kept by name."""

    async def note(self, name: str) -> str | None:
        """The text under this name; raise StoreError."""
        ...

    async def keep_note(self, name: str, text: str) -> None:
        """Keep it; raise StoreError."""
        ...


@dataclass(frozen=True, slots=True)
class Stretch:
    """Riders since the look before, by cabinet of the grid [C]."""

    since_ms: int
    until_ms: int
    came: Ints
    lost: Ints
    shown: Counter[str]  # of the lost, who was shown it by a page


class ServiceWatch:
    """Feeds the mirror; see the module."""

    def __init__(
        self, served: ServedRows, refused: RefusedRows, notes: Notes, *, fast: FastClock = REAL
    ) -> None:
        self._served = served
        self._refused = refused
        self._notes = notes
        self._fast = fast  # the ledger books in real time
        self._turned: Counter[str] = Counter()  # shown by pages since the last look
        self._grid: Grid | None = None
        self._promise: Promise | None = None
        self._looked_ms: int | None = None
        self._hours: deque[list[int]] = deque(maxlen=HOURS_KEPT)  # start, riders, lost, mirrored
        self._stored: dict[str, Any] = {}  # of before the restart, until the grid is known

    def turned_away(self, cabinet: str, reason: str) -> None:
        """A rider was shown that this cabinet can't serve him."""
        if reason == NO_FULL:
            self._turned[cabinet] += 1

    def price(self, grid: Grid, now_ms: int) -> float:
        """The worth of a lost swap; the grid's where nothing better is known."""
        if self._promise is None or self._looked_ms is None:
            return grid.lost_swap_price
        if not 0 <= now_ms - self._looked_ms <= WORD_MS:
            return grid.lost_swap_price
        return self._promise.lost_price.price

    def note(self, grid: Grid, now_ms: int) -> ServiceNote:
        """For operators."""
        day = [row for row in self._hours if now_ms - row[0] < HOURS_KEPT * HOUR_MS]
        promise = self._promise
        return ServiceNote(
            lost_swap_price=round(self.price(grid, now_ms), 4),
            usual_price=grid.lost_swap_price,
            riders=sum(row[1] for row in day),
            lost=sum(row[2] for row in day),
            lost_at_once=sum(row[3] for row in day),
            since_ms=day[0][0] if day else None,
            counted=promise is None or promise.lost_price.counted,
        )

    # --- one look ---------------------------------------------------------------------------------

    async def collect(self, grid: Grid, now_ms: int) -> Stretch | None:
        """Riders since the last look; None before the first, or when the store does not say."""
        try:
            self._arrange(grid)
            since_ms = self._looked_ms
            if since_ms is None or not 0 <= now_ms - since_ms <= PICTURE_MS:
                self._begin(now_ms)
                return None
            return await self._riders(grid, since_ms, now_ms)
        except FleetError as error:
            log.warning("balance: riders since the last run are not known yet: %s", error)
        except Exception as error:  # noqa: BLE001 - no fault here may stop the plans
            self._give_up(error)
        return None

    async def _riders(self, grid: Grid, since_ms: int, now_ms: int) -> Stretch | None:
        since, until = self._fast.real_ms(since_ms), self._fast.real_ms(now_ms)
        if since >= until:
            return None
        served = await self._served.taken_by_interval(since, until, until - since)
        refused = await self._refused.refused_by_interval(since, until, until - since, (NO_FULL,))
        shown = self._turned.copy()
        place = {cabinet: row for row, cabinet in enumerate(grid.ids)}
        came, lost = np.zeros(len(place), np.int64), np.zeros(len(place), np.int64)
        told = [(cabinet, 0, count) for cabinet, count in shown.items()]
        for rows, away in ((served, False), (refused, True), (told, True)):
            for cabinet, _, count in rows:
                row = place.get(cabinet)
                if row is not None:
                    came[row] += count
                    lost[row] += count if away else 0
        return Stretch(since_ms, now_ms, came, lost, shown)

    async def look(
        self, stretch: Stretch | None, sites: Sequence[Site], problem: Problem
    ) -> tuple[int, int, int]:
        """Let the mirror serve the same riders; how many came, were lost, and lost there.

        ``sites`` are the grid's cabinets as they stand, ``problem`` what they were planned by. Once it
        returns, the stretch is done with; whoever does not come so far collects it again.
        """
        try:
            seen = await asyncio.to_thread(self._look, stretch, sites, problem)
        except Exception as error:  # noqa: BLE001 - no fault here may stop the plans
            self._give_up(error)
            return 0, 0, 0
        if stretch is not None:
            self._turned -= stretch.shown
            self._looked_ms = stretch.until_ms
        return seen

    def _look(
        self, stretch: Stretch | None, sites: Sequence[Site], problem: Problem
    ) -> tuple[int, int, int]:
        promise, grid = self._promise, self._grid
        seen = 0, 0, 0
        if promise is None or grid is None:
            return seen
        if stretch is not None:
            length_ms = stretch.until_ms - stretch.since_ms
            judged = length_ms <= JUDGED_MS
            found = promise.look(
                stretch.came,
                stretch.lost,
                length_ms / HOUR_MS,
                problem.feeder_room_w,
                problem.region_room_w,
                judged=judged,
            )
            if judged:
                seen = found
                self._count(stretch.until_ms, seen)
        breaker_w = np.maximum(problem.most_w[:, 0] - problem.socket_w[:, 0], 0).astype(float)
        heard = np.array([site.standing is Standing.FOLLOWS and bool(site.slots) for site in sites])
        promise.mirror.follow(horizon.slot_arrays(sites, breaker_w), heard)
        return seen

    def _count(self, at_ms: int, seen: tuple[int, int, int]) -> None:
        start_ms = at_ms - at_ms % HOUR_MS
        if not self._hours or self._hours[-1][0] != start_ms:
            self._hours.append([start_ms, 0, 0, 0])
        row = self._hours[-1]
        for place, count in enumerate(seen, start=1):
            row[place] += count

    # --- grids and restarts -----------------------------------------------------------------------

    def _begin(self, now_ms: int) -> None:
        """From what stands there, as of now."""
        assert self._promise is not None
        self._promise.mirror.forget(np.ones(len(self._promise.mirror.known), bool))
        self._turned.clear()
        if self._looked_ms is not None:
            gone_ms = max(now_ms - self._looked_ms, 0)
            self._promise.lost_price.balance.fade(gone_ms / HOUR_MS / HOURS_KEPT)
        self._looked_ms = now_ms

    def _give_up(self, error: Exception) -> None:
        """No fault here may stop the plans: the grid's price holds, and all begins anew."""
        log.error("balance: the service can't be followed; the grid's price holds", exc_info=error)
        self._promise = self._grid = self._looked_ms = None
        self._turned.clear()

    def _arrange(self, grid: Grid) -> None:
        """A picture for this grid; what is known of its cabinets is taken over."""
        if grid is self._grid:
            return
        before, old = self._promise, self._grid
        feeder_of = np.array([feeder for _, feeder in grid.cabinets], np.int32)
        region_of = np.array([feeder.region for feeder in grid.feeders], np.int32)
        nobody = horizon.slot_arrays(
            [Site(cabinet, Standing.SILENT) for cabinet in grid.ids],
            np.full(len(grid.ids), float(grid.power.breaker_w)),
        )
        mirror = Mirror(nobody, horizon.pack_curve(grid.pack), feeder_of, region_of)
        mirror.forget(np.ones(len(grid.ids), bool))
        balance = None
        if before is not None and old is not None:
            balance = before.lost_price.balance
            if grid.pack == old.pack:
                _take_over(mirror, grid.ids, before.mirror.picture(), before.mirror.known, old.ids)
        elif self._stored:
            balance = recalled(self._stored["balance"])
            if self._stored["cabinets"] == _digest(grid):
                picture = _unpacked(self._stored["picture"], len(grid.ids))
                if picture is not None:
                    mirror.recall(picture, (picture != NO_PACK).any(axis=1))
        self._promise = Promise(mirror, LostPrice(grid.lost_swap_price, balance))
        self._grid, self._stored = grid, {}

    async def recall(self, now_ms: int) -> None:
        """Take up what was kept before a restart; raise StoreError. Damage is begun anew."""
        text = await self._notes.note(NOTE)
        if text is None:
            return
        try:
            stored, looked_ms, hours = _read(text)
        except (InvalidError, ValueError, KeyError, TypeError, RecursionError) as error:
            log.warning(
                "balance: the kept service is unreadable: %r; the grid's price holds", error
            )
            return
        if looked_ms > now_ms:
            log.warning("balance: the kept service is of a time to come; the grid's price holds")
            return
        self._stored = stored
        self._looked_ms = looked_ms
        self._hours = deque(hours, maxlen=HOURS_KEPT)

    async def keep(self) -> None:
        """Store it; without a store it is kept the next time."""
        promise, grid = self._promise, self._grid
        if promise is None or grid is None or self._looked_ms is None:
            return
        packed = zlib.compress(promise.mirror.picture().tobytes(), 1)
        known = {
            "at_ms": self._looked_ms,
            "balance": kept(promise.lost_price.balance),
            "hours": list(self._hours),
            "cabinets": _digest(grid),
            "picture": base64.b64encode(packed).decode(),
        }
        try:
            await self._notes.keep_note(NOTE, json.dumps(known, separators=(",", ":")))
        except FleetError as error:
            log.warning("balance: the service is not stored: %s", error)


def _read(text: str) -> tuple[dict[str, Any], int, list[list[int]]]:
    """What was kept, when, and its hours; raises one of many for damage."""
    if len(text) > TEXT_MAX:
        raise InvalidError(f"has {len(text)} characters")
    known = json.loads(text)
    recalled(known["balance"])
    hours = [[int(each) for each in row] for row in known["hours"]][-HOURS_KEPT:]
    if any(len(row) != 4 or min(row) < 0 for row in hours):
        raise InvalidError("hours: expected start, riders, lost, mirrored")
    stored = {
        "balance": known["balance"],
        "cabinets": str(known["cabinets"]),
        "picture": str(known["picture"]),
    }
    return stored, int(known["at_ms"]), hours


def _take_over(
    mirror: Mirror,
    ids: Sequence[str],
    picture: NDArray[np.uint8],
    known: NDArray[np.bool_],
    old: Sequence[str],
) -> None:
    """What was pictured of cabinets that are in both grids."""
    before = {cabinet: row for row, cabinet in enumerate(old)}
    places = np.array([before.get(cabinet, -1) for cabinet in ids], np.int64)
    rows = (places >= 0) & known[places]
    mirror.recall(picture[places], rows)


def _digest(grid: Grid) -> str:
    """Of what a picture's rows and bytes stand for."""
    return hashlib.sha256(repr((grid.ids, grid.pack)).encode()).hexdigest()


def _unpacked(text: str, cabinets: int) -> NDArray[np.uint8] | None:
    """A kept picture [C,S]; None when it is none of so many cabinets."""
    try:
        inflate = zlib.decompressobj()
        raw = inflate.decompress(base64.b64decode(text, validate=True), PICTURE_BYTES_MAX)
    except (ValueError, zlib.error):
        return None
    if not inflate.eof or not raw or len(raw) % cabinets:
        return None
    return np.frombuffer(raw, np.uint8).reshape(cabinets, -1)
