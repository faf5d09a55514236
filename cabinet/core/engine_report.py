"""Telemetry and status: the cabinet as it stands, built from state and image."""

from __future__ import annotations

from typing import Final

from cabinet.core import engine_sockets
from cabinet.core.engine_model import EngineConfig, Now, State
from cabinet.core.engine_plan import power_limit_w
from cabinet.core.engine_view import Sight, look
from cabinet.core.model import SlotImage, told_soc
from cabinet.core.swap_model import (
    SlotView,
    Trust,
    is_active,
    job_of,
    reserved_slots,
    vacant,
)
from protocols.messages import Door, Presence, SlotState, SlotTelemetry, Telemetry

_TEMP_MIN_C: Final = -80.0
_TEMP_MAX_C: Final = 250.0
_METER_AGE_MS: Final = 30_000


def telemetry(
    state: State, config: EngineConfig, now: Now, extra_alarms: tuple[str, ...] = ()
) -> Telemetry:
    """The whole cabinet; None stands for what is not known."""
    sight = look(state, config, now)
    image = state.image
    meter = image.meter if image else None
    climate = image.climate if image else None
    job = job_of(state.durable.swap)
    active = job.swap_id if job is not None and is_active(state.durable.swap) else None
    standing = tuple(
        alarm.code if alarm.slot is None else f"{alarm.code}:{alarm.slot}"
        for alarm in state.durable.alarms
    )
    plan = state.durable.plan
    return Telemetry(
        wall_ms=now.wall_ms,
        boot_id=state.boot_id,
        mono_ms=now.mono_ms,
        slots=tuple(
            slot_telemetry(slot, state, config, now, sight)
            for slot in (image.slots if image else ())
        ),
        power_w=meter.power_w if meter and now.mono_ms - meter.at_ms <= _METER_AGE_MS else None,
        energy_wh=meter.energy_wh if meter else None,
        temp_c=_temp(climate.temp_c) if climate else None,
        humidity_pct=climate.humidity_pct if climate else None,
        power_limit_w=power_limit_w(state, config, now),
        plan_version=plan.version if plan else 0,
        alarms=standing + extra_alarms,
        active_swap=active,
        epoch=state.durable.epoch,
        seq=state.durable.seq,
        sockets=engine_sockets.telemetry(state, config, now),
    )


def slot_telemetry(
    slot: SlotImage, state: State, config: EngineConfig, now: Now, sight: Sight
) -> SlotTelemetry:
    """One slot."""
    view = sight.view.slot(slot.slot)
    bms = slot.bms_now(now.mono_ms)
    charger = slot.charger_now(now.mono_ms)
    return SlotTelemetry(
        slot=slot.slot,
        state=slot_state(view, state, config, now, sight),
        door=view.door,
        presence=view.presence,
        serial=view.pack.serial if view.pack else None,
        soc_pct=told_soc(bms.soc_pct) if bms else None,
        pack_voltage_v=bms.voltage_v if bms else None,
        pack_current_a=bms.current_a if bms else None,
        cell_temp_c=_temp(bms.temp_max_c) if bms else None,
        air_temp_c=_temp(charger.air_temp_c) if charger else None,
        charge_power_w=charger.power_w if charger and charger.output_on else None,
        flags=slot_flags(view, state, sight),
    )


def slot_state(
    view: SlotView, state: State, config: EngineConfig, now: Now, sight: Sight
) -> SlotState:
    """What the slot is good for, the gravest first."""
    durable = state.durable
    if view.slot in durable.out_of_service:
        return SlotState.OUT_OF_SERVICE
    if view.slot in reserved_slots(durable.swap):
        return SlotState.RESERVED
    if view.slot in durable.quarantine or view.slot in state.verdict.quarantine:
        return SlotState.QUARANTINE
    if view.locked:
        return SlotState.FAULTED
    if view.door is Door.UNKNOWN or view.presence is Presence.UNKNOWN:
        return SlotState.UNKNOWN
    if vacant(view, now.mono_ms, config.swap.bms_gone_ms):
        return SlotState.EMPTY
    if view.slot in sight.ready:
        return SlotState.READY
    order = state.issued.chargers.get(view.slot)
    if order is not None and order.on:
        return SlotState.CHARGING
    pack = view.pack
    if pack is None or pack.trust is not Trust.KNOWN:
        return SlotState.FAULTED
    return SlotState.WAITING


def slot_flags(view: SlotView, state: State, sight: Sight) -> tuple[str, ...]:
    """Everything that is special about a slot, as kebab-case words."""
    flags = []
    if view.slot in state.durable.out_of_service:
        flags.append("out-of-service")
    if view.slot in state.durable.quarantine or view.slot in state.verdict.quarantine:
        flags.append("quarantine")
    if view.locked:
        flags.append("locked")
    if view.slot in state.durable.holds:
        flags.append("held")
    if view.slot in sight.duplicates:
        flags.append("duplicate")
    if view.pack is not None and view.pack.trust in {Trust.FOREIGN, Trust.DENIED}:
        flags.append(view.pack.trust.value)
    if view.presence is Presence.PRESENT and view.pack is None:
        flags.append("unidentified")
    return tuple(flags)


def _temp(temp_c: float | None) -> float | None:
    """A temperature that fits the message; nonsense is not known."""
    if temp_c is None or not _TEMP_MIN_C <= temp_c <= _TEMP_MAX_C:
        return None
    return temp_c
