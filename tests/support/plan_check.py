"""Is a plan what it says? Written from the formulas, sharing nothing with the planner.

Every rule is checked cell by cell with plain running sums; the cost is added up anew.
"""

from __future__ import annotations

import numpy as np

from fleet.core.balance.instance import Instance, Plan


def faults(instance: Instance, plan: Plan) -> list[str]:
    """What is wrong with a plan; empty when nothing is."""
    x, v = plan.step_wh.astype(np.int64), plan.shortfall_wh.astype(np.int64)
    if x.shape != instance.energy_min_wh.shape or v.shape != x.shape:
        return [f"shape {x.shape} and {v.shape}"]
    found: list[str] = []

    def rule(name: str, broken: np.ndarray) -> None:
        if broken.any():
            place = tuple(int(i) for i in np.argwhere(broken)[0])
            found.append(f"{name} at {place}, {int(broken.sum())} times")

    total = np.zeros(len(x), np.int64)
    for t in range(x.shape[1]):
        total += x[:, t] + v[:, t]
        rule(f"too little stored in {t}", total < instance.energy_min_wh[:, t])
        rule(f"too much stored in {t}", total > instance.energy_max_wh[:, t])
    rule("negative charge", x < 0)
    rule("negative shortfall", v < 0)
    rule("above the chargers", x > instance.step_max_wh)
    feeder = np.zeros(instance.feeder_max_wh.shape, np.int64)
    for cabinet, row in enumerate(x):
        feeder[instance.feeder_of_cabinet[cabinet]] += row
    region = np.zeros(instance.region_max_wh.shape, np.int64)
    for index, row in enumerate(feeder):
        region[instance.region_of_feeder[index]] += row
    rule("above a feeder", (feeder > instance.feeder_max_wh) & (instance.feeder_max_wh != -1))
    rule("above a region", (region > instance.region_max_wh) & (instance.region_max_wh != -1))
    cost = _cost(instance, region, int(v.sum()))
    if not np.isclose(plan.cost, cost, rtol=1e-9, atol=1e-9):
        found.append(f"costs {cost}, says {plan.cost}")
    if plan.lower_bound > cost + 1e-9 * abs(cost):
        found.append(f"bound {plan.lower_bound} above its cost {cost}")
    return found


def _cost(instance: Instance, region: np.ndarray, short_wh: int) -> float:
    hours = instance.step_s / 3600
    cost = short_wh / 1000 * instance.shortfall_price_per_kwh
    for r in range(len(region)):
        for t in range(region.shape[1]):
            cost += region[r, t] / 1000 * instance.price_per_kwh[r, t]
        peak_w = max(float(instance.peak_so_far_w[r]), float(region[r].max()) / hours)
        cost += peak_w / 1000 * float(instance.peak_price_per_kw[r])
    return float(cost)
