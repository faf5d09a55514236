"""Openings by order of an operator or a technician, outside any transaction.

The answer is ``accepted`` when the pulse is ordered, and ``done`` only when the sensor has seen the
door open; else ``failed``, with the reason. What is waited for is durable: after a restart the door
itself tells, and the same deadline ends the wait.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import ManualOpening
from cabinet.core.engine_view import Sight
from cabinet.core.model import Unlock, UnlockResult
from cabinet.core.swap_model import SlotView, is_active
from protocols.messages import Door, Result

_TIMER: Final = "hand-open"
#: Why a door that is not seen open was not opened, by what the lock's board said.
_REASONS: Final = {
    UnlockResult.SENT.value: "door-stuck",
    UnlockResult.NO_REPLY.value: "no-reply",
    UnlockResult.REFUSED.value: "lock-refused",
    "": "no-reply",
}


def order(
    draft: Draft, command_id: str, slot: SlotView, sight: Sight, attempt: str = ""
) -> str | None:
    """Pulse the lock of a shut door; None, or why not."""
    number = slot.slot
    if is_active(draft.durable.swap) or number in draft.durable.openings:
        return "busy"
    if sight.view.doors_locked or slot.locked:
        return "doors-locked"
    if slot.door is not Door.CLOSED:
        return "door-not-shut"
    attempt = attempt or f"open:{command_id}"
    opening = ManualOpening(command_id, attempt)
    draft.keep(openings={**draft.durable.openings, number: opening})
    draft.put(opened_by_hand=draft.state.opened_by_hand | {number})
    draft.held_ms(_TIMER, number, holds=True)
    draft.journal("unlock", slot=number, attempt=attempt)
    draft.effect(Unlock(number, attempt))
    return None


def pulsed(draft: Draft, slot: int, attempt: str, result: UnlockResult) -> bool:
    """The bus has told; False when the attempt is not one of these. The sensor has the last word."""
    opening = draft.durable.openings.get(slot)
    if opening is None or opening.attempt != attempt:
        return False
    if result is UnlockResult.REFUSED:
        _end(draft, slot, opening, _REASONS[result.value], "the lock's board refused the pulse")
    else:
        told = ManualOpening(opening.command_id, attempt, result.value)
        draft.keep(openings={**draft.durable.openings, slot: told})
    return True


def track(draft: Draft, sight: Sight) -> None:
    """Answer once the door was seen open, or cannot be expected to open any more."""
    wait_ms = draft.config.swap.outcome_wait_ms + draft.config.swap.open_wait_ms
    for number, opening in sorted(draft.durable.openings.items()):
        slot = sight.view.slot(number)
        waited_ms = draft.held_ms(_TIMER, number, holds=True) or 0
        if slot.door is Door.OPEN:
            _end(draft, number, opening, None, f"door seen open after {waited_ms} ms")
        elif waited_ms >= wait_ms:
            unknown = slot.door is Door.UNKNOWN
            reason = "door-unknown" if unknown else _REASONS[opening.pulse]
            seen = "cannot be read" if unknown else "is still shut"
            _end(draft, number, opening, reason, f"door {seen} after {waited_ms} ms")


def _end(
    draft: Draft, number: int, opening: ManualOpening, reason: str | None, evidence: str
) -> None:
    draft.keep(openings={n: o for n, o in draft.durable.openings.items() if n != number})
    draft.held_ms(_TIMER, number, holds=False)
    draft.journal("opened-by-order", slot=number, id=opening.command_id, reason=reason)
    every = draft.durable.opening_all
    if every is not None and every.command_id == opening.command_id:  # one door of all of them
        if reason is None:
            every = replace(every, opened=(*every.opened, number))
        else:
            every = replace(every, shut={**every.shut, number: reason})
        draft.keep(opening_all=every)
        return
    draft.decide(
        Result(
            id=opening.command_id,
            outcome="done" if reason is None else "failed",
            boot_id=draft.state.boot_id,
            reason=reason,
            evidence=evidence,
        )
    )
