"""What one swap more would cost at each cabinet, by the plan that holds."""

from __future__ import annotations

from typing import Final

import numpy as np

from fleet.core.balance.instance import NO_LIMIT, Floats, Instance, Ints, Plan

#: The pack that is brought is charged within so many hours.
WITHIN_H: Final = 8


def energy_price(instance: Instance, plan: Plan, breaker_w: int) -> Floats:
    """The price at which each cabinet could still charge, per kWh [N].

    That of the cheapest interval ahead in which cabinet, feeder and region have room below limits and
    below the peak that is paid anyhow; nowhere: the shortfall's. Moving other energy about could make
    it cheaper, never dearer.
    """
    count = min(max(WITHIN_H * 3600 // instance.step_s, 1), plan.step_wh.shape[1])
    step: Ints = plan.step_wh[:, :count].astype(np.int64)
    feeder_of, region_of = instance.feeder_of_cabinet, instance.region_of_feeder
    load = np.zeros((len(region_of), count), np.int64)
    np.add.at(load, feeder_of, step)
    region_load = np.zeros((len(instance.price_per_kwh), plan.step_wh.shape[1]), np.int64)
    np.add.at(region_load, region_of[feeder_of], plan.step_wh.astype(np.int64))
    paid = np.maximum(region_load.max(axis=1), instance.peak_so_far_w * instance.step_s / 3600)
    free = instance.peak_price_per_kw <= 0.0
    cap = np.where(free[:, None], np.inf, np.repeat(paid[:, None], count, axis=1))
    feeder_room = _room(instance.feeder_max_wh[:, :count], load)
    region_room = np.minimum(
        _room(instance.region_max_wh[:, :count], region_load[:, :count]),
        cap - region_load[:, :count],
    )
    open_feeder = (feeder_room > 0) & (region_room > 0)[region_of]
    open_cabinet = (step < breaker_w * instance.step_s / 3600) & open_feeder[feeder_of]
    price = instance.price_per_kwh[:, :count][region_of[feeder_of]]
    cheapest = np.where(open_cabinet, price, np.inf).min(axis=1)
    found: Floats = np.where(np.isfinite(cheapest), cheapest, instance.shortfall_price_per_kwh)
    return found


def _room(limit: Ints, load: Ints) -> Floats:
    room: Floats = np.where(limit == NO_LIMIT, np.inf, (limit - load).astype(float))
    return room
