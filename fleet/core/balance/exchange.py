"""Blocking flow on the exchange graph of a region.

Energy moves into cheap intervals from dearer ones (and from intervals above their limit), along shortest
chains of exchanges. The loads of a region form a generalised polymatroid, so it is enough that for each
price nothing dearer can move to it or below: in whatever order that comes about, what is right for one
price stays right while another one is seen to. ``sweep`` sees to many at once: ``sets`` are disjoint
groups of intervals, the cheapest first, ``rest`` what is dear to each. Halving the groups from sweep to
sweep moves energy a few times instead of once per price. A group is searched again until nothing more
can come; what later groups move stays outside what it saw last. So one sweep with a group per price ends
at the optimum, and labels each node with the cheapest price it can pass energy on to.

A search from the sinks of a group gives levels. Level 0: region nodes that are cheap and have room, and
with them the feeder nodes whose feeder has room. Level i: intervals that some cabinet can leave for a
node of level i - 1 of its feeder; a region node that one feeder can leave may be entered by any other
feeder with room. Then depth-first search from the sources with current-arc pointers (as Dinic), where
every node found dead is struck off. A node belongs to the first group that it reaches: from there on it
can't help another one.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fleet.core.balance.bits import (
    NIL,
    ONE,
    add,
    any_of,
    drop,
    has,
    kernel,
    lowest,
    reverse_row,
)
from fleet.core.balance.network import (
    IN,
    OUT,
    SHORT,
    arc_slack,
    change_froom,
    change_stored,
    change_v,
    change_x,
    find_arc,
)
from fleet.core.balance.reach import exits_of, leaving
from fleet.core.balance.scratch import LEVELS_MAX

#: Named flags of the kernels, which take no keyword arguments cheaply.
KEEP: Final = False
ALL: Final = True
FROM_SHORT: Final = True
FROM_CHARGE: Final = False


@kernel(forceinline=True)
def _note_sources(net, search):
    """Note what can be left at all, feeder by feeder."""
    feeders, words = net.fopen.shape
    for f in range(feeders):
        search.lacks[f] = False
        for w in range(words):
            search.busy[f, w] = NIL
        for c in range(net.first[f], net.first[f + 1]):
            search.lacks[f] = search.lacks[f] or net.short[c] > 0
            for w in range(words):
                search.busy[f, w] |= net.mask[c, OUT, w]


@kernel(forceinline=True)
def _worth_asking(search, f):
    """Whether something is left of the feeder that might leave for its newest arrivals."""
    left = search.lacks[f]
    for w in range(search.busy.shape[1]):
        left = left or search.busy[f, w] & ~search.seen_out[f, w] != NIL
    return left


@kernel(forceinline=True)
def _arrive(net, search, level, f, group, enter):
    """Enter what is newly reached: nodes left by the feeder itself, or by way of the region."""
    words = net.fopen.shape[1]
    some = False
    for w in range(words):
        fresh = search.leave[level, f, w] | (search.region[level, w] & net.fopen[f, w])
        fresh &= ~search.seen_in[f, w]
        search.arrive[level, f, w] = fresh
        search.seen_in[f, w] |= fresh
        some = some or fresh != NIL
        while fresh != NIL:
            enter[f, (w << 6) + lowest(fresh)] = group
            fresh &= fresh - ONE
    if some:
        reverse_row(search.arrive[level, f], net.x.shape[1], search.arrive_r[level, f])
    return some


@kernel(forceinline=True)
def _arrivals(net, search, level, group, enter, region, before):
    """The feeders with arrivals at this level; ``before``: how many were active so far."""
    feeders, words = net.fopen.shape
    widened = False
    for w in range(words):
        fresh = search.region[level, w]
        widened = widened or fresh != NIL
        search.seen_region[w] |= fresh
        while fresh != NIL:
            region[(w << 6) + lowest(fresh)] = group
            fresh &= fresh - ONE
    search.arrive[level] = NIL
    search.arrive_r[level] = NIL
    count = 0
    for k in range(feeders if widened else before):
        f = k if widened else search.active[k]
        if _arrive(net, search, level, f, group, enter):
            search.active[count] = f
            count += 1
    return count


@kernel()
def build_levels(net, search, sinks, sources, group, enter, region):
    """Search from the sinks; returns how many levels there are and whether a source was reached."""
    feeders, words = net.fopen.shape
    search.leave[0] = NIL
    for w in range(words):
        search.region[0, w] = sinks[w]
    count = _arrivals(net, search, 0, group, enter, region, feeders)
    reached = False
    out = search.row[2]
    level = 1
    while count > 0 and level < LEVELS_MAX:
        search.region[level] = NIL
        search.leave[level] = NIL
        search.short[level] = False
        for k in range(count):
            f = search.active[k]
            if not _worth_asking(search, f):
                continue
            short = leaving(
                net, f, search.arrive[level - 1, f], search.arrive_r[level - 1, f], search.row, out
            )
            search.short[level, f] = short
            reached = reached or short
            for w in range(words):
                fresh = out[w] & ~search.seen_out[f, w]
                search.seen_out[f, w] |= fresh
                search.leave[level, f, w] = fresh
                search.region[level, w] |= fresh & ~search.seen_region[w]
                reached = reached or fresh & sources[w] != NIL
        count = _arrivals(net, search, level, group, enter, region, count)
        level += 1
    return level, reached


@kernel(inline="always")
def strike(net, search, level, f, t):
    """(f, t) is no longer to be entered at this level."""
    drop(search.arrive[level, f], t)
    drop(search.arrive_r[level, f], net.x.shape[1] - 1 - t)


@kernel(forceinline=True)
def next_hop(net, search, f, t, level):
    """A cabinet of the feeder that can leave t for the level before; (-1, ..) when none is left."""
    start = net.first[f]
    count = net.first[f + 1] - start
    targets, targets_r = search.arrive[level - 1, f], search.arrive_r[level - 1, f]
    if any_of(targets):
        while search.cabinet_at[f, t] < count:
            c = start + search.cabinet_at[f, t]
            if has(net.mask[c, OUT], t):
                b = find_arc(net, c, t, targets, targets_r, KEEP)
                if b >= 0:
                    return np.int64(c), np.int64(b)
            search.cabinet_at[f, t] += 1
    drop(search.leave[level, f], t)
    return np.int64(-1), np.int64(-1)


@kernel(forceinline=True)
def hop_from(net, search, f, t, level):
    """The next exchange for energy that has arrived at (f, t): (cabinet, to, feeder, via region).

    (-1, ..): nowhere; (-2, ..): it may stay, the node is a sink.
    """
    if has(search.region[level], t) and net.froom[f, t] > 0:
        if level == 0:
            if net.croom[t] > 0:
                return np.int64(-2), np.int64(-1), np.int64(f), True
            drop(search.region[0], t)
        else:
            while search.feeder_at[t] < len(net.fopen):
                g = search.feeder_at[t]
                if has(search.leave[level, g], t):
                    c, b = next_hop(net, search, g, t, level)
                    if c >= 0:
                        return c, b, np.int64(g), True
                search.feeder_at[t] += 1
            drop(search.region[level], t)
    if level > 0 and has(search.leave[level, f], t):
        c, b = next_hop(net, search, f, t, level)
        if c >= 0:
            return c, b, np.int64(f), False
    return np.int64(-1), np.int64(-1), np.int64(f), False


@kernel(forceinline=True)
def find_path(net, search, c, a, f, level, short):
    """A path from the source (c, a) at this level to a sink; returns its number of hops, 0 for none."""
    path = search.path
    while True:
        b = find_arc(net, c, a, search.arrive[level - 1, f], search.arrive_r[level - 1, f], short)
        if b < 0:
            return 0
        path[0, 0], path[0, 1], path[0, 2], path[0, 3], path[0, 4] = c, a, b, f, 0
        hops = 1
        at = level - 1
        while hops > 0:
            here, t = path[hops - 1, 3], path[hops - 1, 2]
            cab, to, via, through = hop_from(net, search, here, t, at)
            if cab == -2:
                path[hops - 1, 4] = 1
                return hops
            if cab >= 0:
                path[hops - 1, 4] = 1 if through else 0
                path[hops, 0], path[hops, 1], path[hops, 2] = cab, t, to
                path[hops, 3], path[hops, 4] = via, 0
                hops += 1
                at -= 1
                continue
            strike(net, search, at, here, t)
            hops -= 1
            at += 1


@kernel(forceinline=True)
def path_amount(net, path, hops, most):
    """How much can go along the path at once; 0 when its own hops stand in one another's way."""
    amount = most
    for h in range(hops):
        c, a, b, f = path[h, 0], path[h, 1], path[h, 2], path[h, 3]
        amount = min(amount, arc_slack(net, c, a, b))
        if h > 0:
            amount = min(amount, np.int64(net.x[c, a]))
        if path[h, 4] == 1:
            amount = min(amount, net.froom[f, b])
    amount = min(amount, net.croom[path[hops - 1, 2]])
    for h in range(1, hops):
        for g in range(h):
            if path[h, 0] == path[g, 0] and _overlap(path, g, h):
                return amount // 2  # the same stored energy is needed twice
    return amount


@kernel(forceinline=True)
def _overlap(path, g, h):
    """Whether two exchanges of one cabinet draw on the same stored energy."""
    later = path[g, 1] < path[g, 2]
    if later != (path[h, 1] < path[h, 2]):
        return False
    low = max(min(path[g, 1], path[g, 2]), min(path[h, 1], path[h, 2]))
    high = min(max(path[g, 1], path[g, 2]), max(path[h, 1], path[h, 2]))
    return low < high


@kernel(forceinline=True)
def send(net, path, hops, amount, short):
    """Carry the exchanges of a path out."""
    for h in range(hops):
        c, a, b, f = path[h, 0], path[h, 1], path[h, 2], path[h, 3]
        if h == 0 and short:
            change_v(net, c, a, -amount)
        else:
            change_x(net, c, a, -amount)
        change_x(net, c, b, amount)
        if a != b:
            change_stored(net, c, a, b, amount)
        if h == 0 and not short:
            change_froom(net, f, a, amount)
            net.croom[a] += amount
        if path[h, 4] == 1:
            change_froom(net, f, b, -amount)
            if h + 1 < hops:
                change_froom(net, path[h + 1, 3], b, amount)
    net.croom[path[hops - 1, 2]] -= amount


@kernel(forceinline=True)
def drain(net, search, c, a, level, dear, short):
    """Send what one source has along paths of this level; returns the energy moved."""
    f = net.feeder[c]
    moved = np.int64(0)
    while True:
        most = np.int64(net.v[c, a]) if short else np.int64(net.x[c, a])
        if not short and not dear:
            most = min(most, -net.croom[a])
        if most <= 0:
            break
        hops = find_path(net, search, c, a, f, level, short)
        if hops == 0:
            break
        amount = path_amount(net, search.path, hops, most)
        if amount <= 0:
            # Strike the last hop's node off: another round finds it again when it helps.
            strike(net, search, level - hops, search.path[hops - 1, 3], search.path[hops - 1, 2])
            continue
        send(net, search.path, hops, amount, short)
        for h in range(hops):  # the next search must ask there
            add(search.busy[search.path[h, 3]], search.path[h, 2])
        moved += amount
        sink = search.path[hops - 1, 2]
        if net.croom[sink] <= 0:
            drop(search.region[0], sink)
            for g in range(len(net.fopen)):
                strike(net, search, 0, g, sink)
    return moved


@kernel()
def flow(net, search, levels, dear, excess):
    """Blocking flow: drain the sources that the search reached, nearest first.

    A sink that fills up leaves dead ends all over the levels; when more sources fail than a new
    search would cost, what has moved so far is enough for this round.
    """
    feeders, words = net.fopen.shape
    moved = np.int64(0)
    failed = 0
    patience = levels * (len(net.feeder) // 16 + feeders // 2)
    exits = search.row[3]
    for level in range(1, levels):
        for f in range(feeders):
            targets = search.arrive[level - 1, f]
            if not any_of(targets):
                continue
            near = search.short[level, f]
            for w in range(words):
                near = near or search.leave[level, f, w] & (dear[w] | excess[w]) != NIL
            if not near:
                continue  # its sources, if any, were nearer
            targets_r = search.arrive_r[level - 1, f]
            for c in range(net.first[f], net.first[f + 1]):
                some = False
                for w in range(words):
                    goes = net.mask[c, OUT, w] & (dear[w] | excess[w])
                    some = some or (goes | net.mask[c, SHORT, w]) != NIL
                if not some:
                    continue
                exits_of(net, c, targets, targets_r, search.row, exits)
                for w in range(words):
                    here = targets[w] & net.mask[c, IN, w]
                    todo = (exits[w] | here) & net.mask[c, SHORT, w]
                    while todo != NIL:
                        t = (w << 6) + lowest(todo)
                        todo &= todo - ONE
                        sent = drain(net, search, c, t, level, ALL, FROM_SHORT)
                        moved += sent
                        failed += sent == 0
                    todo = exits[w] & net.mask[c, OUT, w] & (dear[w] | excess[w])
                    while todo != NIL:
                        t = (w << 6) + lowest(todo)
                        todo &= todo - ONE
                        sent = drain(net, search, c, t, level, has(dear, t), FROM_CHARGE)
                        moved += sent
                        failed += sent == 0
                if not any_of(targets):
                    break
            if not any_of(search.region[0]) or (failed > patience and moved > 0):
                return moved
    return moved


@kernel(forceinline=True)
def _note_rooms(net, rooms, excess):
    """Where the region has room, and where it is above its limit."""
    for w in range(len(rooms)):
        rooms[w] = NIL
        excess[w] = NIL
    for t in range(len(net.croom)):
        if net.croom[t] > 0:
            add(rooms, t)
        elif net.croom[t] < 0:
            add(excess, t)


@kernel(forceinline=True)
def _remember(search):
    """Keep what earlier groups have seen."""
    feeders, words = search.seen_in.shape
    for w in range(words):
        search.kept_region[w] = search.seen_region[w]
        for f in range(feeders):
            search.kept_in[f, w] = search.seen_in[f, w]
            search.kept_out[f, w] = search.seen_out[f, w]


@kernel(forceinline=True)
def _forget(search, none, enter, region):
    """Undo a group's search: energy has moved since, so that what it saw holds no longer."""
    feeders, words = search.seen_in.shape
    for w in range(words):
        fresh = search.seen_region[w] & ~search.kept_region[w]
        search.seen_region[w] = search.kept_region[w]
        while fresh != NIL:
            region[(w << 6) + lowest(fresh)] = none
            fresh &= fresh - ONE
        for f in range(feeders):
            fresh = search.seen_in[f, w] & ~search.kept_in[f, w]
            search.seen_in[f, w] = search.kept_in[f, w]
            search.seen_out[f, w] = search.kept_out[f, w]
            while fresh != NIL:
                enter[f, (w << 6) + lowest(fresh)] = none
                fresh &= fresh - ONE
    search.cabinet_at[:] = 0
    search.feeder_at[:] = 0


@kernel(nogil=True)
def sweep(net, search, sets, rest, enter, region, worth, rounds):
    """Bring energy into the intervals of each of ``sets`` [G,W] from those of its ``rest`` [G,W].

    A group is searched again while that moves more than ``worth``, at most ``rounds`` times; nothing moves
    without rounds. ``enter`` int32 [F,T+1] and ``region`` int32 [T+1] become the prices of one more Wh at
    a feeder's and the region's nodes: the first group that it can be passed on to, G where it can only
    become shortfall. They hold when ``worth`` is 0 and the rounds were enough. Returns the energy moved
    and whether the rounds were too few. O(N·T/64) word operations per search times the hops that bring
    something new; a node is reached by one group only.
    """
    words = net.fopen.shape[1]
    enter[:] = len(sets)
    region[:] = len(sets)
    search.seen_in[:] = NIL
    search.seen_out[:] = NIL
    search.seen_region[:] = NIL
    search.cabinet_at[:] = 0
    search.feeder_at[:] = 0
    _note_sources(net, search)
    rooms, excess = search.row[4], search.row[5]
    sinks, sources = search.row[6], search.row[7]
    _note_rooms(net, rooms, excess)
    total = np.int64(0)
    cut = False
    for group in range(len(sets)):
        _remember(search)
        left = rounds
        while True:
            for w in range(words):
                sinks[w] = sets[group, w] & rooms[w] & ~search.seen_region[w]
                sources[w] = rest[group, w] | excess[w]
            if not any_of(sinks):
                break
            levels, reached = build_levels(net, search, sinks, sources, group, enter, region)
            if not reached or left == 0:
                cut = cut or reached
                break
            moved = flow(net, search, levels, rest[group], excess)
            if moved == 0:
                break
            total += moved
            _note_rooms(net, rooms, excess)
            if moved <= worth:
                break
            left -= 1
            _forget(search, len(sets), enter, region)
    return total, cut
