"""Shortfall costs the same wherever it falls, so the cabinets of a feeder share it by their demand."""

from __future__ import annotations

import numpy as np

from fleet.core.balance.bits import allocating, kernel
from fleet.core.balance.network import Network, change_stored, change_v, change_x


def spread(net: Network) -> None:
    """Level the shortfall of each feeder's cabinets; loads of feeders and cost stay as they are."""
    if np.any(net.short):
        _spread(net)


@allocating(nogil=True)
def _spread(net):
    nodes = net.x.shape[1]
    has_short = np.zeros(len(net.x), np.int64)  # Wh now
    fair = np.zeros(len(net.x), np.int64)  # Wh by the share of demand
    for f in range(len(net.first) - 1):
        low, high = net.first[f], net.first[f + 1]
        short = np.int64(0)
        demand = np.int64(0)
        for c in range(low, high):
            has_short[c] = 0
            if net.short[c] > 0:
                for t in range(nodes - 1):
                    has_short[c] += net.v[c, t]
            short += has_short[c]
            demand += net.stored[c, nodes - 2]
        if short == 0 or high - low < 2:
            continue
        for c in range(low, high):
            fair[c] = short * net.stored[c, nodes - 2] // demand
        for t in range(nodes - 1):
            giver = low
            for c in range(low, high):
                while has_short[c] > fair[c] and giver < high:
                    spare = min(fair[giver] - has_short[giver], np.int64(net.x[giver, t]))
                    if spare <= 0:
                        giver += 1
                        continue
                    moved = _receive(net, c, t, min(spare, has_short[c] - fair[c]))
                    if moved == 0:
                        break
                    change_x(net, giver, t, -moved)
                    change_v(net, giver, t, moved)
                    has_short[giver] += moved
                    has_short[c] -= moved


@kernel()
def _receive(net, c, t, most):
    """Charge more in interval t instead of being short in it or later; returns how much."""
    slack = min(most, np.int64(net.step[c, t]) - net.x[c, t])
    for s in range(t, net.x.shape[1] - 1):
        if slack <= 0:
            return np.int64(0)
        if net.v[c, s] > 0:
            amount = min(slack, np.int64(net.v[c, s]))
            change_v(net, c, s, -amount)
            change_x(net, c, t, amount)
            if s != t:
                change_stored(net, c, s, t, amount)
            return amount
        slack = min(slack, np.int64(net.emax[c, s]) - net.stored[c, s])
    return np.int64(0)
