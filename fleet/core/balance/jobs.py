"""Packs as jobs: what a cabinet's packs must and can take, interval by interval (compiled).

A pack that is charged at its full rate follows one curve, falling in its taper. Seen from its end,
the curve is one function: ``gain(tau)``, the energy of the last ``tau`` hours before the target. A job
of energy e that needs T hours and must be done by d can wait at most until e - gain(d - t) is due, and
has at best e - gain(T - elapsed) at t.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fleet.core.balance.bits import allocating

FAR = 1 << 30


@allocating(nogil=True)
def lookup(table, step, at):
    """Linear in a table that starts at 0 with this step; its last value beyond."""
    if at <= 0.0:
        return table[0]
    place = at / step
    index = int(place)
    if index >= len(table) - 1:
        return table[len(table) - 1]
    share = place - index
    return table[index] * (1.0 - share) + table[index + 1] * share


@allocating(nogil=True)
def add_job(energy, need_h, rate_w, release, deadline, hours, gain, gain_h, low, high, step):
    """Add one job to the sums of a cabinet: [T] each, ``low`` and ``high`` cumulative."""
    intervals = len(low)
    if release >= intervals or energy <= 0.0:
        return
    steps = max(int(np.ceil(need_h / hours - 1e-9)), 1)
    soonest = release + steps - 1
    due = max(deadline, soonest) if deadline < FAR else FAR
    most = min(rate_w * hours, energy)
    for t in range(release, intervals):
        can = energy
        if t < soonest:
            can -= lookup(gain, gain_h, need_h - (t - release + 1) * hours)
        if t >= due:
            low[t] += can
        elif t > due - steps:  # before that it can still wait
            must = energy - lookup(gain, gain_h, (due - t) * hours)
            low[t] += min(max(must, 0.0), can)
        high[t] += can
        if t <= due:
            step[t] += most


@allocating(nogil=True)
def envelope(soc, usable, ready, expected, needed, back, curve, hours, breaker_w, low, high, step):
    """Sums of one cabinet's jobs, tightened; ``low``, ``high``, ``step`` [T] are set.

    ``soc`` [S] below 0 is an empty slot. ``expected`` [T] are swaps up to each interval's end,
    ``needed`` [T] the packs to be ready by then, counted from now on. ``back`` is (energy, hours,
    rate) of a returned pack; ``curve`` is (energy, hours and rate by state of charge, gain, its step).
    """
    energy_of, hours_of, rate_of, gain, gain_h = curve
    intervals = len(low)
    scale = 1.0 / (len(energy_of) - 1)
    low[:] = 0.0
    high[:] = 0.0
    step[:] = 0.0
    count = 0
    order = np.argsort(-soc)
    at = 0
    for index in order:
        if soc[index] < 0.0 or not usable[index] or soc[index] >= ready:
            continue
        count += 1
        while at < intervals and needed[at] < count - 0.5:
            at += 1
        add_job(
            lookup(energy_of, scale, soc[index]),
            lookup(hours_of, scale, soc[index]),
            lookup(rate_of, scale, soc[index]),
            0,
            at if at < intervals else FAR,
            hours,
            gain,
            gain_h,
            low,
            high,
            step,
        )
    came = 0
    release = 0
    while release < intervals:
        if expected[release] < came + 0.5:
            release += 1
            continue
        came += 1
        count += 1
        while at < intervals and needed[at] < count - 0.5:
            at += 1
        due = at if at < intervals else FAR
        add_job(back[0], back[1], back[2], release + 1, due, hours, gain, gain_h, low, high, step)
    tighten(breaker_w * hours, low, high, step)


@allocating(nogil=True)
def tighten(most, low, high, step):
    """Bounds that follow from one another; what is left can be followed without any shortfall."""
    intervals = len(low)
    before = 0.0
    for t in range(intervals):
        # What the breaker held back is still there when its packs were due.
        waiting = np.floor(high[t] + 1e-6) - before
        step[t] = np.floor(min(max(step[t], waiting), most))
        high[t] = before + min(waiting, step[t])
        before = high[t]
    after = 0.0
    for t in range(intervals - 1, -1, -1):
        must = min(np.floor(low[t] + 1e-6), high[t])
        if t < intervals - 1:
            must = max(must, after - step[t + 1])
        low[t] = must
        after = must


@allocating(nogil=True, parallel=True)
def envelopes(soc, usable, ready, expected, needed, back, curve, hours, breaker_w, low, high, step):
    """``envelope`` of every cabinet; the first axis of every array is the cabinet's."""
    cabinets, intervals = low.shape
    for c in prange(cabinets):
        work = np.empty((3, intervals))
        envelope(
            soc[c], usable[c], ready, expected[c], needed[c], back, curve, hours, breaker_w[c],
            work[0], work[1], work[2],
        )  # fmt: skip
        for t in range(intervals):
            low[c, t] = np.int64(work[0, t])
            high[c, t] = np.int64(work[1, t])
            step[c, t] = np.int64(work[2, t])


@allocating(nogil=True, parallel=True)
def erlang_stock(mean, variance, worth, packs_max, stock):
    """``service.priced_stock``; all arrays [C,T], ``stock`` is set."""
    cabinets, intervals = mean.shape
    for c in prange(cabinets):
        for t in range(intervals):
            load = mean[c, t]
            blocked = 1.0
            packs = 0
            while packs < packs_max:
                less = load * blocked / (packs + 1 + load * blocked)
                if load * (blocked - less) <= worth[c, t]:
                    break
                blocked = less
                packs += 1
            wider = np.sqrt(variance[c, t] / load) if packs > load > 0.0 else 1.0
            stock[c, t] = load + (packs - load) * wider
