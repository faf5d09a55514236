"""The Modbus face of any charger whose definition says which register shows what."""

from __future__ import annotations

from typing import Final

from protocols.faces import ChargerTwin
from protocols.registers import Register, Value
from simulator.devices.base import RegisterDevice
from simulator.models.charger import Latch
from simulator.models.slot import Slot
from simulator.wires.bus import Answer

#: Fault words name the latches in this order of bits.
OTP_BIT: Final = 1
OVP_BIT: Final = 2
OCP_BIT: Final = 3
OFF_BIT: Final = 6


class DeclaredCharger(RegisterDevice):
    """One charger; without mains it hears nothing."""

    def __init__(self, name: str, unit: int, slot: Slot, twin: ChargerTwin) -> None:
        blank = (address for span in twin.blank for address in span)
        super().__init__(name, unit, twin.table, blank)
        self._slot = slot
        self._twin = twin
        self._kept: dict[str, Value] = dict(twin.kept)

    def hears(self, unit: int) -> bool:
        """Only its own address, and only with mains."""
        return unit == self.unit and self._slot.charger.powered

    def answer(self, unit: int, pdu: bytes) -> Answer | None:
        """Act, and answer."""
        said = super().answer(unit, pdu)
        self._slot.settle()
        return said

    def value(self, register: Register) -> Value:
        """What a register shows now."""
        quantity = self._twin.shows.get(register.name)
        if quantity is None:
            return self._kept.get(register.name, 0)
        if quantity == "air_c":
            return self._slot.air_c
        if quantity == "fault_bits":
            return self._faults()
        shown: Value = getattr(self._slot.charger, quantity)
        return int(shown) if isinstance(shown, bool) else shown

    def change(self, name: str, value: Value) -> None:
        """Take an order; what has no physics is kept and shown again."""
        charger = self._slot.charger
        match self._twin.takes.get(name):
            case None:
                self._kept[name] = value
            case "output_on":
                charger.set_output(on=bool(value))
            case quantity:
                setattr(charger, quantity, float(value))

    def _faults(self) -> int:
        charger = self._slot.charger
        bits = (
            (OTP_BIT, charger.is_too_hot),
            (OVP_BIT, charger.latch is Latch.OVP),
            (OCP_BIT, charger.latch is Latch.OCP),
            (OFF_BIT, not charger.output_on),
        )
        return sum(1 << bit for bit, stands in bits if stands)
