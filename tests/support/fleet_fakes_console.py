"""What the console reads of the store, in memory."""

from __future__ import annotations

from fleet.adapters.clock import SystemClock
from fleet.core.console import Query
from fleet.core.console_views import EnergyDay, EventRow, Find, Message, SwapDay
from fleet.runtime.console import Board
from fleet.runtime.recorder import Recorder


class FakeRecords:
    """``fleet.ports_console.Records``."""

    def __init__(self, board: Board) -> None:
        self.day = SwapDay(completed=128, ended=130, turned_away=7)
        self.energy: EnergyDay | None = None
        self.finds: list[Find] = []
        self.rows: list[EventRow] = []
        self.turned: list[tuple[str, str, str]] = []
        self.recorder = Recorder(SystemClock())
        self._board = board

    async def swap_day(self, since_ms: int) -> SwapDay:
        assert since_ms > 0
        return self.day

    async def energy_day(self) -> EnergyDay | None:
        return self.energy

    async def search(self, text: str) -> list[Find]:
        rows = self._board.listed(Query(q=text)).rows
        found = [
            Find(kind="cabinet", id=r.brief.id, title=r.brief.name, detail=r.mark.value)
            for r in rows
        ]
        return found + [each for each in self.finds if each.id.startswith(text)]

    async def events(self, cabinet_id: str, kind: str, most: int) -> list[EventRow]:
        assert cabinet_id
        return [each for each in self.rows if not kind or each.type == kind][:most]

    def messages(self, cabinet_id: str, leaf: str, text: str) -> list[Message]:
        return [
            each
            for each in self.recorder.of(cabinet_id)
            if (not leaf or each.leaf == leaf) and text in each.text
        ]

    def turned_away(self, rider_id: str, cabinet_id: str, reason: str) -> None:
        self.turned.append((rider_id, cabinet_id, reason))
