"""The wires' trace: what goes over every line, kept in one ring and read with the configuration."""

from __future__ import annotations

from cabinet.config import Config
from cabinet.ports import Clock
from cabinet.runtime.line import Tap
from protocols.decoding import LineDecoder, Station, by_line
from protocols.trace import Decoder, Direction, Ring


def tap_of(ring: Ring, line: str, clock: Clock) -> Tap:
    """Puts what a line carries into the ring."""

    def tap(direction: Direction, data: bytes, stray: bool) -> None:  # noqa: FBT001 - a Tap
        ring.add(
            line,
            direction,
            data,
            wall_ms=int(clock.now_utc().timestamp() * 1_000),
            mono_ms=clock.monotonic_ms(),
            stray=stray,
        )

    return tap


def decoder_of(config: Config) -> Decoder:
    """Reads the frames of every line as its devices mean them."""
    found = {}
    for bus in config.buses:
        stations = {
            device.address: Station.of(device.name, device.type)
            for device in config.devices
            if device.bus == bus.name
        }
        found[bus.name] = LineDecoder(bus.protocol, stations)
    return by_line(found.get)
