"""Local safety: wins over any command or plan, and needs nobody.

``step`` looks at one image and says what may be on, open and charged. Silence is never permission:
whatever has not been read lately enough counts as unknown, and unknown does not charge. Trips latch;
``clear`` releases them, and only once their cause is known to be gone.

Cost: O(slots) per step, with a bounded number of temperature samples per charging slot.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from cabinet.core.model import Image, Input, MeterReading
from cabinet.core.safety_limits import BOUNDS, Limits
from cabinet.core.safety_slot import Finding, judge, powered
from cabinet.core.safety_state import (
    BEFORE_BOOT,
    LATCHED,
    Alarm,
    Code,
    SafetyState,
    Shed,
    Track,
    Trip,
    Verdict,
    alarm,
    with_trip,
)
from protocols.messages import Presence

__all__ = [
    "BOUNDS",
    "LATCHED",
    "Alarm",
    "Code",
    "Limits",
    "SafetyState",
    "Trip",
    "Verdict",
    "clear",
    "step",
]

#: Any of these takes the whole cabinet's AC away.
_CABINET_OFF: Final = frozenset({Code.SMOKE, Code.FIRE, Code.FLOOD, Code.ESTOP})
#: These also sound the siren, lock the riders' doors and release the extinguisher.
_BURNING: Final = frozenset({Code.SMOKE, Code.FIRE})
#: A slot in one of these gets no AC.
_SLOT_OFF: Final = frozenset({Code.AIR_TRIP, Code.RISE})
_INPUT_TRIPS: Final = (
    (Input.SMOKE, Code.SMOKE),
    (Input.FLOOD, Code.FLOOD),
    (Input.ESTOP, Code.ESTOP),
)
#: Without a fresh reading of these nothing charges.
_NEEDED: Final = ((Input.SMOKE, Code.SMOKE_UNKNOWN), (Input.ESTOP, Code.ESTOP_UNKNOWN))
_CLIMATE_AGE_MAX_MS: Final = 30_000
_METER_AGE_MAX_MS: Final = 10_000
#: Part of the breaker shed beyond the excess, and given back at each calm interval.
_SHED_STEP: Final = 0.05
#: Power is given back only below this part of the breaker.
_CALM: Final = 0.90
_CALM_MS: Final = 30_000


@dataclass(frozen=True, slots=True)
class _Moment:
    image: Image
    now_ms: int
    limits: Limits

    def input(self, name: Input) -> bool | None:
        """Whether a contact is in alarm; None when that is unknown."""
        reading = self.image.inputs.get(name)
        if reading is None or self.now_ms - reading.at_ms > self.limits.input_age_max_ms:
            return None
        return reading.active

    def needs(self, name: Input) -> bool:
        """Whether nothing charges without this contact."""
        return name is not Input.ESTOP or self.limits.estop_fitted

    def climate_c(self) -> float | None:
        climate = self.image.climate
        if climate is None or self.now_ms - climate.at_ms > _CLIMATE_AGE_MAX_MS:
            return None
        return climate.temp_c


def step(
    state: SafetyState, image: Image, charging: frozenset[int], now_ms: int, limits: Limits
) -> tuple[SafetyState, Verdict]:
    """Judge one image; ``charging`` are the slots that have been ordered to charge."""
    moment = _Moment(image, now_ms, limits)
    findings = {
        slot.slot: judge(
            slot,
            state.tracks[n] if n < len(state.tracks) else Track(),
            ordered=slot.slot in charging,
            now_ms=now_ms,
            limits=limits,
        )
        for n, slot in enumerate(image.slots)
    }
    state = _trip(state, findings, moment)
    state = replace(state, shed=_shed(state.shed, image.meter, now_ms, limits))
    verdict = _verdict(state, findings, moment)
    tracks = tuple(
        powered(finding.track, ac=number in verdict.slot_ac, now_ms=now_ms)
        for number, finding in findings.items()
    )
    return replace(state, tracks=tracks, fan=verdict.fan), verdict


def clear(state: SafetyState, code: str, slot: int | None = None) -> SafetyState:
    """Release latched trips of this code, at this slot or (None) anywhere, whose cause is gone.

    Returns the same state when there was none to release.
    """
    kept = tuple(
        trip
        for trip in state.trips
        if trip.active or trip.code != code or (slot is not None and trip.slot != slot)
    )
    return state if len(kept) == len(state.trips) else replace(state, trips=kept)


def _trip(state: SafetyState, findings: dict[int, Finding], moment: _Moment) -> SafetyState:
    """Latch what is wrong now, and find out whose cause is gone."""
    now_ms, limits = moment.now_ms, moment.limits
    for name, code in _INPUT_TRIPS:
        if moment.input(name):
            state = with_trip(state, Trip(code, None, now_ms))
    climate_c = moment.climate_c()
    if climate_c is not None and climate_c >= limits.fire_c:
        state = with_trip(state, Trip(Code.FIRE, None, now_ms))
    for number, found in findings.items():
        if max(found.air_c or 0.0, found.cell_c or 0.0) >= limits.fire_c:
            state = with_trip(state, Trip(Code.FIRE, number, now_ms))
        if found.air_tripped:
            state = with_trip(state, Trip(Code.AIR_TRIP, number, now_ms))
        if found.rising:
            state = with_trip(state, Trip(Code.RISE, number, now_ms))
    trips = tuple(
        replace(
            trip,
            seen_ms=now_ms if trip.seen_ms == BEFORE_BOOT else trip.seen_ms,
            active=not _gone(trip, findings, moment),
        )
        for trip in state.trips
    )
    return replace(state, trips=trips)


def _gone(trip: Trip, findings: dict[int, Finding], moment: _Moment) -> bool:
    """Whether the cause of a trip is known to be gone."""
    for name, code in _INPUT_TRIPS:
        if trip.code is code:
            return moment.input(name) is False
    limits = moment.limits
    since_ms = 0 if trip.seen_ms == BEFORE_BOOT else moment.now_ms - trip.seen_ms
    cooled = since_ms >= limits.cooldown_ms
    if trip.code is Code.FIRE:
        warmest_c = max(
            [moment.climate_c() or 0.0]
            + [max(found.air_c or 0.0, found.cell_c or 0.0) for found in findings.values()]
        )
        return cooled and warmest_c < limits.air_warn_c
    found = findings.get(trip.slot) if trip.slot is not None else None
    if found is None:  # the slot is no longer part of the cabinet
        return True
    cell_cool = found.cell_c is not None and found.cell_c < limits.charge_resume_c
    if trip.code is Code.RISE:
        return not found.rising and (found.present is Presence.ABSENT or cell_cool)
    if found.air_c is not None:
        return found.air_c < limits.air_warn_c
    return cooled and (found.cell_c is None or found.cell_c < limits.charge_stop_c)


def _verdict(state: SafetyState, findings: dict[int, Finding], moment: _Moment) -> Verdict:
    latched = frozenset(trip.code for trip in state.trips)
    off_slots = {trip.slot for trip in state.trips if trip.code in _SLOT_OFF}
    burning = bool(latched & _BURNING)
    cabinet_ac = not latched & _CABINET_OFF
    unknown = [code for name, code in _NEEDED if moment.needs(name) and moment.input(name) is None]
    service = moment.input(Input.SERVICE_DOOR) is True
    slot_ac = frozenset(
        number
        for number, found in findings.items()
        if cabinet_ac and found.ac and number not in off_slots
    )
    quarantine = frozenset(
        number
        for number, found in findings.items()
        if found.quarantine or number in off_slots or state.has(Code.FIRE, number)
    )
    may_charge = cabinet_ac and not unknown
    factors = {
        number: found.factor
        for number, found in findings.items()
        if may_charge and number in slot_ac and number not in quarantine and found.factor > 0.0
    }
    alarms = {alarm(trip.code, trip.slot) for trip in state.trips}
    alarms |= {alarm(code, number) for number, found in findings.items() for code in found.codes}
    alarms |= {alarm(code) for code in unknown}
    if service:
        alarms.add(alarm(Code.SERVICE_DOOR))
    if state.shed.shed_w:
        alarms.add(alarm(Code.OVER_POWER))
    return Verdict(
        cabinet_ac=cabinet_ac,
        slot_ac=slot_ac,
        charge_factor=MappingProxyType(factors),
        power_cap_w=moment.limits.breaker_w - state.shed.shed_w,
        doors_locked=burning or service,
        locked_slots=frozenset(
            trip.slot
            for trip in state.trips
            if trip.code is Code.AIR_TRIP and trip.slot is not None
        ),
        siren=burning,
        extinguisher=burning,
        fan=not burning and _fan(state, findings, moment),
        alarms=frozenset(alarms),
        quarantine=quarantine,
    )


def _fan(state: SafetyState, findings: dict[int, Finding], moment: _Moment) -> bool:
    """On when some air is warm; never in a fire, which it would feed."""
    limit_c = moment.limits.fan_off_c if state.fan else moment.limits.fan_on_c
    warmest_c = max([moment.climate_c() or 0.0] + [f.air_c or 0.0 for f in findings.values()])
    return warmest_c >= limit_c


def _shed(shed: Shed, meter: MeterReading | None, now_ms: int, limits: Limits) -> Shed:
    """Hold charging back when the meter is above the breaker; give it back slowly."""
    if meter is None or now_ms - meter.at_ms > _METER_AGE_MAX_MS:
        return replace(shed, calm_since_ms=None)
    if meter.at_ms == shed.meter_at_ms:
        return shed
    step_w = max(1, round(limits.breaker_w * _SHED_STEP))
    over_w = meter.power_w - limits.breaker_w
    if over_w > 0:
        shed_w = min(limits.breaker_w, shed.shed_w + int(over_w) + 1 + step_w)
        return Shed(shed_w, meter.at_ms, None)
    if meter.power_w > limits.breaker_w * _CALM or not shed.shed_w:
        return Shed(shed.shed_w, meter.at_ms, None)
    calm_ms = meter.at_ms if shed.calm_since_ms is None else shed.calm_since_ms
    if meter.at_ms - calm_ms >= _CALM_MS:
        return Shed(max(0, shed.shed_w - step_w), meter.at_ms, meter.at_ms)
    return Shed(shed.shed_w, meter.at_ms, calm_ms)
