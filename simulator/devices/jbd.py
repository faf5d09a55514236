"""The pack's own voice: a JBD protection board, on the serial port of its slot."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from protocols.frames import jbd
from simulator.models.pack import Pack
from simulator.models.slot import Slot

MODEL: Final = b"YZ-SP13S-24AH"
PRODUCED: Final = datetime.date(2025, 6, 1)
SOFTWARE: Final = "1.6"
#: Error counters in the order of register AA.
COUNTED: Final = (
    "short-circuit",
    "charge-over-current",
    "discharge-over-current",
    "cell-over-voltage",
    "cell-under-voltage",
    "charge-over-temp",
    "charge-under-temp",
    "discharge-over-temp",
    "discharge-under-temp",
    "pack-over-voltage",
    "pack-under-voltage",
)
COUNTER_MAX: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class BmsPort:
    """The port of one slot: whatever pack stands in it answers, and nobody when it is empty."""

    name: str
    slot: Slot
    silent: set[str]
    catch_up: Callable[[], None]

    def answer(self, request: jbd.Request) -> bytes | None:
        """Act on one request; the reply frame, or None for silence."""
        if self.slot.pack is None or self.name in self.silent or self.slot.pack.bms_silent:
            return None
        self.catch_up()
        pack = self.slot.pack
        if request.write:
            return self._written(pack, request)
        data = _read(pack, request.register, self.slot.told_serial or pack.serial)
        if data is None:
            return jbd.reply(request.register, b"", jbd.STATUS_ERROR)
        return jbd.reply(request.register, data)

    def _written(self, pack: Pack, request: jbd.Request) -> bytes:
        match request.register, tuple(request.data):
            case jbd.REG_FET, (0, bits) if bits <= 3:
                pack.set_switches(charge=not bits & 1, discharge=not bits & 2)
                self.slot.settle()
            case (0x00, (0x56, 0x78)) | (0x01, (0x00, 0x00) | (0x28, 0x28)):
                pass  # factory mode opens nothing that this board keeps
            case _:
                return jbd.reply(request.register, b"", jbd.STATUS_ERROR)
        return jbd.reply(request.register, b"")


def _read(pack: Pack, register: int, serial: str | None) -> bytes | None:
    match register:
        case jbd.REG_BASIC:
            return jbd.encode_basic(_basic(pack))
        case jbd.REG_CELLS:
            return jbd.encode_cells(pack.cell_v)
        case jbd.REG_BARCODE:
            return None if serial is None else jbd.encode_barcode(serial)
        case jbd.REG_MODEL:
            return MODEL
        case 0xAA:
            counts = (min(COUNTER_MAX, pack.trips.get(name, 0)) for name in COUNTED)
            return b"".join(count.to_bytes(2, "big") for count in counts)
        case _:
            return None


def _basic(pack: Pack) -> jbd.BasicInfo:
    return jbd.BasicInfo(
        voltage_v=pack.voltage_v,
        current_a=pack.current_a,
        remaining_ah=pack.remaining_ah,
        nominal_ah=pack.capacity_ah,
        cycles=pack.cycles,
        production_date=PRODUCED,
        balance_bits=sum(1 << cell for cell in pack.balancing),
        protection=pack.protection,
        software_version=SOFTWARE,
        soc_pct=pack.soc_pct,
        charge_fet_on=pack.charge_fet_on,
        discharge_fet_on=pack.discharge_fet_on,
        cells=pack.spec.series,
        temps_c=pack.temps_c,
    )
