"""A Modbus bus: several devices that hear every request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from protocols import modbus
from simulator.models.faults import FaultKind, FaultTable
from simulator.wires.timing import Line

BROADCAST: Final = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What one device says: its unit id and its PDU."""

    unit: int
    pdu: bytes


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, and whose it is."""

    device: str
    answer: Answer

    def frame(self, away: int = 0) -> bytes:
        """As an RTU frame; ``away`` names a device that many units further."""
        return modbus.rtu((self.answer.unit + away) % 0x100, self.answer.pdu)


class BusDevice(Protocol):
    """One device on the bus."""

    @property
    def name(self) -> str:
        """As the control API silences it."""
        ...

    @property
    def type(self) -> str:
        """Its device type, as a configuration names it."""
        ...

    @property
    def unit(self) -> int:
        """Its address now."""
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
        name: of the line, as faults know it.
        faults: those that stand in the cabinet.
    """

    devices: Sequence[BusDevice]
    silent: set[str]
    catch_up: Callable[[], None]
    name: str = "bus"
    faults: FaultTable = field(default_factory=lambda: FaultTable({}, 0))

    def ask(self, unit: int, pdu: bytes, line: Line | None = None) -> list[Said]:
        """Every answer to one request; more than one is a collision.

        ``line`` is the one it came over, at the master's baud rate; None: at everybody's own.
        """
        hearing = [
            device
            for device in self.devices
            if device.name not in self.silent
            and device.hears(unit)
            and (line is None or hears(self.faults, self.name, device.name, line))
        ]
        if not hearing:
            return []
        self.catch_up()
        answers = [(device.name, device.answer(unit, pdu)) for device in hearing]
        return [Said(name, answer) for name, answer in answers if answer is not None]


def hears(faults: FaultTable, line_name: str, device: str, line: Line) -> bool:
    """Whether the present request reaches a device, as far as faults and baud rate go."""
    moved = faults.of(FaultKind.WRONG_BAUD, line_name, device)
    if not line.is_heard(moved.value if moved else line.baud):
        if moved:
            faults.strike(FaultKind.WRONG_BAUD, line_name, device)
        return False
    return faults.strike(FaultKind.DEAF, line_name, device) is None
