"""Between the caller's order of cabinets and a region's, without copies on the way: O(n·T)."""

from __future__ import annotations

import numpy as np

from fleet.core.balance.bits import kernel


@kernel(nogil=True)
def take(source, rows, out):
    """``out`` [n,T or more] becomes these rows of ``source``; further columns stay."""
    for k in range(len(rows)):
        row = rows[k]
        for t in range(source.shape[1]):
            out[k, t] = source[row, t]


@kernel(nogil=True)
def take_below(source, rows, most, out):
    """The same, with each row no larger than the last of ``most`` [n,T], which the column after gets."""
    width = source.shape[1]
    for k in range(len(rows)):
        row, top = rows[k], most[k, width - 1]
        for t in range(width):
            out[k, t] = min(source[row, t], top)
        out[k, width] = top


@kernel(nogil=True)
def give(values, rows, wanted, out):
    """These rows of ``out`` [N,T] become those of ``values`` where ``wanted`` is not 0."""
    for k in range(len(rows)):
        if wanted[k] != 0:
            row = rows[k]
            for t in range(out.shape[1]):
                out[row, t] = values[k, t]


@kernel(nogil=True)
def sum_rows(values, first, out):
    """``out`` int64 [F,..]: sums of the rows first[f]:first[f+1]."""
    out[:] = 0
    for f in range(len(first) - 1):
        for c in range(first[f], first[f + 1]):
            for t in range(values.shape[1]):
                out[f, t] += values[c, t]


@kernel(nogil=True)
def blame(cabinets, step, most, short, feeder, region, full_feeder, full_region, out):
    """``out`` int64 [4,entries]: kind, index, interval of the limit behind each shortfall, and its Wh.

    ``cabinets`` have shortfall; ``full_feeder`` [K,T] and ``full_region`` [R,T] tell where a limit was
    used up. Kinds: 0 the cabinet itself, 1 its feeder, 2 its region. Returns how many entries.
    """
    count = 0
    for k in range(len(cabinets)):
        c = cabinets[k]
        f = feeder[c]
        by_feeder, by_region = -1, -1
        for t in range(step.shape[1]):
            if step[c, t] < most[c, t]:
                by_feeder = t if full_feeder[f, t] else by_feeder
                by_region = t if full_region[region[f], t] else by_region
            if short[c, t] > 0:
                kind, index, at = 0, np.int64(c), t
                if by_feeder >= 0:
                    kind, index, at = 1, np.int64(f), by_feeder
                elif by_region >= 0:
                    kind, index, at = 2, np.int64(region[f]), by_region
                out[0, count], out[1, count], out[2, count] = kind, index, at
                out[3, count] = short[c, t]
                count += 1
    return count
