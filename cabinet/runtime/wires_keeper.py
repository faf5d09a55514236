"""Bring one thing of the outside world to the newest goal, and keep it there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from cabinet.errors import CabinetError

log = logging.getLogger(__name__)

G = TypeVar("G")

RETRY_FIRST_S: Final = 0.25
RETRY_MAX_S: Final = 8.0


class Keeper(Generic[G]):
    """Applies a goal until it holds; a newer goal replaces it at once, also in mid-attempt.

    ``renew_s`` is how long a goal holds before it is applied again; None: until ``again``.
    """

    def __init__(
        self,
        name: str,
        apply: Callable[[G], Awaitable[None]],
        renew_s: Callable[[G], float | None],
    ) -> None:
        self._name = name
        self._apply = apply
        self._renew_s = renew_s
        self._goal: G | None = None
        self._held: G | None = None
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()

    @property
    def goal(self) -> G | None:
        """What is wanted; None before the first order."""
        return self._goal

    @property
    def held(self) -> G | None:
        """What was last applied with success and not superseded; None when in doubt."""
        return self._held

    def want(self, goal: G) -> None:
        """Replace the goal; the same goal again is no news."""
        if goal != self._goal:
            self._goal = goal
            self._held = None
            self._settled.clear()
            self._changed.set()

    def again(self) -> None:
        """The world may have forgotten: apply the goal again now."""
        if self._goal is not None:
            self._settled.clear()
            self._changed.set()

    async def settled(self) -> None:
        """Wait until the present goal holds."""
        await self._settled.wait()

    async def run(self) -> None:
        """Work until cancelled."""
        retry_s = 0.0
        while True:
            self._changed.clear()
            wait_s: float | None = None
            goal = self._goal
            if goal is not None:
                done = await self._attempt(goal)
                if self._changed.is_set():
                    retry_s = 0.0
                    continue
                if done:
                    self._held = goal
                    self._settled.set()
                    retry_s, wait_s = 0.0, self._renew_s(goal)
                else:
                    self._held = None
                    retry_s = min(max(RETRY_FIRST_S, 2 * retry_s), RETRY_MAX_S)
                    wait_s = retry_s
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue
            retry_s = 0.0

    async def _attempt(self, goal: G) -> bool:
        """Whether the goal was applied; given up as soon as the goal changes.

        A transaction in flight is finished by its bus, one still queued is dropped.
        """
        outcome = False

        async def work() -> None:
            nonlocal outcome
            try:
                await self._apply(goal)
            except CabinetError as error:
                log.debug("%s: %s", self._name, error)
            else:
                outcome = True

        async with asyncio.TaskGroup() as group:
            task = group.create_task(work(), name=f"{self._name} attempt")
            watch = group.create_task(self._changed.wait(), name=f"{self._name} watch")
            task.add_done_callback(lambda _: watch.cancel())
            watch.add_done_callback(lambda _: task.cancel())
        return outcome
