"""A day on a fast clock, for demonstrations: the one map between real time and the day that is shown.

All programs of one demonstration are given the same rate and origin, and so agree on the time of day
without a message. What follows this clock: tariffs, plans and their validity, forecasts, the curve of
plan and fact, and what flows into packs. What does not, since it is about real machines and people:
timeouts of buses, brokers and pages, ages of readings, safety rules, expiries of orders, codes,
sessions and certificates, and the times that journals and the ledger record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RATE_MAX: Final = 600  # beyond it an interval of a plan is shorter than a cabinet's decision


@dataclass(frozen=True, slots=True)
class FastClock:
    """At ``origin_ms`` (Unix) both clocks show the same; from there on the day runs ``rate`` times."""

    rate: int = 1
    origin_ms: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.rate <= RATE_MAX:
            raise ValueError(f"rate: is {self.rate}, expected 1 to {RATE_MAX}")

    @classmethod
    def showing(cls, day_ms: int, *, at_ms: int, rate: int) -> FastClock:
        """The clock that shows ``day_ms`` (to within ``rate`` ms) when it is really ``at_ms``."""
        if rate == 1:
            return cls()
        return cls(rate, (at_ms * rate - day_ms) // (rate - 1))

    def day_ms(self, real_ms: int) -> int:
        """What it shows at a real moment."""
        return self.origin_ms + (real_ms - self.origin_ms) * self.rate

    def real_ms(self, day_ms: int) -> int:
        """When it really shows this, rounded down."""
        return self.origin_ms + (day_ms - self.origin_ms) // self.rate


REAL: Final = FastClock()
