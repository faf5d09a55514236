"""What all sites must and may charge from now on: one decision, in the fleet and in its closed loop.

The closed loop (``simulator.world``) measures what a plan is worth, so that everything on the way from
live packs and riders to come to envelopes is here, for both: the stock that is kept by what a pack in
it costs, the early hand-out, the urgent sites.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance import envelopes, rush
from fleet.core.balance.envelopes import PackCurve, Slots
from fleet.core.balance.forecast import Forecast
from fleet.core.balance.instance import Floats, Ints
from fleet.core.balance.rush import Flags

#: Hours within which a pack may be charged for less, and the least saving that counts, per swap.
LATER_H: Final = 8
WORTH_MIN: Final = 0.02


@dataclass(frozen=True, slots=True)
class Needs:
    """Envelopes by the wall clock's intervals, and what they rest on."""

    low: Ints  # [C,T]
    high: Ints  # [C,T]
    step: Ints  # [C,T]
    ready: Floats  # [C] packs that can be handed out now
    kept: (
        Floats  # [C,T] packs to have been ready by the end of each interval, those of now included
    )
    riders: Floats  # [C,T] expected up to the end of each interval
    few: Flags  # [C] hands packs out early
    urgent: Flags  # [C] needs every pack soon


def charge_intervals(curve: PackCurve, interval_s: int) -> int:
    """Whole intervals that a returned pack needs, at least one."""
    return max(int(curve.back[1] * 3600 / interval_s + 1e-6), 1)


def waiting_saves(
    price: Floats, length: int, interval_s: int, charge: int, swap_wh: float
) -> Floats:
    """What one pack saves that is ready later than by the end of each interval [length].

    ``price`` [T] per kWh is of one day from now on, and comes again; ``length`` is T and a little more
    at most, ``charge`` as in ``charge_intervals``, ``swap_wh`` the energy of a swap at the mains.
    """
    later = min(max(LATER_H * 3600 // interval_s, 1), len(price))
    day = np.concatenate((price[-charge:], price, price))
    cheap = np.lib.stride_tricks.sliding_window_view(day[charge:], later)[1 : length + 1]
    usual = np.lib.stride_tricks.sliding_window_view(day, charge)[1 : length + 1]
    saved: Floats = np.maximum(usual.mean(axis=1) - cheap.min(axis=1), 0.0) * swap_wh / 1000
    return saved


def worth(saves: Floats, lost_price: float, least: float = WORTH_MIN) -> Floats:
    """The same in lost swaps: a pack is kept in stock that saves more of one than this."""
    found: Floats = np.maximum(saves / lost_price, least)
    return found


def needs(
    slots: Slots,
    forecast: Forecast,
    curve: PackCurve,
    *,
    stock: Callable[[Floats, Floats], Floats],
    intervals: int,
    interval_s: int,
    share: float = 1.0,
    lead: NDArray[np.int64] | None = None,
) -> Needs:
    """Envelopes of ``intervals``; made from now on, and then cut where the wall clock's begin.

    Args:
        slots: live.
        forecast: of the wall clock's intervals, the present one first.
        curve: of a pack.
        stock: packs to keep for the riders of a charge, by their mean and variance.
        intervals: T.
        interval_s: their length.
        share: of the present interval, what is left of it.
        lead: intervals by which packs are to be ready sooner [C]; none if left out.
    """
    mean = forecast.mean
    ahead = np.concatenate((mean[:, 1:], mean[:, -1:]), axis=1)
    shifted = Forecast(share * mean + (1.0 - share) * ahead, forecast.relative_variance)
    charge = charge_intervals(curve, interval_s)
    ready = envelopes.ready_packs(slots, curve.ready_soc)
    packs = (slots.soc >= 0).sum(axis=1).astype(float)
    kept = envelopes.kept_ready(
        shifted,
        intervals,
        packs,
        stock=stock,
        lead=np.zeros(len(packs), np.int64) if lead is None else lead,
        charge=charge,
    )
    wanted = np.maximum.accumulate(np.maximum(kept - ready[:, None], 0.0), axis=1)
    low, high, step = envelopes.cabinet_envelopes(slots, shifted, wanted, curve, interval_s)
    low, high = (np.floor(_cut(values, share)).astype(np.int64) for values in (low, high))
    return Needs(
        low=np.minimum(low, high),
        high=high,
        step=np.ceil(_cut(step, share)).astype(np.int64),
        ready=ready,
        kept=kept,
        riders=_cut(np.cumsum(shifted.mean[:, :intervals], axis=1), share),
        few=rush.few(ready) & (packs > 0),
        urgent=rush.urgent(wanted, packs - ready, min(charge, intervals)),
    )


def _cut(values: Ints | Floats, share: float) -> Floats:
    """Values at the ends of full intervals from now on, at the ends of the wall clock's."""
    ends: Floats = values.astype(np.float64)
    before = np.zeros_like(ends)
    before[:, 1:] = ends[:, :-1]
    return before + share * (ends - before)
