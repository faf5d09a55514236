"""From live slots and a forecast to what each cabinet must and may charge.

Each pack that is not ready is a job (see ``jobs``): released now, or with the rider who brings it, and
due when the riders to come need it. How many must be ready when is the service level's:

    needed(t) = D(t + lead) + z * sqrt(variance of D over the last ``charge`` hours before) - ready now

D are the swaps expected up to t. Until ``charge`` hours (what a returned pack needs) before t one may
still react, so that only the spread of those hours is kept in stock, ``z`` standard deviations of it;
``lead`` keeps the mean of so much more. Never more than the cabinet's packs: a site whose demand wants
all of them charges at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.forecast import Forecast
from fleet.core.balance.instance import Floats, Ints
from fleet.core.balance.jobs import envelopes
from fleet.errors import InvalidError

EMPTY: Final = -1.0
TABLE: Final = 200  # points of a pack's curve


@dataclass(frozen=True)
class PackCurve:
    """Mains power of a pack at its full rate by state of charge; falls in the taper.

    ``power_w`` [n+1] stands for states of charge 0, 1/n .. 1; ``mains_wh`` [n+1] is the energy taken
    from the mains since 0. ``ready_soc`` is the state of charge at which a job is done.
    """

    power_w: Floats
    mains_wh: Floats
    ready_soc: float
    back_soc: float = 0.22  # of a returned pack, on the mean

    def __post_init__(self) -> None:
        if self.power_w.shape != self.mains_wh.shape or self.power_w.ndim != 1:
            raise InvalidError("power_w, mains_wh: expected two rows of the same length")
        if np.any(self.power_w <= 0) or np.any(np.diff(self.mains_wh) <= 0):
            raise InvalidError("power_w: expected above 0; mains_wh: expected to rise")
        if not 0.0 <= self.back_soc < self.ready_soc <= 1.0:
            raise InvalidError("back_soc, ready_soc: expected 0 <= back_soc < ready_soc <= 1")

    @cached_property
    def tables(self) -> tuple[Floats, Floats, Floats, Floats, float]:
        """Energy, hours and rate by state of charge; gain by hours before the end, and its step."""
        soc = np.linspace(0.0, 1.0, TABLE + 1)
        own = np.linspace(0.0, 1.0, len(self.power_w))
        mains = np.interp(soc, own, self.mains_wh)
        rate = np.interp(soc, own, self.power_w)
        spent = np.concatenate(
            ([0.0], np.cumsum(np.diff(mains) * 2.0 / (rate[1:] + rate[:-1])))
        )  # hours from 0
        energy = np.maximum(np.interp(self.ready_soc, soc, mains) - mains, 0.0)
        hours = np.maximum(np.interp(self.ready_soc, soc, spent) - spent, 0.0)
        step_h = float(hours[0]) / TABLE
        gain = np.interp(np.arange(TABLE + 1) * step_h, hours[::-1], energy[::-1])
        return energy, hours, rate, gain, step_h

    @property
    def back(self) -> tuple[float, float, float]:
        """Energy, hours and rate of a returned pack."""
        energy, hours, rate, _, _ = self.tables
        soc = np.linspace(0.0, 1.0, TABLE + 1)
        return (
            float(np.interp(self.back_soc, soc, energy)),
            float(np.interp(self.back_soc, soc, hours)),
            float(np.interp(self.back_soc, soc, rate)),
        )


@dataclass(frozen=True, slots=True)
class Slots:
    """The live state of all cabinets' slots."""

    soc: Floats  # [C,S] 0..1; EMPTY where no pack stands
    usable: NDArray[np.bool_]  # [C,S] the slot may charge
    breaker_w: Floats  # [C] for charging, base load taken off

    def __post_init__(self) -> None:
        if self.soc.ndim != 2 or self.usable.shape != self.soc.shape:
            raise InvalidError("soc, usable: expected the same shape [cabinets, slots]")
        if self.breaker_w.shape != self.soc.shape[:1] or not np.all(self.breaker_w >= 0):
            raise InvalidError("breaker_w: expected one number from 0 on per cabinet")
        if not np.all((self.soc <= 1.0) & ((self.soc >= 0.0) | (self.soc == EMPTY))):
            raise InvalidError("soc: expected 0 to 1, or -1 for an empty slot")


def ready_packs(slots: Slots, ready_soc: float) -> Floats:
    """How many packs can be handed out now [C]."""
    count: Floats = (slots.soc >= ready_soc).sum(axis=1).astype(float)
    return count


def needed(
    forecast: Forecast,
    intervals: int,
    ready_now: Floats,
    packs: Floats,
    *,
    stock: Callable[[Floats, Floats], Floats],
    lead: NDArray[np.int64],
    charge: int,
) -> Floats:
    """Packs to be charged by the end of each interval, counted from now on [C,T]; non-decreasing.

    ``ready_now`` [C] are packs that can be handed out now; the rest is ``kept_ready``'s.
    """
    kept = kept_ready(forecast, intervals, packs, stock=stock, lead=lead, charge=charge)
    result: Floats = np.maximum.accumulate(np.maximum(kept - ready_now[:, None], 0.0), axis=1)
    return result


def kept_ready(
    forecast: Forecast,
    intervals: int,
    packs: Floats,
    *,
    stock: Callable[[Floats, Floats], Floats],
    lead: NDArray[np.int64],
    charge: int,
) -> Floats:
    """Packs to have been ready by the end of each interval, those of now included [C,T].

    Args:
        forecast: what lies beyond its end is taken as its last interval's.
        intervals: how many to look at, T.
        packs: of each cabinet, usable ones [C]: its stock never needs to be more.
        stock: packs to keep for the riders of ``charge`` hours, by their mean and variance [C,T].
        lead: intervals by which packs are to be ready sooner [C].
        charge: intervals that a returned pack needs.
    """
    cabinets = len(forecast.mean)
    spare = max(int(lead.max(initial=0)), 0)
    mean = forecast.mean[:, : intervals + spare]
    missing = intervals + spare - mean.shape[1]
    if missing > 0:
        mean = np.concatenate((mean, np.repeat(mean[:, -1:], missing, axis=1)), axis=1)
    total = np.concatenate((np.zeros((cabinets, 1)), np.cumsum(mean, axis=1)), axis=1)
    ends = np.arange(1, intervals + spare + 1)
    before = total[:, np.maximum(ends - charge, 0)]
    window = total[:, ends] - before
    variance = window + window**2 * forecast.relative_variance[:, None]
    kept = np.maximum.accumulate(before + stock(window, variance), axis=1)
    soon = np.arange(intervals)[None, :] + lead[:, None]
    most = total[:, 1 : intervals + 1] + packs[:, None]
    wanted: Floats = np.minimum(np.take_along_axis(kept, soon, axis=1), most)
    return wanted


def cabinet_envelopes(
    slots: Slots, forecast: Forecast, wanted: Floats, curve: PackCurve, step_s: int
) -> tuple[Ints, Ints, Ints]:
    """``energy_min_wh``, ``energy_max_wh``, ``step_max_wh`` [C,T] of an instance.

    ``wanted`` [C,T] comes from ``needed``. Each cabinet alone can follow its envelope within its
    ``step_max_wh``: what can't be done in time is asked for as soon as it can be.
    """
    cabinets, intervals = wanted.shape
    low = np.empty((cabinets, intervals), np.int64)
    high, step = np.empty_like(low), np.empty_like(low)
    expected = np.cumsum(forecast.mean[:, :intervals], axis=1)
    envelopes(
        slots.soc, slots.usable, curve.ready_soc, expected, wanted, curve.back, curve.tables,
        step_s / 3600.0, slots.breaker_w, low, high, step,
    )  # fmt: skip
    return low, high, step
