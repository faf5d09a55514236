"""A region as a flow network: rooms, exchange masks, and one exchange of energy between intervals.

Nodes are (feeder, t) and (region, t) for the intervals of the day and one more, "not charged". The
only arcs that carry anything are implicit: a cabinet may move energy from interval a to a later b
while its stored energy stays above ``energy_min`` on [a, b), and to an earlier b while it stays below
``energy_max`` on [b, a). Six sets per cabinet say where that is possible; they are kept true by
``move``, so that reaching all cabinets from a set of intervals takes a few word operations each.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fleet.core.balance.bits import (
    NIL,
    ONE,
    has,
    kernel,
    last_common,
    reverse_row,
    reverse_row_in_place,
    run_down,
    words_for,
)

#: Room where there is no limit: far above any load, far below overflow when added to one.
ENDLESS: Final = np.int64(1) << np.int64(50)

#: Rows of ``Network.mask``: where energy may come in, go out, pass to a later or an earlier interval,
#: and where there is shortfall; ``_R`` are reversed.
IN, IN_R, OUT, OUT_R, LATER_R, EARLIER, SHORT, SHORT_R = range(8)
MASKS: Final = 8


class Network(NamedTuple):
    """All of one region; cabinets of a feeder stand side by side."""

    first: np.ndarray  # int32 [F+1]: the cabinets of feeder f are first[f]:first[f+1]
    feeder: np.ndarray  # int32 [n]
    emin: np.ndarray  # int32 [n,T]
    emax: np.ndarray  # int32 [n,T]
    step: np.ndarray  # int32 [n,T+1]
    x: np.ndarray  # int32 [n,T+1]
    v: np.ndarray  # int32 [n,T+1]: shortfall
    stored: np.ndarray  # int32 [n,T+1]: running sum of x + v
    mask: np.ndarray  # uint64 [n,MASKS,W]
    short: np.ndarray  # int32 [n]: intervals with shortfall
    froom: np.ndarray  # int64 [F,T+1]: below the feeder's limit
    fopen: np.ndarray  # uint64 [F,W]: where froom > 0
    croom: np.ndarray  # int64 [T+1]: below the region's limit; negative: above it


def network(first, feeder, emin, emax, step, froom, croom) -> Network:
    """An unfilled network over these arrays."""
    cabinets, nodes = step.shape
    words = words_for(nodes)
    return Network(
        first=first,
        feeder=feeder,
        emin=emin,
        emax=emax,
        step=step,
        x=np.zeros((cabinets, nodes), np.int32),
        v=np.zeros((cabinets, nodes), np.int32),
        stored=np.zeros((cabinets, nodes), np.int32),
        mask=np.zeros((cabinets, MASKS, words), np.uint64),
        short=np.zeros(cabinets, np.int32),
        froom=froom,
        fopen=np.zeros((len(first) - 1, words), np.uint64),
        croom=croom,
    )


@kernel(inline="always")
def put(row, t, yes):
    """Make t a member or not."""
    bit = ONE << np.uint64(t & 63)
    if yes:
        row[t >> 6] |= bit
    else:
        row[t >> 6] &= ~bit


@kernel(nogil=True)
def index_all(net):
    """Set stored energy, masks and open feeders from x, v and the rooms: O(N·T)."""
    cabinets, nodes = net.x.shape
    for c in range(cabinets):
        _index(net, c)
    for f in range(len(net.froom)):
        for t in range(nodes):
            put(net.fopen[f], t, net.froom[f, t] > 0)


@kernel(forceinline=True)
def _index(net, c):
    """One cabinet's, a word at a time: bits gathered in registers."""
    nodes = net.x.shape[1]
    last = nodes - 1
    mask = net.mask[c]
    total = np.int32(0)
    short = 0
    for w in range(mask.shape[1]):
        come, leave, later, earlier, lack = NIL, NIL, NIL, NIL, NIL
        for t in range(w << 6, min((w + 1) << 6, nodes)):
            at = np.uint64(t & 63)
            x, v = net.x[c, t], net.v[c, t]
            total += x + v
            net.stored[c, t] = total
            come |= np.uint64(x < net.step[c, t]) << at
            leave |= np.uint64(x > 0) << at
            lack |= np.uint64(v > 0) << at
            short += v > 0
            if t < last:
                later |= np.uint64(total > net.emin[c, t]) << at
                earlier |= np.uint64(total < net.emax[c, t]) << at
        mask[IN, w], mask[OUT, w], mask[SHORT, w] = come, leave, lack
        mask[LATER_R, w], mask[EARLIER, w] = later, earlier
    reverse_row(mask[IN], nodes, mask[IN_R])
    reverse_row(mask[OUT], nodes, mask[OUT_R])
    reverse_row(mask[SHORT], nodes, mask[SHORT_R])
    reverse_row_in_place(mask[LATER_R], nodes)
    net.short[c] = short


@kernel(inline="always")
def change_x(net, c, t, by):
    """Charge more or less in an interval."""
    last = net.x.shape[1] - 1
    now = net.x[c, t] + by
    net.x[c, t] = now
    put(net.mask[c, IN], t, now < net.step[c, t])
    put(net.mask[c, IN_R], last - t, now < net.step[c, t])
    put(net.mask[c, OUT], t, now > 0)
    put(net.mask[c, OUT_R], last - t, now > 0)


@kernel(inline="always")
def change_v(net, c, t, by):
    """More or less shortfall in an interval."""
    last = net.x.shape[1] - 1
    before = net.v[c, t]
    now = before + by
    net.v[c, t] = now
    net.short[c] += (now > 0) - (before > 0)
    put(net.mask[c, SHORT], t, now > 0)
    put(net.mask[c, SHORT_R], last - t, now > 0)


@kernel(inline="always")
def change_stored(net, c, a, b, amount):
    """Energy has moved from interval a to b."""
    last = net.x.shape[1] - 1
    low, high, by = (a, b, -amount) if a < b else (b, a, amount)
    for s in range(low, high):
        now = net.stored[c, s] + by
        net.stored[c, s] = now
        put(net.mask[c, LATER_R], last - s, now > net.emin[c, s])
        put(net.mask[c, EARLIER], s, now < net.emax[c, s])


@kernel(inline="always")
def change_froom(net, f, t, by):
    """More or less room below a feeder's limit."""
    net.froom[f, t] += by
    put(net.fopen[f], t, net.froom[f, t] > 0)


@kernel(forceinline=True)
def find_arc(net, c, a, targets, targets_r, here):
    """The nearest interval of ``targets`` to which the cabinet can move energy from a; -1: none.

    ``here`` allows a itself (shortfall turned into charge). A later interval goes before an earlier
    one. Both ways are runs towards lower positions: O(T/64).
    """
    mask = net.mask[c]
    if here and has(targets, a) and has(mask[IN], a):
        return a
    start = net.x.shape[1] - 1 - a
    low = run_down(mask[LATER_R], start)
    if low <= start:
        at = last_common(targets_r, mask[IN_R], low - 1, start - 1)
        if at >= 0:
            return net.x.shape[1] - 1 - at
    if a == 0:
        return -1
    low = run_down(mask[EARLIER], a - 1)
    return last_common(targets, mask[IN], low, a - 1)


@kernel(forceinline=True)
def arc_slack(net, c, a, b):
    """How much the cabinet can move from interval a to b now."""
    slack = np.int64(net.step[c, b]) - net.x[c, b]
    for s in range(a, b):
        slack = min(slack, np.int64(net.stored[c, s]) - net.emin[c, s])
    for s in range(b, a):
        slack = min(slack, np.int64(net.emax[c, s]) - net.stored[c, s])
    return slack


@kernel(nogil=True)
def shed(net):
    """Turn what is still above the region's limit into shortfall, in proportion to the loads."""
    cabinets, nodes = net.x.shape
    total = np.int64(0)
    for t in range(nodes - 1):
        excess = -net.croom[t]
        if excess <= 0:
            continue
        load = np.int64(0)
        for c in range(cabinets):
            load += net.x[c, t]
        for c in range(cabinets):
            if excess <= 0:
                break
            have = np.int64(net.x[c, t])
            if have == 0:
                continue
            part = min(have, -(-excess * have // load))
            load -= have
            change_x(net, c, t, -part)
            change_v(net, c, t, part)
            change_froom(net, net.feeder[c], t, part)
            net.croom[t] += part
            excess -= part
            total += part
    return total


@kernel(nogil=True)
def loads(net, out):
    """``out`` int64 [T]: the region's energy in each interval."""
    cabinets, nodes = net.x.shape
    out[:] = 0
    for c in range(cabinets):
        for t in range(nodes - 1):
            out[t] += net.x[c, t]


@kernel(nogil=True)
def total_short(net):
    """All shortfall of the region in Wh."""
    total = np.int64(0)
    for c in range(len(net.short)):
        if net.short[c] > 0:
            for t in range(net.v.shape[1]):
                total += net.v[c, t]
    return total
