"""What the operator's lists ask for and what they show: packs, swaps, alarms, riders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from fleet.core.console import GROUPS, Row
from fleet.core.ids import is_rider, is_slot
from fleet.core.swaps import BLOCKING_ALARMS
from fleet.core.views import LifeView, ToldView
from protocols.messages import AlarmBody, SlotTelemetry

ROWS_DEFAULT: Final = 50
OFFLINE: Final = "offline"
#: Stands for every slot outside the scope of who looks.
ELSEWHERE: Final = "elsewhere"
PLACES: Final = (
    "slot", "rider", "depot", "transit", "workshop", "lost", "scrapped", "unknown",
)  # fmt: skip
OUTCOMES: Final = ("open", "completed", "rejected", "cancelled", "faulted")
_SEVERITIES: Final = ("critical", "warning", "info")
#: Where no event tells how grave an alarm is, by its code, as cabinets have it.
CRITICAL: Final = BLOCKING_ALARMS - {"service-door"} | {
    "slot-air-trip", "temperature-rise", "cell-hot", "cell-over-voltage", "charger-stray",
    "over-power",
}  # fmt: skip
_INFO: Final = frozenset({"cell-warm", "cell-cold", "keypad-locked"})

Cabinets = frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackFilter:
    """Which packs; what is empty does not restrict. ``cabinets`` bounds it to their slots."""

    serial: str = ""  # or how it begins
    place: str = ""
    cabinet: str = ""
    state: str = ""
    disputed: bool = False
    after: str = ""
    limit: int = ROWS_DEFAULT
    cabinets: Cabinets | None = None


class PackRow(msgspec.Struct, frozen=True, kw_only=True):
    """One pack, as the ledger has it."""

    serial: str
    model: str | None
    capacity_wh: int | None
    holder: str
    state: str
    disputed: bool
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapFilter:
    """Which swaps, the newest first; ``before`` is where the page before ended."""

    swap: str = ""
    cabinet: str = ""
    rider: str = ""
    kind: str = ""
    outcome: str = ""
    reason: str = ""
    flagged: bool = False
    since_ms: int | None = None
    until_ms: int | None = None
    before: tuple[int, str] | None = None
    limit: int = ROWS_DEFAULT
    cabinets: Cabinets | None = None


class SwapRow(msgspec.Struct, frozen=True, kw_only=True):
    """One swap in a list."""

    id: str
    cabinet_id: str
    rider_id: str
    kind: str
    step: str | None
    open: bool
    slot_in: int | None
    slot_out: int | None
    reason: str | None
    flags: tuple[str, ...]
    authority: str
    created_ms: int
    updated_ms: int


class SwapEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was told of a swap: a step, a pack, or an order and its answer.

    ``mono_ms`` is of the cabinet's boot ``boot_id``: durations go by it, since wall clocks jump.
    """

    what: str  # step, in, out, order, answer
    at_ms: int
    step: str | None = None
    slot: int | None = None
    serial: str | None = None
    soc_pct: int | None = None
    reason: str | None = None
    detail: str = ""
    boot_id: str | None = None
    mono_ms: int | None = None
    wall_synced: bool = True
    received_ms: int | None = None


class AlarmRaised(msgspec.Struct, frozen=True, kw_only=True):
    """When an alarm that stands was raised, by the cabinet's event."""

    epoch: int
    seq: int
    at_ms: int
    severity: str
    detail: str = ""


class AlarmNote(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody has taken note of an alarm."""

    cabinet: str
    code: str
    slot: int
    epoch: int
    seq: int
    at_ms: int
    actor: str
    reason: str


class StandingAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm as it stands. ``raised`` is None where no event tells of it."""

    cabinet_id: str
    cabinet_name: str
    code: str
    slot: int | None
    severity: str
    online: bool
    told_age_ms: int | None
    raised: AlarmRaised | None = None
    since_ms: int | None = None
    note: AlarmNote | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmFilter:
    """Which alarms. ``noted``: only those that somebody has taken note of, or only the others."""

    code: str = ""
    noted: bool | None = None
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmPage:
    """One page of the alarms, the gravest first; ``codes`` are all that stand, whatever is shown."""

    rows: tuple[StandingAlarm, ...]
    total: int
    page: int
    pages: int
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RiderFilter:
    """Which riders, by id."""

    query: str = ""  # id, number, or the last four digits of the phone
    blocked: bool = False
    after: str = ""
    limit: int = ROWS_DEFAULT


class RiderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rider in a list; the phone as its tail only."""

    id: str
    number: str
    phone_tail: str
    created_ms: int
    denied: bool
    denied_reason: str
    packs: int


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What a cabinet told of a pack as it came or went; None is not known."""

    at_ms: int
    soc_pct: int | None = None
    capacity_ah: float | None = None
    cycles: int | None = None


class Passport(msgspec.Struct, frozen=True, kw_only=True):
    """A pack: what the ledger knows of its life, and what its slot last told."""

    pack: PackRow
    life: tuple[LifeView, ...]
    lent: int  # how often it went to a rider
    charged: int  # how often it came into a slot from a rider
    flags: tuple[str, ...]  # that its movements carry
    slot: SlotTelemetry | None = None  # None: not in a slot, or the slot tells of another pack
    cabinet_id: str | None = None
    told_age_ms: int | None = None
    told: tuple[Told, ...] = ()  # the oldest first, those that tell something

    @property
    def cycles(self) -> int | None:
        """Of the pack's own counter, as last told."""
        return next((each.cycles for each in self.told[::-1] if each.cycles is not None), None)

    @property
    def capacity_ah(self) -> float | None:
        """When full, as last told."""
        return next(
            (each.capacity_ah for each in self.told[::-1] if each.capacity_ah is not None), None
        )

    @property
    def health_pct(self) -> float | None:
        """Capacity now, of the most that it ever told; None before it told it twice."""
        known = [each.capacity_ah for each in self.told if each.capacity_ah is not None]
        return None if len(known) < 2 else 100 * known[-1] / max(known)


def lent_times(life: Iterable[LifeView]) -> int:
    """How often a pack went to a rider."""
    return sum(each.moves and is_rider(each.to_holder) for each in life)


def charged_times(life: Iterable[LifeView]) -> int:
    """How often a pack came into a slot from a rider."""
    return sum(
        each.moves and is_rider(each.from_holder) and is_slot(each.to_holder) for each in life
    )


def passport_within(whole: Passport, cabinets: Cabinets) -> Passport:
    """What of a passport happened at these cabinets: who had the pack elsewhere is not told.

    Other slots are ``ELSEWHERE``, and so is the report of another cabinet, without its swap.
    """
    life = tuple(
        _within(each, cabinets)
        for each in whole.life
        if _is_in(each.from_holder, cabinets)
        or _is_in(each.to_holder, cabinets)
        or (each.told_by is not None and each.told_by.cabinet in cabinets)
    )
    return msgspec.structs.replace(
        whole,
        life=life,
        lent=lent_times(life),
        charged=charged_times(life),
        flags=tuple(sorted({flag for each in life for flag in each.flags})),
    )


def _within(row: LifeView, cabinets: Cabinets) -> LifeView:
    ends = {
        name: holder if not is_slot(holder) or _is_in(holder, cabinets) else ELSEWHERE
        for name, holder in (("from_holder", row.from_holder), ("to_holder", row.to_holder))
    }
    if row.told_by is None or row.told_by.cabinet in cabinets:
        return msgspec.structs.replace(row, **ends)
    if is_rider(row.to_holder):
        ends["to_holder"] = ELSEWHERE
    return msgspec.structs.replace(
        row,
        **ends,
        cabinet_id=None,
        slot=None,
        person=None,
        swap_id=None,
        swap_kind=None,
        swap_step=None,
        told_by=ToldView(cabinet=ELSEWHERE, epoch=0, seq=0, type=None),
    )


def _is_in(holder: str, cabinets: Cabinets) -> bool:
    return is_slot(holder) and holder.removeprefix("slot:").rpartition(":")[0] in cabinets


def standing_alarms(rows: Iterable[Row]) -> list[StandingAlarm]:
    """What every cabinet last told, and who is silent; silence ends no alarm."""
    found = []
    for each in rows:
        for alarm in each.brief.alarms:
            code, _, slot = alarm.partition(":")
            found.append(_standing(each, code, int(slot) if slot.isdecimal() else None))
        if each.mark in GROUPS["silent"]:
            found.append(_standing(each, OFFLINE, None))
    return found


def raised_at(
    events: Sequence[tuple[AlarmRaised, AlarmBody]], code: str, slot: int | None
) -> AlarmRaised | None:
    """The first telling of an alarm since it last ended; ``events`` are the newest first."""
    found: AlarmRaised | None = None
    for raised, body in events:
        if (body.code, body.slot) != (code, slot):
            continue
        if not body.active:
            break
        found = raised
    return found


def is_traced(
    events: Sequence[tuple[AlarmRaised, AlarmBody]], code: str, slot: int | None, most: int
) -> bool:
    """Whether the last ``most`` events tell all that ``raised_at`` wants to know."""
    ended = any((b.code, b.slot) == (code, slot) and not b.active for _, b in events)
    return ended or len(events) < most


def by_gravity(alarms: Iterable[StandingAlarm]) -> list[StandingAlarm]:
    """The gravest first; of those the ones that nobody has taken note of, and silence last."""
    return sorted(
        alarms,
        key=lambda each: (
            _SEVERITIES.index(each.severity) if each.severity in _SEVERITIES else 1,
            each.note is not None,
            each.code == OFFLINE,
            each.cabinet_id,
            each.code,
            each.slot or 0,
        ),
    )


def _standing(row: Row, code: str, slot: int | None) -> StandingAlarm:
    severity = "critical" if code in CRITICAL else "info" if code in _INFO else "warning"
    return StandingAlarm(
        cabinet_id=row.brief.id,
        cabinet_name=row.brief.name,
        code=code,
        slot=slot,
        severity=severity,
        online=row.brief.online,
        told_age_ms=row.age_ms,
    )
