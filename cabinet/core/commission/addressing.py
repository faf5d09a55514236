"""Changing a device's address on the bus: which types can, how, and what is at risk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from protocols.device import WriteWords
from protocols.maps import eastron_sdm120, eastron_sdm630, waveshare_relay, xy_md02
from protocols.registers import Register


@dataclass(frozen=True, slots=True)
class Rule:
    """How one type takes a new address. ``precondition`` is what a person does first."""

    register: Register
    block: bool = False  # FC16 only
    after_power: bool = False  # may answer at the old one until its power was off
    precondition: str = ""

    def write(self, address: int) -> WriteWords:
        """The one write that changes it."""
        return WriteWords(self.register.address, self.register.encode(address), block=self.block)


_EASTRON_KEY: Final = "hold the meter's button until it shows the set-up menu: it refuses otherwise"

RULES: Final[Mapping[str, Rule]] = MappingProxyType(
    {
        "waveshare-relay-d": Rule(waveshare_relay.MAP["device_address"]),
        # The whole family keeps it in the same register.
        "waveshare-relay-8": Rule(waveshare_relay.MAP["device_address"]),
        "waveshare-relay-16": Rule(waveshare_relay.MAP["device_address"]),
        "waveshare-relay-32": Rule(waveshare_relay.MAP["device_address"]),
        "xy-md02": Rule(xy_md02.MAP["device_address"], after_power=True),
        "eastron-sdm120": Rule(
            eastron_sdm120.MAP["modbus_id"], block=True, precondition=_EASTRON_KEY
        ),
        "eastron-sdm630": Rule(
            eastron_sdm630.MAP["modbus_id"], block=True, precondition=_EASTRON_KEY
        ),
    }
)


def risks(kind: str, old: int, new: int) -> tuple[str, ...]:
    """What a person must know before saying yes."""
    rule = RULES[kind]
    told = [
        f"if two devices share address {old}, both change and will always talk at once: connect only "
        "the one that you mean",
        f"a cabinet configured for address {old} loses this device until its configuration says {new}",
        "power lost in the middle may leave the device at either address: scan to find it",
    ]
    if rule.after_power:
        told.append("it may take the new address only after its power was off")
    if rule.precondition:
        told.append(rule.precondition)
    return tuple(told)
