"""Keeps what the cabinet holds of the fleet fresh: the certificate, the command and group keys.

Once a day, when the fleet names other secrets in ``desired/config`` than ours, and when an order came
with a signature that none of our keys fits, the fleet is asked for the present keys; and for a new
certificate when less than a third of its life is left. What goes wrong is tried again later: nothing
stops working for it before the certificate's last day.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from cabinet.core.commands import BAD_SIGNATURE
from cabinet.core.engine import Outcome
from cabinet.errors import CabinetError
from cabinet.ports import Clock
from protocols.enrolment import CREDENTIALS_VALUE

log = logging.getLogger(__name__)

#: After start; spread, so that a fleet after a power cut does not ask all at once.
FIRST_S: Final = (2.0, 30.0)
EVERY_S: Final = 24 * 3_600.0
RETRY_S: Final = (60.0, 900.0)
#: The fleet names other secrets: how far cabinets spread their questions.
TOLD_S: Final = (0.0, 5.0)
#: A stranger who sends rubbish must not make us ask without end.
NUDGE_GAP_MS: Final = 600_000
LOOK_S: Final = 1.0
RENEW_BELOW: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Life:
    """Of the certificate that we hold, and which secrets those are."""

    not_before_ms: int
    not_after_ms: int
    secrets_id: str


def due(life: Life, now_ms: int) -> bool:
    """Whether less than a third of the certificate's life is left."""
    whole = life.not_after_ms - life.not_before_ms
    return life.not_after_ms - now_ms < whole * RENEW_BELOW


class Renewal:
    """``run`` it in a task group. ``fetch`` asks the fleet: with True for a new certificate too."""

    def __init__(
        self,
        *,
        life: Callable[[], Life],
        fetch: Callable[[bool], Awaitable[None]],
        on_certificate: Callable[[], None],
        clock: Clock,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._life = life
        self._fetch = fetch
        self._on_certificate = on_certificate
        self._clock = clock
        self._jitter = jitter  # spreads load; no secret hangs on it
        self._wake = asyncio.Event()
        self._told: str | None = None
        self._asked_for: str | None = None
        self._nudged_ms: int | None = None

    def on_outcome(self, outcome: Outcome) -> None:
        """Notice what the fleet says about its secrets."""
        config = outcome.state.durable.config
        named = config.values.get(CREDENTIALS_VALUE) if config is not None else None
        if isinstance(named, str) and named != self._told:
            self._told = named
            self._wake.set()
        if any(reply.reason == BAD_SIGNATURE for reply in outcome.replies):
            now_ms = self._clock.monotonic_ms()
            if self._nudged_ms is None or now_ms - self._nudged_ms >= NUDGE_GAP_MS:
                self._nudged_ms = now_ms
                self._asked_for = None
                self._told = self._told or ""
                self._wake.set()

    async def run(self) -> None:
        """Look after it until cancelled."""
        wait_s = self._jitter(*FIRST_S)
        while True:
            await self._pause(wait_s)
            try:
                await self._once()
                wait_s = EVERY_S * self._jitter(0.9, 1.0)
            except CabinetError as error:
                log.warning("credentials: %s; trying again", error)
                wait_s = self._jitter(*RETRY_S)

    async def _once(self) -> None:
        now_ms = int(self._clock.now_utc().timestamp() * 1000)
        certificate = due(self._life(), now_ms)
        await self._fetch(certificate)
        self._asked_for = self._told
        if certificate:
            log.info("credentials: a new certificate")
            self._on_certificate()

    async def _pause(self, wait_s: float) -> None:
        """Until then, or until there is a reason to ask now."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while not self._reason():
                    self._wake.clear()
                    await self._wake.wait()
                await self._clock.sleep(self._jitter(*TOLD_S))

    def _reason(self) -> bool:
        """Whether the fleet has named secrets that we do not hold, and did not just ask for."""
        told = self._told
        return told is not None and told != self._life().secrets_id and told != self._asked_for
