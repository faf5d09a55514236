"""Which limit costs service, where and when: what an operator must know of a plan that falls short."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance.instance import NO_LIMIT, Instance, Short, feeder_loads

#: More than this hide the worst ones.
SHORTS_MAX: Final = 1_000
KINDS: Final = ("cabinet", "feeder", "region")


def find_shorts(
    instance: Instance, step_wh: NDArray[Any], short_wh: NDArray[Any]
) -> tuple[Short, ...]:
    """The limits behind a plan's shortfall, the costliest first.

    A cabinet that charges as much as it can up to the interval is short by itself; otherwise the last
    limit of its feeder, or of its region, that was used up before then is to blame.
    """
    loads = feeder_loads(instance, step_wh)
    full_feeder = (instance.feeder_max_wh != NO_LIMIT) & (loads >= instance.feeder_max_wh)
    region = np.zeros(instance.price_per_kwh.shape, np.int64)
    np.add.at(region, instance.region_of_feeder, loads)
    full_region = (instance.region_max_wh != NO_LIMIT) & (region >= instance.region_max_wh)
    cabinets = np.flatnonzero(short_wh.any(axis=1))
    feeder = instance.feeder_of_cabinet[cabinets]
    area = instance.region_of_feeder[feeder]
    spare = step_wh[cabinets] < instance.step_max_wh[cabinets]
    by_feeder, by_region = _last(full_feeder[feeder] & spare), _last(full_region[area] & spare)
    rows, intervals = np.nonzero(short_wh[cabinets])
    wh = short_wh[cabinets[rows], intervals]
    at_feeder, at_region = by_feeder[rows, intervals], by_region[rows, intervals]
    kind = np.where(at_feeder >= 0, 1, np.where(at_region >= 0, 2, 0))
    index = np.choose(kind, (cabinets[rows], feeder[rows], area[rows]))
    interval = np.choose(kind, (intervals, at_feeder, at_region))
    keys, inverse = np.unique(np.stack((kind, index, interval)), axis=1, return_inverse=True)
    total = np.bincount(inverse.ravel(), weights=wh, minlength=keys.shape[1]).astype(np.int64)
    worst = np.argsort(-total, kind="stable")[:SHORTS_MAX]
    return tuple(
        Short(KINDS[keys[0, k]], int(keys[1, k]), int(keys[2, k]), int(total[k])) for k in worst
    )


def _last(blocked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The last interval up to each one where a row is True; -1 where there is none."""
    here = np.where(blocked, np.arange(blocked.shape[1]), -1)
    last: NDArray[np.int64] = np.maximum.accumulate(here, axis=1)
    return last
