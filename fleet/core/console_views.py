"""What the console shows beside the list of cabinets: the day's figures, finds, messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

#: Why a rider is sent away who did nothing wrong: another cabinet would have served him.
TURNED_AWAY: Final = frozenset({"offline", "alarm", "no-full-battery", "no-empty-slot"})


class SwapDay(Struct, frozen=True, kw_only=True):
    """Riders' transactions that ended since midnight, and riders who found no service.

    ``turned_away`` counts who was shown that a cabinet can't serve him, once per rider, cabinet and
    hour, and whom a cabinet refused; ``turned_since_ms`` is when counting began if that was later.
    """

    completed: int
    ended: int
    turned_away: int | None
    turned_since_ms: int | None = None

    @property
    def success_pct(self) -> float | None:
        """Completed of those that ended; None while none did."""
        return 100 * self.completed / self.ended if self.ended else None


class EnergyDay(Struct, frozen=True, kw_only=True):
    """What the grid's meterings say since midnight. ``since_ms``: when they begin, if that is later.

    The peak is the interval in which some region came closest to its limit; None without a limit.
    """

    energy_wh: int
    cost: float
    since_ms: int | None = None
    peak_region: str | None = None
    peak_w: int | None = None
    peak_limit_w: int | None = None
    peak_ms: int | None = None


class Find(Struct, frozen=True, kw_only=True):
    """One thing that a search found."""

    kind: str  # cabinet, station, battery, swap, rider
    id: str
    title: str = ""
    detail: str = ""  # of a battery its holder, of a transaction its cabinet


class Message(Struct, frozen=True, kw_only=True):
    """One message of a cabinet as it crossed the broker."""

    at_ms: int
    leaf: str
    text: str
    cut: bool = False  # it was longer than what is kept


class EventRow(Struct, frozen=True, kw_only=True):
    """One event that a cabinet wrote, as it stands in the store."""

    epoch: int
    seq: int
    at_ms: int
    received_ms: int
    synced: bool  # the cabinet trusted its clock
    type: str
    body: str


#: A metering: start, measured watts, watts allowed, price per kWh; None is not known or not limited.
Metering = tuple[int, int | None, int | None, float]


def energy_day(
    regions: Iterable[tuple[str, Iterable[Metering]]], interval_ms: int, since_ms: int, now_ms: int
) -> EnergyDay | None:
    """The day's energy, what it cost and the peak; None when nothing was measured."""
    energy_wh = cost = 0.0
    first_ms: int | None = None
    peak: tuple[float, str, int, int, int] | None = None
    for name, meterings in regions:
        for start_ms, actual_w, limit_w, price in meterings:
            if actual_w is None or start_ms < since_ms - since_ms % interval_ms:
                continue
            lasted_ms = min(interval_ms, max(0, now_ms - start_ms))
            used_wh = actual_w * lasted_ms / 3_600_000
            energy_wh += used_wh
            cost += used_wh / 1_000 * price
            first_ms = start_ms if first_ms is None else min(first_ms, start_ms)
            if limit_w:
                found = (actual_w / limit_w, name, actual_w, limit_w, start_ms)
                peak = found if peak is None or found[0] > peak[0] else peak
    if first_ms is None:
        return None
    return EnergyDay(
        energy_wh=round(energy_wh),
        cost=cost,
        since_ms=first_ms if first_ms > since_ms + interval_ms else None,
        peak_region=peak[1] if peak else None,
        peak_w=peak[2] if peak else None,
        peak_limit_w=peak[3] if peak else None,
        peak_ms=peak[4] if peak else None,
    )
