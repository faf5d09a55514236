"""Which device types a simulated cabinet is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocols.device import Capability, Device, Role
from protocols.devices import DEVICES
from simulator.errors import ConfigError

LOCK_BOARD: Final = 5
LIGHT_BOARD: Final = 6
BUS_LOCKS: Final = "bus-locks"
BUS_METER: Final = "bus-meter"
RELAY_LOCKS: Final = "waveshare-relay-d"
#: The device type that each key may name.
ROLES: Final = {
    "locks": Role.BOARD,
    "chargers": Role.CHARGER,
    "bms": Role.BMS,
    "meter": Role.METER,
    "climate": Role.CLIMATE,
    "lights": Role.BOARD,
}


@dataclass(frozen=True, slots=True)
class Outfit:
    """Types by role. ``lights`` empty: none.

    Raises:
        ConfigError: no such type, or one that cannot do what is asked.
    """

    locks: str = RELAY_LOCKS
    chargers: str = "riden-rd6006"
    bms: str = "jbd-bms"
    meter: str = "eastron-sdm120"
    climate: str = "xy-md02"
    lights: str = ""

    def __post_init__(self) -> None:
        for key, role in ROLES.items():
            name = getattr(self, key)
            known = sorted(type_ for type_, device in DEVICES.items() if device.role is role)
            if name not in known and (name or key != "lights"):
                raise ConfigError(f"devices.{key} = {name!r}: known are {', '.join(known)}")
        if self.lights and not DEVICES[self.lights].relays:
            raise ConfigError(f"devices.lights = {self.lights!r}: it has no relays")
        if self.locks != RELAY_LOCKS and self.lock_board is None:
            boards = ", ".join(t for t, device in DEVICES.items() if device.locks_face)
            raise ConfigError(
                f"devices.locks = {self.locks!r}: use {RELAY_LOCKS} or a lock board: {boards}"
            )

    @property
    def lock_board(self) -> Device | None:
        """The separate lock board; None when the relay boards drive the locks."""
        device = DEVICES[self.locks]
        return device if device.locks_face is not None else None

    @property
    def light_board(self) -> Device | None:
        """The board of the slots' lights."""
        return DEVICES[self.lights] if self.lights else None

    @property
    def has_meter_line(self) -> bool:
        """Whether the meter speaks a protocol of its own, on a line of its own."""
        return Capability.METER in self.meter_device.capabilities and bool(
            self.meter_device.meter_twin
        )

    @property
    def meter_device(self) -> Device:
        """The meter's type."""
        return DEVICES[self.meter]


FACTORY: Final = Outfit()
