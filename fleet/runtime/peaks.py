"""Each region's highest load of the month, which is paid for: measured, and kept over a restart."""

from __future__ import annotations

import json
import logging
from datetime import tzinfo
from typing import Final, Protocol

import numpy as np

from fleet.core.balance import horizon
from fleet.core.balance.curve import Ring
from fleet.core.balance.grid import Grid
from fleet.core.balance.instance import Floats
from fleet.errors import FleetError

log = logging.getLogger(__name__)

NOTE: Final = "balance-peaks"


class Notes(Protocol):
    """Where small facts are kept by name."""

    async def note(self, name: str) -> str | None:
        """The text under this name; raise StoreError."""
        ...

    async def keep_note(self, name: str, text: str) -> None:
        """Keep it; raise StoreError."""
        ...


class Peaks:
    """Means of whole intervals, by the region's name; a new month begins with none."""

    def __init__(self, notes: Notes, zone: tzinfo) -> None:
        self._notes = notes
        self._zone = zone
        self._month = -1
        self._measured_w: dict[str, float] = {}
        self._kept = ""

    async def recall(self) -> None:
        """Take up what was measured before a restart; raise StoreError."""
        text = await self._notes.note(NOTE)
        if text is None:
            return
        try:
            known = json.loads(text)
            month, watts = int(known["month"]), {str(k): float(v) for k, v in known["w"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("balance: the stored peaks are unreadable: %r; measuring anew", error)
            return
        self._month, self._measured_w, self._kept = month, watts, text

    def highest(self, grid: Grid, ring: Ring, now_ms: int) -> Floats:
        """The highest mean of a whole interval of each region this month, as far as is known [R]."""
        month = horizon.month_of(now_ms, self._zone)
        if month != self._month:
            self._month, self._measured_w = month, {}
        current_ms = now_ms - now_ms % ring.interval_ms
        region_of = np.array([grid.feeders[feeder].region for _, feeder in grid.cabinets])
        found = []
        for place, region in enumerate(grid.regions):
            means = ring.means(np.flatnonzero(region_of == place), now_ms)
            peak_w = max(
                (
                    actual_w
                    for start_ms, _, actual_w in means
                    if actual_w is not None
                    and start_ms < current_ms
                    and horizon.month_of(start_ms, self._zone) == month
                ),
                default=0,
            )
            measured_w = max(self._measured_w.get(region.name, 0.0), float(peak_w))
            self._measured_w[region.name] = measured_w
            found.append(max(measured_w, float(region.peak_so_far_w)))
        return np.array(found)

    async def keep(self) -> None:
        """Store them where they have risen; without a store they are kept the next time."""
        text = json.dumps({"month": self._month, "w": self._measured_w}, sort_keys=True)
        if text == self._kept:
            return
        try:
            await self._notes.keep_note(NOTE, text)
        except FleetError as error:
            log.warning("balance: the month's peaks are not stored: %s", error)
        else:
            self._kept = text
