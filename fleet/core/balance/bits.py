"""Sets of intervals as machine words: reverse, flood fill, lowest and highest member.

A set over ``nodes`` intervals is a row of 64-bit words, interval t being bit t % 64 of word t // 64.
A reversed set holds interval t at position ``nodes - 1 - t``, so that a fill towards earlier
intervals becomes a fill towards higher bits, which one addition with carry does for a whole row.

"""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba import int64, njit, uint64
from numba.core import cgutils
from numba.extending import intrinsic as _intrinsic

WORD: Final = 64
ONE: Final = np.uint64(1)
NIL: Final = np.uint64(0)
LAST: Final = np.uint64(63)

#: Where compiled code comes from: kernels take one another's into themselves.
SOURCES: Final = ("bits", "exchange", "fair", "greedy", "jobs", "network", "reach", "rows")


def _stamp() -> str | None:
    """Of the text of all kernels; None where it can't be read."""
    digest = blake2b(digest_size=16)
    try:
        for name in SOURCES:
            digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    except OSError:
        return None
    return digest.hexdigest()


STAMP: Final = _stamp()


def allocating(**options: Any) -> Any:
    """Compiles a kernel and keeps it until the text of any of them changes.

    Numba itself looks at the file of the kernel alone, whose callees may have changed since, and at its
    time, which an upgrade of the package need not change.
    """

    def compiled(function: Any) -> Any:
        dispatcher = njit(cache=True, **options)(function)
        kept: Any = getattr(dispatcher._cache, "_cache_file", None)  # noqa: SLF001 - there is no other way
        if STAMP is not None and hasattr(kept, "_source_stamp"):
            kept._source_stamp = STAMP  # noqa: SLF001
        return dispatcher

    return compiled


#: Compiles what allocates nothing, without reference counts: counting the arrays of a network at every
#: call, by atomic additions, cost as much as the search itself.
kernel: Final[Any] = partial(allocating, _nrt=False)

#: Instructions of the machine; the compiler hands the first argument in, callers don't.
intrinsic: Final[Any] = _intrinsic


def words_for(nodes: int) -> int:
    """How many words hold a set over so many intervals."""
    return -(-nodes // WORD)


@kernel(inline="always")
def has(row, t):
    """Whether t is a member."""
    return (row[t >> 6] >> uint64(t & 63)) & ONE != NIL


@kernel(inline="always")
def add(row, t):
    """Make t a member."""
    row[t >> 6] |= ONE << uint64(t & 63)


@kernel(inline="always")
def drop(row, t):
    """Make t no member."""
    row[t >> 6] &= ~(ONE << uint64(t & 63))


@intrinsic
def reverse_word(_typing, _word):
    """The 64 bits the other way round."""
    return uint64(uint64), lambda _context, builder, _signature, args: builder.bitreverse(args[0])


@intrinsic
def lowest(_typing, _word):
    """The number of the lowest set bit of a word; 64 when there is none."""

    def code(_context, builder, _signature, args):
        return builder.cttz(args[0], cgutils.false_bit)

    return int64(uint64), code


@intrinsic
def zeros_above(_typing, _word):
    """How many bits stand above the highest set bit of a word; 64 when there is none."""

    def code(_context, builder, _signature, args):
        return builder.ctlz(args[0], cgutils.false_bit)

    return int64(uint64), code


@kernel(forceinline=True)
def reverse_row(row, nodes, out):
    """``out``, another row, becomes the reversed set of ``row``."""
    words = len(row)
    for w in range(words):
        out[w] = reverse_word(row[words - 1 - w])
    _shift_down(out, uint64(words * 64 - nodes))


@kernel(forceinline=True)
def reverse_row_in_place(row, nodes):
    """The row becomes its own reversed set."""
    words = len(row)
    for w in range((words + 1) // 2):
        low, high = row[w], row[words - 1 - w]
        row[w], row[words - 1 - w] = reverse_word(high), reverse_word(low)
    _shift_down(row, uint64(words * 64 - nodes))


@kernel(forceinline=True)
def _shift_down(row, shift):
    """Move members by less than a word towards lower positions."""
    words = len(row)
    if shift != NIL:
        for w in range(words):
            upper = row[w + 1] << (uint64(64) - shift) if w + 1 < words else NIL
            row[w] = (row[w] >> shift) | upper


@kernel(inline="always")
def highest(word):
    """The number of the highest set bit of a word that is not zero."""
    return 63 - zeros_above(word)


@kernel(forceinline=True)
def run_down(row, start):
    """The lowest position from which on all up to ``start`` are members; start + 1: not even that."""
    run = zeros_above(~(row[start >> 6] << uint64(63 - (start & 63))))
    low = start + 1 - run
    while 0 < low <= start and low & 63 == 0:
        more = zeros_above(~row[(low >> 6) - 1])
        if more == 0:
            break
        low -= more
    return low


@kernel(forceinline=True)
def last_common(one, other, low, high):
    """The highest position in [low, high] that is a member of both sets; -1: none."""
    if high < low:
        return -1
    w = high >> 6
    word = one[w] & other[w] & (~NIL >> uint64(63 - (high & 63)))
    while True:
        if w == low >> 6:
            word &= ~NIL << uint64(low & 63)
        if word != NIL:
            return (w << 6) + highest(word)
        w -= 1
        if w < low >> 6:
            return -1
        word = one[w] & other[w]


@kernel(forceinline=True)
def any_of(row):
    """Whether the set has a member."""
    for word in row:  # noqa: SIM110 - a generator would not compile
        if word != NIL:
            return True
    return False
