"""The planning problem as a linear programme, for HiGHS: an independent optimum."""

from __future__ import annotations

import time
from dataclasses import dataclass

import highspy
import numpy as np

from fleet.core.balance.instance import Instance


@dataclass(frozen=True, slots=True)
class Optimum:
    """What HiGHS found; ``cost`` is only the optimum when it finished."""

    cost: float
    finished: bool
    seconds: float  # of HiGHS alone


def optimum(
    instance: Instance, *, solver: str = "simplex", time_limit_s: float = 600.0, threads: int = 1
) -> Optimum:
    """Solve by ``simplex`` or ``ipm``; variables are charge, shortfall, stored energy, peaks."""
    lp = program(instance)
    highs = highspy.Highs()
    for name, value in {
        "output_flag": False,
        "solver": solver,
        "run_crossover": "off",
        "time_limit": time_limit_s,
        "threads": threads,
    }.items():
        highs.setOptionValue(name, value)
    highs.passModel(lp)
    started_s = time.perf_counter()
    highs.run()
    seconds = time.perf_counter() - started_s
    finished = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return Optimum(float(highs.getInfo().objective_function_value), finished, seconds)


def program(instance: Instance) -> highspy.HighsLp:
    """The linear programme itself, for other solvers too."""
    return _Lp(instance).model()


class _Lp:
    def __init__(self, instance: Instance) -> None:
        self._i = instance
        cabinets, feeders, regions, intervals = instance.shape
        self._cells = cabinets * intervals
        self._sizes = (cabinets, feeders, regions, intervals)
        self._columns = 3 * self._cells + regions
        self._rows: list[np.ndarray] = []
        self._cols: list[np.ndarray] = []
        self._values: list[np.ndarray] = []
        self._low: list[np.ndarray] = []
        self._high: list[np.ndarray] = []
        self._count = 0

    def model(self) -> highspy.HighsLp:
        i = self._i
        regions, intervals = self._sizes[2:]
        cells = np.arange(self._cells)
        t = cells % intervals
        feeder = np.repeat(i.feeder_of_cabinet, intervals)
        region = i.region_of_feeder[feeder]
        inner = cells[t > 0]
        self._add(
            [
                (cells, 2 * self._cells + cells, 1.0),
                (cells, cells, -1.0),
                (cells, self._cells + cells, -1.0),
                (inner, 2 * self._cells + inner - 1, -1.0),
            ],
            np.zeros(self._cells),
            np.zeros(self._cells),
        )
        self._limit(feeder * intervals + t, i.feeder_max_wh)
        self._limit(region * intervals + t, i.region_max_wh)
        peaks = np.arange(regions * intervals)
        self._add(
            [
                (region * intervals + t, cells, 1.0),
                (peaks, 3 * self._cells + peaks // intervals, -i.step_s / 3600),
            ],
            np.full(regions * intervals, -np.inf),
            np.zeros(regions * intervals),
        )
        return self._build(region)

    def _limit(self, rows: np.ndarray, limits: np.ndarray) -> None:
        high = limits.astype(float).ravel()
        high[high < 0] = np.inf
        self._add([(rows, np.arange(self._cells), 1.0)], np.full(len(high), -np.inf), high)

    def _add(
        self,
        entries: list[tuple[np.ndarray, np.ndarray, float]],
        low: np.ndarray,
        high: np.ndarray,
    ) -> None:
        for rows, cols, value in entries:
            self._rows.append(self._count + rows)
            self._cols.append(cols)
            self._values.append(np.full(len(cols), value))
        self._low.append(low)
        self._high.append(high)
        self._count += len(low)

    def _build(self, region: np.ndarray) -> highspy.HighsLp:
        i = self._i
        intervals = self._sizes[3]
        t = np.arange(self._cells) % intervals
        rows, cols = np.concatenate(self._rows), np.concatenate(self._cols)
        order = np.lexsort((rows, cols))
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self._columns, self._count
        lp.col_cost_ = np.concatenate(
            (
                i.price_per_kwh[region, t] / 1000,
                np.full(self._cells, i.shortfall_price_per_kwh / 1000),
                np.zeros(self._cells),
                i.peak_price_per_kw / 1000,
            )
        )
        zeros = np.zeros(2 * self._cells)
        lp.col_lower_ = np.concatenate((zeros, i.energy_min_wh.ravel(), i.peak_so_far_w))
        endless = np.full(self._cells, np.inf)
        lp.col_upper_ = np.concatenate(
            (
                i.step_max_wh.ravel(),
                endless,
                i.energy_max_wh.ravel(),
                np.full(self._sizes[2], np.inf),
            )
        )
        lp.row_lower_, lp.row_upper_ = np.concatenate(self._low), np.concatenate(self._high)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_ = np.concatenate(
            ([0], np.cumsum(np.bincount(cols, minlength=self._columns)))
        )
        lp.a_matrix_.index_ = rows[order]
        lp.a_matrix_.value_ = np.concatenate(self._values)[order]
        return lp
