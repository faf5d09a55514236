"""How a cabinet's power may be decided: the rivals of the plan.

A policy says what power each cabinet may take in the next step; feeders and regions cut all of them
alike, and inside a cabinet the charge rule spreads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from fleet.core.balance.instance import Floats, Ints
from simulator.world import day_kernels as kernels
from simulator.world.day_town import INTERVAL_S, PACKS, STEP_S, Town

VALLEY_FROM_H: Final = 23
VALLEY_TO_H: Final = 7
TOP_UP_BELOW: Final = 5  # ready packs
SLOTS_AT_ONCE: Final = 4
CHARGER_W: Final = 400.0
SOON_H: Final = 2.3  # what a returned pack needs
STEPS_A_DAY: Final = 86_400 // STEP_S
PER_INTERVAL: Final = INTERVAL_S // STEP_S


@dataclass(slots=True)
class Now:
    """What a policy may see at the start of a step."""

    step: int  # since the start of day 0
    soc: Floats  # [C,S]
    full_w: Floats  # [C] what all packs would take at once
    ready: float
    target: float
    peak_w: Floats  # [R] highest so far
    lost: Ints  # [C] since the step before
    served: Ints  # [C]
    drawn_wh: Floats  # [C] in the step before

    @property
    def hour(self) -> int:
        """Of the day."""
        return self.step % STEPS_A_DAY * STEP_S // 3600

    @property
    def interval(self) -> int:
        """Of 15 minutes, since the start."""
        return self.step // PER_INTERVAL


class Policy(Protocol):
    """Decides; keeps whatever it learns."""

    def want_w(self, now: Now) -> Floats:
        """Power of each cabinet [C] in this step."""
        ...

    def target(self, now: Now) -> Floats:
        """State of charge from which packs are handed out, and to which they charge [C]."""
        ...

    def unplaced(self) -> tuple[float, float]:
        """Energy planned, and what of it found no slot."""
        ...


class _Unplanned:
    def __init__(self, offer_soc: float | None = None) -> None:
        self._offer_soc = offer_soc

    def target(self, now: Now) -> Floats:
        """Always the same."""
        return np.full(len(now.soc), self._offer_soc or now.target)

    def unplaced(self) -> tuple[float, float]:
        """Nothing was planned."""
        return 0.0, 0.0


class AtOnce(_Unplanned):
    """Every pack as soon as it is back."""

    def want_w(self, now: Now) -> Floats:
        """All they can take."""
        return now.full_w


class Valley(_Unplanned):
    """A timetable: full power in the valley hours, else topped up to a few ready packs."""

    def want_w(self, now: Now) -> Floats:
        """By the clock."""
        if now.hour >= VALLEY_FROM_H or now.hour < VALLEY_TO_H:
            return now.full_w
        ready = (now.soc >= now.ready).sum(axis=1)
        wanted: Floats = np.clip(TOP_UP_BELOW - ready, 0, PACKS) * CHARGER_W
        return np.minimum(wanted, now.full_w)


class SlotsAtOnce(_Unplanned):
    """So many chargers at once, day and night."""

    def want_w(self, now: Now) -> Floats:
        """A fixed cap."""
        return np.minimum(now.full_w, SLOTS_AT_ONCE * CHARGER_W)


class Urgency(_Unplanned):
    """Earliest deadline or least laxity first, pack by pack under the feeder's limit, at full rate.

    The deadline of a site's j-th readiest pack is when the j-th rider after the ready ones is expected.
    """

    def __init__(self, town: Town, *, laxity: bool) -> None:
        super().__init__()
        self._laxity = laxity
        order = np.argsort(town.feeder_of, kind="stable")
        self._members = order
        counts = np.bincount(town.feeder_of, minlength=len(town.region_of))
        self._first = np.concatenate(([0], np.cumsum(counts)))
        self._rate = town.history.mean(axis=0)  # [C,96]
        self._town = town

    def want_w(self, now: Now) -> Floats:
        """Feeder by feeder."""
        place = now.interval % 96
        ahead = np.cumsum(np.roll(self._rate, -place, axis=1), axis=1)  # [C,96]
        ready = (now.soc >= now.ready).sum(axis=1)
        waiting = np.where((now.soc >= 0) & (now.soc < now.ready), now.soc, -1.0)
        order = np.argsort(-waiting, axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(order.shape[1])[None, :], axis=1)
        key = np.empty(now.soc.shape)
        for slot in range(now.soc.shape[1]):
            nth = ready + rank[:, slot] + 1
            key[:, slot] = (ahead < nth[:, None]).sum(axis=1) / 4.0  # hours
        if self._laxity:
            key -= (now.ready - now.soc) / 0.7 * SOON_H
        want = np.zeros(len(now.soc))
        kernels.by_urgency(
            self._first, self._members, now.soc, now.target, key,
            self._town.feeder_w[:, place], self._town.breaker_w, want,
        )  # fmt: skip
        return want
