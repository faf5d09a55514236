"""What the operator's console runs beside the rest: its board, its recorder, its reads of the store."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from fleet.ports import Clock
from fleet.runtime.console import Board, Source, StationPlace, places_of
from fleet.runtime.hub import Hub
from fleet.runtime.recorder import Recorder
from fleet.runtime.records import RecordService
from fleet.stores import Stores


class ConsoleSide:
    """The services."""

    def __init__(self, stores: Stores, source: Source, hub: Hub, clock: Clock, ages: Clock) -> None:
        """``ages`` is the clock by which ``source`` says when it heard."""

        async def stations() -> Sequence[StationPlace]:
            return places_of(await stores.stations.all())

        self.recorder = Recorder(clock)
        self.board = Board(source, hub, ages, stations)
        self.records = RecordService(
            rows=stores.console,
            notes=stores.meta,
            board=self.board,
            recorder=self.recorder,
            clock=clock,
        )

    def works(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """What runs for as long as fleetd does, by name."""
        return [("console", self.board.run()), ("console-counts", self.records.run())]
