"""May this rider start this transaction here? The answer comes before any door moves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from fleet.core.ledger import Changes, SwapState, Transfer
from fleet.core.plans import PLAN_REFUSALS
from protocols.messages import Kind, SlotState, SlotTelemetry, Status, Step, Telemetry

#: Telemetry older than this proves nothing: three periods of the slowest cabinet (30 s).
TELEMETRY_AGE_MAX_MS: Final = 90_000
#: What the fleet's own verdict ranks: above "asked", below anything that a cabinet reports.
FLEET_VERDICT_RANK: Final = 5
NO_ANSWER: Final = "no-answer"
#: How a cabinet marks a slot whose pack is kept for a rider.
HELD_FLAG: Final = "held"

RIDER_KINDS: Final = frozenset({Kind.SWAP, Kind.PICKUP, Kind.RETURN})
#: Cabinet-wide alarms under which no rider door may open.
BLOCKING_ALARMS: Final = frozenset({"smoke", "over-temperature", "flood", "e-stop", "service-door"})

REFUSALS: Final = {
    "offline": "the cabinet is not connected",
    "alarm": "the cabinet has an alarm and keeps its doors shut",
    "denied-rider": "the rider is blocked",
    "open-swap": "the rider has an unfinished transaction",
    "busy": "the cabinet serves someone else",
    "no-battery": "the rider holds no battery",
    "has-battery": "the rider holds a battery already",
    "reserved-elsewhere": "the rider has a battery kept at another cabinet",
    "no-shows": "the rider did not come for too many batteries that were kept",
    "no-full-battery": "the cabinet has no full battery",
    "no-empty-slot": "the cabinet has no empty slot",
    **PLAN_REFUSALS,
}


@dataclass(frozen=True, slots=True)
class CabinetFacts:
    """The cabinet as it reports itself."""

    online: bool
    age_ms: int | None  # of its telemetry
    full: int
    empty: int
    alarms: tuple[str, ...] = ()
    active_swap: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What the ledger says of the rider and of the cabinet."""

    rider_serials: tuple[str, ...] = ()
    rider_open_swap: str | None = None
    rider_denied: bool = False
    cabinet_open_swap: str | None = None
    reserved: bool = False  # a full pack is kept here for this rider
    plan_refusal: str | None = None  # why the rider's plan lets no full pack go


def refuse(kind: Kind, cabinet: CabinetFacts, ledger: LedgerFacts) -> str | None:
    """The code of the first rule that says no, or None: the swap may start."""
    if (code := refuse_cabinet(cabinet)) is not None:
        return code
    if ledger.rider_denied:
        return "denied-rider"
    if ledger.rider_open_swap is not None:
        return "open-swap"
    if kind is not Kind.RETURN and ledger.plan_refusal is not None:
        return ledger.plan_refusal
    if cabinet.active_swap is not None or ledger.cabinet_open_swap is not None:
        return "busy"
    gives, takes = kind is not Kind.PICKUP, kind is not Kind.RETURN
    if gives and not ledger.rider_serials:
        return "no-battery"
    if kind is Kind.PICKUP and ledger.rider_serials:
        return "has-battery"
    if takes and cabinet.full < 1 and not ledger.reserved:
        return "no-full-battery"
    if gives and cabinet.empty < 1:
        return "no-empty-slot"
    return None


def refuse_technician(cabinet: CabinetFacts, ledger: LedgerFacts) -> str | None:
    """The code of the first rule that says no to a technician, or None.

    Alarms are for the cabinet to judge: a technician comes because of them.
    """
    if not cabinet.online or cabinet.age_ms is None or cabinet.age_ms > TELEMETRY_AGE_MAX_MS:
        return "offline"
    if cabinet.active_swap is not None or ledger.cabinet_open_swap is not None:
        return "busy"
    return None


def refuse_cabinet(cabinet: CabinetFacts) -> str | None:
    """Why this cabinet serves nobody now, or None."""
    if not cabinet.online or cabinet.age_ms is None or cabinet.age_ms > TELEMETRY_AGE_MAX_MS:
        return "offline"
    if keep_shut(cabinet.alarms):
        return "alarm"
    return None


def keep_shut(alarms: Iterable[str]) -> bool:
    """Whether one of these alarms keeps the doors shut, of the whole cabinet or of a slot (``smoke:3``)."""
    return any(alarm.partition(":")[0] in BLOCKING_ALARMS for alarm in alarms)


def is_free_full(slot: SlotTelemetry) -> bool:
    """Whether the slot holds a full pack that is for anybody."""
    return slot.state is SlotState.READY and HELD_FLAG not in slot.flags


def facts_of(
    status: Status | None, telemetry: Telemetry | None, age_ms: int | None
) -> CabinetFacts:
    """The cabinet by its latest status and telemetry."""
    slots = () if telemetry is None else telemetry.slots
    return CabinetFacts(
        online=status is not None and status.online,
        age_ms=age_ms,
        full=sum(map(is_free_full, slots)),
        empty=sum(slot.state is SlotState.EMPTY for slot in slots),
        alarms=() if telemetry is None else telemetry.alarms,
        active_swap=None if telemetry is None else telemetry.active_swap,
    )


def end_unstarted(
    swap: SwapState, legs: Iterable[Transfer], step: Step, reason: str | None, detail: str
) -> Changes | None:
    """End a swap whose order did not come about; None when the cabinet has spoken already.

    Provisional: it stands until the cabinet reports a step of that swap.
    """
    if swap.rank >= FLEET_VERDICT_RANK:
        return None
    ended = replace(swap, step=step, rank=FLEET_VERDICT_RANK, reason=reason, detail=detail)
    void = tuple(replace(leg, state="void") for leg in legs if leg.state == "reserved")
    return Changes(swap=ended, transfers=void)
