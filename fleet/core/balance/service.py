"""How many packs a site keeps in stock, by a fixed spread or by what one more is worth.

By worth (the newsvendor's rule): a pack more is kept while it saves at least so much of a swap as
holding it back would have saved of the price of a swap. ``promise`` says what a swap is worth.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fleet.core.balance.instance import Floats
from fleet.core.balance.jobs import erlang_stock

PACKS_MAX: Final = 30


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
