"""The grid by its versions in the store; the file is the first one, and counts alone until another is made.

As long as every version came out of the file, a changed file is a new version. Once somebody has made
one at the desk, the store counts, and a changed file is only told of: it can be imported.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Protocol

from fleet.core.balance.grid import Grid, parse_grid
from fleet.core.balance.versions import (
    FILE,
    GridVersion,
    NewVersion,
    digest_of,
    in_force,
    standing,
)
from fleet.errors import FleetError, InvalidError
from fleet.ports import Clock

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
FILE_ACTOR: Final = "fleetd"


class GridRows(Protocol):
    """Where versions are kept."""

    async def revision(self) -> int:
        """Rises with every change; raise StoreError."""
        ...

    async def history(self) -> tuple[int, list[GridVersion]]:
        """The revision and the versions, the oldest first; raise StoreError."""
        ...

    async def text(self, version: int) -> str:
        """One version as a file; raise NotFoundError or StoreError."""
        ...

    async def add(self, new: NewVersion) -> int:
        """Keep a version; raise InvalidError, RefusedError or StoreError."""
        ...


class TextFile(Protocol):
    """The grid's file."""

    def text(self) -> str:
        """Its content; raise InvalidError when it can't be read."""
        ...

    def changed(self) -> bool:
        """Whether it is another than the one last read."""
        ...


class GridVersions:
    """Implements ``GridSource`` of the planner. ``day`` is the tariff's clock."""

    def __init__(self, rows: GridRows, file: TextFile, *, day: Clock, real: Clock) -> None:
        self._rows = rows
        self._file = file
        self._day = day
        self._real = real
        self._revision = -1
        self._known: list[GridVersion] = []
        self._texts: dict[int, str] = {}
        self._loaded: int | None = None
        self._fault = ""
        self._told = ""
        self._unread = False  # the file has changed, and nothing has come of it yet

    async def open(self) -> None:
        """Take in what is stored, and the file first of all; raise InvalidError or StoreError."""
        await self._refresh()
        try:
            text = self._file.text()
            if self._by_file() and text != self._newest_text():
                parse_grid(text)
                await self._keep(text)
        except InvalidError as error:
            if self._by_file():
                raise
            log.warning("balance: %s; the versions in the store count", error)
            return
        if not self._known_text(text):
            log.warning("balance: the grid's file is no version; those in the store count")

    def load(self) -> Grid:
        """The version that counts now; raise InvalidError."""
        self._told = self._fault
        if self._fault:
            raise InvalidError(self._fault)
        version = self._in_force()
        if version is None:
            raise InvalidError("grid: there is no version yet")
        self._loaded = version.version
        try:
            return parse_grid(self._texts[version.version])
        except InvalidError as error:
            raise InvalidError(f"grid version {version.version}: {error}") from error

    def changed(self) -> bool:
        """Whether another version counts by now, or there is something to be told."""
        version = self._in_force()
        other = version is not None and version.version != self._loaded
        return other or self._fault != self._told

    async def run(self) -> None:
        """Look for new versions, and at the file, until cancelled."""
        said = ""
        while True:
            await self._real.sleep(LOOK_S)
            try:
                await self.look()
                said = ""
            except FleetError as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("balance: the grid's versions: %s; trying again", said)

    async def look(self) -> None:
        """Take in new versions and a changed file.

        Raises:
            StoreError, RefusedError: not now; the next look does what is left.
        """
        if await self._rows.revision() != self._revision:
            await self._refresh()
        self._unread = self._unread or self._file.changed()
        if not self._unread:
            return
        try:
            text = self._file.text()
            if not (text == self._newest_text() if self._by_file() else self._known_text(text)):
                await asyncio.to_thread(parse_grid, text)
                await self._take(text)
            self._fault = ""
        except InvalidError as error:
            self._fault = str(error)
        self._unread = False

    def _in_force(self) -> GridVersion | None:
        """The version that counts. What has begun once goes on, though the clock was put back since."""
        found = in_force(self._known, self._day.wall_ms())
        if found is None or found.version in self._texts:
            return found
        return next(each for each in standing(self._known) if each.version in self._texts)

    def _by_file(self) -> bool:
        return all(each.source == FILE for each in self._known)

    def _known_text(self, text: str) -> bool:
        digest = digest_of(text)
        return any(each.digest == digest for each in self._known)

    def _newest_text(self) -> str | None:
        kept = standing(self._known)
        return self._texts[kept[-1].version] if kept else None

    async def _take(self, text: str) -> None:
        if not self._by_file():
            raise InvalidError(
                "the file has changed, but versions made at the desk count; "
                "bring it in with `fleetd grid import`"
            )
        await self._keep(text)

    async def _keep(self, text: str) -> None:
        await self._rows.add(
            NewVersion(
                text=text,
                valid_from_ms=self._day.wall_ms(),
                now_ms=self._day.wall_ms(),
                created_ms=self._real.wall_ms(),
                actor=FILE_ACTOR,
                reason="the grid's file" if not self._known else "the grid's file has changed",
                source=FILE,
                revision=self._revision,
            )
        )
        await self._refresh()

    async def _refresh(self) -> None:
        """The texts that count now or later are kept at hand, and no others."""
        revision, known = await self._rows.history()
        now = in_force(known, self._day.wall_ms())
        first = now.version if now is not None else 0
        wanted = [each.version for each in standing(known) if each.version >= first]
        texts = {
            version: self._texts.get(version) or await self._rows.text(version)
            for version in wanted
        }
        self._revision, self._known, self._texts = revision, known, texts
