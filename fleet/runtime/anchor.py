"""Keeps the anchor of the log of orders at its head, as long as what was anchored is still there."""

from __future__ import annotations

import logging
from typing import Protocol

from fleet.core.audit_anchor import ANCHOR_EVERY_S, Anchor, head_number, signed_bytes
from fleet.core.audit_log import Head
from fleet.errors import FleetError
from fleet.ports import Clock
from fleet.runtime.metrics import FleetMetrics

log = logging.getLogger(__name__)


class HeadRows(Protocol):
    """What is needed of the log."""

    async def head(self) -> Head:
        """The last row, by its own word."""
        ...

    async def hash_of(self, row: int) -> str | None:
        """The hash that a row bears; None when there is none such."""
        ...

    async def anchored(self) -> bool:
        """Whether it was ever anchored, by the store's own word."""
        ...

    async def mark_anchored(self) -> None:
        """Remember that it was."""
        ...


class Anchored(Protocol):
    """Where the anchor is kept."""

    @property
    def missing(self) -> bool:
        """Whether there never was one."""
        ...

    def read(self) -> Anchor | None:
        """The anchor; None when it is missing or unreadable."""
        ...

    def verify(self, data: bytes, signature: str) -> bool:
        """Whether a key of this fleet made the signature."""
        ...

    def write(self, head: Head, at_ms: int) -> Anchor:
        """Anchor this head."""
        ...


class AnchorKeeper:
    """Moves the anchor. One that does not hold is never moved, so that an audit still finds it."""

    def __init__(
        self, *, rows: HeadRows, file: Anchored, clock: Clock, metrics: FleetMetrics
    ) -> None:
        self._rows = rows
        self._file = file
        self._clock = clock
        self._metrics = metrics
        self._told = False

    async def run(self) -> None:
        """Anchor what is new until cancelled."""
        while True:
            try:
                await self.once()
            except FleetError as error:
                log.warning("log of orders: not anchored: %s", error)
            await self._clock.sleep(ANCHOR_EVERY_S)

    async def once(self) -> bool:
        """Anchor the head if it continues what was anchored; whether all is well."""
        head = await self._rows.head()
        self._metrics.audit_rows.set(head.id)
        self._metrics.audit_head.set(head_number(head))
        holds = await self._holds(head)
        self._metrics.audit_broken.set(0 if holds else 1)
        if not holds and not self._told:
            log.error("log of orders: what was anchored is not there any more; run fleetd audit")
        self._told = not holds
        return holds

    async def _holds(self, head: Head) -> bool:
        anchor = self._file.read()
        if anchor is None:
            if not self._file.missing or await self._rows.anchored():
                return False
        else:
            if not self._file.verify(signed_bytes(anchor), anchor.sig):
                return False
            if anchor.id and await self._rows.hash_of(anchor.id) != anchor.hash:
                return False
            if anchor.head == head:
                return True
            if head.id < anchor.id:
                return False
        self._file.write(head, self._clock.wall_ms())
        await self._rows.mark_anchored()
        return True
