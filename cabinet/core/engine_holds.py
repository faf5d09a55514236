"""Full packs kept for riders who are on the way.

A hold names one slot and one rider, and ends by itself: when its time is up, when the rider starts
a transaction that takes a pack, or when the fleet releases it. Its time runs on the monotonic clock
of this process; after a restart it starts anew, so a hold never lasts longer than its length from
the last start. A held pack that goes bad or missing is exchanged for the best other one.
"""

from __future__ import annotations

from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import Hold
from cabinet.core.engine_view import Sight

_TIMER = "hold"


def hold(draft: Draft, wanted: Hold, sight: Sight) -> int | str:
    """Keep the best full pack; the slot, or why there is none to keep."""
    holds = draft.durable.holds
    if any(held.rider_id == wanted.rider_id for held in holds.values()):
        return "already-held"
    free = [slot for slot in sight.view.full if slot not in holds]
    if not free:
        return "no-full-battery"
    if len(free) <= draft.config.hold_leave_full:
        return "last-full-battery"
    _place(draft, free[0], wanted)
    return free[0]


def release(draft: Draft, hold_id: str) -> bool:
    """End a hold by its id; False when there is none such."""
    for slot, held in draft.durable.holds.items():
        if held.id == hold_id:
            _drop(draft, slot, "released")
            return True
    return False


def used(draft: Draft, rider_id: str) -> None:
    """The rider has come: what was kept is now reserved by the transaction itself."""
    for slot, held in draft.durable.holds.items():
        if held.rider_id == rider_id:
            _drop(draft, slot, "used")
            return


def track(draft: Draft, sight: Sight) -> None:
    """End what is over, and keep another pack where the held one is no longer good."""
    for slot, held in sorted(draft.durable.holds.items()):
        waited_ms = draft.held_ms(_TIMER, slot, holds=True) or 0
        if waited_ms >= held.ttl_ms:
            _drop(draft, slot, "expired")
        elif _spoilt(draft, slot, held):
            _move(draft, slot, held, sight, waited_ms)


def _spoilt(draft: Draft, slot: int, held: Hold) -> bool:
    """Whether the pack is surely no longer to be had; a silent BMS alone proves nothing."""
    durable = draft.durable
    flagged = slot in durable.quarantine or slot in durable.out_of_service
    return flagged or durable.inventory.get(slot) != held.serial


def _move(draft: Draft, slot: int, held: Hold, sight: Sight, waited_ms: int) -> None:
    free = [n for n in sight.view.full if n not in draft.durable.holds]
    _drop(draft, slot, "moved" if free else "spoilt")
    if free:
        left_ms = max(0, held.ttl_ms - waited_ms)
        _place(draft, free[0], Hold(held.id, held.rider_id, left_ms))


def _place(draft: Draft, slot: int, held: Hold) -> None:
    serial = draft.durable.inventory.get(slot, "")
    placed = Hold(held.id, held.rider_id, held.ttl_ms, serial)
    draft.keep(holds={**draft.durable.holds, slot: placed})
    draft.held_ms(_TIMER, slot, holds=True)
    draft.journal("hold", slot=slot, id=held.id, rider_id=held.rider_id, ttl_ms=held.ttl_ms)


def _drop(draft: Draft, slot: int, why: str) -> None:
    held = draft.durable.holds[slot]
    draft.keep(holds={s: other for s, other in draft.durable.holds.items() if s != slot})
    draft.held_ms(_TIMER, slot, holds=False)
    draft.journal("hold-over", slot=slot, id=held.id, why=why)
