"""The certificate: a cost that no plan of a region can go below.

Prices on the limits turn the region into independent cabinets (Lagrange): each is solved exactly by
``greedy.cheapest_cost`` at its feeder's prices, and what the limits would be paid is given back. Any
prices that are not negative, and that charge the peak no more than its price, give a true bound; good
ones come from the labels at the two caps around the best one. An error here or in the search can
loosen the gap, never falsify it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fleet.core.balance.greedy import cheapest_cost
from fleet.core.balance.instance import Floats
from fleet.core.balance.network import ENDLESS
from fleet.core.balance.region import Point, Region

#: Sums of some ten million floats: far more than their rounding.
ROUNDING: Final = 1e-10


class Prices(NamedTuple):
    """Of one region's limits, per Wh; the last node, "not charged", has none."""

    peak: Floats  # [T+1]
    region: Floats  # [T+1]
    feeder: Floats  # [F,T+1]


def region_prices(region: Region) -> Prices | None:
    """From the region's search as it stands; None before it has a point."""
    tariff = region.tariff
    if region.best is None:
        return None
    points = [region.best]
    shares = [1.0]
    low, high = region.below, region.above
    if low is not None and high is not None and low.duals.slope > high.duals.slope:
        share = (tariff.peak - high.duals.slope) / (low.duals.slope - high.duals.slope)
        points, shares = [low, high], [share, 1 - share]
    elif high is not None:
        points = [high]
    return _mixed(region, points, shares)


def _mixed(region: Region, points: list[Point], shares: list[float]) -> Prices:
    tariff = region.tariff
    peak, hard = np.zeros_like(tariff.price), np.zeros_like(tariff.price)
    enter = np.zeros(region.net.froom.shape)
    for point, share in zip(points, shares, strict=True):
        extra = np.maximum(point.duals.region - tariff.price, 0.0)
        extra[-1] = 0.0
        capped = tariff.limit >= point.cap_wh
        peak += share * np.where(capped, extra, 0.0)
        hard += share * np.where(capped, 0.0, extra)
        enter += share * point.duals.enter
    base = tariff.price + peak + hard
    return Prices(peak, hard, np.maximum(enter - base, 0.0))


def region_bound(region: Region, prices: Prices) -> float:
    """A cost that no plan of the region goes below, whatever prices (from 0 on) these are."""
    net, tariff = region.net, region.tariff
    peak = prices.peak.copy()
    peak[-1] = 0.0
    total = float(peak.sum())
    if total > tariff.peak:
        peak *= tariff.peak / total
    hard = np.where(tariff.limit < ENDLESS, prices.region, 0.0)
    limit = region.feeder_limit
    toll = np.where(limit < ENDLESS, prices.feeder, 0.0)
    toll[:, -1] = 0.0
    price = np.minimum(tariff.price + peak + hard + toll, tariff.shortfall)
    price[:, -1] = 0.0
    order = np.argsort(price, axis=1, kind="stable").astype(np.int32)
    total = cheapest_cost(
        net.emin, net.emax, net.step, net.feeder, 0, len(net.feeder), price, order, tariff.shortfall
    )
    paid = float((toll * np.where(limit < ENDLESS, limit, 0)).sum())
    paid += float((hard * np.where(tariff.limit < ENDLESS, tariff.limit, 0)).sum())
    spare = (tariff.peak - float(peak.sum())) * tariff.peak_paid_wh
    rounding = ROUNDING * (abs(total) + abs(paid) + abs(spare))
    return float(total - paid + spare - rounding)
