"""Safety of one slot: its pack, its charger and the air between them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from cabinet.core.model import READING_AGE_MAX_MS, BmsReading, ChargerReading, SlotImage
from cabinet.core.safety_limits import Limits
from cabinet.core.safety_state import Code, Sample, Track
from protocols.messages import Door, Presence

#: Protections of a pack that charging does not worsen, or even cures.
CHARGE_CURES: Final = frozenset(
    {
        "cell-under-voltage",
        "pack-under-voltage",
        "discharge-over-temp",
        "discharge-under-temp",
        "discharge-over-current",
    }
)
#: Protections that stop the charge, but tell nothing bad about the pack.
HARMLESS: Final = CHARGE_CURES | {"cell-over-voltage", "pack-over-voltage", "charge-under-temp"}
#: Codes after which a pack is neither charged nor offered.
QUARANTINE: Final = frozenset({Code.CELL_HOT, Code.CELL_DAMAGED, Code.WRONG_PACK})
#: Codes that also take the slot's AC away.
AC_OFF: Final = frozenset({Code.CELL_HOT})
#: Codes that are worth an alarm but do not stop the charge.
WARN_ONLY: Final = frozenset({Code.AIR_WARM})
#: A warning of warm air goes when the air is this much cooler than the limit.
AIR_HYSTERESIS_C: Final = 2.0
#: A charger that gives more than this is charging, whatever the orders say.
CURRENT_FLOWS_A: Final = 0.05
SAMPLE_MS: Final = 10_000
#: A longer pause in charging starts the watch on the temperature's rise anew.
SAMPLE_GAP_MAX_MS: Final = 30_000
MINUTE_MS: Final = 60_000


class Finding(Struct, frozen=True):
    """What was found at one slot."""

    track: Track
    factor: float  # of the full charge current, before anything cabinet-wide
    ac: bool
    codes: frozenset[Code]
    quarantine: bool
    air_c: float | None  # None when it cannot be read now
    cell_c: float | None
    present: Presence
    air_tripped: bool = False
    rising: bool = False


def judge(slot: SlotImage, track: Track, *, ordered: bool, now_ms: int, limits: Limits) -> Finding:
    """Judge one slot; ``ordered`` tells whether it has been told to charge."""
    presence = slot.presence_now(now_ms)
    charger = slot.charger_now(now_ms, limits.charger_silent_ms)
    charging = ordered or _flows(charger)
    bms = slot.bms_now(now_ms, limits.bms_silent_ms - 1)
    track = _watch_charger(track, slot, charger, ordered=ordered, now_ms=now_ms, limits=limits)
    track = _watch_air(track, charger, limits)
    if presence is Presence.ABSENT:
        track = replace(
            track,
            warm=False,
            hot=False,
            cold=False,
            over_voltage=False,
            bms_silent=False,
            samples=(),
        )
    else:
        track = _watch_pack(track, bms, charging=charging, now_ms=now_ms, limits=limits)
    codes = _codes(track, bms if presence is not Presence.ABSENT else None, limits)
    usable = slot.bms_now(now_ms) if not ordered else bms
    stops = codes - WARN_ONLY
    ready = (
        not stops
        and usable is not None
        and presence is Presence.PRESENT
        and slot.door_now(now_ms) is Door.CLOSED
        and charger is not None
    )
    air_c = charger.air_temp_c if charger else None
    cell_c = bms.temp_max_c if bms else None
    may_charge = ready and cell_c is not None and bms is not None and bool(bms.cell_v)
    return Finding(
        track=track,
        factor=limits.derate(cell_c) if may_charge and cell_c is not None else 0.0,
        ac=not codes & AC_OFF and (track.retry_at_ms is None or now_ms >= track.retry_at_ms),
        codes=codes,
        quarantine=bool(codes & QUARANTINE) or _ill(bms),
        air_c=air_c,
        cell_c=cell_c,
        present=presence,
        air_tripped=air_c is not None and air_c >= limits.air_trip_c,
        rising=rises(track.samples, now_ms, limits),
    )


def powered(track: Track, *, ac: bool, now_ms: int) -> Track:
    """The track after AC was allowed or taken away, which starts or ends the charger's life."""
    if not ac:
        return replace(track, powered_since_ms=None, stray_since_ms=None)
    since_ms = now_ms if track.powered_since_ms is None else track.powered_since_ms
    return replace(track, powered_since_ms=since_ms, retry_at_ms=None)


def rises(samples: tuple[Sample, ...], now_ms: int, limits: Limits) -> bool:
    """Whether the temperature rose too fast in each of the last minutes."""
    if not samples:
        return False
    later = samples[-1].temp_c
    for minute in range(1, limits.rise_minutes + 1):
        earlier = _at(samples, now_ms - minute * MINUTE_MS)
        if earlier is None or later - earlier <= limits.rise_c_per_min:
            return False
        later = earlier
    return True


def _at(samples: tuple[Sample, ...], at_ms: int) -> float | None:
    for sample in reversed(samples):
        if sample.at_ms <= at_ms:
            return sample.temp_c
    return None


def _flows(charger: ChargerReading | None) -> bool:
    return charger is not None and charger.output_on and charger.current_a > CURRENT_FLOWS_A


def _ill(bms: BmsReading | None) -> bool:
    return bms is not None and bool(bms.protection - HARMLESS)


def _watch_charger(
    track: Track,
    slot: SlotImage,
    charger: ChargerReading | None,
    *,
    ordered: bool,
    now_ms: int,
    limits: Limits,
) -> Track:
    """Silence, protection and disobedience of a charger that has AC.

    Such a charger cannot be trusted to switch off, so its AC goes, and comes back after a while:
    after power returns its output is off and its protection reset.
    """
    since_ms = track.powered_since_ms
    if since_ms is None:
        return track
    fault: Code | None = None
    if charger is None or charger.at_ms < since_ms:
        last_ms = slot.charger.at_ms if slot.charger else since_ms
        booted = now_ms - since_ms > limits.charger_boot_ms
        if not (booted and now_ms - last_ms > limits.charger_silent_ms):
            return track  # nothing heard yet, nothing wrong yet: keep what was known
        fault = Code.CHARGER_SILENT
    elif charger.protection is not None:
        fault = Code.CHARGER_PROTECTION
    stray_ms = track.stray_since_ms
    if charger is not None and charger.output_on and not ordered:
        stray_ms = now_ms if stray_ms is None else stray_ms
        if now_ms - stray_ms >= limits.charger_stray_ms:
            fault = Code.CHARGER_STRAY
    else:
        stray_ms = None
    return replace(
        track,
        charger_fault=fault,
        stray_since_ms=stray_ms,
        retry_at_ms=None if fault is None else now_ms + limits.charger_retry_ms,
    )


def _watch_air(track: Track, charger: ChargerReading | None, limits: Limits) -> Track:
    if charger is None or charger.air_temp_c is None:
        return track
    limit_c = limits.air_warn_c - (AIR_HYSTERESIS_C if track.air_warm else 0.0)
    return replace(track, air_warm=charger.air_temp_c >= limit_c)


def _watch_pack(
    track: Track, bms: BmsReading | None, *, charging: bool, now_ms: int, limits: Limits
) -> Track:
    if bms is None:
        return replace(track, bms_silent=track.bms_silent or charging)
    silent = track.bms_silent and now_ms - bms.at_ms > READING_AGE_MAX_MS
    track = replace(track, bms_silent=silent)
    if bms.temps_c:
        high_c, low_c = max(bms.temps_c), min(bms.temps_c)
        warm_limit_c = limits.charge_resume_c if track.warm else limits.charge_temp_max_c
        track = replace(
            track,
            warm=high_c > warm_limit_c or (track.warm and high_c == warm_limit_c),
            hot=high_c >= (limits.charge_resume_c if track.hot else limits.charge_stop_c),
            cold=low_c <= limits.charge_resume_cold_c
            if track.cold
            else low_c < limits.charge_temp_min_c,
            samples=_sampled(track.samples, bms, high_c, charging=charging, limits=limits),
        )
    if bms.cell_v:
        limit_v = limits.cell_voltage_resume_v if track.over_voltage else limits.cell_voltage_max_v
        track = replace(track, over_voltage=max(bms.cell_v) >= limit_v)
    return track


def _sampled(
    samples: tuple[Sample, ...], bms: BmsReading, temp_c: float, *, charging: bool, limits: Limits
) -> tuple[Sample, ...]:
    """The samples of a charging pack over the last minutes, at least ``SAMPLE_MS`` apart."""
    if samples and bms.at_ms - samples[-1].at_ms > SAMPLE_GAP_MAX_MS:
        samples = ()
    if not charging or (samples and bms.at_ms - samples[-1].at_ms < SAMPLE_MS):
        return samples
    samples = (*samples, Sample(bms.at_ms, temp_c))
    oldest_ms = bms.at_ms - limits.rise_minutes * MINUTE_MS - SAMPLE_MS
    while len(samples) > 1 and samples[1].at_ms <= oldest_ms:
        samples = samples[1:]
    return samples


def _codes(track: Track, bms: BmsReading | None, limits: Limits) -> frozenset[Code]:
    found: set[Code] = set()
    flags = (
        (track.hot, Code.CELL_HOT),
        (track.warm and not track.hot, Code.CELL_WARM),
        (track.cold, Code.CELL_COLD),
        (track.over_voltage, Code.CELL_OVER_VOLTAGE),
        (track.air_warm, Code.AIR_WARM),
        (track.bms_silent, Code.BMS_SILENT),
    )
    found.update(code for on, code in flags if on)
    if track.charger_fault is not None:
        found.add(track.charger_fault)
    if bms is not None:
        if bms.protection - CHARGE_CURES:
            found.add(Code.BMS_PROTECTION)
        if bms.cell_v and min(bms.cell_v) < limits.cell_voltage_min_v:
            found.add(Code.CELL_DAMAGED)
        if bms.cell_v and limits.charge_voltage_max_v / len(bms.cell_v) > limits.cell_voltage_max_v:
            found.add(Code.WRONG_PACK)
    return frozenset(found)
