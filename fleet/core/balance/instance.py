"""What the planner is asked and what it answers; checks of both against the formulas.

Shapes: N cabinets, K feeders, R regions, T intervals. Energies are whole watt-hours at the grid side,
prices per kWh (may be negative), peak prices per kW. A limit of -1 is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fleet.errors import InvalidError

Ints: TypeAlias = NDArray[np.int64]
Ids: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float64]

NO_LIMIT: Final = -1
#: One cabinet's energy over the horizon; beyond it the 32-bit arrays of the solver would overflow.
CABINET_ENERGY_MAX_WH: Final = 2**30
INTERVALS_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class Instance:
    """One planning problem. ``energy_min_wh`` ≤ running charge plus shortfall ≤ ``energy_max_wh``."""

    step_s: int
    energy_min_wh: NDArray[Any]  # int [N,T], non-decreasing in t
    energy_max_wh: NDArray[Any]  # int [N,T], non-decreasing in t
    step_max_wh: NDArray[Any]  # int [N,T]
    feeder_of_cabinet: Ids  # [N]
    region_of_feeder: Ids  # [K]
    feeder_max_wh: Ints  # [K,T]
    region_max_wh: Ints  # [R,T]
    price_per_kwh: Floats  # [R,T]
    peak_price_per_kw: Floats  # [R]
    peak_so_far_w: Floats  # [R]
    shortfall_price_per_kwh: float

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Cabinets, feeders, regions, intervals."""
        cabinets, intervals = self.energy_min_wh.shape
        return cabinets, len(self.region_of_feeder), len(self.price_per_kwh), intervals


@dataclass(frozen=True, slots=True)
class Short:
    """A limit that costs service: where, when, and how much can't be delivered in time because of it."""

    limit: str  # "cabinet", "feeder" or "region"
    index: int
    interval: int
    shortfall_wh: int


@dataclass(frozen=True, slots=True)
class Shadows:
    """Prices of the limits per Wh, from 0 on: what one Wh more of room would save at most."""

    peak: Floats  # [R,T]
    region: Floats  # [R,T]
    feeder: Floats  # [K,T]


@dataclass(frozen=True, slots=True)
class Plan:
    """The energy of each cabinet and interval, what it costs, and below what no plan can cost."""

    step_wh: NDArray[np.int32]  # [N,T]
    shortfall_wh: NDArray[np.int32]  # [N,T]
    cost: float
    lower_bound: float
    solve_s: float
    shorts: tuple[Short, ...] = field(default=())
    shadows: Shadows | None = None  # those of the bound: the next plan's start

    @property
    def gap(self) -> float:
        """By how much the cost may exceed the optimum, as a share of the cost."""
        return (self.cost - self.lower_bound) / max(abs(self.cost), 1e-9)

    def later(self, gone: int) -> Plan:
        """A start for the plan of the same cabinets ``gone`` intervals later; cost and bound stay."""
        shadows = self.shadows
        if shadows is not None:
            shadows = Shadows(
                _later(shadows.peak, gone),
                _later(shadows.region, gone),
                _later(shadows.feeder, gone),
            )
        return replace(
            self,
            step_wh=_later(self.step_wh, gone),
            shortfall_wh=_later(self.shortfall_wh, gone),
            shorts=(),
            shadows=shadows,
        )


def _later(values: NDArray[Any], gone: int) -> NDArray[Any]:
    """Columns moved on; nothing is known of the last ones."""
    moved = np.zeros_like(values)
    moved[:, : values.shape[1] - gone] = values[:, gone:]
    return moved


def check(instance: Instance) -> None:
    """Raise InvalidError naming the field, the place and what was expected."""
    if instance.energy_min_wh.ndim != 2:
        raise InvalidError(
            f"energy_min_wh: has {instance.energy_min_wh.ndim} dimensions, expected [N,T]"
        )
    cabinets, intervals = instance.energy_min_wh.shape
    if not 1 <= intervals <= INTERVALS_MAX:
        raise InvalidError(f"energy_min_wh: {intervals} intervals, expected 1 to {INTERVALS_MAX}")
    feeders, regions = len(instance.region_of_feeder), len(instance.price_per_kwh)
    _whole("step_s", np.asarray(instance.step_s), ())
    if not 1 <= instance.step_s <= 86_400:
        raise InvalidError(f"step_s: is {instance.step_s}, expected 1 to 86400")
    for name in ("energy_min_wh", "energy_max_wh", "step_max_wh"):
        _energies(name, getattr(instance, name), (cabinets, intervals))
    _whole("feeder_of_cabinet", instance.feeder_of_cabinet, (cabinets,))
    _whole("region_of_feeder", instance.region_of_feeder, (feeders,))
    _ids("feeder_of_cabinet", instance.feeder_of_cabinet, feeders)
    _ids("region_of_feeder", instance.region_of_feeder, regions)
    _limits("feeder_max_wh", instance.feeder_max_wh, (feeders, intervals))
    _limits("region_max_wh", instance.region_max_wh, (regions, intervals))
    _prices("price_per_kwh", instance.price_per_kwh, (regions, intervals), low=-1e6)
    _prices("peak_price_per_kw", instance.peak_price_per_kw, (regions,), low=0.0)
    _prices("peak_so_far_w", instance.peak_so_far_w, (regions,), low=0.0, high=1e15)
    _prices("shortfall_price_per_kwh", np.asarray(instance.shortfall_price_per_kwh), (), low=1e-9)
    for name in ("energy_min_wh", "energy_max_wh"):
        values = getattr(instance, name)
        _none("is below the interval before", name, values[:, 1:] < values[:, :-1], values[:, 1:])
    broken = instance.energy_min_wh > instance.energy_max_wh
    _none("is above energy_max_wh", "energy_min_wh", broken, instance.energy_min_wh)


def _whole(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    if values.dtype.kind not in "iu":
        raise InvalidError(f"{name}: holds {values.dtype}, expected whole numbers")
    if values.shape != shape:
        raise InvalidError(f"{name}: has shape {values.shape}, expected {shape}")


def _energies(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    _whole(name, values, shape)
    _none("is negative", name, values < 0, values)
    if name != "step_max_wh":
        over = values > CABINET_ENERGY_MAX_WH
        _none(f"is above {CABINET_ENERGY_MAX_WH} Wh for one cabinet", name, over, values)


def _ids(name: str, values: NDArray[Any], count: int) -> None:
    wrong = (values < 0) | (values >= count)
    _none(f"is unknown, expected 0 to {count - 1}", name, wrong, values)


def _limits(name: str, values: NDArray[Any], shape: tuple[int, ...]) -> None:
    _whole(name, values, shape)
    _none("is negative; -1 is no limit", name, values < NO_LIMIT, values)


def _prices(
    name: str, values: NDArray[Any], shape: tuple[int, ...], *, low: float, high: float = 1e6
) -> None:
    if values.dtype.kind not in "fiu":
        raise InvalidError(f"{name}: holds {values.dtype}, expected numbers")
    if values.shape != shape:
        raise InvalidError(f"{name}: has shape {values.shape}, expected {shape}")
    wrong = ~np.isfinite(values) | (values < low) | (values > high)
    _none(f"is out of range, expected {low:g} to {high:g}", name, wrong, values)


def _none(what: str, name: str, wrong: NDArray[Any], values: NDArray[Any]) -> None:
    if np.any(wrong):
        place = tuple(int(i) for i in np.argwhere(np.atleast_1d(wrong))[0])
        value = np.atleast_1d(values)[place]
        where = f"[{','.join(map(str, place))}]" if values.ndim else ""
        raise InvalidError(f"{name}{where}: {value} {what}")


def cost_of(instance: Instance, step_wh: NDArray[Any], shortfall_wh: NDArray[Any]) -> float:
    """What a plan costs: energy, peaks and shortfall."""
    lost_wh = int(shortfall_wh.sum(dtype=np.int64))
    return cost_of_loads(instance, region_loads(instance, step_wh), lost_wh)


def cost_of_loads(instance: Instance, region: Ints, lost_wh: int) -> float:
    """The same from the regions' energies [R,T] and all shortfall."""
    hours = instance.step_s / 3600
    energy = float((region * instance.price_per_kwh).sum()) / 1000
    peak_w = np.maximum(instance.peak_so_far_w, region.max(axis=1) / hours)
    peak = float((peak_w * instance.peak_price_per_kw).sum()) / 1000
    lost = lost_wh * instance.shortfall_price_per_kwh / 1000
    return energy + peak + lost


def feeder_loads(instance: Instance, step_wh: NDArray[Any]) -> Ints:
    """Energy of every feeder [K,T]."""
    _, feeders, _, intervals = instance.shape
    order = np.argsort(instance.feeder_of_cabinet, kind="stable")
    counts = np.bincount(instance.feeder_of_cabinet, minlength=feeders)
    loads = np.zeros((feeders, intervals), np.int64)
    start = 0
    for feeder in range(feeders):
        stop = start + counts[feeder]
        loads[feeder] = step_wh[order[start:stop]].sum(axis=0, dtype=np.int64)
        start = stop
    return loads


def region_loads(instance: Instance, step_wh: NDArray[Any]) -> Ints:
    """Energy of every region [R,T]."""
    feeders = feeder_loads(instance, step_wh)
    loads = np.zeros(instance.price_per_kwh.shape, np.int64)
    np.add.at(loads, instance.region_of_feeder, feeders)
    return loads
