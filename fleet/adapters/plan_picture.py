"""A picture of a plan: load of every region against its limit, and the price, over the day."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from fleet.core.balance.instance import NO_LIMIT, Instance, Plan, region_loads
from fleet.errors import InvalidError

#: More regions than this are drawn as one sum.
REGIONS_MAX: Final = 6
SUFFIXES: Final = (".png", ".svg", ".pdf")


def draw_plan(path: Path, instance: Instance, plan: Plan) -> None:
    """Write a PNG, SVG or PDF by the suffix of ``path``; raise InvalidError for another one."""
    if path.suffix not in SUFFIXES:
        raise InvalidError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, and only for pictures

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    loads = region_loads(instance, plan.step_wh)
    regions = np.argsort(-loads.sum(axis=1), kind="stable")
    groups = (
        [[int(r)] for r in regions] if len(regions) <= REGIONS_MAX else [list(map(int, regions))]
    )
    figure, axes = plt.subplots(
        len(groups), 1, figsize=(10, 2.6 * len(groups) + 1), squeeze=False, sharex=True
    )
    for axis, group in zip(axes[:, 0], groups, strict=True):
        _region(axis, instance, loads, group)
    axes[-1, 0].set_xlabel("hour")
    axes[-1, 0].set_xlim(0, loads.shape[1] * instance.step_s / 3600)
    figure.suptitle(f"cost {plan.cost:,.2f}, at most {plan.gap:.3%} above the optimum")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _region(axis: Any, instance: Instance, loads: Any, group: list[int]) -> None:
    hours = instance.step_s / 3600
    at = np.arange(loads.shape[1]) * hours
    load_kw = loads[group].sum(axis=0) / hours / 1000
    axis.fill_between(at, load_kw, step="post", alpha=0.5, label="load")
    limits = instance.region_max_wh[group]
    if len(group) == 1 and np.any(limits != NO_LIMIT):
        limit_kw = np.where(limits[0] == NO_LIMIT, np.nan, limits[0] / hours / 1000)
        axis.step(at, limit_kw, where="post", color="tab:red", linewidth=2, label="limit")
    name = f"region {group[0]}" if len(group) == 1 else f"{len(group)} regions"
    axis.set_ylabel(f"{name}\nkW")
    axis.set_ylim(0, max(float(load_kw.max()) * 1.15, 1.0))
    price = axis.twinx()
    price.step(at, instance.price_per_kwh[group].mean(axis=0), where="post", color="tab:green")
    price.set_ylabel("price per kWh", color="tab:green")
    axis.legend(loc="upper left", fontsize="small")
