"""The cabinet's loudspeaker: plays the recording of a prompt, one at a time, the newest first."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

from cabinet.voice_texts import file_name

log = logging.getLogger(__name__)

#: Longer than any sentence: a player that hangs is ended.
PLAY_MAX_S: Final = 20.0
SUFFIX: Final = ".wav"


class VoiceFiles:
    """Implements ``cabinet.ports.Voice``: ``<folder>/<language>/<name>.wav`` by a player program.

    A prompt that waits is replaced by the next one: old advice is wrong advice. A recording that is
    missing is named in the log once, and the cabinet goes on in silence.
    """

    def __init__(self, folder: Path, language: str, player: str) -> None:
        self._folder = folder / language
        self._player = player
        self._next: str | None = None
        self._wake = asyncio.Event()
        self._complained: set[str] = set()

    def say(self, prompt: str, slot: int | None) -> None:
        """Speak as soon as the present sentence has ended; returns at once."""
        self._next = file_name(prompt, slot)
        self._wake.set()

    async def run(self) -> None:
        """Play until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            name, self._next = self._next, None
            if name is not None:
                await self._play(self._folder / f"{name}{SUFFIX}")

    async def _play(self, path: Path) -> None:
        if not await asyncio.to_thread(path.is_file):
            self._complain(f"no recording {path}")
            return
        try:
            process = await asyncio.create_subprocess_exec(
                self._player, str(path), stdin=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            self._complain(f"cannot run {self._player}: {error.strerror}")
            return
        try:
            async with asyncio.timeout(PLAY_MAX_S):
                await process.wait()
        except TimeoutError:
            self._complain(f"{self._player} does not end")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def _complain(self, what: str) -> None:
        if what not in self._complained:
            self._complained.add(what)
            log.warning("voice: %s", what)
