"""Keeps the store from growing without end, whether or not anybody hears from this cabinet."""

from __future__ import annotations

import logging
from typing import Final, Protocol

from cabinet.errors import StoreError
from cabinet.ports import Clock

log = logging.getLogger(__name__)

#: The first look comes early too: a cabinet that is switched off every night never sees a second.
FIRST_S: Final = 60.0
EVERY_S: Final = 3_600.0


class Prunable(Protocol):
    """The store, as far as it is kept small."""

    async def prune(self, wall_ms: int | None) -> int:
        """Forget what is old; None while the wall clock is not known to be right."""
        ...


async def keep_small(store: Prunable, clock: Clock) -> None:
    """Forget what is old, now and then, until cancelled; a store that fails is tried again later."""
    wait_s = FIRST_S
    while True:
        await clock.sleep(wait_s)
        wait_s = EVERY_S
        wall_ms = int(clock.now_utc().timestamp() * 1000) if clock.wall_synced() else None
        try:
            gone = await store.prune(wall_ms)
        except StoreError as error:
            log.debug("nothing was forgotten: %s", error)
        else:
            log.debug("%d events are no longer kept", gone)
