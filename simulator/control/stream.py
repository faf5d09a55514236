"""The cabinet as a stream of server-sent events: what the page and the terminal follow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response, StreamingResponse

#: A page, a terminal, and a few more of each.
STREAMS_MAX: Final = 16
LOOK_EVERY_S: Final = 0.25
#: A stream says something at least this often, so that both ends notice when the other is gone.
BEAT_EVERY: Final = 8


class Looks:
    """Hands one look at the cabinet to every stream of that instant."""

    def __init__(self, look: Callable[[], bytes], stopping: asyncio.Event) -> None:
        self._look, self._stopping = look, stopping
        self._recently, self._again_s = b"", 0.0
        self._open = 0

    @property
    def full(self) -> bool:
        """No more streams may be opened."""
        return self._open >= STREAMS_MAX

    async def follow(self) -> AsyncIterator[bytes]:
        """Events until the reader leaves or the simulator ends."""
        self._open += 1
        shown, quiet = b"", 0
        try:
            while not self._stopping.is_set():
                now = self._recent()
                if now != shown:
                    shown, quiet = now, 0
                    yield b"data: " + now + b"\n\n"
                elif (quiet := quiet + 1) >= BEAT_EVERY:
                    quiet = 0
                    yield b'data: {"type":"beat"}\n\n'
                await self._pause()
        finally:
            self._open -= 1

    def _recent(self) -> bytes:
        now_s = asyncio.get_running_loop().time()
        if now_s >= self._again_s:
            self._recently, self._again_s = self._look(), now_s + LOOK_EVERY_S / 2
        return self._recently

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await self._stopping.wait()
        except TimeoutError:
            return


def add_stream(app: FastAPI, look: Callable[[], bytes], stopping: asyncio.Event) -> None:
    """Serve ``look`` at ``/stream`` whenever what it returns changes."""
    looks = Looks(look, stopping)

    @app.get("/stream", tags=["truth"])
    async def stream() -> Response:
        """The whole state, again whenever it changes, as server-sent events."""
        if looks.full:
            return JSONResponse({"detail": "too many open streams"}, status_code=503)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(looks.follow(), media_type="text/event-stream", headers=headers)
