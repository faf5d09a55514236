"""The whole truth of a cabinet as one snapshot."""

from __future__ import annotations

import struct

from simulator.control.schemas import (
    BoardState,
    ChargerState,
    ClimateState,
    MeterState,
    OutputsState,
    PackState,
    SlotState,
    State,
)
from simulator.models.cabinet import Cabinet
from simulator.models.charger import Charger, Latch
from simulator.models.meter import MAINS_HZ, POWER_FACTOR, Climate, Meter
from simulator.models.pack import Pack
from simulator.models.wiring import Output


def snapshot(cabinet: Cabinet, wall_ms: int) -> State:
    """Everything, as it is now."""
    return State(
        cabinet_id=cabinet.cabinet_id,
        frozen=cabinet.frozen,
        speed=cabinet.pace,
        sim_ms=round(cabinet.log.sim_s * 1_000),
        wall_ms=wall_ms,
        physics_ms=round(cabinet.physics_s * 1_000),
        slots=[slot_state(cabinet, slot.number) for slot in cabinet.slots],
        outputs=OutputsState(
            contactor=cabinet.output(Output.CONTACTOR),
            siren=cabinet.output(Output.SIREN),
            extinguisher=cabinet.output(Output.EXTINGUISHER),
            fan=cabinet.output(Output.FAN),
        ),
        inputs={alarm.value: active for alarm, active in cabinet.alarms.items()},
        boards={
            str(number): BoardState(relays=list(board.relays), inputs=list(board.inputs))
            for number, board in cabinet.boards.items()
        },
        meter=_meter(cabinet.meter),
        climate=_climate(cabinet.climate),
        silent=sorted(cabinet.silent),
        event_seq=cabinet.log.seq,
    )


def pack_state(pack: Pack) -> PackState:
    """One pack, in a slot or in the hand."""
    return PackState(
        serial=pack.serial,
        soc_pct=pack.soc_pct,
        soc_exact=round(pack.soc * 100.0, 4),
        voltage_v=round(pack.voltage_v, 3),
        current_a=round(pack.current_a, 3),
        temps_c=[round(temp, 2) for temp in pack.temps_c],
        cell_v=[round(volt, 4) for volt in pack.cell_v],
        capacity_ah=round(pack.capacity_ah, 3),
        remaining_ah=round(pack.remaining_ah, 3),
        cycles=pack.cycles,
        charge_fet_on=pack.charge_fet_on,
        discharge_fet_on=pack.discharge_fet_on,
        charge_switch_on=pack.charge_switch_on,
        protection=sorted(pack.protection),
        bms_silent=pack.bms_silent,
        hold_temp=pack.hold_temp,
    )


def slot_state(cabinet: Cabinet, number: int) -> SlotState:
    """One slot."""
    slot = cabinet.slot(number)
    return SlotState(
        slot=slot.number,
        door="open" if slot.door.open else "closed",
        latched=slot.door.latched,
        lock_jammed=slot.door.jammed,
        presence=slot.pack is not None,
        pack=None if slot.pack is None else pack_state(slot.pack),
        air_temp_c=round(slot.air_c, 2),
        ac_on=cabinet.mains_on(slot.number),
        charging=slot.charging,
        charge_power_w=round(slot.charger.power_w, 2),
        charger=_charger(slot.charger),
    )


def _charger(charger: Charger) -> ChargerState:
    return ChargerState(
        powered=charger.powered,
        output_on=charger.output_on,
        voltage_set_v=charger.voltage_set_v,
        current_set_a=charger.current_set_a,
        voltage_v=round(charger.voltage_v, 3),
        current_a=round(charger.current_a, 3),
        power_w=round(charger.power_w, 2),
        constant_current=charger.constant_current,
        protection=None if charger.latch is Latch.NONE else charger.latch.name.lower(),
        ovp_v=charger.ovp_v,
        ocp_a=charger.ocp_a,
        temp_c=round(charger.temp_c, 1),
    )


def _meter(meter: Meter) -> MeterState:
    return MeterState(
        voltage_v=_single(meter.voltage_v),
        current_a=_single(meter.current_a),
        power_w=_single(meter.power_w),
        apparent_va=_single(meter.apparent_va),
        reactive_var=_single(meter.reactive_var),
        power_factor=_single(POWER_FACTOR),
        frequency_hz=_single(MAINS_HZ),
        import_kwh=_single(meter.import_kwh),
        export_kwh=0.0,
        total_kwh=_single(meter.import_kwh),
    )


def _climate(climate: Climate) -> ClimateState:
    return ClimateState(
        temp_c=round(climate.shown_temp_c, 1),
        humidity_pct=round(climate.shown_humidity_pct, 1),
    )


def _single(value: float) -> float:
    """The value as a single-precision register holds it."""
    exact: float = struct.unpack(">f", struct.pack(">f", value))[0]
    return exact
