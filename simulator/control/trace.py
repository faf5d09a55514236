"""The control API's window on the wires: the last frames in words, filtered, streamed, exported."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import FastAPI, Query
from fastapi.responses import PlainTextResponse, StreamingResponse
from pydantic import BaseModel

from protocols.decoding import LineDecoder, Station, by_line
from protocols.device import Protocol
from protocols.trace import Decoder, Direction, Filter, Ring, frame_fields, lines
from simulator.devices.rack import Rack
from simulator.wires.bus import ModbusBus
from simulator.wires.ends import OVER_TCP
from simulator.wires.frames import FrameLine

LIMIT_DEFAULT: Final = 200
LIMIT_MAX: Final = 5_000
#: A stream looks for new frames this often, and says that it lives when there are none.
STREAM_TURN_S: Final = 0.1
STREAM_ALIVE_TURNS: Final = 100
STREAM_BURST_MAX: Final = 500

Line = Annotated[str | None, Query(max_length=64, description="bus-a, slot-03, bus-a/tcp …")]
Contains = Annotated[str, Query(max_length=100, description="In the hex bytes or in the words.")]


class FrameState(BaseModel):
    """One frame."""

    seq: int
    wall_ms: int
    mono_ms: int
    line: str
    direction: Direction
    hex: str
    text: str
    stray: bool


class TracePage(BaseModel):
    """Frames, oldest first. ``first`` > ``since`` + 1 means that some fell out of the ring."""

    first: int
    next: int
    frames: list[FrameState]


@dataclass(frozen=True, slots=True)
class WireTrace:
    """The ring, and who reads it."""

    ring: Ring
    rack: Rack

    def decoder(self) -> Decoder:
        """Reads all lines, with the devices at the addresses that they have now."""
        table = {
            "bus-a": _stations(self.rack.bus_a),
            "bus-chargers": _stations(self.rack.bus_chargers),
        }
        found = {name: LineDecoder(Protocol.MODBUS_RTU, known) for name, known in table.items()}
        for name, known in table.items():
            found[name + OVER_TCP] = LineDecoder(Protocol.MODBUS_TCP, known)
        for number, port in self.rack.packs.items():
            decoder = LineDecoder(Protocol.JBD, {0: Station(port.name)})
            for end in ("", OVER_TCP):
                found[f"slot-{number:02d}{end}"] = decoder
        for name, line in self.rack.frames.items():
            found[name] = found[name + OVER_TCP] = _framed(line)
        return by_line(found.get)


def add_trace(app: FastAPI, trace: WireTrace) -> None:
    """Add the routes."""

    @app.get("/trace", tags=["trace"])
    async def frames(
        since: Annotated[int, Query(ge=0)] = 0,
        line: Line = None,
        direction: Direction | None = None,
        contains: Contains = "",
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
    ) -> TracePage:
        """The newest ``limit`` frames after number ``since`` that pass the filter."""
        wanted = Filter(line, direction, contains)
        found = trace.ring.select(since, limit, wanted, trace.decoder())
        return TracePage(
            first=trace.ring.first_seq,
            next=trace.ring.seq,
            frames=[FrameState(**frame_fields(frame, text)) for frame, text in found],
        )

    @app.get("/trace/export", tags=["trace"], response_class=PlainTextResponse)
    async def export(
        line: Line = None, direction: Direction | None = None, contains: Contains = ""
    ) -> PlainTextResponse:
        """All that is kept, one text line a frame."""
        wanted = Filter(line, direction, contains)
        found = trace.ring.select(0, trace.ring.frames_max, wanted, trace.decoder())
        headers = {"Content-Disposition": 'attachment; filename="trace.txt"'}
        return PlainTextResponse("".join(f"{told}\n" for told in lines(found)), headers=headers)

    @app.get("/trace/stream", tags=["trace"], response_class=StreamingResponse)
    async def stream(
        line: Line = None, direction: Direction | None = None, contains: Contains = ""
    ) -> StreamingResponse:
        """New frames as server-sent events, as they come."""
        events = _events(trace, Filter(line, direction, contains))
        return StreamingResponse(events, media_type="text/event-stream")


async def _events(trace: WireTrace, wanted: Filter) -> AsyncIterator[str]:
    seq, turns = trace.ring.seq, 0
    yield ": listening\n\n"
    while True:
        await asyncio.sleep(STREAM_TURN_S)
        found = trace.ring.select(seq, STREAM_BURST_MAX, wanted, trace.decoder())
        seq, turns = trace.ring.seq, turns + 1
        for frame, text in found:
            body = frame_fields(frame, text)
            yield f"id: {frame.seq}\ndata: {json.dumps(body, ensure_ascii=False)}\n\n"
        if not found and turns % STREAM_ALIVE_TURNS == 0:
            yield ": alive\n\n"


def _framed(line: FrameLine) -> LineDecoder:
    station = Station.of(line.port.device, line.type.type)
    protocol = min(line.type.protocols)
    return LineDecoder(protocol, {line.type.address: station})


def _stations(bus: ModbusBus) -> dict[int, Station]:
    return {device.unit: Station.of(device.name, device.type) for device in bus.devices}


def recorder(
    ring: Ring, wall_ms: Callable[[], int], monotonic_s: Callable[[], float]
) -> Callable[[str, Direction, bytes], None]:
    """Puts what a line carries into the ring."""

    def record(line: str, direction: Direction, data: bytes) -> None:
        at_ms = round(monotonic_s() * 1_000)
        ring.add(line, direction, data, wall_ms=wall_ms(), mono_ms=at_ms)

    return record
