"""What the configuration knows of each device type; the drivers are in ``adapters.devices``."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from protocols.device import Device, Protocol, Role
from protocols.devices import DEVICES

__all__ = ["MODBUS", "TRAITS", "ClockSource", "Protocol", "Role", "Traits"]

#: A device type by the name that the configuration gives it.
Traits = Device
TRAITS: Final[Mapping[str, Traits]] = DEVICES
MODBUS: Final = frozenset({Protocol.MODBUS_RTU, Protocol.MODBUS_TCP})


class ClockSource(StrEnum):
    """What vouches for the wall clock."""

    KERNEL = "kernel"  # NTP keeps it, by what the kernel says
    RTC = "rtc"  # that, or a battery clock that NTP kept right not long ago
    HOST = "host"  # somebody else: a container or a virtual machine on a host with NTP
