"""Waveshare relay boards: relays that time their own pulses, with and without inputs.

Of these boards only the (D) model has inputs beside relays for solenoids. The IO board's outputs
are open drains for half an ampere: good for lights, too weak for a lock.
"""

from __future__ import annotations

from typing import Final

from protocols.device import (
    Bits,
    Capability,
    Device,
    Dialogue,
    Protocol,
    RefusedError,
    Role,
    Where,
    Words,
)
from protocols.maps import waveshare_relay as board
from protocols.registers import Space

VERSION_MAX: Final = 2_000  # V20.00; anything above is no version
SIZES: Final = (8, 16, 32)
RELAYS: Final = frozenset({Capability.LOCK, Capability.OUTLET, Capability.INDICATOR})


def _version() -> Dialogue[str | None]:
    (version,) = yield Words(Space.HOLDING, board.VERSION, 1)
    return f"version {version / 100:.2f}" if 1 <= version <= VERSION_MAX else None


def _has(ask: Bits | Words) -> Dialogue[bool]:
    try:
        yield ask
    except RefusedError:
        return False
    return True


def identify_d(_: Where) -> Dialogue[str | None]:
    """Its version, and the inputs that only this model has."""
    modes = yield Words(Space.HOLDING, board.MODE_BASE, board.CHANNELS)
    yield Bits(Space.DISCRETE, board.INPUT_BASE, board.CHANNELS)
    return (yield from _version()) if max(modes) <= board.MODE_EDGE else None


def _relay_device(channels: int) -> Device:
    def identify(_: Where) -> Dialogue[str | None]:
        """Its version; it has no inputs, and just so many relays."""
        yield Bits(Space.COIL, board.COIL_BASE, channels)
        if (yield from _has(Bits(Space.DISCRETE, board.INPUT_BASE, 1))):
            return None
        if (yield from _has(Bits(Space.COIL, board.COIL_BASE + channels, 1))):
            return None
        return (yield from _version())

    return Device(
        type=f"waveshare-relay-{channels}",
        title=f"Waveshare Modbus RTU Relay {channels}CH",
        role=Role.BOARD,
        capabilities=RELAYS,
        protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
        source="Waveshare wiki: Modbus RTU Relay, command tables",
        identify=identify,
        names_itself=True,
        locks=channels,
        relays=channels,
        note="no inputs: doors and presence need a board that has some",
    )


RELAY_D: Final = Device(
    type="waveshare-relay-d",
    title="Waveshare Modbus RTU Relay (D) 8CH",
    role=Role.BOARD,
    capabilities=RELAYS | {Capability.CONTACTS},
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source=board.MAP.source,
    identify=identify_d,
    names_itself=True,
    locks=board.CHANNELS,
    relays=board.CHANNELS,
    inputs=board.CHANNELS,
    note="control modes are checked at start-up: none may let an input drive a relay",
)
IO_8: Final = Device(
    type="waveshare-io-8",
    title="Waveshare Modbus RTU IO 8CH",
    role=Role.BOARD,
    capabilities=frozenset({Capability.CONTACTS, Capability.OUTLET, Capability.INDICATOR}),
    protocols=frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP}),
    source="Waveshare wiki: Modbus RTU IO 8CH, command tables",
    identify=identify_d,
    names_itself=False,  # on the wire it is a Relay (D)
    relays=board.CHANNELS,
    inputs=board.CHANNELS,
    note="open-drain outputs of 0.5 A: for lights, never for a lock; looks like a Relay (D)",
)
DEVICES: Final = (RELAY_D, IO_8, *(_relay_device(channels) for channels in SIZES))
