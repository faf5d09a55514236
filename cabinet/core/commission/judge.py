"""What readings mean: one finding per device, the most serious cause first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cabinet.core.commission.findings import (
    Cause,
    Check,
    Facts,
    Finding,
    Verdict,
    bad,
    good,
    skipped,
    warn,
)
from cabinet.core.model import BmsReading, ChargerReading, ClimateReading, MeterReading

#: Between the highest and the lowest cell; a healthy pack at rest is far below.
CELL_SPREAD_WARN_V: Final = 0.1
CELL_SPREAD_MAX_V: Final = 0.3
#: The sum of the cells against the pack's own voltage.
CELL_SUM_PART: Final = 0.03
CELL_MIN_V: Final = 2.0
CELL_MAX_V: Final = 4.35
CHARGE_MIN_C: Final = 0.0
CHARGE_MAX_C: Final = 45.0
MAINS_MIN_V: Final = 195.0
MAINS_MAX_V: Final = 255.0
POWER_NOISE_W: Final = 5.0
AIR_MIN_C: Final = -40.0
AIR_MAX_C: Final = 85.0
#: A pack of the configured kind stands between empty and full.
EMPTY_PART: Final = 0.6
FULL_PART: Final = 1.02
#: Current that counts as charging, and what may remain after the charger went off.
CHARGING_MIN_A: Final = 0.2
OFF_MAX_A: Final = 0.1
#: What a battery sees of a charge; boards round small currents down.
SEEN_MIN_A: Final = 0.05
#: From here a pack takes too little current to be seen.
FULL_SOC_PCT: Final = 97


@dataclass(frozen=True, slots=True)
class PackKind:
    """The batteries of the configuration."""

    voltage_max_v: float


def judge_bms(
    subject: str, reading: BmsReading | None, *, present: bool | None, pack: PackKind
) -> Finding:
    """One slot's battery. ``present`` is the presence switch; None: it could not be read."""
    if reading is None:
        if present is False:
            return skipped(Check.BMS, subject, Cause.EMPTY_SLOT)
        cause = Cause.BMS_SILENT if present else Cause.NO_ANSWER
        return bad(Check.BMS, subject, cause)
    facts = bms_facts(reading)
    failed = _failed_bms(reading, pack)
    if failed is not None:
        return bad(Check.BMS, subject, failed, **facts)
    doubt = Cause.BMS_WITHOUT_SWITCH if present is False else _doubtful_bms(reading)
    if doubt is not None:
        return warn(Check.BMS, subject, doubt, **facts)
    return good(Check.BMS, subject, **facts)


def bms_facts(reading: BmsReading) -> Facts:
    """What a report shows of a pack."""
    return {
        "serial": reading.serial,
        "soc_pct": reading.soc_pct,
        "voltage_v": round(reading.voltage_v, 2),
        "cells": len(reading.cell_v),
        "cell_spread_v": round(_spread_v(reading), 3),
        "temp_max_c": reading.temp_max_c,
        "cycles": reading.cycles,
        "protection": ",".join(sorted(reading.protection)),
    }


def repeated_serials(readings: Mapping[str, BmsReading]) -> list[Finding]:
    """A finding for every subject whose serial another one tells too."""
    times = Counter(reading.serial for reading in readings.values() if reading.serial)
    return [
        bad(Check.BMS, subject, Cause.SERIAL_TWICE, serial=reading.serial)
        for subject, reading in readings.items()
        if reading.serial and times[reading.serial] > 1
    ]


def judge_charger(subject: str, reading: ChargerReading | None, *, powered: bool) -> Finding:
    """One charger as found. ``powered``: contactor and slot relay are held on."""
    if reading is None:
        if powered:
            return bad(Check.CHARGER, subject, Cause.NO_ANSWER)
        return skipped(Check.CHARGER, subject, Cause.NEEDS_YES)
    facts = charger_facts(reading)
    if reading.protection is not None:
        return bad(Check.CHARGER, subject, Cause.CHARGER_LATCHED, **facts)
    if reading.output_on:
        return bad(Check.CHARGER, subject, Cause.OUTPUT_ON, **facts)
    return good(Check.CHARGER, subject, **facts)


def charger_facts(reading: ChargerReading) -> Facts:
    """What a report shows of a charger."""
    return {
        "voltage_v": round(reading.voltage_v, 2),
        "current_a": round(reading.current_a, 3),
        "power_w": round(reading.power_w, 1),
        "air_temp_c": reading.air_temp_c,
        "protection": reading.protection or "",
    }


def judge_charge(
    subject: str,
    during: Iterable[ChargerReading],
    after: ChargerReading | None,
    *,
    soc_pct: int,
    pack_current_a: float | None,
) -> Finding:
    """A trial charge: current must flow while it is on, into this pack, and stop when it is off.

    ``pack_current_a`` is what the slot's battery saw meanwhile; None: it was not read.
    """
    most_a = max((reading.current_a for reading in during), default=0.0)
    facts: Facts = {
        "current_max_a": round(most_a, 3),
        "pack_current_a": pack_current_a,
        "soc_pct": soc_pct,
    }
    if after is None or after.output_on or after.current_a > OFF_MAX_A:
        left_a = None if after is None else round(after.current_a, 3)
        return bad(Check.CHARGER, subject, Cause.CURRENT_UNSTOPPED, **facts, current_after_a=left_a)
    if most_a < CHARGING_MIN_A:
        if soc_pct >= FULL_SOC_PCT:
            return warn(Check.CHARGER, subject, Cause.PACK_FULL, **facts)
        return bad(Check.CHARGER, subject, Cause.NO_CURRENT, **facts)
    if pack_current_a is not None and pack_current_a < SEEN_MIN_A:
        return warn(Check.CHARGER, subject, Cause.CURRENT_ELSEWHERE, **facts)
    return good(Check.CHARGER, subject, **facts)


def judge_meter(subject: str, reading: MeterReading | None) -> Finding:
    """The energy meter."""
    if reading is None:
        return bad(Check.METER, subject, Cause.NO_ANSWER)
    facts: Facts = {
        "voltage_v": None if reading.voltage_v is None else round(reading.voltage_v, 1),
        "power_w": round(reading.power_w, 1),
        "energy_wh": round(reading.energy_wh),
    }
    if reading.voltage_v is not None and not MAINS_MIN_V <= reading.voltage_v <= MAINS_MAX_V:
        return bad(Check.METER, subject, Cause.MAINS_VOLTAGE, **facts)
    if reading.power_w < -POWER_NOISE_W:
        return bad(Check.METER, subject, Cause.POWER_NEGATIVE, **facts)
    return good(Check.METER, subject, **facts)


def judge_climate(subject: str, reading: ClimateReading | None) -> Finding:
    """The cabinet's own thermometer."""
    if reading is None:
        return bad(Check.CLIMATE, subject, Cause.NO_ANSWER)
    facts: Facts = {"temp_c": reading.temp_c, "humidity_pct": reading.humidity_pct}
    sane = AIR_MIN_C <= reading.temp_c <= AIR_MAX_C and 0.0 < reading.humidity_pct <= 100.0
    return (
        good(Check.CLIMATE, subject, **facts)
        if sane
        else bad(Check.CLIMATE, subject, Cause.CLIMATE_IMPLAUSIBLE, **facts)
    )


def judge_unlock(
    subject: str, *, closed_before: bool, opened: bool, sure: bool, others: tuple[int, ...] = ()
) -> Finding:
    """One pulse. ``others`` are other slots whose doors opened with it."""
    moved = ",".join(map(str, others))
    if not closed_before:
        return bad(Check.LOCK, subject, Cause.DOOR_OPEN)
    if others:
        return bad(Check.LOCK, subject, Cause.DOOR_ELSEWHERE, opened_slots=moved)
    if opened:
        return good(Check.LOCK, subject)
    return bad(Check.LOCK, subject, Cause.LOCK_JAMMED if sure else Cause.PULSE_UNSURE)


@dataclass(frozen=True, slots=True)
class Level:
    """One look at a contact."""

    at_ms: int
    on: bool


#: A hand takes longer than this for a door; faster changes are a chattering switch.
BOUNCE_MS: Final = 150
BOUNCES_MAX: Final = 1


def judge_contact(subject: str, levels: Iterable[Level]) -> Finding:
    """A door switch that somebody was asked to work: it must have told both levels, calmly."""
    seen = list(levels)
    changes = [later.at_ms - earlier.at_ms for earlier, later in _changes(seen)]
    quick = sum(1 for gap_ms in changes if gap_ms < BOUNCE_MS)
    flips = sum(1 for one, other in pairwise(seen) if one.on is not other.on)
    if flips == 0:
        cause = Cause.DOOR_NOT_MOVED if seen and seen[0].on else Cause.DOOR_NEVER_CLOSED
        return bad(Check.DOOR, subject, cause, changes=0)
    if quick > BOUNCES_MAX:
        return warn(Check.DOOR, subject, Cause.DOOR_BOUNCES, changes=flips)
    return Finding(check=Check.DOOR, subject=subject, verdict=Verdict.OK, facts={"changes": flips})


def _changes(seen: list[Level]) -> Iterable[tuple[Level, Level]]:
    """Each pair of neighbouring changes."""
    moves = [other for one, other in pairwise(seen) if one.on is not other.on]
    return pairwise(moves)


def _failed_bms(reading: BmsReading, pack: PackKind) -> Cause | None:
    low_v, high_v = EMPTY_PART * pack.voltage_max_v, FULL_PART * pack.voltage_max_v
    total_v = sum(reading.cell_v)
    temp_c = reading.temp_max_c
    checks = (
        (not reading.serial, Cause.NO_SERIAL),
        (bool(reading.protection), Cause.PROTECTION),
        (not low_v <= reading.voltage_v <= high_v, Cause.PACK_FOREIGN),
        (
            not reading.cell_v or abs(total_v - reading.voltage_v) > CELL_SUM_PART * total_v,
            Cause.CELL_IMPLAUSIBLE,
        ),
        (any(not CELL_MIN_V <= v <= CELL_MAX_V for v in reading.cell_v), Cause.CELL_IMPLAUSIBLE),
        (_spread_v(reading) > CELL_SPREAD_MAX_V, Cause.CELL_IMBALANCE),
        (temp_c is None, Cause.NO_SENSOR),
        (temp_c is not None and temp_c > CHARGE_MAX_C, Cause.PACK_HOT),
    )
    return next((cause for failed, cause in checks if failed), None)


def _doubtful_bms(reading: BmsReading) -> Cause | None:
    if _spread_v(reading) > CELL_SPREAD_WARN_V:
        return Cause.CELL_IMBALANCE
    if min(reading.temps_c) < CHARGE_MIN_C:
        return Cause.PACK_COLD
    return None


def _spread_v(reading: BmsReading) -> float:
    return max(reading.cell_v, default=0.0) - min(reading.cell_v, default=0.0)
