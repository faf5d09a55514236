"""The kernels' small parts against plain Python, and that a change of one compiles all anew."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.core.balance import bits, exchange, fair, greedy, jobs, network, rows

FOLDER = Path(bits.__file__).parent


def row_of(members: set[int], words: int) -> np.ndarray:
    row = np.zeros(words, np.uint64)
    for member in members:
        row[member >> 6] |= np.uint64(1) << np.uint64(member & 63)
    return row


def members_of(row: np.ndarray) -> set[int]:
    return {t for t in range(len(row) * 64) if int(row[t >> 6]) >> (t & 63) & 1}


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_runs_and_common_members_are_found_across_words(data: st.DataObject) -> None:
    nodes = data.draw(st.integers(1, 200))
    words = bits.words_for(nodes)
    dense = data.draw(st.booleans())
    drawn = data.draw(st.sets(st.integers(0, nodes - 1)))
    one = set(range(nodes)) - drawn if dense else drawn
    other = data.draw(st.sets(st.integers(0, nodes - 1)))
    start = data.draw(st.integers(0, nodes - 1))
    low = start + 1
    while low > 0 and low - 1 in one:
        low -= 1
    assert bits.run_down(row_of(one, words), start) == low
    bottom = data.draw(st.integers(0, start + 1))
    common = [t for t in range(bottom, start + 1) if t in one & other]
    found = bits.last_common(row_of(one, words), row_of(other, words), bottom, start)
    assert found == max(common, default=-1)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 200), st.data())
def test_a_row_is_reversed_also_in_place(nodes: int, data: st.DataObject) -> None:
    members = data.draw(st.sets(st.integers(0, nodes - 1)))
    row = row_of(members, bits.words_for(nodes))
    out = np.zeros_like(row)
    bits.reverse_row(row, nodes, out)
    assert members_of(out) == {nodes - 1 - t for t in members}
    bits.reverse_row_in_place(row, nodes)
    assert members_of(row) == members_of(out)


def test_what_is_compiled_is_kept_by_the_text_of_all_kernels() -> None:
    kernels = [
        exchange.sweep, fair._spread, greedy.cheapest_cost, greedy.refill, jobs.envelopes,
        network.index_all, rows.take,
    ]  # fmt: skip
    assert bits.STAMP is not None
    for kernel in kernels:
        assert kernel._cache._cache_file._source_stamp == bits.STAMP
    makers = re.compile(r"^@(kernel|allocating|njit|intrinsic)", re.MULTILINE)
    with_kernels = {p.stem for p in FOLDER.glob("*.py") if makers.search(p.read_text())}
    assert with_kernels == set(bits.SOURCES)
