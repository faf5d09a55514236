"""What charging at once would have done with the same riders; see ``promise`` for what it is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleet.core.balance.envelopes import PackCurve, Slots
from fleet.core.balance.instance import Floats, Ints

#: Packs are moved in the picture once their number was another for so many looks: a swap under way
#: has one pack more for a minute.
LOOKS: Final = 2
#: A kept picture has a byte per slot: a share of what an empty pack lacks, or this for no pack.
NO_PACK: Final = 255
PARTS: Final = 254


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
        self._lacking: Callable[[Floats], Floats] = lambda soc: np.interp(soc, at, energy)
        self._there, self._lacks = self._read(slots)
        self._back_wh, back_h, _ = curve.back
        self._pack_w = self._back_wh / back_h
        self._breaker_w = slots.breaker_w
        self._feeder_of = feeder_of
        self._region_of: NDArray[np.int32] = region_of[feeder_of]
        self._most_wh = float(energy[0])
        self._known = np.ones(len(slots.soc), bool)
        self._off = np.zeros(len(slots.soc), np.int64)
        self._looks = np.zeros(len(slots.soc), np.int64)

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

    @property
    def known(self) -> NDArray[np.bool_]:
        """The cabinets that are pictured [C]; what of the others nobody heard yet is unknown."""
        return self._known

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """These begin again from what stands there when they are next heard."""
        self._known &= ~rows
        self._there[rows], self._lacks[rows] = False, np.inf
        self._looks[rows] = 0

    def follow(self, slots: Slots, heard: NDArray[np.bool_]) -> None:
        """Take in live slots: packs that were carried in or out, and cabinets that are new.

        A pack more than pictured is one that came back empty; for a pack less the emptiest is gone.
        Of cabinets that are not ``heard`` [C] nothing is taken in.
        """
        self._widen(slots.soc.shape[1])
        self._breaker_w = np.where(heard, slots.breaker_w, self._breaker_w)
        there, lacks = self._read(slots)
        fresh = heard & ~self._known
        width = there.shape[1]
        self._there[fresh, :width], self._lacks[fresh, :width] = there[fresh], lacks[fresh]
        self._known |= fresh
        off = np.where(heard, there.sum(axis=1) - self._there.sum(axis=1), 0)
        same = (off != 0) & (off == self._off)
        self._looks = np.where(same, self._looks + 1, (off != 0).astype(np.int64))
        self._off = off
        for row in np.flatnonzero(self._looks >= LOOKS):
            self._move(int(row), int(off[row]))

    def _move(self, row: int, more: int) -> None:
        """So many packs more in a cabinet, or fewer."""
        there, lacks = self._there[row], self._lacks[row]
        if more > 0:
            places = np.flatnonzero(~there)[:more]
            there[places], lacks[places] = True, self._back_wh
        else:
            order = np.argsort(np.where(there, -lacks, np.inf), kind="stable")[:-more]
            there[order], lacks[order] = False, np.inf
        self._off[row] = self._looks[row] = 0

    def picture(self) -> NDArray[np.uint8]:
        """What each pack lacks [C,S], to be kept; ``recall`` takes it up."""
        parts = np.rint(np.clip(self._lacks / self._most_wh, 0.0, 1.0) * PARTS)
        kept: NDArray[np.uint8] = np.where(self._there, parts, NO_PACK).astype(np.uint8)
        return kept

    def recall(self, picture: NDArray[np.uint8], rows: NDArray[np.bool_]) -> None:
        """Take up a kept picture of these cabinets."""
        self._widen(picture.shape[1])
        width = picture.shape[1]
        there = picture != NO_PACK
        lacks = np.where(there, picture / PARTS * self._most_wh, np.inf)
        self._there[rows], self._lacks[rows] = False, np.inf
        self._there[rows, :width], self._lacks[rows, :width] = there[rows], lacks[rows]
        self._known |= rows

    def _widen(self, slots: int) -> None:
        more = slots - self._lacks.shape[1]
        if more > 0:
            self._there = np.pad(self._there, ((0, 0), (0, more)))
            self._lacks = np.pad(self._lacks, ((0, 0), (0, more)), constant_values=np.inf)

    def _read(self, slots: Slots) -> tuple[NDArray[np.bool_], Floats]:
        there = (slots.soc >= 0.0) & slots.usable
        return there, np.where(there, self._lacking(slots.soc), np.inf)

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
