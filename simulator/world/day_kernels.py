"""One step of every cabinet: riders come, the charge rule spreads the power, packs take it (compiled).

``spread`` is ``cabinet.core.charge.allocate`` for arrays; a property test holds them to the same
orders. A pack is a voltage that rises with its charge behind a resistance: constant current until the
terminals reach the charger's limit, then the taper.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from cabinet.core.charge import EFFICIENCY, STEP_MIN_DA, TAPER_ROOM_DA, VOLTAGE_RISE_V, PackLimits

LIMITS = PackLimits(current_max_a=7.5, charger_current_max_a=7.5, charger_power_max_w=360.0)
VOLTAGE_MAX_V = LIMITS.voltage_max_v
CURRENT_MAX_A = min(LIMITS.current_max_a, LIMITS.charger_current_max_a)
CURRENT_MIN_A = LIMITS.current_min_a
START_MARGIN_A = LIMITS.start_margin_a
POWER_MAX_W = LIMITS.charger_power_max_w
CAPACITY_AH = 24.0
EMPTY_V = 44.0  # open circuit
RISE_V = 10.4  # from empty to full
RESISTANCE_OHM = 0.25
FLOOR_SOC = 0.5  # nobody is ever handed less
EMPTIEST_SOC = 0.02
NONE = -1  # no taper seen


@njit(nogil=True, cache=True)
def resting_v(soc):
    """Open-circuit voltage."""
    return EMPTY_V + RISE_V * soc


@njit(nogil=True, cache=True)
def bound_v(seen):
    """``charge.voltage_bound_v``."""
    return min(VOLTAGE_MAX_V, seen + VOLTAGE_RISE_V)


@njit(nogil=True, cache=True)
def most_da(volts):
    """``charge._most_da`` of a pack in good health."""
    return int(min(CURRENT_MAX_A, POWER_MAX_W / volts) * 10.0 + 1e-9)


@njit(nogil=True, cache=True)
def spread(soc_pct, on, volts, most, draws, set_da, limit_w, given):
    """Orders in tenths of an ampere; ``soc_pct`` below 0 is not a candidate. ``given`` is set."""
    slots = len(soc_pct)
    done = np.zeros(slots, np.bool_)
    left_w = limit_w * EFFICIENCY
    given[:] = 0
    for _ in range(slots):
        best = -1
        for s in range(slots):
            if done[s] or soc_pct[s] < 0:
                continue
            readier = best < 0 or soc_pct[s] > soc_pct[best]
            if readier or (soc_pct[s] == soc_pct[best] and on[s] and not on[best]):
                best = s
        if best < 0:
            break
        done[best] = True
        hard = min(most[best], int(left_w / volts[best] * 10.0))
        want = hard
        ceiling = most[best]
        if draws[best] != NONE:
            want = min(hard, draws[best] + TAPER_ROOM_DA)
            ceiling = min(ceiling, draws[best] + TAPER_ROOM_DA)
        least_a = CURRENT_MIN_A + (0.0 if on[best] else START_MARGIN_A)
        least = max(
            1, min(int(np.rint(least_a * 10.0)), max(ceiling, int(np.rint(CURRENT_MIN_A * 5.0))))
        )
        if want < least:
            continue
        if on[best] and abs(want - set_da[best]) < STEP_MIN_DA and least <= set_da[best] <= hard:
            want = set_da[best]
        given[best] = want
        left_w -= want / 10.0 * volts[best]


@njit(nogil=True, cache=True)
def take(soc, target, limit_da, hours):
    """What a pack below ``target`` takes at most: (new state of charge, AC Wh, last current in A)."""
    parts = 4
    part_h = hours / parts
    energy = 0.0
    current = 0.0
    for _ in range(parts):
        rest = resting_v(soc)
        current = max(min(limit_da / 10.0, (VOLTAGE_MAX_V - rest) / RESISTANCE_OHM), 0.0)
        ends = min(max(target, soc), soc + current * part_h / CAPACITY_AH)
        gained_ah = (ends - soc) * CAPACITY_AH
        energy += gained_ah * (rest + current * RESISTANCE_OHM) / EFFICIENCY
        soc = ends
    return soc, energy, current


@njit(nogil=True, cache=True, parallel=True)
def wishes(soc, target, want_w, packs):
    """Mains power at which every pack that may charge does so at its full rate [C], and how many."""
    cabinets, slots = soc.shape
    for c in prange(cabinets):
        total = 0.0
        count = 0
        for s in range(slots):
            if 0.0 <= soc[c, s] < target:
                volts = bound_v(
                    min(VOLTAGE_MAX_V, resting_v(soc[c, s]) + CURRENT_MAX_A * RESISTANCE_OHM)
                )
                total += (most_da(volts) / 10.0 + 0.05) * volts / EFFICIENCY
                count += 1
        want_w[c] = total
        packs[c] = count


@njit(nogil=True, cache=True)
def charge(soc, set_da, drawn_a, target, limit_w, hours):
    """Charge one cabinet's packs for one step within ``limit_w``; returns AC Wh."""
    slots = len(soc)
    pct = np.full(slots, -1, np.int64)
    on = np.zeros(slots, np.bool_)
    volts = np.zeros(slots)
    most = np.zeros(slots, np.int64)
    draws = np.full(slots, NONE, np.int64)
    given = np.zeros(slots, np.int64)
    for s in range(slots):
        if not 0.0 <= soc[s] < target:
            continue
        pct[s] = int(soc[s] * 100.0)
        on[s] = set_da[s] > 0
        rest = resting_v(soc[s])
        # Before it starts, a pack's terminals stand lower than they will: count on the full rate.
        volts[s] = bound_v(min(VOLTAGE_MAX_V, rest + CURRENT_MAX_A * RESISTANCE_OHM))
        most[s] = most_da(volts[s])
        terminals = rest + drawn_a[s] * RESISTANCE_OHM
        drawn = int(drawn_a[s] * 10.0) + 1
        if on[s] and terminals >= VOLTAGE_MAX_V - VOLTAGE_RISE_V and set_da[s] - drawn >= 2:
            draws[s] = drawn
    spread(pct, on, volts, most, draws, set_da, limit_w, given)
    energy = 0.0
    for s in range(slots):
        set_da[s] = given[s]
        drawn_a[s] = 0.0
        if given[s] > 0:
            soc[s], wh, drawn_a[s] = take(soc[s], target, given[s], hours)
            energy += wh
    return energy


@njit(nogil=True, cache=True)
def riders(soc, set_da, drawn_a, count, first, brought, ready, usual, owed, owe):
    """Serve ``count`` riders, who bring packs ``brought[first:]``; returns (lost, sum handed out).

    Who gets less than ``usual`` comes back that much emptier: what earlier riders lacked stands in
    ``owed`` (one element, paid off here), what these lack is added to ``owe``.
    """
    lost = 0
    handed = 0.0
    for rider in range(count):
        best = -1
        for s in range(len(soc)):
            if soc[s] >= ready and (best < 0 or soc[s] > soc[best]):
                best = s
        if best < 0:
            lost += 1
            continue
        handed += soc[best]
        owe[0] += max(usual - soc[best], 0.0)
        less = min(owed[0], usual - FLOOR_SOC, max(brought[first + rider] - EMPTIEST_SOC, 0.0))
        owed[0] -= less
        soc[best] = brought[first + rider] - less
        set_da[best] = 0
        drawn_a[best] = 0.0
    return lost, handed


@njit(nogil=True, cache=True, parallel=True)
def step(
    soc, set_da, drawn_a, count, first, brought, target, usual, owed, owe, limit_w, hours,
    drawn_wh, lost, handed,
):  # fmt: skip
    """One step of all cabinets; ``drawn_wh``, ``lost`` and ``handed`` [C] are set.

    ``target`` [C] is the state of charge from which packs are handed out; they charge up to ``usual``.
    """
    for c in prange(soc.shape[0]):
        gone, out = riders(
            soc[c], set_da[c], drawn_a[c], count[c], first[c], brought[c], target[c], usual,
            owed[c : c + 1], owe[c : c + 1],
        )  # fmt: skip
        lost[c] = gone
        handed[c] = out
        drawn_wh[c] = charge(soc[c], set_da[c], drawn_a[c], usual, limit_w[c], hours)


@njit(nogil=True, cache=True)
def by_urgency(first, members, soc, target, urgency, limit_w, breaker_w, want_w):
    """Packs of each feeder in the order of ``urgency`` [C,S], each at its full rate, while power lasts.

    ``members`` are cabinets sorted by feeder, ``first`` [K+1] where each feeder's begin; ``want_w``
    [C] is set.
    """
    slots = soc.shape[1]
    want_w[:] = 0.0
    for f in range(len(first) - 1):
        rows = members[first[f] : first[f + 1]]
        keys = np.full(len(rows) * slots, np.inf)
        for i in range(len(rows)):
            for s in range(slots):
                if 0.0 <= soc[rows[i], s] < target:
                    keys[i * slots + s] = urgency[rows[i], s]
        left = limit_w[f]
        for place in np.argsort(keys, kind="mergesort"):
            if keys[place] == np.inf or left <= 0.0:
                break
            c = rows[place // slots]
            s = place % slots
            volts = bound_v(
                min(VOLTAGE_MAX_V, resting_v(soc[c, s]) + CURRENT_MAX_A * RESISTANCE_OHM)
            )
            power = min(
                (most_da(volts) / 10.0 + 0.05) * volts / EFFICIENCY, left, breaker_w[c] - want_w[c]
            )
            want_w[c] += max(power, 0.0)
            left -= max(power, 0.0)
