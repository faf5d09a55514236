"""A Modbus bus: several devices that hear every request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

BROADCAST: Final = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one device says: its unit id and its PDU."""

    unit: int
    pdu: bytes


class BusDevice(Protocol):
    """One device on the bus."""

    @property
    def name(self) -> str:
        """As the control API silences it."""
        ...

    def hears(self, unit: int) -> bool:
        """Whether a request to this unit is for it; powered off, it hears nothing."""
        ...

    def answer(self, unit: int, pdu: bytes) -> Answer | None:
        """Act, and answer unless it would stay silent."""
        ...


@dataclass(frozen=True, slots=True)
class ModbusBus:
    """The devices of one bus.

    Args:
        devices: everything that hangs on it.
        silent: names that are deaf and dumb now.
        catch_up: brings the physics to the present; called before any device acts.
    """

    devices: Sequence[BusDevice]
    silent: set[str]
    catch_up: Callable[[], None]

    def ask(self, unit: int, pdu: bytes) -> list[Answer]:
        """Every answer to one request; more than one is a collision."""
        hearing = [
            device
            for device in self.devices
            if device.name not in self.silent and device.hears(unit)
        ]
        if not hearing:
            return []
        self.catch_up()
        answers = [device.answer(unit, pdu) for device in hearing]
        return [answer for answer in answers if answer is not None]
