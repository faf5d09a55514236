"""Whether a part is there: asked by ``/readyz``, and by the watch that Prometheus reads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from fleet.errors import FleetError

CHECK_TIMEOUT_S: Final = 2.0

Check = Callable[[], Awaitable[bool]]


async def passes(check: Check) -> bool:
    """Whether a part says in time that it is there."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check()
    except (FleetError, OSError, TimeoutError):
        return False
