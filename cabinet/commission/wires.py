"""Buses that run for the length of a ``with``, and relays that are held only so long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from typing import Final

from cabinet import ports
from cabinet.errors import CabinetError, LinkError
from cabinet.runtime.bus import Bus

log = logging.getLogger(__name__)

#: Relays drop by themselves this long after the last renewal, also when this program is killed.
LEASE_MS: Final = 8_000
RENEW_S: Final = 2.0
LEASE_TRIES: Final = 3

Relay = tuple[ports.Outlet, int]


@contextlib.asynccontextmanager
async def running(buses: Iterable[Bus]) -> AsyncIterator[None]:
    """Serve these buses; their ports are free again afterwards."""
    async with _background([bus.run() for bus in buses]):
        yield


@contextlib.asynccontextmanager
async def held(relays: Sequence[Relay]) -> AsyncIterator[None]:
    """Hold relays on by leases that are renewed; afterwards each is ordered off.

    Raises:
        CabinetError: a relay could not be switched on; those that were are off again.
    """
    try:
        for board, channel in relays:
            await _lease(board, channel)
        async with _background([_renew(relays)]):
            yield
    finally:
        for board, channel in reversed(relays):
            try:
                await board.set_relay(channel, on=False)
            except CabinetError as error:
                log.warning(
                    "relay %d drops by itself in %d s: %s", channel, LEASE_MS // 1_000, error
                )


async def _renew(relays: Sequence[Relay]) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        for board, channel in relays:
            try:
                await _lease(board, channel)
            except CabinetError as error:
                log.warning("relay %d may drop: %s", channel, error)


async def _lease(board: ports.Outlet, channel: int) -> None:
    """Once more does no harm, and a read between tells the bus that the board is alive."""
    for _ in range(LEASE_TRIES - 1):
        try:
            await board.lease(channel, LEASE_MS)
        except LinkError:
            with contextlib.suppress(CabinetError):
                await board.read_relays()
        else:
            return
    await board.lease(channel, LEASE_MS)


@contextlib.asynccontextmanager
async def _background(work: Sequence[Awaitable[None]]) -> AsyncIterator[None]:
    """Do this beside the body, and end it with the body."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
