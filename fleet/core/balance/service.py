"""How much each site keeps in stock, by what it lost and what a held pack would have cost.

A rider who finds nothing is *avoidable* when the site had held packs back that could have been ready.
Each avoidable loss raises the site's z, each swap served lowers it a little: in the long run the share
of avoidable losses comes to ``target`` (the newsvendor's ratio: what holding back saves over what a
lost swap costs), whatever the forecast's faults.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from fleet.core.balance.instance import Floats
from fleet.core.balance.jobs import erlang_stock
from fleet.errors import InvalidError

PACKS_MAX: Final = 30
Z_MIN: Final = 0.5
Z_MAX: Final = 5.0
#: How much one avoidable loss raises z.
STEP_UP: Final = 0.5


def spread_stock(mean: Floats, variance: Floats, z: Floats) -> Floats:
    """The mean and ``z`` [C] standard deviations."""
    stock: Floats = mean + z[:, None] * np.sqrt(variance)
    return stock


def priced_stock(mean: Floats, variance: Floats, worth: Floats) -> Floats:
    """The packs of which each one more saves at least ``worth`` [C,T] of a swap from being lost.

    A site whose packs come back ready after a fixed time loses riders by Erlang's formula, whatever
    that time's distribution. Counts that vary more than Poisson's need more, in proportion.
    """
    stock = np.empty(mean.shape)
    erlang_stock(mean, variance, np.broadcast_to(worth, mean.shape), PACKS_MAX, stock)
    return stock


def newsvendor_target(saved_per_swap: float, lost_price: float) -> float:
    """Share of swaps worth losing: below it, stock costs more than riders' trust is worth."""
    if not (saved_per_swap >= 0.0 and lost_price > 0.0):
        raise InvalidError("saved_per_swap: expected from 0 on; lost_price: expected above 0")
    return min(saved_per_swap / lost_price, 0.5)


class ServiceLevel:
    """z of each site, learning from its losses."""

    def __init__(self, cabinets: int, *, z: float, target: float, step_up: float = STEP_UP) -> None:
        if not Z_MIN <= z <= Z_MAX:
            raise InvalidError(f"z: is {z}, expected {Z_MIN} to {Z_MAX}")
        if not 0.0 <= target < 1.0:
            raise InvalidError(f"target: is {target}, expected 0 to 1")
        self._target = target
        self._step_up = step_up
        self.z: Floats = np.full(cabinets, z)

    def learn(self, avoidable: ArrayLike, served: ArrayLike) -> None:
        """Counts since the last time [C]."""
        up = np.asarray(avoidable, float) * self._step_up
        down = np.asarray(served, float) * self._step_up * self._target
        self.z = np.clip(self.z + up - down, Z_MIN, Z_MAX)
