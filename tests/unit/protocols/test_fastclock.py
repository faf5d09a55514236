"""The fast clock of demonstrations: one map, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.fastclock import RATE_MAX, REAL, FastClock

MOMENTS = st.integers(0, 4_000_000_000_000)
RATES = st.integers(1, RATE_MAX)


@given(rate=RATES, origin_ms=MOMENTS, real_ms=MOMENTS, later_ms=st.integers(0, 10**9))
def test_it_runs_so_many_times_faster_and_back_again(
    rate: int, origin_ms: int, real_ms: int, later_ms: int
) -> None:
    clock = FastClock(rate, origin_ms)
    assert clock.day_ms(origin_ms) == origin_ms
    assert clock.day_ms(real_ms + later_ms) - clock.day_ms(real_ms) == rate * later_ms
    assert clock.real_ms(clock.day_ms(real_ms)) == real_ms


@given(rate=RATES, day_ms=MOMENTS, at_ms=MOMENTS)
def test_it_can_be_set_to_show_a_time(rate: int, day_ms: int, at_ms: int) -> None:
    clock = FastClock.showing(day_ms, at_ms=at_ms, rate=rate)
    shown = clock.day_ms(at_ms)
    assert shown == at_ms if rate == 1 else abs(shown - day_ms) < rate


def test_without_a_rate_it_is_the_real_one() -> None:
    assert REAL.day_ms(123_456) == REAL.real_ms(123_456) == 123_456
    for rate in (0, -1, RATE_MAX + 1):
        with pytest.raises(ValueError, match="expected 1 to"):
            FastClock(rate)
