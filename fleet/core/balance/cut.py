"""Cuts an instance into regions: each a network of its own, cabinets of a feeder side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.bound import Prices
from fleet.core.balance.instance import Floats, Instance, Plan, Shadows
from fleet.core.balance.network import ENDLESS, network
from fleet.core.balance.region import Region, Tariff
from fleet.core.balance.rows import sum_rows, take, take_below

#: The first look at a region's cap takes its feeders as single stores of at most so many units.
COARSE_ENERGY_MAX: Final = 2**29
Wide: TypeAlias = NDArray[Any]  # int [N,T]


@dataclass(frozen=True, slots=True)
class Order:
    """Cabinets sorted by region and feeder, and where each region's stand."""

    cabinets: NDArray[np.int64]  # [N]: place in the instance
    feeders: NDArray[np.int64]  # [K]
    cabinet_from: NDArray[np.int64]  # [R+1]
    feeder_from: NDArray[np.int64]  # [R+1]
    feeder_first: NDArray[np.int64]  # [K+1]: cabinets of the sorted feeders


def sort(instance: Instance) -> Order:
    """Sort cabinets by region, then feeder, then place."""
    region = instance.region_of_feeder.astype(np.int64)
    feeders = np.argsort(region, kind="stable")
    rank = np.empty_like(feeders)
    rank[feeders] = np.arange(len(feeders))
    by_rank = rank[instance.feeder_of_cabinet]
    cabinets = np.argsort(by_rank, kind="stable")
    counts = np.bincount(by_rank, minlength=len(feeders))
    feeder_first = np.concatenate(([0], np.cumsum(counts)))
    regions = len(instance.price_per_kwh)
    feeder_from = np.searchsorted(region[feeders], np.arange(regions + 1))
    return Order(cabinets, feeders, feeder_first[feeder_from], feeder_from, feeder_first)


class Builder:
    """Cuts an instance into regions."""

    def __init__(self, instance: Instance, order: Order, warm: Plan | None) -> None:
        self._instance = instance
        self._order = order
        self._warm = warm

    def region(self, r: int) -> Region | None:
        """The empty network of one region; None when no cabinet is in it."""
        order, instance = self._order, self._instance
        low, rows = int(order.cabinet_from[r]), self.rows(r)
        if not len(rows):
            return None
        feeders = self._feeders(r)
        first = (order.feeder_first[feeders.start : feeders.stop + 1] - low).astype(np.int32)
        shape = (len(rows), instance.energy_min_wh.shape[1])
        emin, emax = np.empty(shape, np.int32), np.empty(shape, np.int32)
        step = np.empty((shape[0], shape[1] + 1), np.int32)
        take(instance.energy_min_wh, rows, emin)
        take(instance.energy_max_wh, rows, emax)
        take_below(instance.step_max_wh, rows, emax, step)
        limits = instance.feeder_max_wh[order.feeders[feeders]]
        return Region(
            network(
                first,
                np.repeat(np.arange(len(first) - 1, dtype=np.int32), np.diff(first)),
                emin,
                emax,
                step,
                _rooms(limits),
                np.full(emin.shape[1] + 1, ENDLESS),
            ),
            self._tariff(r),
        )

    def enter(self, region: Region, r: int, step_wh: Wide, short_wh: Wide) -> None:
        """Put the region's rows of a plan into its network."""
        take(step_wh, self.rows(r), region.net.x)
        take(short_wh, self.rows(r), region.net.v)

    def rows(self, r: int) -> NDArray[np.int64]:
        """The region's cabinets: their places in the instance."""
        order = self._order
        return order.cabinets[order.cabinet_from[r] : order.cabinet_from[r + 1]]

    def known_prices(self, r: int) -> Prices | None:
        """The prices of the region's limits in the previous plan, if it has any."""
        shadows = None if self._warm is None else self._warm.shadows
        instance = self._instance
        if (
            shadows is None
            or shadows.feeder.shape != instance.feeder_max_wh.shape
            or not shadows.peak.shape == shadows.region.shape == instance.price_per_kwh.shape
        ):
            return None
        feeders = self.feeders(r)
        return Prices(
            _with_node(shadows.peak[r]),
            _with_node(shadows.region[r]),
            _with_node(shadows.feeder[feeders]),
        )

    def note_prices(self, r: int, prices: Prices, shadows: Shadows) -> None:
        """Enter a region's prices."""
        shadows.peak[r], shadows.region[r] = prices.peak[:-1], prices.region[:-1]
        shadows.feeder[self.feeders(r)] = prices.feeder[:, :-1]

    def feeders(self, r: int) -> NDArray[np.int64]:
        """The region's feeders: their places in the instance."""
        return self._order.feeders[self._feeders(r)]

    def _feeders(self, r: int) -> slice:
        return slice(int(self._order.feeder_from[r]), int(self._order.feeder_from[r + 1]))

    def coarse(self, region: Region) -> Region:
        """The region with each feeder as one store: relaxed, and some twenty times smaller."""
        net, tariff = region.net, region.tariff
        starts = net.first[:-1]
        sums = []
        for values in (net.emin, net.emax, net.step):
            sums.append(np.empty((len(starts), values.shape[1]), np.int64))
            sum_rows(values, net.first, sums[-1])
        scale = max(1, -(-int(sums[1].max(initial=0)) // COARSE_ENERGY_MAX))
        emin, emax, step = ((total // scale).astype(np.int32) for total in sums)
        feeders = len(starts)
        small = network(
            np.arange(feeders + 1, dtype=np.int32),
            np.arange(feeders, dtype=np.int32),
            np.minimum(emin, emax),
            emax,
            step,
            region.feeder_limit // scale,
            np.full(emin.shape[1] + 1, ENDLESS),
        )
        return Region(
            small,
            Tariff(
                price=tariff.price * scale,
                shortfall=tariff.shortfall * scale,
                peak=tariff.peak * scale,
                peak_paid_wh=tariff.peak_paid_wh / scale,
                limit=tariff.limit // scale,
            ),
            scale,
        )

    def _tariff(self, r: int) -> Tariff:
        instance = self._instance
        hours = instance.step_s / 3600
        return Tariff(
            price=np.append(instance.price_per_kwh[r] / 1000, 0.0),
            shortfall=instance.shortfall_price_per_kwh / 1000,
            peak=float(instance.peak_price_per_kw[r]) / 1000 / hours,
            peak_paid_wh=float(instance.peak_so_far_w[r]) * hours,
            limit=_rooms(instance.region_max_wh[r : r + 1])[0],
        )


def _with_node(prices: Floats) -> Floats:
    """Prices with the node "not charged" added, which costs nothing."""
    padded = np.zeros((*prices.shape[:-1], prices.shape[-1] + 1))
    padded[..., :-1] = prices
    return padded


def _rooms(limits: NDArray[np.int64]) -> NDArray[np.int64]:
    """Limits with the node "not charged" added; -1 becomes endless."""
    rooms = np.full((limits.shape[0], limits.shape[1] + 1), ENDLESS)
    rooms[:, :-1] = np.where(limits < 0, ENDLESS, limits)
    return rooms
