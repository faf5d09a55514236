"""Blocking flow on the exchange graph of a region.

``improve`` brings as much energy as possible into a set of cheap intervals from dearer ones (and from
intervals above their limit), along shortest chains of exchanges. Doing that for growing sets, from the
cheapest price on, is optimal: the loads of a region form a generalised polymatroid, so lexicographic
greed is exact.

A search from the sinks gives levels. Level 0: region nodes that are cheap and have room, and with them
the feeder nodes whose feeder has room. Level i: intervals that some cabinet can leave for a node of
level i - 1 of its feeder; a region node that one feeder can leave may be entered by any other feeder
with room. Then depth-first search from the sources with current-arc pointers (as Dinic), where every
node found dead is struck off.
"""

from __future__ import annotations

from typing import Final, NamedTuple

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
    words_for,
)
from fleet.core.balance.network import (
    IN,
    OUT,
    SHORT,
    Network,
    arc_slack,
    change_froom,
    change_stored,
    change_v,
    change_x,
    find_arc,
)
from fleet.core.balance.reach import exits_of, leaving

#: Longer chains of exchanges than this are not searched for: none was seen beyond 20.
LEVELS_MAX: Final = 48
#: Rounds of search and flow for one price: a bound against our own mistakes; tens are usual.
ROUNDS_MAX: Final = 5_000


#: Named flags of the kernels, which take no keyword arguments cheaply.
KEEP: Final = False
ALL: Final = True
FROM_SHORT: Final = True
FROM_CHARGE: Final = False


class Search(NamedTuple):
    """Scratch of one region: levels, pointers, the path."""

    arrive: np.ndarray  # uint64 [L,F,W]: (feeder, t) may be entered at this level
    leave: np.ndarray  # uint64 [L,F,W]: (feeder, t) may be left towards the level before
    short: np.ndarray  # bool [L,F]: shortfall of the feeder reaches the level before
    region: np.ndarray  # uint64 [L,W]
    seen_in: np.ndarray  # uint64 [F,W]
    seen_out: np.ndarray  # uint64 [F,W]
    seen_region: np.ndarray  # uint64 [W]
    busy: np.ndarray  # uint64 [F,W]: where some cabinet of the feeder charges
    lacks: np.ndarray  # bool [F]: a cabinet of the feeder has shortfall
    cabinet_at: np.ndarray  # int32 [F,T+1]: current arc
    feeder_at: np.ndarray  # int32 [T+1]
    path: np.ndarray  # int64 [L+1,5]: cabinet, from, to, feeder, through the region?
    row: np.ndarray  # uint64 [10,W]: 0 to 4 of the reach, 5 to 9 of the flow and its rounds


def search_for(net: Network) -> Search:
    """Scratch that fits a network."""
    feeders, nodes = net.froom.shape
    words = words_for(nodes)
    return Search(
        arrive=np.zeros((LEVELS_MAX, feeders, words), np.uint64),
        leave=np.zeros((LEVELS_MAX, feeders, words), np.uint64),
        short=np.zeros((LEVELS_MAX, feeders), np.bool_),
        region=np.zeros((LEVELS_MAX, words), np.uint64),
        seen_in=np.zeros((feeders, words), np.uint64),
        seen_out=np.zeros((feeders, words), np.uint64),
        seen_region=np.zeros(words, np.uint64),
        busy=np.zeros((feeders, words), np.uint64),
        lacks=np.zeros(feeders, np.bool_),
        cabinet_at=np.zeros((feeders, nodes), np.int32),
        feeder_at=np.zeros(nodes, np.int32),
        path=np.zeros((LEVELS_MAX + 1, 5), np.int64),
        row=np.zeros((10, words), np.uint64),
    )


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
def _worth_asking(search, f, targets):
    """Whether there are targets, and something left of the feeder that might leave for them."""
    left = search.lacks[f]
    some = False
    for w in range(len(targets)):
        left = left or search.busy[f, w] & ~search.seen_out[f, w] != NIL
        some = some or targets[w] != NIL
    return left and some


@kernel()
def build_levels(net, search, sinks, sources):
    """Search from the sinks; returns how many levels there are and whether a source was reached."""
    feeders, words = net.fopen.shape
    search.seen_in[:] = NIL
    search.seen_out[:] = NIL
    search.cabinet_at[:] = 0
    search.feeder_at[:] = 0
    _note_sources(net, search)
    for w in range(words):
        search.region[0, w] = sinks[w]
        search.seen_region[w] = sinks[w]
    for f in range(feeders):
        for w in range(words):
            search.arrive[0, f, w] = sinks[w] & net.fopen[f, w]
            search.seen_in[f, w] = search.arrive[0, f, w]
            search.leave[0, f, w] = NIL
    reached = False
    out = search.row[3]
    level = 1
    while level < LEVELS_MAX:
        search.region[level] = NIL
        for f in range(feeders):
            search.short[level, f] = False
            if _worth_asking(search, f, search.arrive[level - 1, f]):
                short = leaving(net, f, search.arrive[level - 1, f], search.row, out)
                search.short[level, f] = short
                reached = reached or short
                for w in range(words):
                    fresh = out[w] & ~search.seen_out[f, w]
                    search.seen_out[f, w] |= fresh
                    search.leave[level, f, w] = fresh
                    search.region[level, w] |= fresh
                    reached = reached or fresh & sources[w] != NIL
            else:
                search.leave[level, f] = NIL
        for w in range(words):
            search.region[level, w] &= ~search.seen_region[w]
            search.seen_region[w] |= search.region[level, w]
        more = False
        for f in range(feeders):
            for w in range(words):
                fresh = (
                    search.leave[level, f, w] | (search.region[level, w] & net.fopen[f, w])
                ) & ~search.seen_in[f, w]
                search.seen_in[f, w] |= fresh
                search.arrive[level, f, w] = fresh
                more = more or fresh != NIL
        level += 1
        if not more:
            break
    return level, reached


@kernel(forceinline=True)
def next_hop(net, search, f, t, level):
    """A cabinet of the feeder that can leave t for the level before; (-1, ..) when none is left."""
    start = net.first[f]
    count = net.first[f + 1] - start
    targets = search.arrive[level - 1, f]
    if any_of(targets):
        exits, targets_r = search.row[3], search.row[4]
        reverse_row(targets, net.x.shape[1], targets_r)
        while search.cabinet_at[f, t] < count:
            c = start + search.cabinet_at[f, t]
            if has(net.mask[c, OUT], t):
                exits_of(net, c, targets, targets_r, search.row, exits)
                if has(exits, t):
                    b, slack = find_arc(net, c, t, targets, KEEP)
                    if b >= 0:
                        return np.int64(c), np.int64(b), slack
            search.cabinet_at[f, t] += 1
    drop(search.leave[level, f], t)
    return np.int64(-1), np.int64(-1), np.int64(0)


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
                    c, b, _ = next_hop(net, search, g, t, level)
                    if c >= 0:
                        return c, b, np.int64(g), True
                search.feeder_at[t] += 1
            drop(search.region[level], t)
    if level > 0 and has(search.leave[level, f], t):
        c, b, _ = next_hop(net, search, f, t, level)
        if c >= 0:
            return c, b, np.int64(f), False
    return np.int64(-1), np.int64(-1), np.int64(f), False


@kernel(forceinline=True)
def find_path(net, search, c, a, f, level, short):
    """A path from the source (c, a) at this level to a sink; returns its number of hops, 0 for none."""
    path = search.path
    while True:
        b, _ = find_arc(net, c, a, search.arrive[level - 1, f], short)
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
            drop(search.arrive[at, here], t)
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
            drop(search.arrive[level - hops, search.path[hops - 1, 3]], search.path[hops - 1, 2])
            continue
        send(net, search.path, hops, amount, short)
        moved += amount
        sink = search.path[hops - 1, 2]
        if net.croom[sink] <= 0:
            drop(search.region[0], sink)
            for g in range(len(net.fopen)):
                drop(search.arrive[0, g], sink)
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
    targets_r, exits = search.row[5], search.row[6]
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
            reverse_row(targets, net.x.shape[1], targets_r)
            for c in range(net.first[f], net.first[f + 1]):
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


@kernel(nogil=True)
def improve(net, search, cheap, dear):
    """Bring energy into the cheap intervals from dear ones, shortfall and those above their limit.

    ``cheap`` and ``dear`` are sets. Returns (energy moved, rounds).
    """
    words = len(cheap)
    nodes = net.x.shape[1]
    sinks, excess, sources = search.row[7], search.row[8], search.row[9]
    total = np.int64(0)
    for round_ in range(ROUNDS_MAX):
        for w in range(words):
            sinks[w] = NIL
            excess[w] = NIL
        for t in range(nodes):
            if net.croom[t] > 0 and has(cheap, t):
                add(sinks, t)
            if net.croom[t] < 0:
                add(excess, t)
        for w in range(words):
            sources[w] = dear[w] | excess[w]
        if not any_of(sinks):
            return total, round_
        levels, reached = build_levels(net, search, sinks, sources)
        if not reached:
            return total, round_
        moved = flow(net, search, levels, dear, excess)
        total += moved
        if moved == 0:
            return total, round_
    return total, ROUNDS_MAX


@kernel(forceinline=True)
def _arrivals(net, search, now, fresh_region, rank, enter):
    """Enter what is newly reached: feeder nodes left by their own, or by way of the region."""
    feeders, words = net.fopen.shape
    more = False
    for f in range(feeders):
        for w in range(words):
            fresh = (search.leave[0, f, w] | (fresh_region[w] & net.fopen[f, w])) & ~(
                search.seen_in[f, w]
            )
            search.arrive[now, f, w] = fresh
            search.seen_in[f, w] |= fresh
            more = more or fresh != NIL
            while fresh != NIL:
                enter[f, (w << 6) + lowest(fresh)] = rank
                fresh &= fresh - ONE
    return more


@kernel(nogil=True)
def label(net, search, price_rank, rest, enter, region, work):
    """Prices of one more Wh: ``enter`` int32 [F,T+1] at a feeder's node, ``region`` int32 [T+1].

    Each is the rank of the cheapest price that energy put there can be passed on to; ``len(rest)``
    where it can only become shortfall. ``rest`` uint64 [ranks,W] are the dearer intervals of each
    rank; ``work`` bool [ranks] tells for which of them ``improve`` would find a source. Search from
    the sinks, price after price, so that each node is reached once.
    """
    feeders, words = net.fopen.shape
    nodes = net.x.shape[1]
    enter[:] = len(rest)
    region[:] = len(rest)
    search.seen_in[:] = NIL
    search.seen_out[:] = NIL
    search.seen_region[:] = NIL
    _note_sources(net, search)
    fresh_region = search.region[0]
    excess = search.region[1]
    excess[:] = NIL
    for t in range(nodes):
        if net.croom[t] < 0:
            add(excess, t)
    for rank in range(len(rest)):
        work[rank] = False
        fresh_region[:] = NIL
        for t in range(nodes):
            if price_rank[t] == rank and net.croom[t] > 0 and not has(search.seen_region, t):
                add(fresh_region, t)
        search.leave[0] = NIL
        while True:
            for t in range(nodes):
                if has(fresh_region, t) and not has(search.seen_region, t):
                    region[t] = rank
                    add(search.seen_region, t)
            if not _arrivals(net, search, 0, fresh_region, rank, enter):
                break
            fresh_region[:] = NIL
            out = search.row[3]
            for f in range(feeders):
                if not _worth_asking(search, f, search.arrive[0, f]):
                    search.leave[0, f] = NIL
                    continue
                if leaving(net, f, search.arrive[0, f], search.row, out):
                    work[rank] = True
                for w in range(words):
                    fresh = out[w] & ~search.seen_out[f, w]
                    search.seen_out[f, w] |= fresh
                    search.leave[0, f, w] = fresh
                    fresh_region[w] |= fresh & ~search.seen_region[w]
                    if fresh & (rest[rank, w] | excess[w]) != NIL:
                        work[rank] = True
