"""A cabinet's events by when they arrived, found without an index on that.

A cabinet's events are stored in order, so they arrived in order too: where a time begins among them is
found by halving. Read one after the other, a year of them is half a million rows, each on a page of
its own.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from fleet.store import tables as t

_OWN = t.event.c


async def arrived_between(
    connection: AsyncConnection, cabinet: str, since_ms: int, until_ms: int
) -> ColumnElement[bool]:
    """Of a row of ``event``: it is this cabinet's and arrived at that time, both ends included."""
    place = tuple_(_OWN.epoch, _OWN.seq)
    begin = await _place(connection, cabinet, since_ms)
    end = await _place(connection, cabinet, until_ms + 1)
    return and_(
        _OWN.cabinet == cabinet,
        place >= tuple_(*begin),
        place < tuple_(*end),
        _OWN.received_ms >= since_ms,
        _OWN.received_ms <= until_ms,
    )


async def _place(connection: AsyncConnection, cabinet: str, at_ms: int) -> tuple[int, int]:
    """Epoch and number of the first event that arrived then or later; behind the last if none did."""
    found: tuple[int, int] | None = None
    while True:
        newest = select(_OWN.epoch, _OWN.seq, _OWN.received_ms).where(_OWN.cabinet == cabinet)
        if found is not None:
            newest = newest.where(_OWN.epoch < found[0])
        last = await _first(connection, newest.order_by(_OWN.epoch.desc(), _OWN.seq.desc()))
        if last is None:
            return found or (0, 0)
        if last.received_ms < at_ms:
            return found or (last.epoch, last.seq + 1)
        low, high = 0, last.seq
        while low < high:
            middle = (low + high) // 2
            here = select(_OWN.seq, _OWN.received_ms).where(
                _OWN.cabinet == cabinet, _OWN.epoch == last.epoch, _OWN.seq >= middle
            )
            row = await _first(connection, here.order_by(_OWN.seq))
            if row.received_ms < at_ms:
                low = row.seq + 1
            else:
                high = middle
        found = (last.epoch, low)
        if low > 0:
            return found


async def _first(connection: AsyncConnection, query: Any) -> Any:
    return (await connection.execute(query.limit(1))).first()
