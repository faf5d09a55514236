"""Which limit costs service, where and when: what an operator must know of a plan that falls short."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.instance import NO_LIMIT, Instance, Ints, Short

#: More than this hide the worst ones.
SHORTS_MAX: Final = 1_000
KINDS: Final = ("cabinet", "feeder", "region")


def find_shorts(
    instance: Instance, step_wh: NDArray[Any], short_wh: NDArray[Any], loads: Ints
) -> tuple[Short, ...]:
    """The limits behind a plan's shortfall, the costliest first; ``loads`` are the feeders' [K,T].

    A cabinet that charges as much as it can up to the interval is short by itself; otherwise the last
    limit of its feeder, or of its region, that was used up before then is to blame.
    """
    full_feeder = (instance.feeder_max_wh != NO_LIMIT) & (loads >= instance.feeder_max_wh)
    region = np.zeros(instance.price_per_kwh.shape, np.int64)
    np.add.at(region, instance.region_of_feeder, loads)
    full_region = (instance.region_max_wh != NO_LIMIT) & (region >= instance.region_max_wh)
    cabinets = np.flatnonzero(short_wh.max(axis=1, initial=0))
    feeder = instance.feeder_of_cabinet[cabinets]
    area = instance.region_of_feeder[feeder]
    spare = step_wh[cabinets] < instance.step_max_wh[cabinets]
    by_feeder, by_region = _last(full_feeder[feeder] & spare), _last(full_region[area] & spare)
    rows, intervals = np.nonzero(short_wh[cabinets])
    wh = short_wh[cabinets[rows], intervals]
    at_feeder, at_region = by_feeder[rows, intervals], by_region[rows, intervals]
    kind: Ints = np.where(at_feeder >= 0, 1, np.where(at_region >= 0, 2, 0))
    index: Ints = np.choose(kind, (cabinets[rows], feeder[rows], area[rows]))
    interval: Ints = np.choose(kind, (intervals, at_feeder, at_region))
    # One number per limit and interval: sorting rows of three takes ten times as long.
    widest = 1 + int(index.max(initial=0))
    code: Ints = (kind * widest + index) * short_wh.shape[1] + interval
    codes, inverse = np.unique(code, return_inverse=True)
    total = np.bincount(inverse, weights=wh, minlength=len(codes)).astype(np.int64)
    worst = np.argsort(-total, kind="stable")[:SHORTS_MAX]
    rest, when = np.divmod(codes, short_wh.shape[1])
    which, who = np.divmod(rest, widest)
    return tuple(Short(KINDS[which[k]], int(who[k]), int(when[k]), int(total[k])) for k in worst)


def _last(blocked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The last interval up to each one where a row is True; -1 where there is none."""
    here = np.where(blocked, np.arange(blocked.shape[1]), -1)
    last: NDArray[np.int64] = np.maximum.accumulate(here, axis=1)
    return last
