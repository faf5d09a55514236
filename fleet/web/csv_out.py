"""Tables as CSV, streamed row by row, that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from starlette.responses import StreamingResponse

#: A cell that begins so would be run by a spreadsheet; an apostrophe makes it a text.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
PAGE_ROWS: Final = 500
ROWS_MAX: Final = 1_000_000
Cell = str | int | float | bool | None
Row = TypeVar("Row")


def safe_cell(value: Cell) -> str:
    """A cell as text; numbers stay numbers, and a text never becomes a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return f"'{value}" if value.startswith(_FORMULA) else value


def csv_response(
    name: str, header: Sequence[str], rows: AsyncIterator[Sequence[Cell]]
) -> StreamingResponse:
    """A download of this name."""
    return StreamingResponse(
        _lines(header, rows),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


async def each_of(rows: Iterable[Sequence[Cell]]) -> AsyncIterator[Sequence[Cell]]:
    """Rows that are at hand already."""
    for row in rows:
        yield row


async def paged(
    fetch: Callable[[Row | None], Awaitable[list[Row]]], cells: Callable[[Row], Sequence[Cell]]
) -> AsyncIterator[Sequence[Cell]]:
    """Rows of a list that is read page by page; ``fetch`` gets the last row of the page before."""
    last: Row | None = None
    sent = 0
    while sent < ROWS_MAX:
        found = await fetch(last)
        for row in found:
            yield cells(row)
        if not found:
            return
        last = found[-1]
        sent += len(found)


async def _lines(
    header: Sequence[str], rows: AsyncIterator[Sequence[Cell]]
) -> AsyncIterator[bytes]:
    yield _line(header).encode("utf-8-sig")
    async for row in rows:
        yield _line([safe_cell(each) for each in row]).encode()


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
