"""One serial line, or a socket that stands for one: bytes out, bytes in.

A line that is missing or unplugged is a state, not a crash: ``ensure_open`` tries again, by path,
with a growing pause. What the bytes mean is the caller's business.
"""

from __future__ import annotations

import asyncio
import logging
import os
import termios
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

import serial

from cabinet.errors import CabinetError, Retry
from protocols.modbus import rtu
from protocols.trace import Direction

log = logging.getLogger(__name__)

T = TypeVar("T")

READ_BYTES: Final = 4_096
#: A reply is below 300 bytes; a line that babbles more than this is not answering us.
BUFFER_BYTES_MAX: Final = 4_096
#: Stale bytes are read away before a request; a line that never runs dry is babbling.
DRAIN_READS_MAX: Final = 64
REOPEN_FIRST_S: Final = 0.1
CONNECT_TIMEOUT_S: Final = 2.0
#: A read that no device answers (its unit is a reserved one): what comes back is the line's own
#: echo. Time for the adapter to give it back comes on top of the time on the wire.
ECHO_PROBE: Final = rtu(0xF8, bytes.fromhex("0300000001"))
ECHO_SLACK_S: Final = 0.030
#: Answers without an echo before them until the line counts as one without.
PLAIN_READS: Final = 2
BITS_PER_BYTE: Final = 10

#: Told every byte: which way, and whether anybody waited for it.
Tap = Callable[[Direction, bytes, bool], None]


def _no_tap(_direction: Direction, _data: bytes, _stray: bool) -> None:  # noqa: FBT001 - a Tap
    """Nobody listens."""


def _nothing() -> None:
    """Nobody waits for these bytes, and they are no surprise."""


class LineDownError(CabinetError):
    """The port is missing or went away; ``sent_maybe`` as in ``LinkError``."""

    code = "line-down"
    retry = Retry.SAFE

    def __init__(self, port: str, why: str, *, sent_maybe: bool) -> None:
        super().__init__(f"{port}: {why}")
        self.why = why
        self.sent_maybe = sent_maybe


class NoReplyError(CabinetError):
    """No valid reply in time; ``received`` is what came instead."""

    code = "no-reply"
    retry = Retry.CHECK_FIRST

    def __init__(self, received: bytes) -> None:
        super().__init__(f"no valid reply, received {received.hex(' ') or 'nothing'}")
        self.received = received


class _Port(Protocol):
    def write(self, data: bytes) -> None: ...

    def drain(self) -> bytes: ...

    def close(self) -> None: ...


class Line:
    """Owned by one task: exchanges never overlap.

    ``url`` is a device path, ``tcp://host:port`` (a serial line behind a socket) or
    ``modbus-tcp://host:port``. ``tap`` is told everything that goes over it; ``on_stray`` what
    came when nobody waited.

    Some RS-485 adapters hear what they send. ``echoes`` is what the last exchange told of that,
    None before the first: on such a line the echo of a write must not pass for its confirmation.
    """

    def __init__(
        self,
        url: str,
        *,
        baud: int = 9_600,
        parity: str = "N",
        stopbits: int = 1,
        reopen_max_s: float = 2.0,
        tap: Tap = _no_tap,
    ) -> None:
        self.url = url
        self.echoes: bool | None = None
        self._plain_reads = 0
        self.on_stray: Callable[[bytes], None] | None = None
        self._tap = tap
        self.baud = baud
        self._parity = parity
        self._stopbits = stopbits
        self._reopen_max_s = reopen_max_s
        self._port: _Port | None = None
        self._buffer = bytearray()
        self._on_bytes: Callable[[], None] | None = None
        self._on_lost: Callable[[str], None] | None = None
        self._pause_s = 0.0  # 0: the last attempt succeeded
        self._next_try = 0.0
        self.heard_at = 0.0  # loop time of the last byte in or out

    @property
    def is_open(self) -> bool:
        """Whether bytes can be sent."""
        return self._port is not None

    @property
    def is_socket(self) -> bool:
        """Whether a socket stands for the line."""
        return "://" in self.url

    def retry_in_s(self) -> float:
        """Time until the next attempt to open makes sense."""
        return max(0.0, self._next_try - asyncio.get_running_loop().time())

    async def ensure_open(self) -> bool:
        """Whether the line is open; tries to open it when its pause is over."""
        if self._port is not None:
            return True
        if self.retry_in_s() > 0:
            return False
        try:
            self._port = await self._open()
        except (OSError, ValueError, termios.error) as error:
            # pyserial's own error is an OSError; a pty refuses parity with termios.error, and an
            # impossible baud rate is a ValueError.
            self._rest(str(error))
            return False
        if self._pause_s:
            log.info("port %s is back", self.url)
        self._pause_s = 0.0
        self.echoes = None if self._may_echo else False
        self.heard_at = asyncio.get_running_loop().time()
        return True

    async def learn_echo(self) -> None:
        """Find out whether the line echoes, when nothing has told so yet.

        Raises:
            LineDownError: the line is not open, or was lost on the way.
        """
        if self.echoes is not None:
            return
        timeout_s = len(ECHO_PROBE) * BITS_PER_BYTE / self.baud + ECHO_SLACK_S

        def take(received: bytes) -> bool | None:
            return True if ECHO_PROBE in received else None

        try:
            await self._exchange(ECHO_PROBE, take, timeout_s)
        except NoReplyError:
            self.echoes = False
        else:
            self.echoes = True
            log.warning("port %s hears its own requests: the adapter echoes", self.url)

    async def exchange(
        self,
        request: bytes,
        take: Callable[[bytes], T | None],
        timeout_s: float,
        *,
        strict: bool = False,
    ) -> T:
        """Send a request and hand everything received since to ``take`` until it has a reply.

        On a line that echoes, ``take`` gets what came after the echo; with ``strict`` it gets
        nothing before an echo was seen.

        Raises:
            LineDownError: the line is not open, or was lost on the way.
            NoReplyError: ``take`` found no reply in time.
        """

        def behind_echo(received: bytes) -> T | None:
            if not self.echoes:
                return take(received)
            at = received.find(request)
            if at < 0:
                return None if strict else take(received)
            return take(received[at + len(request) :])

        try:
            reply = await self._exchange(request, behind_echo, timeout_s)
        except NoReplyError as error:
            if not strict and request in error.received:
                self._learn(echoed=True)
            raise
        if not strict:
            self._learn(echoed=request in self._buffer)
        return reply

    async def _exchange(
        self, request: bytes, take: Callable[[bytes], T | None], timeout_s: float
    ) -> T:
        if self._port is None:
            raise LineDownError(self.url, "not open", sent_maybe=False)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        look = self._looker(done, take)

        def lost(why: str) -> None:
            if not done.done():
                done.set_exception(LineDownError(self.url, why, sent_maybe=True))

        try:
            self._strayed(self._port.drain())
            self._buffer.clear()
            self._on_bytes, self._on_lost = look, lost
            self._port.write(request)
            self.heard_at = loop.time()
            self._tap(Direction.OUT, request, False)  # noqa: FBT003 - a Tap
            async with asyncio.timeout(timeout_s):
                return await done
        except TimeoutError:
            reply = self._last_look(take)
            if reply is None:
                raise NoReplyError(bytes(self._buffer)) from None
            return reply
        except OSError as error:
            self._on_lost = None  # nobody waits for a reply that was never asked for
            self.lose(str(error))
            raise LineDownError(self.url, str(error), sent_maybe=True) from error
        finally:
            self._on_bytes = self._on_lost = None
            if self._buffer:
                self._tap(Direction.IN, bytes(self._buffer), False)  # noqa: FBT003 - a Tap

    def _looker(
        self, done: asyncio.Future[T], take: Callable[[bytes], T | None]
    ) -> Callable[[], None]:
        """What to do whenever bytes have come in."""

        def look() -> None:
            if not done.done():
                try:
                    reply = take(bytes(self._buffer))
                except Exception as error:  # noqa: BLE001 - it belongs to who waits for the reply
                    done.set_exception(error)
                else:
                    if reply is not None:
                        done.set_result(reply)

        return look

    def _last_look(self, take: Callable[[bytes], T | None]) -> T | None:
        """A busy computer may meet the deadline before it has read what is there."""
        if self._port is not None and (data := self._port.drain()):
            self.heard_at = asyncio.get_running_loop().time()
            self._buffer += data[: BUFFER_BYTES_MAX - len(self._buffer)]
        return take(bytes(self._buffer)) if self._buffer else None

    async def tell(self, request: bytes, wire_s: float) -> None:
        """Send what is not answered, and wait until it has gone out.

        Raises:
            LineDownError: the line is not open, or was lost on the way.
        """
        if self._port is None:
            raise LineDownError(self.url, "not open", sent_maybe=False)
        try:
            self._strayed(self._port.drain())
            self._buffer.clear()
            self._on_bytes = _nothing  # an echo is no stray
            self._port.write(request)
            self._tap(Direction.OUT, request, False)  # noqa: FBT003 - a Tap
            await asyncio.sleep(wire_s)
        except OSError as error:
            self.lose(str(error))
            raise LineDownError(self.url, str(error), sent_maybe=True) from error
        finally:
            self._on_bytes = None
        self.heard_at = asyncio.get_running_loop().time()

    def received(self, data: bytes) -> None:
        """Bytes came in; those that nobody waits for are dropped at the next request."""
        self.heard_at = asyncio.get_running_loop().time()
        if len(self._buffer) + len(data) <= BUFFER_BYTES_MAX:
            self._buffer += data
        if self._on_bytes:
            self._on_bytes()
        else:
            self._strayed(data)

    def lose(self, why: str) -> None:
        """The port went away: close it and come back to it later."""
        self.close()
        self._rest(why)
        if self._on_lost:
            self._on_lost(why)

    def close(self) -> None:
        """Let the port go; harmless when it is closed."""
        port, self._port = self._port, None
        if port:
            port.close()

    def _learn(self, *, echoed: bool) -> None:
        """What a read told of the line's echo: one is proof, its absence must repeat itself."""
        self._plain_reads = 0 if echoed else self._plain_reads + 1
        if echoed and self._may_echo:
            self.echoes = True
        elif self._plain_reads >= PLAIN_READS:
            self.echoes = False

    @property
    def _may_echo(self) -> bool:
        """Whether there is a serial side at all; a Modbus TCP gateway keeps its echo to itself."""
        return not self.url.startswith("modbus-tcp://")

    def _strayed(self, data: bytes) -> None:
        if data:
            self._tap(Direction.IN, data, True)  # noqa: FBT003 - a Tap
            if self.on_stray:
                self.on_stray(data)

    def _rest(self, why: str) -> None:
        if not self._pause_s:  # once per outage
            log.warning("port %s: %s", self.url, why)
        self._pause_s = min(max(REOPEN_FIRST_S, 2 * self._pause_s), self._reopen_max_s)
        self._next_try = asyncio.get_running_loop().time() + self._pause_s

    async def _open(self) -> _Port:
        if not self.is_socket:
            return _SerialPort(self, self.url, self.baud, self._parity, self._stopbits)
        host, _, number = self.url.partition("://")[2].rpartition(":")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):  # TimeoutError is an OSError
            _, port = await loop.create_connection(lambda: _SocketPort(self), host, int(number))
        return port


class _SerialPort:
    """A tty, exclusive and raw, read by the event loop."""

    def __init__(self, line: Line, path: str, baud: int, parity: str, stopbits: int) -> None:
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._serial: Any = serial.Serial(
            path, baud, parity=parity, stopbits=stopbits, timeout=0, exclusive=True
        )
        self._fd = self._serial.fileno()
        try:
            # With VMIN 0 an empty read would look like a hang-up.
            modes = termios.tcgetattr(self._fd)
            modes[6][termios.VMIN] = 1
            termios.tcsetattr(self._fd, termios.TCSANOW, modes)
        except termios.error:
            self._serial.close()
            raise
        try:
            self._serial.set_low_latency_mode(True)
        except (ValueError, NotImplementedError, OSError):
            log.debug("port %s has no low-latency mode", path)
        self._loop.add_reader(self._fd, self._readable)

    def write(self, data: bytes) -> None:
        """Frames are shorter than any tty buffer: a short write means that nothing moves."""
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        if sent != len(data):
            termios.tcflush(self._fd, termios.TCOFLUSH)
            raise OSError("the port takes no bytes")

    def drain(self) -> bytes:
        stale = b""
        for _ in range(DRAIN_READS_MAX):
            try:
                if not (data := os.read(self._fd, READ_BYTES)):
                    break
            except BlockingIOError:
                break
            stale = (stale + data)[-BUFFER_BYTES_MAX:]
        return stale

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        try:
            self._serial.close()
        except (OSError, termios.error):
            log.debug("port %s went away before it was closed", self._line.url)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._line.lose(str(error))
            return
        if data:
            self._line.received(data)
        else:
            self._line.lose("hung up")


class _SocketPort(asyncio.Protocol):
    """A TCP connection."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._line.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            self._line.lose(str(exc or "closed by the other side"))

    def write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("closed by the other side")
        self._transport.write(data)

    def drain(self) -> bytes:
        """The loop has read what the socket had."""
        return b""

    def close(self) -> None:
        transport, self._transport = self._transport, None
        if transport:
            transport.abort()
