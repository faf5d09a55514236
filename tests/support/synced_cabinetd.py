"""`cabinetd` on a machine whose wall clock is known to be right; test machines often cannot say so."""

from __future__ import annotations

from cabinet.adapters.clock import SystemClock
from cabinet.main import app

if __name__ == "__main__":
    SystemClock.wall_synced = lambda _self: True  # type: ignore[method-assign]
    app()
