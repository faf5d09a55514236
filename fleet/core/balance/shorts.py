"""Which limit costs service, where and when: what an operator must know of a plan that falls short."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.instance import NO_LIMIT, Instance, Ints, Short
from fleet.core.balance.rows import blame

#: More than this hide the worst ones.
SHORTS_MAX: Final = 1_000
KINDS: Final = ("cabinet", "feeder", "region")


def find_shorts(
    instance: Instance,
    step_wh: NDArray[Any],
    short_wh: NDArray[Any],
    loads: Ints,
    lacking: NDArray[np.bool_],
) -> tuple[Short, ...]:
    """The limits behind a plan's shortfall, the costliest first; ``loads`` are the feeders' [K,T].

    A cabinet that charges as much as it can up to the interval is short by itself; otherwise the last
    limit of its feeder, or of its region, that was used up before then is to blame. ``lacking`` [N]
    are the cabinets with shortfall: O(T) for each.
    """
    full_feeder = (instance.feeder_max_wh != NO_LIMIT) & (loads >= instance.feeder_max_wh)
    region = np.zeros(instance.price_per_kwh.shape, np.int64)
    np.add.at(region, instance.region_of_feeder, loads)
    full_region = (instance.region_max_wh != NO_LIMIT) & (region >= instance.region_max_wh)
    cabinets = np.flatnonzero(lacking)
    entries = np.zeros((4, int(np.count_nonzero(short_wh[cabinets]))), np.int64)
    blame(
        cabinets, step_wh, instance.step_max_wh, short_wh, instance.feeder_of_cabinet,
        instance.region_of_feeder, full_feeder, full_region, entries,
    )  # fmt: skip
    kind, index, interval, wh = entries
    # One number per limit and interval: sorting rows of three takes ten times as long.
    widest = 1 + int(index.max(initial=0))
    code: Ints = (kind * widest + index) * short_wh.shape[1] + interval
    codes, inverse = np.unique(code, return_inverse=True)
    total = np.bincount(inverse, weights=wh, minlength=len(codes)).astype(np.int64)
    worst = np.argsort(-total, kind="stable")[:SHORTS_MAX]
    rest, when = np.divmod(codes, short_wh.shape[1])
    which, who = np.divmod(rest, widest)
    return tuple(Short(KINDS[which[k]], int(who[k]), int(when[k]), int(total[k])) for k in worst)
