"""What the balance loop is given of the grid, and what it tells of its state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from fleet.core.balance.forecast import Forecast
from fleet.core.balance.grid import Grid
from fleet.core.balance.horizon import Site
from fleet.core.balance.instance import Floats


class GridSource(Protocol):
    """Where the grid comes from."""

    def load(self) -> Grid:
        """Read it; raise InvalidError."""
        ...

    def changed(self) -> bool:
        """Whether it is another than the one last read."""
        ...

    async def run(self) -> None:
        """Look after it until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class State:
    """What a plan would rest on now."""

    now_ms: int
    grid: Grid
    sites: list[Site]
    peak_w: Floats
    forecast: Callable[[], Forecast]
