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

from fleet.core.balance.bits import ONE, any_of, has, kernel, words_for

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
    """Set stored energy, masks and open feeders from x, v and the rooms."""
    cabinets, nodes = net.x.shape
    last = nodes - 1
    for c in range(cabinets):
        total = 0
        short = 0
        for t in range(nodes):
            total += net.x[c, t] + net.v[c, t]
            net.stored[c, t] = total
            short += net.v[c, t] > 0
            put(net.mask[c, IN], t, net.x[c, t] < net.step[c, t])
            put(net.mask[c, IN_R], last - t, net.x[c, t] < net.step[c, t])
            put(net.mask[c, OUT], t, net.x[c, t] > 0)
            put(net.mask[c, OUT_R], last - t, net.x[c, t] > 0)
            put(net.mask[c, SHORT], t, net.v[c, t] > 0)
            put(net.mask[c, SHORT_R], last - t, net.v[c, t] > 0)
            if t < last:
                put(net.mask[c, LATER_R], last - t, total > net.emin[c, t])
                put(net.mask[c, EARLIER], t, total < net.emax[c, t])
        net.short[c] = short
    for f in range(len(net.froom)):
        for t in range(nodes):
            put(net.fopen[f], t, net.froom[f, t] > 0)


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
def find_arc(net, c, a, targets, here):
    """The nearest interval of ``targets`` that the cabinet can move energy from a to, and how much.

    ``here`` allows a itself (shortfall turned into charge). Returns (-1, 0) when there is none.
    """
    if here and has(targets, a) and net.x[c, a] < net.step[c, a]:
        return a, np.int64(net.step[c, a] - net.x[c, a])
    last = net.x.shape[1] - 1
    slack = np.int64(2**31 - 1)
    for b in range(a + 1, last + 1):
        slack = min(slack, np.int64(net.stored[c, b - 1]) - net.emin[c, b - 1])
        if slack <= 0:
            break
        if has(targets, b):
            room = np.int64(net.step[c, b]) - net.x[c, b]
            if room > 0:
                return b, min(slack, room)
    slack = np.int64(2**31 - 1)
    for b in range(a - 1, -1, -1):
        slack = min(slack, np.int64(net.emax[c, b]) - net.stored[c, b])
        if slack <= 0:
            break
        if has(targets, b):
            room = np.int64(net.step[c, b]) - net.x[c, b]
            if room > 0:
                return b, min(slack, room)
    return -1, np.int64(0)


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


def is_open(row) -> bool:
    """Whether a set has a member (for callers outside the kernels)."""
    return bool(any_of(row))
