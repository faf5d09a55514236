"""From where can energy go to a set of intervals: flood fills over the sets of many cabinets."""

from __future__ import annotations

import numpy as np

from fleet.core.balance.bits import LAST, NIL, ONE, kernel, reverse_row
from fleet.core.balance.network import EARLIER, IN, IN_R, LATER_R, OUT, OUT_R, SHORT, SHORT_R


@kernel(inline="always")
def flood(within, seed, carry):
    """Spread seeds towards higher bits through the members of ``within``, word by word.

    ``seed`` lies in ``within``. Adding it ripples a carry through each run of members from the lowest
    seed on. Returns the flooded word and the carry into the next.
    """
    total = within + seed
    over = total < within
    total2 = total + carry
    over = over or total2 < total
    return (within & ~total2) | seed, np.uint64(over)


@kernel(forceinline=True)
def leaving(net, f, targets, targets_r, scratch, out):
    """``out`` becomes the intervals that some cabinet of the feeder can leave for ``targets``.

    Returns whether shortfall can. About 25 word operations per cabinet and word.
    """
    nodes = net.x.shape[1]
    words = len(targets)
    short = NIL
    for w in range(words):
        out[w] = NIL
        scratch[0, w] = NIL
    for c in range(net.first[f], net.first[f + 1]):
        carry = NIL
        carry_back = NIL
        before = NIL
        flooded_before = NIL
        for w in range(words):
            # Later: from b down to a through intervals where stored energy may fall.
            goal = targets_r[w] & net.mask[c, IN_R, w]
            seed = ((goal << ONE) | (before >> LAST)) & net.mask[c, LATER_R, w]
            before = goal
            flooded, carry = flood(net.mask[c, LATER_R, w], seed, carry)
            scratch[0, w] |= flooded & net.mask[c, OUT_R, w]
            short |= flooded & net.mask[c, SHORT_R, w]
            # Earlier: from b up to a through intervals where stored energy may rise.
            goal = targets[w] & net.mask[c, IN, w]
            short |= goal & net.mask[c, SHORT, w]
            flooded, carry_back = flood(
                net.mask[c, EARLIER, w], goal & net.mask[c, EARLIER, w], carry_back
            )
            exits = (flooded << ONE) | (flooded_before >> LAST)
            flooded_before = flooded
            out[w] |= exits & net.mask[c, OUT, w]
            short |= exits & net.mask[c, SHORT, w]
    reverse_row(scratch[0], nodes, scratch[1])
    for w in range(words):
        out[w] |= scratch[1, w]
    return short != NIL


@kernel(forceinline=True)
def exits_of(net, c, targets, targets_r, scratch, out):
    """``out`` becomes the intervals from which energy of this cabinet can go to ``targets``."""
    nodes = net.x.shape[1]
    words = len(targets)
    carry = NIL
    carry_back = NIL
    before = NIL
    flooded_before = NIL
    for w in range(words):
        goal = targets_r[w] & net.mask[c, IN_R, w]
        seed = ((goal << ONE) | (before >> LAST)) & net.mask[c, LATER_R, w]
        before = goal
        scratch[0, w], carry = flood(net.mask[c, LATER_R, w], seed, carry)
        goal = targets[w] & net.mask[c, IN, w] & net.mask[c, EARLIER, w]
        flooded, carry_back = flood(net.mask[c, EARLIER, w], goal, carry_back)
        out[w] = (flooded << ONE) | (flooded_before >> LAST)
        flooded_before = flooded
    reverse_row(scratch[0], nodes, scratch[1])
    for w in range(words):
        out[w] |= scratch[1, w]
