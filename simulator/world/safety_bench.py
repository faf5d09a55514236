"""One small cabinet under the real engine, whose temperatures and contacts are set by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cabinet.core.charge import PackLimits
from cabinet.core.engine import Engine, EngineConfig, Now, Observed
from cabinet.core.engine_model import State, encode_durable
from cabinet.core.model import (
    BmsReading,
    ChargerReading,
    ClimateReading,
    Effect,
    Image,
    Input,
    InputReading,
    MeterReading,
    Output,
    SetCharger,
    SetOutput,
    SetSlotAc,
    SlotImage,
)
from cabinet.core.records import Restored
from protocols.messages import Door, Presence

STEP_MS: Final = 500
SLOTS: Final = 3


@dataclass
class Cell:
    """One slot; ``charger`` is how the charger behaves."""

    serial: str | None = None
    soc: int = 50
    temp_c: float = 25.0
    air_c: float = 25.0
    volts: float = 3.7
    protection: frozenset[str] = frozenset()
    present: bool = True
    door: Door = Door.CLOSED
    silent: bool = False
    charger: str = "good"  # or "silent", "stray", "ovp"


class Bench:
    """Slot 1 holds a pack to charge, slot 2 a full one, slot 3 nothing."""

    def __init__(self) -> None:
        self.cells = {
            1: Cell("YZ-1"),
            2: Cell("YZ-2", soc=100),
            3: Cell(present=False),
        }
        self.contacts: dict[Input, bool | None] = dict.fromkeys(Input, False)  # None: not read
        self.climate_c = 25.0
        self.power_w = 100.0
        self.now_ms = 1_000_000
        self._contact_ms = dict.fromkeys(Input, self.now_ms)
        self._bms: dict[int, BmsReading] = {}
        config = EngineConfig(
            cabinet="DH-0001",
            slots=SLOTS,
            software="bench",
            pack=PackLimits(),
            breaker_w=3_500,
            power_default_w=3_000,
        )
        self.engine = Engine(config, lambda *_: False, lambda: "token")
        self.state: State = self.engine.initial(Restored(), "boot-1")
        self.safe()
        self.run(4_000)

    def safe(self) -> None:
        """All devices as they are without a daemon."""
        self.orders: dict[int, SetCharger] = {}
        self.ac: dict[int, bool] = {}
        self.outputs: dict[Output, bool] = {}

    def reboot(self) -> None:
        """A new process on what was written."""
        restored = Restored(snapshot=encode_durable(self.state.durable))
        self.state = self.engine.initial(restored, "boot-2")
        self.safe()
        self.run(4_000)

    def run(self, ms: int) -> Bench:
        """Let time pass."""
        for _ in range(0, ms, STEP_MS):
            self.now_ms += STEP_MS
            now = Now(self.now_ms, self.now_ms, wall_synced=True)
            outcome = self.engine.step(self.state, Observed(self._image()), now)
            self.state = outcome.state
            for effect in outcome.effects:
                self._do(effect)
        return self

    def charges(self, slot: int = 1) -> bool:
        """Whether current may flow into this slot's pack."""
        order = self.orders.get(slot)
        return order is not None and order.on and self.ac.get(slot, False) and self.live

    @property
    def live(self) -> bool:
        """Whether the cabinet has AC."""
        return self.outputs.get(Output.CONTACTOR, False)

    def amps(self, slot: int = 1) -> float:
        """What the charger is allowed to give."""
        return self.orders[slot].current_a if self.charges(slot) else 0.0

    def _do(self, effect: Effect) -> None:
        match effect:
            case SetCharger(slot=slot):
                self.orders[slot] = effect
            case SetSlotAc(slot, on):
                self.ac[slot] = on
            case SetOutput(output, on):
                self.outputs[output] = on
            case _:
                pass

    # --- readings -----------------------------------------------------------------------------

    def _image(self) -> Image:
        for name, active in self.contacts.items():
            if active is not None:
                self._contact_ms[name] = self.now_ms
        return Image(
            slots=tuple(self._slot(number, cell) for number, cell in self.cells.items()),
            inputs={
                name: InputReading(active=bool(active), at_ms=self._contact_ms[name])
                for name, active in self.contacts.items()
            },
            meter=MeterReading(self.now_ms, self.power_w, 1_000.0),
            climate=ClimateReading(self.now_ms, self.climate_c, 40.0),
        )

    def _slot(self, number: int, cell: Cell) -> SlotImage:
        if cell.serial is None:
            self._bms.pop(number, None)
        elif not cell.silent:
            self._bms[number] = BmsReading(
                at_ms=self.now_ms,
                serial=cell.serial,
                soc_pct=cell.soc,
                voltage_v=cell.volts * 13,
                current_a=0.0,
                cell_v=(cell.volts,) * 13,
                temps_c=(cell.temp_c,),
                protection=cell.protection,
            )
        return SlotImage(
            slot=number,
            door=cell.door,
            door_at_ms=self.now_ms,
            presence=Presence.PRESENT if cell.present else Presence.ABSENT,
            presence_at_ms=self.now_ms,
            bms=self._bms.get(number),
            charger=self._charger(number, cell),
        )

    def _charger(self, number: int, cell: Cell) -> ChargerReading | None:
        if not (self.live and self.ac.get(number)) or cell.charger == "silent":
            return None
        order = self.orders.get(number)
        on = cell.charger == "stray" or (order is not None and order.on)
        amps = order.current_a if order is not None and order.on else 0.0
        return ChargerReading(
            at_ms=self.now_ms,
            output_on=on,
            voltage_set_v=order.voltage_v if order else 0.0,
            current_set_a=order.current_a if order else 0.0,
            voltage_v=cell.volts * 13,
            current_a=2.0 if cell.charger == "stray" else amps,
            power_w=100.0,
            air_temp_c=cell.air_c,
            protection="ovp" if cell.charger == "ovp" else None,
        )
