"""Devices with protocols of their own, asked frame by frame: packs, lock boards, meters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols.device import Device
from protocols.faces import BmsFace, FrameMeterTwin, LockFace, MeterFacts, PackFacts
from simulator.models.meter import MAINS_HZ, POWER_FACTOR, Meter
from simulator.models.relay import RelayBoard
from simulator.models.slot import Slot

#: How long a lock board pulls a lock by its own setting.
PULL_S: Final = 0.5
METER_NUMBER: Final = "202611000001"


@dataclass(frozen=True, slots=True)
class PackPort:
    """The port of one slot, with whatever pack stands in it."""

    device: str
    slot: Slot
    type: Device
    face: BmsFace

    @property
    def find(self) -> Callable[[bytes], tuple[int, int] | None]:
        """Where a whole request lies in what was heard."""
        return self.face.find

    def answer(self, request: bytes) -> bytes | None:
        """Act on one request; silence from an empty slot and to another's address."""
        pack = self.slot.pack
        if pack is None or pack.bms_silent:
            return None
        if self.type.addresses is not None and request[0] != self.type.address:
            return None
        said = self.face.answer(request, facts_of(self.slot))
        if said.switches is not None:
            charge, discharge = said.switches.charge, said.switches.discharge
            pack.set_switches(
                charge=pack.charge_switch_on if charge is None else charge,
                discharge=pack.discharge_switch_on if discharge is None else discharge,
            )
            self.slot.settle()
        return said.frame


def facts_of(slot: Slot) -> PackFacts:
    """What the pack in a slot would tell."""
    pack = slot.pack
    assert pack is not None, "an empty slot tells nothing"
    return PackFacts(
        soc_pct=pack.soc_pct,
        voltage_v=pack.voltage_v,
        current_a=pack.current_a,
        cell_v=tuple(pack.cell_v),
        temps_c=tuple(pack.temps_c),
        protection=frozenset(pack.protection),
        charge_fet_on=pack.charge_fet_on,
        discharge_fet_on=pack.discharge_fet_on,
        remaining_ah=pack.remaining_ah,
        capacity_ah=pack.capacity_ah,
        cycles=pack.cycles,
        serial=slot.told_serial or pack.serial,
        balance_bits=sum(1 << cell for cell in pack.balancing),
    )


@dataclass(frozen=True, slots=True)
class LockPort:
    """The line of the lock board."""

    device: str
    address: int
    board: RelayBoard
    face: LockFace

    @property
    def find(self) -> Callable[[bytes], tuple[int, int] | None]:
        """Where a whole request lies in what was heard."""
        return self.face.find

    def answer(self, request: bytes) -> bytes | None:
        """Act on one request; silence to another's address."""
        said = self.face.answer(request, self.address, tuple(self.board.inputs))
        if said.fired is not None:
            self.board.flash(said.fired, PULL_S, on=True)
        return said.frame


@dataclass(frozen=True, slots=True)
class MeterPort:
    """The line of a meter that is asked by its number."""

    device: str
    meter: Meter
    twin: FrameMeterTwin
    powered: Callable[[], bool]

    @property
    def find(self) -> Callable[[bytes], tuple[int, int] | None]:
        """Where a whole request lies in what was heard."""
        return self.twin.find

    def answer(self, request: bytes) -> bytes | None:
        """Act on one request; silence without mains."""
        if not self.powered():
            return None
        facts = MeterFacts(
            voltage_v=self.meter.voltage_v,
            power_w=self.meter.power_w,
            import_kwh=self.meter.import_kwh,
            current_a=self.meter.current_a,
            power_factor=POWER_FACTOR,
            frequency_hz=MAINS_HZ,
        )
        return self.twin.answer(request, METER_NUMBER, facts)
