"""The wire trace as a list of the terminal screen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable, Input

from simulator.tui.draw import Json, Words

ROWS_MAX: Final = 300


class TraceList(Vertical):
    """Frames that pass the filter, the newest last; the one under the cursor can be copied."""

    DEFAULT_CSS = """
    TraceList Input { border: none; height: 1; padding: 0; background: $panel; }
    TraceList DataTable { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.since = 0
        self.turn = 0  # rises when the list begins again
        self._frames: dict[str, Json] = {}

    def compose(self) -> ComposeResult:
        """Filter and frames."""
        yield Input(id="trace-filter")
        yield DataTable(id="frames", cursor_type="row", zebra_stripes=True)

    def speak(self, say: Words) -> None:
        """Head and hint in a language."""
        self.query_one(Input).placeholder = say("trace.filter")
        table = self._table
        table.clear(columns=True)
        for key in ("time", "line", "way", "text", "hex"):
            table.add_column(say(f"trace.{key}"), key=key)
        kept, self._frames = list(self._frames.values()), {}
        self.add(kept, say)

    @property
    def query_text(self) -> str:
        """What is filtered for."""
        return self.query_one(Input).value.strip()

    @property
    def hex(self) -> str | None:
        """The bytes of the frame under the cursor."""
        if not self._table.row_count:
            return None
        row = self._table.coordinate_to_cell_key(self._table.cursor_coordinate).row_key
        found = self._frames.get(row.value or "")
        return None if found is None else str(found["hex"])

    def add(self, frames: list[Json], say: Words) -> None:
        """Put new frames at the end; the oldest fall out."""
        table, at_end = self._table, self._table.cursor_row >= self._table.row_count - 1
        for frame in frames:
            key = str(frame["seq"])
            at = datetime.fromtimestamp(frame["wall_ms"] / 1_000, UTC)
            self._frames[key] = frame
            cells = (f"{at:%H:%M:%S}.{frame['wall_ms'] % 1_000:03d}", frame["line"])
            way = say(f"trace.{frame['direction']}")
            table.add_row(*cells, way, frame["text"], frame["hex"], key=key)
        for key in list(self._frames)[: max(0, len(self._frames) - ROWS_MAX)]:
            del self._frames[key]
            table.remove_row(key)
        if frames and at_end:
            table.move_cursor(row=table.row_count - 1)

    def clear(self) -> None:
        """Begin again, for another filter or another simulator."""
        self.since, self.turn, self._frames = 0, self.turn + 1, {}
        self._table.clear()

    @property
    def _table(self) -> DataTable[str]:
        found: DataTable[str] = self.query_one("#frames", DataTable)
        return found
