"""Lines that are sockets: a serial server and Modbus TCP."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from cabinet.adapters.clock import SystemClock
from cabinet.adapters.devices.modbus import Modbus
from cabinet.calls import Place, Urgency
from cabinet.config import PackConfig
from cabinet.config_devices import Protocol
from cabinet.errors import LinkError
from cabinet.runtime.bus import Bus
from cabinet.runtime.line import Line
from protocols.registers import Space
from tests.support.wires import rtu, until

PACK = PackConfig(voltage_max_v=54.6, current_max_a=6.0, current_min_a=0.5, capacity_wh=960.0)


class Server:
    """Answers each request by a function; can hang up on everybody."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while request := await reader.read(300):
                writer.write(self._answer(request))
                await writer.drain()
        except ConnectionError:
            return
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        if self._protocol is Protocol.MODBUS_RTU:
            return rtu(request[0], 3, 2, request[2], request[3])
        body = bytes([request[6], 3, 2, request[8], request[9]])
        return request[:4] + len(body).to_bytes(2) + body


@pytest.mark.parametrize(
    ("scheme", "protocol"),
    [("tcp", Protocol.MODBUS_RTU), ("modbus-tcp", Protocol.MODBUS_TCP)],
)
async def test_a_socket_is_used_lost_and_found_again(scheme: str, protocol: Protocol) -> None:
    server = Server(protocol)
    await server.start()
    clock = SystemClock()
    line = Line(f"{scheme}://127.0.0.1:{server.port}", reopen_max_s=0.3)
    bus = Bus("socket", line, clock)
    station = bus.station("device", processing_ms=100)
    modbus = Modbus(Place(station, 3, protocol, PACK, clock))

    async def read(address: int) -> tuple[int, ...]:
        return await modbus.read_words(Space.HOLDING, address, 1, Urgency.READING)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        stack.push_async_callback(server.stop)
        task = group.create_task(bus.run())
        for address in range(5):
            assert await read(address) == (address,)
        await server.stop()
        await until(lambda: not line.is_open, "the loss noticed")
        with pytest.raises(LinkError):
            await read(1)
        await server.start()
        await until(lambda: line.is_open, "connected again")
        assert await read(9) == (9,)
        task.cancel()


async def test_nobody_listens() -> None:
    server = Server(Protocol.MODBUS_TCP)
    await server.start()
    await server.stop()
    line = Line(f"modbus-tcp://127.0.0.1:{server.port}")
    assert not await line.ensure_open()
    assert not await line.ensure_open(), "not before its pause is over"
    assert line.retry_in_s() > 0
