"""A cabinet that has more than is stored here is told where we stand, and not more often than that."""

from __future__ import annotations

from fleet.core.arrears import PATIENCE_MS, Arrears
from fleet.core.ingest import Watermark

A = "DH-0001"


def told_at(arrears: Arrears, times_ms: list[int], epoch: int = 1, seq: int = 5) -> list[int]:
    """The moments at which the cabinet is to be told."""
    return [at_ms for at_ms in times_ms if arrears.written(A, epoch, seq, at_ms)]


def test_one_of_which_all_is_stored_is_left_alone() -> None:
    arrears = Arrears()
    arrears.stored(A, Watermark(1, 5))
    assert told_at(arrears, [0, PATIENCE_MS, 9 * PATIENCE_MS]) == []
    assert told_at(arrears, [10 * PATIENCE_MS], epoch=0, seq=99) == []


def test_one_that_stays_ahead_is_told_again_and_again_with_patience_between() -> None:
    arrears = Arrears()
    arrears.stored(A, Watermark(1, 4))
    times_ms = list(range(0, 3 * PATIENCE_MS + 1, PATIENCE_MS // 4))
    assert told_at(arrears, times_ms) == [PATIENCE_MS, 2 * PATIENCE_MS, 3 * PATIENCE_MS]


def test_one_that_catches_up_meanwhile_starts_anew() -> None:
    arrears = Arrears()
    arrears.stored(A, Watermark(1, 3))
    assert told_at(arrears, [0]) == []
    arrears.stored(A, Watermark(1, 4))
    assert told_at(arrears, [PATIENCE_MS, 2 * PATIENCE_MS - 1]) == []
    assert told_at(arrears, [2 * PATIENCE_MS]) == [2 * PATIENCE_MS]


def test_a_newer_epoch_and_a_cabinet_never_heard_of_are_ahead() -> None:
    arrears = Arrears()
    assert told_at(arrears, [0, PATIENCE_MS]) == [PATIENCE_MS]
    arrears.stored(A, Watermark(1, 99))
    assert told_at(arrears, [0, PATIENCE_MS], epoch=2, seq=1) == [PATIENCE_MS]


def test_the_word_of_an_older_copy_counts() -> None:
    arrears = Arrears()
    arrears.stored(A, Watermark(1, 5))
    arrears.stored(A, Watermark(1, 2))
    assert told_at(arrears, [0, PATIENCE_MS]) == [PATIENCE_MS]
