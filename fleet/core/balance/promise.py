"""The service that a plan is held to: no more riders lost than charging at once would have lost.

Holding packs back saves money and loses riders. How many may be lost is no constant: rain, busy sites
and tight feeders lose riders whatever one does. So the fleet keeps a picture of itself as if every pack
were charged as soon as it is back (``mirror``), counts the riders whom *that* fleet would have turned
away, and moves the worth of a lost swap until its own losses come to the same, over days.

One price for all sites: equal worth at the margin loses fewer riders for the same money than an equal
share of losses at each site, since stock is dear where many riders come and nearly free where few do.

What chance can explain is not answered: the difference of both sums counts in steps of the larger of a
share of a day's riders (a large fleet) and of what two fleets of equal service differ by chance (a small
one). By factors of the usual price, where the mirror loses one rider in twenty, half of them the same
as ours; the range is that of nine days in ten of the first sixty:

    riders a day   by one lost on the first day   equal service   half more lost than there: doubled
              20                      up by 1.6      0.5 to 3.3                         on the 3rd day
             200                      up by 1.3      0.5 to 3.8                         on the 1st day
           2,000                     up by 1.04      0.5 to 2.2                         on the 1st day
          30,000                    up by 1.003      0.5 to 0.9                         on the 1st day
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from fleet.core.balance.instance import Floats, Ints
from fleet.core.balance.mirror import Mirror
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
#: Riders lost, by either, that are taken for seen before any were: a fleet of few learns slowly.
SEEN: Final = 8.0
#: From so many in the mirror on, losses of less than this share of them are taken for not counted,
#: and never for a reason to keep fewer packs.
SURE: Final = 50.0
COUNTED_SHARE: Final = 0.25
#: The mirror moves in steps of at most so long.
STEP_H: Final = 1 / 12
DAY_H: Final = 24.0


@dataclass(slots=True)
class Balance:
    """Sums that fade by KEPT_A_DAY: riders lost, by us and by the mirror, all riders, and days."""

    lost: float = 0.0
    mirrored: float = 0.0
    more: float = 0.0  # lost beyond the mirror's, with its aim
    riders: float = 0.0
    days: float = 0.0

    def fade(self, days: float) -> None:
        """So long has gone by."""
        kept = KEPT_A_DAY**days
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) * kept)


class LostPrice:
    """The worth of a lost swap, by the balance of our losses and the mirror's."""

    def __init__(self, usual: float, balance: Balance | None = None) -> None:
        if not usual > 0.0:
            raise InvalidError(f"usual: is {usual}, expected above 0")
        self.usual = usual
        self.balance = balance or Balance()

    def learn(self, lost: int, mirrored: int, riders: int, days: float) -> None:
        """Counts of a stretch of time of ``days``."""
        balance = self.balance
        balance.fade(days)
        balance.lost += lost
        balance.mirrored += mirrored
        balance.more = balance.more + lost - AIM * mirrored
        balance.riders += riders
        balance.days += days

    @property
    def counted(self) -> bool:
        """Whether our losses look as if somebody counted them."""
        balance = self.balance
        return balance.mirrored < SURE or balance.lost >= COUNTED_SHARE * balance.mirrored

    @property
    def price(self) -> float:
        """Per swap."""
        factor = np.exp(np.clip(self.balance.more / self._step, -50.0, 50.0))
        low = PRICE_LOW if self.counted else 1.0
        return self.usual * float(np.clip(factor, low, PRICE_HIGH))

    @property
    def _step(self) -> float:
        """Riders lost beyond the mirror's for which the price rises by a factor of e.

        Whom both lose is no difference: of those that either lost, half are taken to be lost by one
        only, each as likely by us as there. The root of their number is what chance makes of it.
        """
        balance = self.balance
        a_day = balance.riders / max(balance.days, 1.0)
        either = balance.lost + balance.mirrored + SEEN
        return max(PRICE_SHARE * a_day, float(np.sqrt(either / 2)))


class Promise:
    """The mirror, and the price that follows from it."""

    def __init__(self, mirror: Mirror, price: LostPrice) -> None:
        self.mirror = mirror
        self.lost_price = price

    def look(
        self,
        came: ArrayLike,
        lost: ArrayLike,
        hours: float,
        feeder_w: Floats,
        region_w: Floats,
        *,
        judged: bool = True,
    ) -> tuple[int, int, int]:
        """Let the mirror serve the same riders; returns how many came, were lost, and lost there.

        ``came`` and ``lost`` are of each cabinet [C]; those that are not pictured are left out.
        ``feeder_w`` [K] and ``region_w`` [R] are what may be drawn. Unless ``judged``, nothing is
        learnt of it: the riders of that time were not all counted.
        """
        known = self.mirror.known
        riders: Ints = np.where(known, np.asarray(came, np.int64), 0)
        ours = int(np.where(known, np.asarray(lost, np.int64), 0).sum())
        parts = max(int(np.ceil(hours / STEP_H - 1e-9)), 1)
        mirrored = 0
        for part in range(parts):
            some = riders * (part + 1) // parts - riders * part // parts
            mirrored += int(self.mirror.step(some, hours / parts, feeder_w, region_w).sum())
        total = int(riders.sum())
        if judged:
            self.lost_price.learn(ours, mirrored, total, hours / DAY_H)
        else:
            self.lost_price.balance.fade(hours / DAY_H)
        return total, ours, mirrored


def kept(balance: Balance) -> dict[str, float]:
    """To be stored."""
    return asdict(balance)


def recalled(values: Any) -> Balance:
    """What was stored; raise InvalidError for anything that no balance can be."""
    names = {each.name for each in fields(Balance)}
    if not isinstance(values, dict) or set(values) != names:
        raise InvalidError(f"balance: expected {', '.join(sorted(names))}")
    numbers = {name: value for name, value in values.items() if type(value) in (int, float)}
    if len(numbers) != len(names) or not np.all(np.isfinite(list(numbers.values()))):
        raise InvalidError("balance: expected finite numbers")
    balance = Balance(**numbers)
    if min(balance.lost, balance.mirrored, balance.riders, balance.days) < 0.0:
        raise InvalidError("balance: expected numbers from 0 on, but for more")
    if max(balance.lost, balance.mirrored) > balance.riders + 1e-6:
        raise InvalidError("balance: more riders lost than came")
    return balance
