"""One cabinet at given prices: exact, in one walk over the day.

Energy offered up to now waits in a pool ordered by price. What may never be used because it would
exceed ``energy_max`` is dropped from the dearest; what ``energy_min`` demands is taken from the
cheapest; an empty pool is shortfall. After the last interval stands one more node, "not charged",
of price 0 and endless room, which takes up whatever is left below ``energy_max``: negative prices
need no rule of their own then. O(T) word operations per cabinet, given the order of the prices.
"""

from __future__ import annotations

import numpy as np

from fleet.core.balance.bits import NIL, ONE, add, allocating, highest, kernel, lowest


@kernel(nogil=True)
def fill_cabinet(emin, emax, cap, rank_of, node_of, amount, pool, x, v):
    """Cheapest ``x`` [T+1] and ``v`` [T+1] of one cabinet.

    Each interval offers energy in tiers: ``cap`` [tiers,T+1] bounds them, ``rank_of`` [tiers,T+1] is
    the order of their prices and ``node_of`` [tiers*(T+1)] tells the interval of a rank. ``amount``
    (zeros) and ``pool`` (empty) are scratch and are left so.
    """
    intervals = len(emin)
    tiers = len(cap)
    taken = np.int64(0)
    pooled = np.int64(0)
    total = np.int64(emax[intervals - 1])
    x[:] = 0
    v[:] = 0
    for t in range(intervals + 1):
        last = t == intervals
        for tier in range(tiers):
            offer = np.int64(cap[tier, t])
            if last:
                offer = total - taken if tier == 0 else np.int64(0)
            if offer > 0:
                rank = rank_of[tier, t]
                amount[rank] = offer
                add(pool, rank)
                pooled += offer
        over = np.int64(0) if last else taken + pooled - np.int64(emax[t])
        if over > 0:
            _forgo(amount, pool, over)
            pooled -= over
        need = (total if last else np.int64(emin[t])) - taken
        word = 0
        while need > 0:
            if pooled == 0:
                v[t] += need
                taken += need
                break
            while pool[word] == NIL:
                word += 1
            rank = (word << 6) + lowest(pool[word])
            more = _take(amount, pool, word, rank, need)
            x[node_of[rank]] += more
            pooled -= more
            taken += more
            need -= more
    if pooled > 0:
        amount[:] = 0
        pool[:] = NIL


@kernel(inline="always")
def _forgo(amount, pool, over):
    """Drop so much of the dearest offers; there must be as much."""
    word = len(pool) - 1
    while over > 0:
        while pool[word] == NIL:
            word -= 1
        over -= _take(amount, pool, word, (word << 6) + highest(pool[word]), over)


@kernel(inline="always")
def _take(amount, pool, word, rank, most):
    """Take up to ``most`` of what a rank offers; returns how much it was."""
    taken = min(most, amount[rank])
    amount[rank] -= taken
    if amount[rank] == 0:
        pool[word] &= ~(ONE << np.uint64(rank & 63))
    return taken


@allocating(nogil=True)
def start_region(emin, emax, step, order, feeder, rank_of, node_of, quota, froom, croom, x, v):
    """A first feasible plan of a region: cabinet after cabinet into the room that is left.

    ``quota`` int64 [F,T+1] is what each feeder should use (the first tier; a hint), ``froom`` [F,T+1]
    and ``croom`` [T+1] are the rooms below the limits; all three are used up. ``step`` is int32
    [n,T+1] with the bound of the node "not charged" in its last column.
    """
    intervals = emin.shape[1]
    nodes = intervals + 1
    cap = np.empty((2, nodes), np.int64)
    amount = np.zeros(2 * nodes, np.int64)
    pool = np.zeros(-(-2 * nodes // 64), np.uint64)
    for c in order:
        f = feeder[c]
        _offer_room(cap, step[c], froom[f], croom, quota[f])
        fill_cabinet(emin[c], emax[c], cap, rank_of, node_of, amount, pool, x[c], v[c])
        for t in range(intervals):
            if x[c, t]:
                froom[f, t] -= x[c, t]
                quota[f, t] -= x[c, t]
                croom[t] -= x[c, t]


@kernel(inline="always")
def _offer_room(cap, step, froom, croom, hint):
    """Fill both tiers of ``cap`` with the room that is left to a cabinet, what is hinted at first."""
    for t in range(cap.shape[1] - 1):
        room = max(min(np.int64(step[t]), froom[t], croom[t]), 0)
        cap[0, t] = max(min(room, np.int64(hint[t])), 0)
        cap[1, t] = room - cap[0, t]


@allocating(nogil=True)
def cheapest_cost(emin, emax, step, feeder, first, last, price, order, shortfall_price):
    """The least cost of the cabinets [first, last) when each pays the prices of its feeder.

    ``price`` float64 [F,T+1] per Wh, none above ``shortfall_price``; ``order`` int32 [F,T+1] sorts
    each row. Independent of how a plan was found: with prices that stand for the limits this is the
    core of the lower bound.
    """
    nodes = emin.shape[1] + 1
    rank_of = np.empty(nodes, np.int32)
    amount = np.zeros(nodes, np.int64)
    pool = np.zeros(-(-nodes // 64), np.uint64)
    total = 0.0
    before = -1
    for c in range(first, last):
        f = feeder[c]
        if f != before:
            for rank in range(nodes):
                rank_of[order[f, rank]] = rank
            before = f
        total += _cost(
            emin[c], emax[c], step[c], rank_of, order[f], price[f], shortfall_price, amount, pool
        )
    return total


@kernel(forceinline=True)
def _cost(emin, emax, step, rank_of, node_of, price, shortfall_price, amount, pool):
    """As ``fill_cabinet`` with one tier, and only what it costs."""
    intervals = len(emin)
    taken = np.int64(0)
    pooled = np.int64(0)
    end = np.int64(emax[intervals - 1])
    cost = 0.0
    for t in range(intervals + 1):
        last = t == intervals
        offer = end - taken if last else np.int64(step[t])
        if offer > 0:
            rank = rank_of[t]
            amount[rank] = offer
            add(pool, rank)
            pooled += offer
        over = np.int64(0) if last else taken + pooled - np.int64(emax[t])
        if over > 0:
            _forgo(amount, pool, over)
            pooled -= over
        need = (end if last else np.int64(emin[t])) - taken
        word = 0
        while need > 0:
            if pooled == 0:
                cost += shortfall_price * need
                taken += need
                break
            while pool[word] == NIL:
                word += 1
            rank = (word << 6) + lowest(pool[word])
            more = _take(amount, pool, word, rank, need)
            cost += price[node_of[rank]] * more
            pooled -= more
            taken += more
            need -= more
    if pooled > 0:
        amount[:] = 0
        pool[:] = NIL
    return cost


@kernel(nogil=True)
def keep_what_fits(first, emin, emax, step, usable, froom, x, v, loads, redo):
    """Judge a previous plan against new envelopes and limits.

    ``x`` and ``v`` hold the previous plan; ``froom`` are the feeders' limits, from which the kept loads
    are taken, and ``loads`` [T+1] their sum. ``redo`` becomes True for cabinets that must be planned
    anew; theirs stays in ``x`` as a hint. The last column of x is set.
    """
    intervals = emin.shape[1]
    for f in range(len(first) - 1):
        for c in range(first[f], first[f + 1]):
            total = np.int64(0)
            fits = True
            for t in range(intervals):
                total += x[c, t] + v[c, t]
                fits = fits and x[c, t] >= 0 and v[c, t] >= 0 and x[c, t] <= step[c, t]
                fits = fits and (usable[t] or x[c, t] == 0)
                fits = fits and total >= emin[c, t] and total <= emax[c, t]
                fits = fits and x[c, t] <= froom[f, t]
            redo[c] = not fits
            if fits:
                x[c, intervals] = emax[c, intervals - 1] - total
                for t in range(intervals):
                    froom[f, t] -= x[c, t]
                    loads[t] += x[c, t]


@allocating(nogil=True)
def refill(redo, emin, emax, step, feeder, rank_of, node_of, froom, croom, x, v):
    """Plan the cabinets that must be anew into the room that is left, as near the hint as it goes.

    Returns how much of their energy is elsewhere than in the hint.
    """
    away = np.int64(0)
    cabinets, intervals = emin.shape
    nodes = intervals + 1
    cap = np.empty((2, nodes), np.int64)
    amount = np.zeros(2 * nodes, np.int64)
    pool = np.zeros(-(-2 * nodes // 64), np.uint64)
    for c in range(cabinets):
        if not redo[c]:
            continue
        f = feeder[c]
        _offer_room(cap, step[c], froom[f], croom, x[c])
        fill_cabinet(emin[c], emax[c], cap, rank_of, node_of, amount, pool, x[c], v[c])
        for t in range(intervals):
            froom[f, t] -= x[c, t]
            croom[t] -= x[c, t]
            away += max(x[c, t] - cap[0, t], 0)
    return away
