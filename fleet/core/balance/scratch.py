"""What a region's searches write into: made once, so that no search allocates."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from fleet.core.balance.bits import words_for
from fleet.core.balance.network import Network

#: Longer chains of exchanges than this are not searched for: none was seen beyond 20.
LEVELS_MAX: Final = 48


class Search(NamedTuple):
    """Scratch of one region: levels, pointers, the path."""

    arrive: np.ndarray  # uint64 [L,F,W]: (feeder, t) may be entered at this level
    arrive_r: np.ndarray  # uint64 [L,F,W]: the same reversed
    leave: np.ndarray  # uint64 [L,F,W]: (feeder, t) may be left towards the level before
    short: np.ndarray  # bool [L,F]: shortfall of the feeder reaches the level before
    region: np.ndarray  # uint64 [L,W]
    seen_in: np.ndarray  # uint64 [F,W]
    seen_out: np.ndarray  # uint64 [F,W]
    seen_region: np.ndarray  # uint64 [W]
    kept_in: np.ndarray  # uint64 [F,W]: the same before the group at hand
    kept_out: np.ndarray  # uint64 [F,W]
    kept_region: np.ndarray  # uint64 [W]
    busy: np.ndarray  # uint64 [F,W]: where some cabinet of the feeder charges
    lacks: np.ndarray  # bool [F]: a cabinet of the feeder has shortfall
    active: np.ndarray  # int32 [F]: feeders with arrivals at the newest level
    cabinet_at: np.ndarray  # int32 [F,T+1]: current arc
    feeder_at: np.ndarray  # int32 [T+1]
    path: np.ndarray  # int64 [L+1,5]: cabinet, from, to, feeder, through the region?
    row: np.ndarray  # uint64 [8,W]: 0 to 2 of the reach, 3 to 7 of the flow and the sweep


def search_for(net: Network) -> Search:
    """Scratch that fits a network."""
    feeders, nodes = net.froom.shape
    words = words_for(nodes)
    return Search(
        arrive=np.zeros((LEVELS_MAX, feeders, words), np.uint64),
        arrive_r=np.zeros((LEVELS_MAX, feeders, words), np.uint64),
        leave=np.zeros((LEVELS_MAX, feeders, words), np.uint64),
        short=np.zeros((LEVELS_MAX, feeders), np.bool_),
        region=np.zeros((LEVELS_MAX, words), np.uint64),
        seen_in=np.zeros((feeders, words), np.uint64),
        seen_out=np.zeros((feeders, words), np.uint64),
        seen_region=np.zeros(words, np.uint64),
        kept_in=np.zeros((feeders, words), np.uint64),
        kept_out=np.zeros((feeders, words), np.uint64),
        kept_region=np.zeros(words, np.uint64),
        busy=np.zeros((feeders, words), np.uint64),
        lacks=np.zeros(feeders, np.bool_),
        active=np.zeros(feeders, np.int32),
        cabinet_at=np.zeros((feeders, nodes), np.int32),
        feeder_at=np.zeros(nodes, np.int32),
        path=np.zeros((LEVELS_MAX + 1, 5), np.int64),
        row=np.zeros((8, words), np.uint64),
    )
