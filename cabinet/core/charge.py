"""Spread the cabinet's power over its slots: the readiest pack first.

Every order is a bound, not a hope: the sum of (ordered current x the highest voltage the charger can
reach before the next decision / efficiency) stays at or below the power limit, so that whatever the
packs do with it, the cabinet stays below too. A pack in its taper draws less than it was allowed; its
current is then lowered to what it draws and a little more, and the rest goes to the next pack.

Readiest first, because 0.7 and 0.3 of a full pack are not one full pack. Currents are whole tenths of
an ampere. Cost: O(n log n) for n slots.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from cabinet.core.model import BmsReading, ChargerReading, Image, SlotImage
from cabinet.core.safety_state import Verdict
from protocols.messages import OWN_POWER_W

#: AC to DC, a cautious figure for the chargers at part load.
EFFICIENCY: Final = 0.90
#: Voltage that a pack may rise by, and its leads drop, before the next decision.
VOLTAGE_RISE_V: Final = 0.5
#: A pack draws this much less than allowed: it is in its taper.
TAPER_GAP_DA: Final = 2
#: Left above what a tapering pack draws, so that it may take more again.
TAPER_ROOM_DA: Final = 3
#: A charger's readings are trusted for the taper once its set-point has settled this long ago.
TAPER_AGE_MAX_MS: Final = 3_000
#: A smaller step than this is not worth a write on the bus, as long as the limits hold without it.
STEP_MIN_DA: Final = 3


@dataclass(frozen=True, slots=True)
class PackLimits:
    """What a pack and its charger may take, from the configuration."""

    voltage_max_v: float = 54.6
    current_max_a: float = 6.0
    current_min_a: float = 0.5  # less is not worth charging with
    start_margin_a: float = 0.5  # a pack at rest starts only with this much more than the least
    charger_current_max_a: float = 6.0
    charger_power_max_w: float = 360.0  # DC
    precharge_cell_v: float = 2.8  # below this cell voltage the current is precharge_current_a
    precharge_current_a: float = 1.0

    def __post_init__(self) -> None:
        for name in (
            "voltage_max_v",
            "current_max_a",
            "current_min_a",
            "charger_current_max_a",
            "charger_power_max_w",
            "precharge_current_a",
        ):
            value = getattr(self, name)
            if not 0.0 < value < 10_000.0:
                raise ValueError(f"{name} = {value}: expected a number above 0")


@dataclass(frozen=True, slots=True)
class Demand:
    """What is wanted. ``base_w`` is what the cabinet takes without charging."""

    power_limit_w: int
    target_soc_pct: int
    excluded: frozenset[int] = frozenset()
    pack: PackLimits = field(default_factory=PackLimits)
    base_w: int = OWN_POWER_W


class Order(Struct, frozen=True):
    """What one charger should do."""

    slot: int
    on: bool
    voltage_v: float = 0.0
    current_a: float = 0.0


@dataclass(frozen=True, slots=True)
class _Candidate:
    slot: int
    soc_pct: int
    on: bool
    volts: float  # upper bound until the next decision
    most_da: int  # tenths of an ampere that pack, charger and safety allow
    draws_da: int | None  # what it really draws, while it is in its taper
    set_da: int  # what it is set to now


def allocate(image: Image, verdict: Verdict, demand: Demand, now_ms: int) -> tuple[Order, ...]:
    """One order per slot, in slot order; off for whatever may not, need not or cannot charge."""
    given_da: dict[int, int] = {}
    limit_w = max(0, min(demand.power_limit_w, verdict.power_cap_w) - demand.base_w)
    candidates = _candidates(image, verdict, demand, now_ms)
    left_w = limit_w * EFFICIENCY  # on the DC side
    for pack in sorted(candidates, key=lambda c: (-c.soc_pct, not c.on, c.slot)):
        hard_da = most_da = min(pack.most_da, int(left_w / pack.volts * 10.0))
        if pack.draws_da is not None:
            most_da = min(hard_da, pack.draws_da + TAPER_ROOM_DA)
        least_a = demand.pack.current_min_a + (0.0 if pack.on else demand.pack.start_margin_a)
        least_da = _least_da(least_a, pack, demand.pack)
        if most_da < least_da:
            continue
        if (
            pack.on
            and abs(most_da - pack.set_da) < STEP_MIN_DA
            and least_da <= pack.set_da <= hard_da
        ):
            most_da = pack.set_da
        given_da[pack.slot] = most_da
        left_w -= most_da / 10.0 * pack.volts
    return tuple(_order(slot.slot, given_da, demand.pack) for slot in image.slots)


def ac_power_w(current_a: float, voltage_v: float) -> float:
    """What the mains give for this charge."""
    return current_a * voltage_v / EFFICIENCY


def voltage_bound_v(slot: SlotImage, pack: PackLimits) -> float:
    """The highest voltage at which this slot can charge before the next decision."""
    seen_v = max(
        slot.bms.voltage_v if slot.bms else pack.voltage_max_v,
        slot.charger.voltage_v if slot.charger and slot.charger.output_on else 0.0,
    )
    return min(pack.voltage_max_v, seen_v + VOLTAGE_RISE_V)


def _order(slot: int, given_da: dict[int, int], pack: PackLimits) -> Order:
    current_da = given_da.get(slot)
    if current_da is None:
        return Order(slot, on=False)
    return Order(slot, on=True, voltage_v=pack.voltage_max_v, current_a=current_da / 10.0)


def _least_da(least_a: float, pack: _Candidate, limits: PackLimits) -> int:
    """The least useful current; a pack that is near its end or spared may take less.

    What the pack itself allows (heat, a low cell, the end of its taper) is no reason to leave it:
    only too little power is.
    """
    ceiling_da = pack.most_da
    if pack.draws_da is not None:
        ceiling_da = min(ceiling_da, pack.draws_da + TAPER_ROOM_DA)
    return max(1, min(round(least_a * 10.0), max(ceiling_da, round(limits.current_min_a * 5.0))))


def _candidates(
    image: Image, verdict: Verdict, demand: Demand, now_ms: int
) -> tuple[_Candidate, ...]:
    serials = Counter(bms.serial for slot in image.slots if (bms := slot.bms_now(now_ms)))
    found = []
    for slot in image.slots:
        factor = verdict.charge_factor.get(slot.slot, 0.0)
        bms, charger = slot.bms, slot.charger
        if slot.slot in demand.excluded or slot.slot in verdict.quarantine or factor <= 0.0:
            continue
        if bms is None or charger is None or bms.soc_pct >= demand.target_soc_pct:
            continue
        if bms.serial is None or serials[bms.serial] > 1:
            continue  # a pack that does not say who it is, or says the same as another
        most_da = _most_da(slot, bms, demand.pack, factor)
        set_da = round(charger.current_set_a * 10.0)
        found.append(
            _Candidate(
                slot=slot.slot,
                soc_pct=bms.soc_pct,
                on=charger.output_on,
                volts=voltage_bound_v(slot, demand.pack),
                most_da=most_da,
                draws_da=_draws_da(charger, set_da, demand.pack, now_ms),
                set_da=set_da,
            )
        )
    return tuple(found)


def _most_da(slot: SlotImage, bms: BmsReading, limits: PackLimits, factor: float) -> int:
    """What pack, charger and safety allow, rounded down."""
    most_a = min(
        limits.current_max_a,
        limits.charger_current_max_a,
        limits.charger_power_max_w / voltage_bound_v(slot, limits),
    ) * min(1.0, factor)
    if bms.cell_v and min(bms.cell_v) < limits.precharge_cell_v:
        most_a = min(most_a, limits.precharge_current_a)
    return int(most_a * 10.0 + 1e-9)


def _draws_da(charger: ChargerReading, set_da: int, limits: PackLimits, now_ms: int) -> int | None:
    """What a pack in its taper draws, rounded up; None while it takes all it is given."""
    if not charger.output_on or now_ms - charger.at_ms > TAPER_AGE_MAX_MS:
        return None
    at_limit = charger.voltage_v >= limits.voltage_max_v - VOLTAGE_RISE_V
    drawn_da = int(max(0.0, charger.current_a) * 10.0) + 1
    return drawn_da if at_limit and set_da - drawn_da >= TAPER_GAP_DA else None
