"""Tells watchers what has changed. Watchers read whole views, so a signal carries only keys.

A watcher that is slow loses nothing: its set of changed keys is bounded, and beyond the bound it
is told to look at everything again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

DIRTY_MAX: Final = 10_000  # keys that one watcher may be behind
WATCHERS_MAX: Final = 20_000  # open pages; more means a leak


class Watcher:
    """One subscription; ``key`` None watches everything."""

    def __init__(self, key: str | None) -> None:
        self.key = key
        self._dirty: set[str] = set()
        self._resync = False
        self._closed = False
        self._wake = asyncio.Event()

    def tell(self, key: str) -> None:
        """Note a change; never blocks."""
        if self._resync:
            return
        self._dirty.add(key)
        if len(self._dirty) > DIRTY_MAX:
            self._dirty.clear()
            self._resync = True
        self._wake.set()

    def take(self) -> set[str] | None:
        """The keys that changed since the last call; None means all of them. Never waits."""
        dirty, self._dirty = self._dirty, set()
        resync, self._resync = self._resync, False
        return None if resync else dirty

    def close(self) -> None:
        """End the iteration once what is known is told."""
        self._closed = True
        self._wake.set()

    async def changes(self) -> AsyncIterator[set[str] | None]:
        """Sets of changed keys; None means all of them. Ends when the hub closes."""
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            dirty = self.take()
            if dirty is None or dirty:
                yield dirty


class Hub:
    """All watchers of one sort of view."""

    def __init__(self) -> None:
        self._watchers: dict[str | None, set[Watcher]] = {}
        self._count = 0
        self._closed = False

    def tell(self, keys: Iterable[str]) -> None:
        """Something changed, and is committed."""
        everyone = self._watchers.get(None, ())
        for key in keys:
            for watcher in (*self._watchers.get(key, ()), *everyone):
                watcher.tell(key)

    @contextmanager
    def watcher(self, key: str | None) -> Iterator[Watcher]:
        """A watcher for the time of the block."""
        watcher = self.open(key)
        try:
            yield watcher
        finally:
            self._count -= 1
            own = self._watchers[key]
            own.discard(watcher)
            if not own:
                del self._watchers[key]

    @contextmanager
    def joined(self, key: str, watcher: Watcher) -> Iterator[None]:
        """Tell a watcher of another hub about this key as well, for the time of the block."""
        own = self._watchers.setdefault(key, set())
        own.add(watcher)
        try:
            yield
        finally:
            own.discard(watcher)
            if not own:
                self._watchers.pop(key, None)

    def open(self, key: str | None) -> Watcher:
        """A watcher for as long as the hub."""
        if self._count >= WATCHERS_MAX:
            raise RuntimeError(f"hub: {WATCHERS_MAX} watchers are open")
        watcher = Watcher(key)
        if self._closed:
            watcher.close()
        self._watchers.setdefault(key, set()).add(watcher)
        self._count += 1
        return watcher

    def close(self) -> None:
        """End every watch, now and later."""
        self._closed = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                watcher.close()
