"""Sets of intervals as machine words: reverse, flood fill, lowest and highest member.

A set over ``nodes`` intervals is a row of 64-bit words, interval t being bit t % 64 of word t // 64.
A reversed set holds interval t at position ``nodes - 1 - t``, so that a fill towards earlier
intervals becomes a fill towards higher bits, which one addition with carry does for a whole row.

"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import numpy as np
from numba import njit, uint64

WORD: Final = 64
ONE: Final = np.uint64(1)
NIL: Final = np.uint64(0)
LAST: Final = np.uint64(63)

#: Compiles what allocates nothing, without reference counts: counting the arrays of a network at every
#: call, by atomic additions, cost as much as the search itself.
kernel: Final[Any] = partial(njit, cache=True, _nrt=False)


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


@kernel(inline="always")
def reverse_word(word):
    """The 64 bits the other way round."""
    word = ((word >> uint64(1)) & uint64(0x5555555555555555)) | (
        (word & uint64(0x5555555555555555)) << uint64(1)
    )
    word = ((word >> uint64(2)) & uint64(0x3333333333333333)) | (
        (word & uint64(0x3333333333333333)) << uint64(2)
    )
    word = ((word >> uint64(4)) & uint64(0x0F0F0F0F0F0F0F0F)) | (
        (word & uint64(0x0F0F0F0F0F0F0F0F)) << uint64(4)
    )
    word = ((word >> uint64(8)) & uint64(0x00FF00FF00FF00FF)) | (
        (word & uint64(0x00FF00FF00FF00FF)) << uint64(8)
    )
    word = ((word >> uint64(16)) & uint64(0x0000FFFF0000FFFF)) | (
        (word & uint64(0x0000FFFF0000FFFF)) << uint64(16)
    )
    return (word >> uint64(32)) | (word << uint64(32))


@kernel(forceinline=True)
def reverse_row(row, nodes, out):
    """``out`` becomes the reversed set of ``row``."""
    words = len(row)
    shift = uint64(words * 64 - nodes)
    for w in range(words):
        out[w] = reverse_word(row[words - 1 - w])
    if shift != NIL:
        for w in range(words):
            upper = out[w + 1] << (uint64(64) - shift) if w + 1 < words else NIL
            out[w] = (out[w] >> shift) | upper


@kernel(inline="always")
def lowest(word):
    """The number of the lowest set bit of a word that is not zero."""
    low = word & (~word + ONE)
    number = 0
    if low & uint64(0xFFFFFFFF00000000) != NIL:
        number += 32
    if low & uint64(0xFFFF0000FFFF0000) != NIL:
        number += 16
    if low & uint64(0xFF00FF00FF00FF00) != NIL:
        number += 8
    if low & uint64(0xF0F0F0F0F0F0F0F0) != NIL:
        number += 4
    if low & uint64(0xCCCCCCCCCCCCCCCC) != NIL:
        number += 2
    if low & uint64(0xAAAAAAAAAAAAAAAA) != NIL:
        number += 1
    return number


@kernel(inline="always")
def highest(word):
    """The number of the highest set bit of a word that is not zero."""
    number = 0
    for step in (32, 16, 8, 4, 2, 1):
        if word >> uint64(step) != NIL:
            word >>= uint64(step)
            number += step
    return number


@kernel(forceinline=True)
def any_of(row):
    """Whether the set has a member."""
    for word in row:  # noqa: SIM110 - a generator would not compile
        if word != NIL:
            return True
    return False
