"""What a plan by energy alone would miss at sites that run out of ready packs.

Two rules, decided every interval. Where at most a few packs are ready, packs are handed out somewhat
early: a pack that is not quite full beats none. And a site whose packs are all needed by the time a
returned one would be charged, and which is given nearly all that it could take, is opened: it may take
all that its breaker and the room on its feeder and its region allow, so that no rounding and no rider
who came early leaves it waiting for the next run.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fleet.core.balance.instance import Floats, Ints

#: At most so many ready packs are few.
FEW_PACKS: Final = 2
#: State of charge from which packs are then handed out.
EARLY_SOC: Final = 0.75
#: A site that is given this share of what it could take at best is limited by nothing but the forecast.
OPEN_SHARE: Final = 0.9

#: The charge rule keeps every bound, so that packs draw a little less than a cabinet may: allow it.
MARGIN: Final = 0.015
MARGIN_W: Final = 15.0

Flags = NDArray[np.bool_]


def few(ready: ArrayLike, few_packs: int = FEW_PACKS) -> Flags:
    """Where packs are handed out early, by the ready packs of each cabinet [C]."""
    found: Flags = np.asarray(ready) <= few_packs
    return found


def urgent(wanted: Floats, waiting: ArrayLike, charge: int) -> Flags:
    """Where every pack that is not ready is needed within ``charge`` intervals, and more [C].

    ``wanted`` [C,T] are the packs to be charged by each interval's end, ``waiting`` [C] those there.
    """
    found: Flags = wanted[:, charge - 1] >= np.asarray(waiting) + 0.5
    return found


def opened(pressed: Flags, energy_wh: ArrayLike, energy_max_wh: ArrayLike) -> Flags:
    """The urgent sites whose first interval is given nearly all that their envelope allows [C]."""
    found: Flags = pressed & (np.asarray(energy_wh) >= OPEN_SHARE * np.asarray(energy_max_wh))
    return found


def allowed(power_w: Floats) -> Floats:
    """What to allow where so much is to be drawn [C]; nothing where nothing is."""
    raised: Floats = np.where(power_w > 0.0, power_w * (1.0 + MARGIN) + MARGIN_W, 0.0)
    return raised


def open_power(
    power_w: Ints,
    open_sites: Flags,
    most_w: ArrayLike,
    *,
    feeder_of: NDArray[np.int32],
    feeder_room_w: Floats,
    region_of: NDArray[np.int32],
    region_room_w: Floats,
) -> Ints:
    """Raise the power of the open sites towards ``most_w`` [C] within the room of all above them [C].

    Room is what a limit leaves beside everything planned and reserved; inf where there is none. Who
    shares too little of it gets the same share of what each lacks. Nobody's power is lowered.
    """
    more = np.where(open_sites, np.maximum(np.asarray(most_w) - power_w, 0), 0).astype(float)
    for member, room in ((feeder_of, feeder_room_w), (region_of[feeder_of], region_room_w)):
        asked = np.bincount(member, more, len(room))
        share = np.clip(np.maximum(room, 0.0) / np.maximum(asked, 1.0), 0.0, 1.0)
        more *= share[member]
    raised: Ints = power_w + np.floor(more).astype(np.int64)
    return raised
