"""What the configuration must know of each device type; the drivers are in ``adapters.devices``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    """What a device is for."""

    BOARD = "board"  # relays and inputs
    CHARGER = "charger"
    BMS = "bms"
    METER = "meter"
    CLIMATE = "climate"


class Protocol(StrEnum):
    """What a bus speaks."""

    MODBUS_RTU = "modbus-rtu"
    MODBUS_TCP = "modbus-tcp"
    JBD = "jbd"


class ClockSource(StrEnum):
    """What vouches for the wall clock."""

    KERNEL = "kernel"  # NTP keeps it, by what the kernel says
    RTC = "rtc"  # that, or a battery clock that NTP kept right not long ago
    HOST = "host"  # somebody else: a container or a virtual machine on a host with NTP


@dataclass(frozen=True, slots=True)
class Traits:
    """One device type.

    ``processing_ms`` is the longest time from the end of a request to the start of its reply;
    ``turnaround_ms`` the silence that the device needs before it hears the next request.
    """

    role: Role
    protocols: frozenset[Protocol]
    processing_ms: int
    turnaround_ms: int = 0
    relays: int = 0
    inputs: int = 0
    voltage_max_v: float = 0.0
    current_max_a: float = 0.0


MODBUS: Final = frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP})

TRAITS: Final[Mapping[str, Traits]] = MappingProxyType(
    {
        "waveshare-relay-d": Traits(Role.BOARD, MODBUS, 150, relays=8, inputs=8),
        "riden-rd6006": Traits(Role.CHARGER, MODBUS, 150, voltage_max_v=60.0, current_max_a=6.0),
        "eastron-sdm120": Traits(Role.METER, MODBUS, 200),
        "eastron-sdm630": Traits(Role.METER, MODBUS, 200),
        "xy-md02": Traits(Role.CLIMATE, MODBUS, 150),
        "jbd-bms": Traits(Role.BMS, frozenset({Protocol.JBD}), 250),
    }
)
