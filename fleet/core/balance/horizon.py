"""From grid, live slots and forecast to the planner's problem, and from its answer to plans.

The intervals are those of the wall clock; the first is what is left of the present one. Who is silent,
or does not take up its plan, is not planned: its worst case is taken off its feeder and its region
first. What is not known about a slot is never counted as energy, nor as a battery to hand out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fleet.core.balance import rush
from fleet.core.balance.envelopes import EMPTY, PackCurve, Slots
from fleet.core.balance.forecast import Forecast
from fleet.core.balance.grid import Grid, PackType
from fleet.core.balance.instance import NO_LIMIT, Floats, Instance, Ints, Plan
from fleet.core.balance.moves import Stock
from fleet.core.balance.needs import Needs, charge_intervals, needs, waiting_saves, worth
from fleet.core.balance.own_limits import NOTHING_SAID, OwnLimits, most_to_charge
from fleet.core.balance.service import priced_stock
from fleet.core.balance.sockets import socket_loads
from protocols.messages import OWN_POWER_W, DesiredPlan, Presence, SlotState, SlotTelemetry
from protocols.sockets import SocketTelemetry

HORIZON_S: Final = 86_400
#: A cabinet that is heard but does not say it has its plan for so long does not follow.
ACK_MS: Final = 60_000
#: Telemetry older than this says nothing about the present.
FRESH_MS: Final = 60_000
#: Plans that a cabinet may have, as far as we know. More than that, and it gets none until they end.
HELD_MAX: Final = 4
#: Runs may be missed until the validity ends, in intervals beyond the next run.
SPARE_INTERVALS: Final = 2
#: A pack's charge from which its charger's power falls, and to what share at the end.
TAPER_FROM: Final = 0.85
TAPER_TO: Final = 0.25
_COUNTED: Final = frozenset({SlotState.CHARGING, SlotState.WAITING, SlotState.READY})


class Standing(Enum):
    """How the planner treats a cabinet."""

    FOLLOWS = "follows"
    STUBBORN = "stubborn"  # heard, but not with the plan it was given: offered its safe default
    SILENT = "silent"  # gets nothing


@dataclass(frozen=True, slots=True)
class Site:
    """One cabinet as it stands. ``held`` are the plans that it may have, the newest last."""

    cabinet: str
    standing: Standing
    slots: tuple[SlotTelemetry, ...] = ()
    held: tuple[DesiredPlan, ...] = ()
    acknowledged: bool = False  # the newest of ``held``, and therefore no other
    sockets: tuple[SocketTelemetry, ...] = ()
    own: OwnLimits = NOTHING_SAID
    seen_w: int | None = None  # the most that it took, above its orders; None: it keeps to them


@dataclass(frozen=True, slots=True)
class Problem:
    """What is to be planned. Rows are the grid's cabinets."""

    instance: Instance
    starts_ms: NDArray[np.int64]  # [T]; of the first, the whole interval's
    share: float  # of the first interval, what is left
    follows: NDArray[np.bool_]  # [N]
    stubborn: NDArray[np.bool_]  # [N]
    reserve_w: Ints  # [N,T] charging of those that do not follow, at worst
    few: NDArray[np.bool_]  # [N] hands packs out early
    urgent: NDArray[np.bool_]  # [N] needs every pack soon
    stock: Stock
    feeder_room_w: Floats  # [K] in the first interval, beside what is not planned; inf: no limit
    region_room_w: Floats  # [R]
    socket_w: Ints  # [N,T] what the sockets of those that follow are expected to take
    most_w: Ints  # [N,T] what each can take for charging and sockets


def standing(
    *,
    online: bool,
    age_ms: int | None,
    plan_version: int,
    held: Sequence[DesiredPlan],
    sent_ms_ago: int,
) -> Standing:
    """Judge one cabinet; silence and doubt are never taken for following."""
    if not online or age_ms is None or age_ms > FRESH_MS or len(held) >= HELD_MAX:
        return Standing.SILENT
    if held and plan_version != held[-1].version and sent_ms_ago > ACK_MS:
        return Standing.STUBBORN
    return Standing.FOLLOWS


def pack_curve(pack: PackType) -> PackCurve:
    """Power and energy of a pack by its charge; constant, then falling in the taper."""
    soc = np.linspace(0.0, 1.0, 101)
    fall = np.clip((soc - TAPER_FROM) / (1.0 - TAPER_FROM), 0.0, 1.0)
    power = pack.charger_w * (1.0 - (1.0 - TAPER_TO) * fall)
    energy = soc * pack.capacity_wh / pack.efficiency
    return PackCurve(power, energy, pack.ready_pct / 100, pack.back_pct / 100)


def interval_starts(now_ms: int, interval_s: int) -> NDArray[np.int64]:
    """When the intervals of the next 24 hours begin, the present one first."""
    step_ms = interval_s * 1_000
    count = max(HORIZON_S // interval_s, 1)
    starts: NDArray[np.int64] = now_ms - now_ms % step_ms + np.arange(count) * step_ms
    return starts


def day_minutes(starts_ms: NDArray[np.int64], zone: tzinfo) -> list[int]:
    """The minute of the local day at which each interval begins."""
    local = [datetime.fromtimestamp(int(start) / 1_000, zone) for start in starts_ms]
    return [each.hour * 60 + each.minute for each in local]


def month_of(now_ms: int, zone: tzinfo) -> int:
    """A number for the local month, in which the peak is billed."""
    local = datetime.fromtimestamp(now_ms / 1_000, zone)
    return local.year * 12 + local.month


def build(
    grid: Grid,
    sites: Sequence[Site],
    forecast: Forecast,
    *,
    now_ms: int,
    interval_s: int,
    zone: tzinfo,
    peak_w: Floats,
) -> Problem:
    """The problem of the next 24 hours.

    ``sites`` are one per cabinet of the grid, in its order; ``forecast`` is of the wall clock's
    intervals, from the present one on, as many as in 24 hours at least; ``peak_w`` is the highest
    mean of an interval of each region so far this month.
    """
    starts = interval_starts(now_ms, interval_s)
    share = 1.0 - (now_ms - int(starts[0])) / (interval_s * 1_000)
    minutes = day_minutes(starts, zone)
    follows = np.array([site.standing is Standing.FOLLOWS for site in sites])
    stubborn = np.array([site.standing is Standing.STUBBORN for site in sites])
    reserve_w = np.stack([_reserve(grid, site, starts, interval_s) for site in sites])
    told = [site.sockets if site.standing is Standing.FOLLOWS else () for site in sites]
    socket_w = socket_loads(told, starts, now_ms, interval_s, forecast.socket_w)
    price = np.array([[region.price(minute) for minute in minutes] for region in grid.regions])
    most_w = most_to_charge(
        [site.own for site in sites], minutes, breaker_w=grid.power.breaker_w, own_w=own_w(grid)
    )
    socket_most_w = socket_w.max(axis=1)
    breaker_w = np.maximum(most_w.max(axis=1) - socket_most_w, 0).astype(np.float64)
    found, stock = _needs(
        grid, slot_arrays(sites, breaker_w), forecast, price, interval_s=interval_s, share=share
    )
    lines = _lines(grid, reserve_w + socket_w, minutes, interval_s)
    hours = np.full(len(starts), interval_s / 3600)
    hours[0] *= share
    _hold(found, follows, np.maximum(most_w - socket_most_w[:, None], 0), hours)
    return Problem(
        instance=_instance(
            grid, found, lines, price=price, hours=hours, interval_s=interval_s, peak_w=peak_w
        ),
        starts_ms=starts,
        share=share,
        follows=follows,
        stubborn=stubborn,
        reserve_w=reserve_w,
        few=found.few,
        urgent=found.urgent,
        stock=stock,
        feeder_room_w=_room_w(lines.feeder_w, lines.feeder_fixed_w),
        region_room_w=_room_w(lines.region_w, lines.region_fixed_w),
        socket_w=socket_w,
        most_w=most_w,
    )


def _hold(found: Needs, follows: NDArray[np.bool_], most_w: Ints, hours: Floats) -> None:
    """Nothing for who does not follow, and no more than the others take, as in quiet hours."""
    for values in (found.low, found.high, found.step, found.few, found.urgent):
        values[~follows] = 0
    np.minimum(found.step, np.ceil(most_w * hours).astype(np.int64), out=found.step)


@dataclass(frozen=True, slots=True)
class _Lines:
    """What feeders and regions may carry, and what of it is given away already; by interval."""

    feeder_of: NDArray[np.int32]
    region_of: NDArray[np.int32]
    feeder_w: Ints
    region_w: Ints
    feeder_fixed_w: Ints
    region_fixed_w: Ints


def _lines(grid: Grid, fixed_w: Ints, minutes: Sequence[int], interval_s: int) -> _Lines:
    """``fixed_w`` is what each cabinet takes whatever is planned, beside its own electronics."""
    intervals = len(minutes)
    feeder_of = np.array([feeder for _, feeder in grid.cabinets], np.int32)
    region_of = np.array([feeder.region for feeder in grid.feeders], np.int32)
    feeder_fixed_w = np.zeros((len(grid.feeders), intervals), np.int64)
    np.add.at(feeder_fixed_w, feeder_of, fixed_w + grid.power.base_w)
    region_fixed_w = np.zeros((len(grid.regions), intervals), np.int64)
    np.add.at(region_fixed_w, region_of, feeder_fixed_w)
    return _Lines(
        feeder_of,
        region_of,
        feeder_limits(grid, intervals),
        region_limits(grid, minutes, interval_s),
        feeder_fixed_w,
        region_fixed_w,
    )


def _instance(
    grid: Grid,
    found: Needs,
    lines: _Lines,
    *,
    price: Floats,
    hours: Floats,
    interval_s: int,
    peak_w: Floats,
) -> Instance:
    return Instance(
        step_s=interval_s,
        energy_min_wh=found.low,
        energy_max_wh=found.high,
        step_max_wh=found.step,
        feeder_of_cabinet=lines.feeder_of,
        region_of_feeder=lines.region_of,
        feeder_max_wh=_room_wh(lines.feeder_w, lines.feeder_fixed_w, hours),
        region_max_wh=_room_wh(lines.region_w, lines.region_fixed_w, hours),
        price_per_kwh=price,
        peak_price_per_kw=np.array([region.peak_price_per_kw for region in grid.regions]),
        peak_so_far_w=np.maximum(peak_w - lines.region_fixed_w.mean(axis=1), 0.0),
        shortfall_price_per_kwh=grid.shortfall_price_per_kwh,
    )


def feeder_limits(grid: Grid, intervals: int) -> Ints:
    """[K,T] in watts."""
    limits = np.array([feeder.limit_w for feeder in grid.feeders], np.int64)
    return np.repeat(limits[:, None], intervals, axis=1)


def region_limits(grid: Grid, minutes: Sequence[int], interval_s: int) -> Ints:
    """[R,T] in watts, NO_LIMIT where there is none."""
    rows = [
        [region.limit(minute, interval_s / 60) for minute in minutes] for region in grid.regions
    ]
    limits = [[NO_LIMIT if limit is None else limit for limit in row] for row in rows]
    return np.array(limits, np.int64)


def _room_wh(limits_w: Ints, fixed_w: Ints, hours: Floats) -> Ints:
    room = np.floor(np.maximum(limits_w - fixed_w, 0) * hours).astype(np.int64)
    return np.where(limits_w == NO_LIMIT, NO_LIMIT, room)


def _room_w(limits_w: Ints, fixed_w: Ints) -> Floats:
    """Of the first interval; inf where there is no limit."""
    limit_w = limits_w[:, 0].astype(float)
    room: Floats = np.where(limit_w == NO_LIMIT, np.inf, np.maximum(limit_w - fixed_w[:, 0], 0.0))
    return room


def _reserve(grid: Grid, site: Site, starts: NDArray[np.int64], interval_s: int) -> Ints:
    """What a cabinet that does not follow may charge with, at worst [T]; nothing for the others."""
    if site.standing is Standing.FOLLOWS:
        return np.zeros(len(starts), np.int64)
    own = own_w(grid)
    alone_w = grid.power.default_w
    if site.own.default_w is not None:
        alone_w = max(alone_w, site.own.default_w - own)
    row = np.full(len(starts), alone_w, np.int64)
    sure = site.acknowledged and site.standing is Standing.SILENT
    for plan in site.held[-1:] if sure else site.held:
        ends = starts + interval_s * 1_000
        for place in np.flatnonzero((ends > plan.valid_from_ms) & (starts < plan.valid_until_ms)):
            begin, end = int(starts[place]), int(ends[place])
            power_w = min(max(_most(plan, begin, end) - own, 0), grid.power.breaker_w)
            whole = plan.valid_from_ms <= begin and end <= plan.valid_until_ms
            row[place] = power_w if sure and whole else max(row[place], power_w)
    if site.seen_w is not None:
        np.maximum(row, min(site.seen_w - grid.power.base_w, grid.power.breaker_w), out=row)
    return row


def _most(plan: DesiredPlan, begin_ms: int, end_ms: int) -> int:
    """The plan's highest step between two moments."""
    step_ms = plan.step_s * 1_000
    first = max(begin_ms - plan.valid_from_ms, 0) // step_ms
    last = -(-(end_ms - plan.valid_from_ms) // step_ms)
    return max(plan.power_w[first:last], default=0)


def _needs(
    grid: Grid,
    slots: Slots,
    forecast: Forecast,
    price: Floats,
    *,
    interval_s: int,
    share: float,
) -> tuple[Needs, Stock]:
    """What the packs must and may take, and what offers and moves are made from."""
    intervals = price.shape[1]
    curve, pack = pack_curve(grid.pack), grid.pack
    charge = charge_intervals(curve, interval_s)
    swap_wh = pack.capacity_wh * (pack.ready_pct - pack.back_pct) / 100 / pack.efficiency
    saves = np.array(
        [waiting_saves(region, intervals, interval_s, charge, swap_wh) for region in price]
    )
    of_region = [grid.feeders[feeder].region for _, feeder in grid.cabinets]
    kept_worth = worth(saves, grid.lost_swap_price)[of_region]
    found = needs(
        slots,
        forecast,
        curve,
        stock=lambda mean, variance: priced_stock(mean, variance, kept_worth),
        intervals=intervals,
        interval_s=interval_s,
        share=share,
    )
    stock = Stock(
        ready=found.ready,
        jobs_wh=_jobs(slots, curve, curve.tables[0]),
        jobs_h=_jobs(slots, curve, curve.tables[1]),
        back_wh=curve.back[0],
        back_h=curve.back[1],
        ends_h=(np.arange(intervals) + share) * interval_s / 3600,
        riders=found.riders.astype(np.float32),
        kept=found.kept.astype(np.float32),
    )
    return found, stock


def _jobs(slots: Slots, curve: PackCurve, table: Floats) -> Floats:
    """What each pack lacks by this table, the readiest first; 0 where it is ready or none [N,S]."""
    lacking = np.interp(slots.soc, np.linspace(0.0, 1.0, len(table)), table)
    open_jobs = (slots.soc >= 0.0) & (slots.soc < curve.ready_soc)
    jobs: Floats = np.sort(np.where(open_jobs, lacking, np.inf), axis=1)
    return np.where(np.isfinite(jobs), jobs, 0.0)


def slot_arrays(sites: Sequence[Site], breaker_w: Floats) -> Slots:
    """The slots of all cabinets, and what is left for each to charge with [N]; what is doubtful, kept for somebody or out of use is empty."""
    width = max((len(site.slots) for site in sites), default=0) or 1
    soc = np.full((len(sites), width), EMPTY)
    for row, site in enumerate(sites):
        if site.standing is not Standing.FOLLOWS:
            continue
        for place, slot in enumerate(site.slots):
            known = slot.presence is Presence.PRESENT and slot.soc_pct is not None
            if known and slot.state in _COUNTED and "held" not in slot.flags:
                soc[row, place] = (slot.soc_pct or 0) / 100
    usable = soc >= 0.0
    return Slots(soc, usable, breaker_w)


def powers(problem: Problem, plan: Plan, *, bare: bool = False) -> Ints:
    """Power to allow each cabinet, sockets included [N,T]; those that do not follow have 0.

    In the first interval within the room on feeders and regions: a little more than is to be drawn
    (unless ``bare``), and urgent sites that are given nearly all they can take are opened.
    """
    hours = np.full(len(problem.starts_ms), problem.instance.step_s / 3600)
    hours[0] *= problem.share
    power = np.floor(plan.step_wh / hours + 1e-9).astype(np.int64)
    left_w: Ints = np.maximum(problem.most_w - problem.socket_w, 0)
    limited: Ints = np.minimum(power, left_w)
    instance = problem.instance
    feeder_of, region_of = instance.feeder_of_cabinet, instance.region_of_feeder
    feeder_w = np.bincount(feeder_of, limited[:, 0], len(problem.feeder_room_w))
    region_w = np.bincount(region_of, feeder_w, len(problem.region_room_w))
    opened = rush.opened(problem.urgent, plan.step_wh[:, 0], instance.energy_max_wh[:, 0])
    drawn_w = limited[:, 0].astype(float)
    most_w = np.minimum(drawn_w if bare else rush.allowed(drawn_w), left_w[:, 0])
    limited[:, 0] = rush.open_power(
        limited[:, 0],
        opened | (limited[:, 0] > 0),
        np.where(opened, left_w[:, 0], most_w),
        feeder_of=feeder_of,
        feeder_room_w=problem.feeder_room_w - feeder_w,
        region_of=region_of,
        region_room_w=problem.region_room_w - region_w,
    )
    ordered: Ints = np.minimum(limited + problem.socket_w, problem.most_w)
    return ordered


def own_w(grid: Grid) -> int:
    """What a cabinet keeps of its order for itself, as far as the grid counts with it anyhow."""
    return min(OWN_POWER_W, grid.power.base_w)


def valid_intervals(interval_s: int, every_s: int) -> int:
    """How many intervals a plan holds: until the next run, and somewhat more."""
    return 1 + -(-every_s // interval_s) + SPARE_INTERVALS


def documents(
    grid: Grid, problem: Problem, power_w: Ints, *, version: int, every_s: int
) -> list[DesiredPlan]:
    """The plans to publish: short, so that whom nobody tells more falls back to the safe default."""
    interval_s = problem.instance.step_s
    count = min(valid_intervals(interval_s, every_s), len(problem.starts_ms))
    begin, own = int(problem.starts_ms[0]), own_w(grid)
    found = []
    for row, (cabinet, _) in enumerate(grid.cabinets):
        if problem.follows[row]:
            power = tuple(int(each) + own if each else 0 for each in power_w[row, :count])
        elif problem.stubborn[row]:
            power = (grid.power.default_w,) * count
        else:
            continue
        found.append(
            DesiredPlan(
                cabinet=cabinet,
                version=version,
                valid_from_ms=begin,
                valid_until_ms=begin + count * interval_s * 1_000,
                step_s=interval_s,
                power_w=power,
                target_soc_pct=_targets(grid, problem, row, count),
            )
        )
    return found


def _targets(grid: Grid, problem: Problem, row: int, count: int) -> tuple[int, ...]:
    """Packs wait below full; where few are ready they are handed out before that."""
    return (grid.pack.early_pct if problem.few[row] else grid.pack.ready_pct,) * count
