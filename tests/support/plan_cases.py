"""Random planning problems, small and mean: tight limits, envelopes that can't be reached."""

from __future__ import annotations

import numpy as np

from fleet.core.balance.instance import NO_LIMIT, Instance


def small(seed: int, *, cabinets: int = 5, intervals: int = 8, scale: int = 100) -> Instance:
    """A problem of up to so many cabinets and intervals; the same seed gives the same."""
    rng = np.random.default_rng(seed)
    n, t = int(rng.integers(1, cabinets + 1)), int(rng.integers(1, intervals + 1))
    feeders, regions = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    shape = (n, t)
    emax = np.cumsum(rng.integers(0, 4 * scale, shape), axis=1) + rng.integers(0, 8 * scale, (n, 1))
    need = np.cumsum(rng.integers(0, 4 * scale, shape), axis=1) - rng.integers(0, 8 * scale, (n, 1))
    emin = np.minimum(np.maximum.accumulate(np.maximum(need, 0), axis=1), emax)
    feeder_max = rng.integers(0, max(2, 4 * scale * n // feeders), (feeders, t))
    feeder_max[rng.random(feeders) < 0.3] = NO_LIMIT
    region_max = rng.integers(0, 4 * scale * n, (regions, t))
    region_max[rng.random((regions, t)) < 0.6] = NO_LIMIT
    return Instance(
        step_s=900,
        energy_min_wh=emin,
        energy_max_wh=emax,
        step_max_wh=rng.integers(0, 6 * scale, shape),
        feeder_of_cabinet=rng.integers(0, feeders, n).astype(np.int32),
        region_of_feeder=rng.integers(0, regions, feeders).astype(np.int32),
        feeder_max_wh=feeder_max,
        region_max_wh=region_max,
        price_per_kwh=rng.integers(-2, 7, (regions, t)) / 4,
        peak_price_per_kw=rng.choice((0.0, 3.0, 38.0), regions),
        peak_so_far_w=rng.choice((0.0, 800.0), regions) * scale / 100,
        shortfall_price_per_kwh=float(rng.choice((1.0, 8.0, 60.0))),
    )
