"""What charging at once would have done with the same riders: the service that a plan is held to.

Holding packs back saves money and loses riders. How many may be lost is no constant: rain, busy sites
and tight feeders lose riders whatever one does. So the fleet keeps a picture of itself as if every pack
were charged as soon as it is back, counts the riders whom *that* fleet would have turned away, and moves
the worth of a lost swap until its own losses come to the same, over days.

One price for all sites: equal worth at the margin loses fewer riders for the same money than an equal
share of losses at each site, since stock is dear where many riders come and nearly free where few do.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleet.core.balance.envelopes import PackCurve, Slots
from fleet.core.balance.instance import Floats, Ints
from fleet.errors import InvalidError

#: How strongly the price answers: by a factor of e at this share of a day's riders too many lost.
PRICE_SHARE: Final = 0.0125
#: The mirror knows neither least currents nor the taper, and loses a little less than the world would.
AIM: Final = 1.03
#: The price stays within these multiples of the usual one.
PRICE_LOW: Final = 0.5
PRICE_HIGH: Final = 8.0
#: What is left of the balance after a day: what was lost weeks ago is nobody's concern.
KEPT_A_DAY: Final = 0.98
#: Riders a day that the balance is divided by, at least; a fleet of few learns slowly.
RIDERS_MIN: Final = 50.0


class Mirror:
    """The slots of all sites, had every pack been charged at once.

    A pack is the energy that it lacks; it takes the mean power of a charge. Breaker, feeder and region
    cut cabinets in proportion. Every pack comes back as empty as the mean.
    """

    def __init__(
        self,
        slots: Slots,
        curve: PackCurve,
        feeder_of: NDArray[np.int32],
        region_of: NDArray[np.int32],
    ) -> None:
        energy, _, _, _, _ = curve.tables
        at = np.linspace(0.0, 1.0, len(energy))
        self._there = (slots.soc >= 0.0) & slots.usable
        self._lacks: Floats = np.where(self._there, np.interp(slots.soc, at, energy), np.inf)
        self._back_wh, back_h, _ = curve.back
        self._pack_w = self._back_wh / back_h
        self._breaker_w = slots.breaker_w
        self._feeder_of = feeder_of
        self._region_of: NDArray[np.int32] = region_of[feeder_of]

    def step(
        self, came: ArrayLike, hours: float, feeder_w: Floats, region_w: Floats
    ) -> NDArray[np.int64]:
        """Serve the riders who came [C], then charge for so long; returns whom it lost [C].

        ``feeder_w`` [K] and ``region_w`` [R] are what may be drawn, inf for no limit.
        """
        ready = self._lacks <= 0.0
        place = np.cumsum(ready, axis=1)
        out = np.minimum(place[:, -1], np.asarray(came, np.int64))
        handed = ready & (place <= out[:, None])
        self._lacks[handed] = self._back_wh
        waiting = self._there & (self._lacks > 0.0)
        asked = waiting.sum(axis=1) * self._pack_w
        given = np.minimum(asked, self._breaker_w)
        for member, most_w in ((self._feeder_of, feeder_w), (self._region_of, region_w)):
            load = np.bincount(member, given, len(most_w))
            given = given * np.minimum(most_w / np.maximum(load, 1.0), 1.0)[member]
        self._lacks -= self._shares(waiting, given) * (self._pack_w * hours)
        lost: Ints = np.asarray(came, np.int64) - out
        return lost

    def _shares(self, waiting: NDArray[np.bool_], given_w: Floats) -> Floats:
        """What of its full rate each pack gets: the readiest first, as the cabinet's charge rule [C,S]."""
        shares = waiting.astype(float)
        packs = given_w / self._pack_w
        cut = np.flatnonzero(packs < waiting.sum(axis=1))
        order = np.argsort(np.where(waiting[cut], self._lacks[cut], np.inf), axis=1, kind="stable")
        rank = np.arange(order.shape[1])
        by_rank = np.clip(packs[cut, None] - rank, 0.0, 1.0)
        found = np.empty_like(by_rank)
        np.put_along_axis(found, order, by_rank, axis=1)
        shares[cut] = np.where(waiting[cut], found, 0.0)
        return shares


class LostPrice:
    """The worth of a lost swap, by the balance of our losses and the mirror's."""

    def __init__(self, usual: float) -> None:
        if not usual > 0.0:
            raise InvalidError(f"usual: is {usual}, expected above 0")
        self._usual = usual
        self._more = 0.0  # riders lost beyond the mirror's
        self._riders = 0.0
        self._days = 0.0

    def learn(self, lost: int, mirrored: int, riders: int, days: float) -> None:
        """Counts of a stretch of time of ``days``."""
        kept = KEPT_A_DAY**days
        self._more = self._more * kept + lost - AIM * mirrored
        self._riders = self._riders * kept + riders
        self._days = self._days * kept + days

    @property
    def price(self) -> float:
        """Per swap."""
        a_day = max(self._riders / max(self._days, 1.0), RIDERS_MIN)
        factor = np.exp(self._more / a_day / PRICE_SHARE)
        return self._usual * float(np.clip(factor, PRICE_LOW, PRICE_HIGH))
