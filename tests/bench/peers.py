"""Other people's solvers on our instances: each takes an instance and says what it found, and when.

HiGHS comes with the tests; OR-tools and CVXPY are of the extra ``bench`` and are left out, with a line
that says so, where they are not installed. OR-tools' min-cost flow is given the regions' peaks that the
planner found, since it can't look for them itself.
"""

# ruff: noqa: PLC0415 - these packages need not be there
from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from fleet.core.balance.instance import Instance
from tests.support.plan_lp import optimum, program

#: Of an LP's relative accuracy: what a stated gap of 0.01 % needs.
ACCURACY: Final = 1e-6
#: Prices of the flow are whole: so many units per unit of money and Wh.
FLOW_UNITS: Final = 10**8
FLOW_ENDLESS: Final = 2**40


@dataclass(frozen=True, slots=True)
class Found:
    """``cost`` is the optimum, as far as the solver's accuracy goes; None: it did not finish."""

    cost: float | None
    seconds: float  # building its model is not counted


@dataclass(frozen=True, slots=True)
class Peer:
    """A solver, what it needs, and the largest instance worth trying in a machine of 24 GiB."""

    name: str
    package: str
    cells_max: int
    run: Callable[[Instance, float, int, np.ndarray], Found]

    @property
    def installed(self) -> bool:
        """Whether its package is there."""
        return importlib.util.find_spec(self.package) is not None


def _highs(solver: str) -> Callable[[Instance, float, int, np.ndarray], Found]:
    def run(instance: Instance, limit_s: float, threads: int, _peak_w: np.ndarray) -> Found:
        best = optimum(instance, solver=solver, time_limit_s=limit_s, threads=threads)
        return Found(best.cost if best.finished else None, best.seconds)

    return run


def _matrix(instance: Instance) -> tuple[Any, Any]:
    from scipy import sparse

    lp = program(instance)
    shape = (lp.num_row_, lp.num_col_)
    parts = lp.a_matrix_
    return lp, sparse.csc_matrix(
        (np.asarray(parts.value_), np.asarray(parts.index_), np.asarray(parts.start_)), shape
    )


def _glop(instance: Instance, limit_s: float, _threads: int, _peak_w: np.ndarray) -> Found:
    from ortools.linear_solver.python import model_builder_helper as helper

    lp, matrix = _matrix(instance)
    model = helper.ModelBuilderHelper()
    model.fill_model_from_sparse_data(
        np.asarray(lp.col_lower_, float), np.asarray(lp.col_upper_, float),
        np.asarray(lp.col_cost_, float), np.asarray(lp.row_lower_, float),
        np.asarray(lp.row_upper_, float), matrix.tocsr(),
    )  # fmt: skip
    solver = helper.ModelSolverHelper("GLOP")
    solver.set_time_limit_in_seconds(limit_s)
    started_s = time.perf_counter()
    solver.solve(model)
    seconds = time.perf_counter() - started_s
    done = solver.status() == helper.SolveStatus.OPTIMAL
    return Found(float(solver.objective_value()) if done else None, seconds)


def _pdlp(instance: Instance, limit_s: float, threads: int, _peak_w: np.ndarray) -> Found:
    from ortools.pdlp import solve_log_pb2, solvers_pb2
    from ortools.pdlp.python import pdlp

    lp, matrix = _matrix(instance)
    problem = pdlp.QuadraticProgram()
    problem.resize_and_initialize(lp.num_col_, lp.num_row_)
    problem.constraint_matrix = matrix
    problem.objective_vector = np.asarray(lp.col_cost_, float)
    problem.variable_lower_bounds = np.asarray(lp.col_lower_, float)
    problem.variable_upper_bounds = np.asarray(lp.col_upper_, float)
    problem.constraint_lower_bounds = np.asarray(lp.row_lower_, float)
    problem.constraint_upper_bounds = np.asarray(lp.row_upper_, float)
    options = solvers_pb2.PrimalDualHybridGradientParams()
    options.num_threads = threads
    options.termination_criteria.time_sec_limit = limit_s
    options.termination_criteria.simple_optimality_criteria.eps_optimal_relative = 1e-4
    options.termination_criteria.simple_optimality_criteria.eps_optimal_absolute = 1e-4
    started_s = time.perf_counter()
    result = pdlp.primal_dual_hybrid_gradient(problem, options)
    seconds = time.perf_counter() - started_s
    done = result.solve_log.termination_reason == solve_log_pb2.TERMINATION_REASON_OPTIMAL
    cost = float(np.asarray(lp.col_cost_, float) @ result.primal_solution)
    return Found(cost if done else None, seconds)


def _clarabel(instance: Instance, limit_s: float, threads: int, _peak_w: np.ndarray) -> Found:
    import cvxpy

    lp, matrix = _matrix(instance)
    low, high = np.asarray(lp.row_lower_, float), np.asarray(lp.row_upper_, float)
    least, most = np.asarray(lp.col_lower_, float), np.asarray(lp.col_upper_, float)
    cost = np.asarray(lp.col_cost_, float)
    rows = matrix.tocsr()
    same = low == high
    above, below = ~same & np.isfinite(low), ~same & np.isfinite(high)
    x = cvxpy.Variable(lp.num_col_)
    bounded = np.isfinite(most)
    limits = [x >= least, x[bounded] <= most[bounded]]
    limits += [rows[same] @ x == low[same]] if same.any() else []
    limits += [rows[above] @ x >= low[above]] if above.any() else []
    limits += [rows[below] @ x <= high[below]] if below.any() else []
    problem = cvxpy.Problem(cvxpy.Minimize(cost @ x), limits)
    started_s = time.perf_counter()
    problem.solve(
        solver=cvxpy.CLARABEL, time_limit=limit_s, max_threads=threads,
        tol_gap_rel=ACCURACY, tol_gap_abs=ACCURACY, tol_feas=ACCURACY,
    )  # fmt: skip
    seconds = time.perf_counter() - started_s
    return Found(float(problem.value) if problem.status == "optimal" else None, seconds)


def _flow(instance: Instance, _limit_s: float, _threads: int, peak_w: np.ndarray) -> Found:
    from ortools.graph.python import min_cost_flow

    flow = min_cost_flow.SimpleMinCostFlow()
    _flow_model(instance, peak_w, flow)
    started_s = time.perf_counter()
    status = flow.solve()
    seconds = time.perf_counter() - started_s
    if status != flow.OPTIMAL:
        return Found(None, seconds)
    hours = instance.step_s / 3600
    caps_w = _caps(instance, peak_w) / hours
    peaks = np.maximum(instance.peak_so_far_w, caps_w) * instance.peak_price_per_kw / 1000
    return Found(flow.optimal_cost() / FLOW_UNITS + float(peaks.sum()), seconds)


def _caps(instance: Instance, peak_w: np.ndarray) -> np.ndarray:
    return np.ceil(np.maximum(peak_w, instance.peak_so_far_w) * instance.step_s / 3600)


def _flow_model(instance: Instance, peak_w: np.ndarray, flow: Any) -> None:
    """Source > region > feeder > cabinet, each with its interval, then along the cabinet's time.

    ``energy_min`` is taken out of the chain, as demand of its nodes.
    """
    cabinets, feeders, regions, intervals = instance.shape
    t = np.arange(intervals)
    region_at = 2 + np.arange(regions)[:, None] * intervals + t
    feeder_at = 2 + regions * intervals + np.arange(feeders)[:, None] * intervals + t
    cabinet_at = 2 + (regions + feeders) * intervals + np.arange(cabinets)[:, None] * intervals + t
    low, high = (
        np.asarray(each, np.int64) for each in (instance.energy_min_wh, instance.energy_max_wh)
    )
    limit = np.where(instance.region_max_wh < 0, FLOW_ENDLESS, instance.region_max_wh)
    limit = np.minimum(limit, _caps(instance, peak_w)[:, None].astype(np.int64))
    below = np.where(instance.feeder_max_wh < 0, FLOW_ENDLESS, instance.feeder_max_wh)
    price = np.round(instance.price_per_kwh / 1000 * FLOW_UNITS).astype(np.int64)
    lost = round(instance.shortfall_price_per_kwh / 1000 * FLOW_UNITS)
    of_feeder = instance.region_of_feeder
    arcs = (
        (np.zeros_like(region_at), region_at, limit, np.zeros_like(limit)),
        (region_at[of_feeder], feeder_at, below, price[of_feeder]),
        (feeder_at[instance.feeder_of_cabinet], cabinet_at, instance.step_max_wh, None),
        (np.zeros_like(cabinet_at), cabinet_at, np.full(low.shape, FLOW_ENDLESS), lost),
        (cabinet_at[:, :-1], cabinet_at[:, 1:], (high - low)[:, :-1], None),
        (cabinet_at[:, -1], np.ones(cabinets, np.int64), (high - low)[:, -1], None),
        (np.zeros(1, np.int64), np.ones(1, np.int64), np.full(1, FLOW_ENDLESS), None),
    )
    for tails, heads, rooms, costs in arcs:
        unit = np.broadcast_to(np.asarray(0 if costs is None else costs, np.int64), rooms.shape)
        flow.add_arcs_with_capacity_and_unit_cost(
            np.ascontiguousarray(tails.ravel()), np.ascontiguousarray(heads.ravel()),
            np.ascontiguousarray(rooms.ravel(), np.int64), np.ascontiguousarray(unit.ravel()),
        )  # fmt: skip
    need = np.diff(low, axis=1, prepend=0)
    slack = int((high - low)[:, -1].sum())
    flow.set_nodes_supplies(np.ascontiguousarray(cabinet_at.ravel()), -need.ravel())
    flow.set_nodes_supplies(np.array([0, 1]), np.array([int(need.sum()) + slack, -slack]))


PEERS: Final = (
    Peer("HiGHS interior point", "highspy", 3_000_000, _highs("ipm")),
    Peer("HiGHS simplex", "highspy", 1_000_000, _highs("simplex")),
    Peer("OR-tools flow, peak given", "ortools", 3_000_000, _flow),
    Peer("OR-tools GLOP", "ortools", 1_000_000, _glop),
    Peer("OR-tools PDLP 1e-4", "ortools", 1_000_000, _pdlp),
    Peer("CVXPY + Clarabel", "cvxpy", 1_000_000, _clarabel),
)
