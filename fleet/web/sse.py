"""Server-sent events that survive a flickering network.

Every event is a default one with a ``type`` in its JSON and carries whole state, so that a missed
one does no harm. A heartbeat is an event too: a comment would be invisible to the page, which uses
the silence to notice a dead connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, suppress
from itertools import count
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fleet.errors import FleetError
from fleet.ports_console import Ticks

STREAMS_MAX: Final = 2_000  # open at once in this process
PENDING_MAX: Final = 1_000  # changed views waiting for one slow browser
#: One stream of so many is kept for who is logged in: strangers can't take the console's.
KEPT_OF: Final = 4
RETRY_MS: Final = 2_000
GAP_S: Final = 0.25  # between two events of one stream: many changes go out as one
HEARTBEAT: Final = {"type": "heartbeat"}
#: Who opened it may not look any more: the page asks for itself again.
ENDED: Final = {"type": "ended"}
_SPREAD: Final = 16  # streams that were opened together do not ask together

Item = TypeVar("Item")
#: Changed views by id, None when too many were missed and the whole must be sent.
Batch = Mapping[str, Item] | None


class StreamsFullError(FleetError):
    """Too many open streams; poll instead."""

    code = "streams-full"
    status = 503


class Right(Protocol):
    """By what a stream was opened."""

    @property
    def key(self) -> str:
        """Whose it is: who changes what they may names this; empty: anybody's."""
        ...

    async def holds(self) -> bool:
        """Whether the stream may go on; raise FleetError when nobody can say."""
        ...


class Streams:
    """The open streams of this process; ``stop`` ends them, so that the server can stop."""

    def __init__(
        self, *, heartbeat_s: float, recheck_s: float, streams_max: int = STREAMS_MAX
    ) -> None:
        self.heartbeat_s = heartbeat_s
        self.stopped = asyncio.Event()
        self.open = 0
        self._streams_max = streams_max
        self._recheck_s = recheck_s
        self._told: dict[asyncio.Event, str] = {}
        self._opened = count()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One more is open meanwhile."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def rights_changed(self, key: str) -> None:
        """Somebody may do less, or nothing, from now on: their streams ask again at once."""
        for told, owner in self._told.items():
            if owner == key:
                told.set()

    async def outlived(self, right: Right) -> bool:
        """Wait for the right to end. Whether it did; False: nobody can say, which is no right."""
        if not right.key:
            await self.stopped.wait()
            return False
        told = asyncio.Event()
        self._told[told] = right.key
        wait_s = self._recheck_s * (1 - next(self._opened) % _SPREAD / (2 * _SPREAD))
        try:
            while await right.holds():
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await told.wait()
                told.clear()
        except FleetError:
            return False
        finally:
            del self._told[told]
        return True

    def stop(self) -> None:
        """End every stream, now and from now on."""
        self.stopped.set()

    def check_room(self, right: Right) -> None:
        """Raise StreamsFullError when no more streams may be opened by this right."""
        most = self._streams_max if right.key else self._streams_max - self._streams_max // KEPT_OF
        if self.stopped.is_set() or self.open >= most:
            raise StreamsFullError("too many open streams; poll every 2 s instead")


class _Mailbox(Generic[Item]):
    """The newest view per id; a browser that reads slowly gets fewer, never older ones."""

    def __init__(self, key: Callable[[Item], str]) -> None:
        self.filled = asyncio.Event()
        self.ended = False
        self._key = key
        self._views: dict[str, Item] = {}
        self._overflow = False

    def want_all(self) -> None:
        self._views.clear()
        self._overflow = True
        self.filled.set()

    def put(self, view: Item) -> None:
        self._views[self._key(view)] = view
        self.filled.set()
        if len(self._views) > PENDING_MAX:
            self.want_all()

    def take(self) -> Batch[Item]:
        views, self._views = self._views, {}
        overflow, self._overflow = self._overflow, False
        self.filled.clear()
        return None if overflow else views

    def end(self) -> None:
        self.ended = True
        self.filled.set()


class EventStream(Response, Generic[Item]):
    """Streams what ``render`` makes of the views that ``source`` yields.

    ``render`` gets the changed views, or None for all of them (at the start with ``whole_first``,
    and after an overflow), and returns the JSON to send, None to send nothing.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: Streams,
        source: Callable[[], AbstractAsyncContextManager[AsyncIterator[Item]]],
        key: Callable[[Item], str],
        render: Callable[[Batch[Item]], Awaitable[Any]],
        *,
        right: Right,
        whole_first: bool = False,
        gap_s: float = GAP_S,
    ) -> None:
        streams.check_room(right)
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._source = source
        self._mailbox = _Mailbox(key)
        self._render = render
        self._right = right
        self._whole_first = whole_first
        self._gap_s = gap_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Stream until the browser leaves, the source or the right to it ends, or the server stops."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await _serve(self._streams, self._right, receive, send, self._read(), self._write(send))

    async def _read(self) -> None:
        async with self._source() as views:
            if self._whole_first:
                self._mailbox.want_all()
            async for view in views:
                self._mailbox.put(view)
        self._mailbox.end()
        await self._streams.stopped.wait()  # the writer ends the stream, after the last view

    async def _write(self, send: Send) -> None:
        await _send(send, f"retry: {RETRY_MS}\n".encode() + _event(HEARTBEAT))
        while True:
            try:
                async with asyncio.timeout(self._streams.heartbeat_s):
                    await self._mailbox.filled.wait()
            except TimeoutError:
                await _send(send, _event(HEARTBEAT))
                continue
            ended = self._mailbox.ended
            batch = self._mailbox.take()
            if batch is None or batch:
                document = await self._render(batch)
                if document is not None:
                    await _send(send, _event(document))
            if ended:
                return
            await self._pause()

    async def _pause(self) -> None:
        """Let changes gather, but not past the server's stop."""
        try:
            async with asyncio.timeout(self._gap_s):
                await self._streams.stopped.wait()
        except TimeoutError:
            return


async def _serve(streams: Streams, right: Right, receive: Receive, send: Send, *jobs: Any) -> None:
    """Do the jobs until one ends, the browser leaves, the right to it ends, or the server stops."""
    ended = False

    async def outlive() -> None:
        nonlocal ended
        ended = await streams.outlived(right)

    with streams.counted():
        await _first_of(*jobs, outlive(), _left(receive), streams.stopped.wait())
    last = _event(ENDED) if ended else b""
    await send({"type": "http.response.body", "body": last, "more_body": False})


async def _first_of(*jobs: Any) -> None:
    """Run jobs side by side until the first ends; cancel the others."""
    done = asyncio.Event()

    async def run(job: Any) -> None:
        await job
        done.set()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(job)) for job in jobs]
        await done.wait()
        for task in tasks:
            task.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _event(document: Any) -> bytes:
    return b"data: " + msgspec.json.encode(document) + b"\n\n"


def one_stream(
    streams: Streams,
    item_id: str,
    watch: Callable[[str], AbstractAsyncContextManager[AsyncIterator[Item]]],
    get: Callable[[str], Awaitable[Item]],
    told: Callable[[Item], Awaitable[Any]],
    *,
    right: Right,
) -> EventStream[Item]:
    """One thing, first as it stands, then at every change; ``told`` makes of it what is sent."""

    async def render(batch: Batch[Item]) -> Any:
        return await told(batch[item_id] if batch else await get(item_id))

    return EventStream(streams, lambda: watch(item_id), lambda _: item_id, render, right=right)


class FanStream(Response):
    """Streams bytes that were encoded once for everybody.

    ``render`` gets what ``ticks`` has, or None when everything is to be told (at the start, and when
    the browser did not keep up, and every ``again_s``), and returns ready events; empty for nothing.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        streams: Streams,
        ticks: Callable[[], AbstractContextManager[Ticks]],
        render: Callable[[tuple[bytes, frozenset[str]] | None], bytes],
        *,
        right: Right,
        again_s: float = math.inf,
    ) -> None:
        streams.check_room(right)
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._ticks = ticks
        self._render = render
        self._right = right
        self._again_s = again_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Stream until the browser leaves, the source or the right to it ends, or the server stops."""
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await _serve(self._streams, self._right, receive, send, self._write(send))

    async def _write(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        with self._ticks() as ticks:
            await _send(send, f"retry: {RETRY_MS}\n".encode() + _event(HEARTBEAT))
            again = -math.inf
            while not ticks.ended:
                if clock() >= again:
                    await _send(send, self._render(None))
                    again = clock() + self._again_s
                try:
                    async with asyncio.timeout(self._streams.heartbeat_s):
                        await ticks.filled()
                except TimeoutError:
                    await _send(send, _event(HEARTBEAT))
                    continue
                if body := self._render(ticks.take()):
                    await _send(send, body)


def ready_event(document: Any) -> bytes:
    """An event as it goes out."""
    return _event(document)
