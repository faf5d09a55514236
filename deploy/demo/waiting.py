"""Wait for a condition instead of sleeping; every deadline has a name and raises when it passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from deploy.demo.errors import DemoError

POLL_S: Final = 0.02

T = TypeVar("T")


def now_s() -> float:
    """Monotonic seconds: the one clock of the demo and of the system tests."""
    return time.monotonic()  # noqa: TID251  # programs of their own have no Clock to inject


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of everything that must be done by then."""

    at_s: float
    within_s: float

    @classmethod
    def after(cls, within_s: float) -> Deadline:
        """A deadline this many seconds from now."""
        return cls(now_s() + within_s, within_s)

    def left_s(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self.at_s - now_s())


def until(
    check: Callable[[], T | None],
    *,
    within_s: float,
    what: str,
    every_s: float = POLL_S,
    on_timeout: Callable[[], str] = str,
) -> T:
    """Poll until ``check`` returns something true, and return it.

    Raises:
        DemoError: it did not within ``within_s``; names ``what`` and adds ``on_timeout()``.
    """
    deadline = Deadline.after(within_s)
    while True:
        found = check()
        if found:
            return found
        if deadline.left_s() <= 0:
            raise DemoError(f"{what}: not within {within_s:g} s {on_timeout()}".rstrip())
        time.sleep(min(every_s, max(deadline.left_s(), 0.001)))
