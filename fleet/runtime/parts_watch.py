"""The parts that fleetd cannot do without, as a series: asked for again and again.

Prometheus reads ``/metrics`` of a fleetd whose store is away and finds it up: nobody would be called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from fleet.checks import Check, passes
from fleet.ports import Clock
from fleet.runtime.metrics import FleetMetrics

LOOK_S: Final = 5.0


class PartsWatch:
    """Asks every part; no answer of theirs ends it."""

    def __init__(self, checks: Mapping[str, Check], metrics: FleetMetrics, clock: Clock) -> None:
        self._checks = checks
        self._metrics = metrics
        self._clock = clock

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.look()
            await self._clock.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask each once."""
        answers = await asyncio.gather(*(passes(check) for check in self._checks.values()))
        for part, there in zip(self._checks, answers, strict=True):
            self._metrics.part_up.labels(part).set(int(there))
