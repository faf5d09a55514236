"""Tells partners of their riders' swaps and sessions, signed, until they say that they heard."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import msgspec

from fleet.core.account_views import Notice
from fleet.errors import FleetError
from fleet.ports import Clock
from fleet.runtime.membership import webhook_secret

log = logging.getLogger(__name__)

EVERY_S: Final = 2.0
AT_ONCE: Final = 20
SIGNATURE: Final = "Yizhan-Signature"

#: Sends a body with headers to a URL; the status, None when nobody answered.
Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int | None]]


class NoticeRows(Protocol):
    """Where it stands what is to be told."""

    async def due(self, now_ms: int, limit: int) -> list[Notice]:
        """What has ended and was not told, so many of each partner's."""
        ...

    async def told(self, notice: Notice, now_ms: int, *, well: bool) -> None:
        """How telling went."""
        ...


class Webhooks:
    """One worker for all partners; a partner that does not answer waits longer each time."""

    def __init__(self, *, rows: NoticeRows, post: Post, key: bytes, clock: Clock) -> None:
        self._rows = rows
        self._post = post
        self._key = key
        self._clock = clock

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            try:
                await self.turn()
            except FleetError as error:
                log.warning("webhooks: %s; trying again", error)
            await self._clock.sleep(EVERY_S)

    async def turn(self) -> int:
        """Tell what is due now, every partner beside the others; how many notices were sent."""
        queues: dict[str, list[Notice]] = {}
        for notice in await self._rows.due(self._clock.wall_ms(), AT_ONCE):
            queues.setdefault(notice.partner, []).append(notice)
        return sum(await asyncio.gather(*(self._tell(queue) for queue in queues.values())))

    async def _tell(self, queue: list[Notice]) -> int:
        """One partner, up to the first notice that it did not take: the others wait for the next turn."""
        for sent, notice in enumerate(queue, start=1):
            body = msgspec.json.encode(document(notice))
            sealed = seal(webhook_secret(self._key, notice.partner), body, self._clock.wall_ms())
            headers = {"Content-Type": "application/json", SIGNATURE: sealed}
            status = await self._post(notice.url, body, headers)
            well = status is not None and 200 <= status < 300
            await self._rows.told(notice, self._clock.wall_ms(), well=well)
            if not well:
                log.warning("webhook of %s: %s", notice.partner, status or "no answer")
                return sent
        return len(queue)


def document(notice: Notice) -> dict[str, object]:
    """What is sent: ``swap.settled`` or ``session.settled`` with what it costs."""
    if notice.session is not None:
        return {"type": "session.settled", "session": notice.session}
    return {"type": "swap.settled", "swap": notice.swap}


def seal(secret: str, body: bytes, now_ms: int) -> str:
    """``t=SECONDS,v1=HEX``: HMAC-SHA256 over ``SECONDS.BODY``."""
    at_s = now_ms // 1_000
    mac = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256)
    return f"t={at_s},v1={mac.hexdigest()}"
