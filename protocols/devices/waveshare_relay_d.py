"""Waveshare Modbus RTU Relay (D) 8CH: eight relays that time their own pulses, eight inputs."""

from __future__ import annotations

from typing import Final

from protocols.device import Bits, Capability, Device, Dialogue, Protocol, Role, Where, Words
from protocols.maps import waveshare_relay as board
from protocols.registers import Space

VERSION_MAX: Final = 2_000  # V20.00; anything above is no version


def identify(_: Where) -> Dialogue[str | None]:
    """Its version, and the inputs that only this model has."""
    (version,) = yield Words(Space.HOLDING, board.VERSION, 1)
    modes = yield Words(Space.HOLDING, board.MODE_BASE, board.CHANNELS)
    yield Bits(Space.DISCRETE, board.INPUT_BASE, board.CHANNELS)
    if not 1 <= version <= VERSION_MAX or max(modes) > board.MODE_EDGE:
        return None
    return f"version {version / 100:.2f}"


DEVICE: Final = Device(
    type="waveshare-relay-d",
    title="Waveshare Modbus RTU Relay (D) 8CH",
    role=Role.BOARD,
    capabilities=frozenset(
        {Capability.LOCK, Capability.CONTACTS, Capability.OUTLET, Capability.INDICATOR}
    ),
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source=board.MAP.source,
    identify=identify,
    names_itself=True,
    locks=board.CHANNELS,
    relays=board.CHANNELS,
    inputs=board.CHANNELS,
    note="control modes are checked at start-up: none may let an input drive a relay",
)
