"""Orders to the whole cabinet: start anew, and open every door one after another.

Both are refused while anybody is served, and while they last nobody is: they never share a door with
a rider. Opening all goes by the rules of a single opening (``engine_manual``), so at no time is more
than one lock pulsed; a slot in quarantine stays shut, and whatever the safety core locks as well. It
ends with the process: after a restart nobody opens doors that were ordered before.

The answer to both is ``accepted`` at first. Opening all is ``done`` when the sensors have seen every
door open that was to open; a restart is ``done`` when another boot says so.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from cabinet.core import engine_claims, engine_manual
from cabinet.core.engine_draft import Draft
from cabinet.core.engine_model import OpeningAll, Restart
from cabinet.core.engine_view import Sight
from cabinet.core.swap_model import SlotView, is_active
from protocols.messages import Door, Result

#: What the answer needs to reach the fleet before the link goes down.
RESTART_AFTER_MS: Final = 1_500
#: A process that is still here then cannot be started anew from afar.
RESTART_WITHIN_MS: Final = 60_000
_RESTART: Final = "restart"
#: Why a door stays shut on purpose; it does not make the order fail.
MEANT: Final = frozenset({"quarantined"})


def engaged(draft: Draft) -> bool:
    """Whether an order to the whole cabinet is under way, so that nobody can be served."""
    return draft.durable.opening_all is not None or draft.durable.restart is not None


def _free(draft: Draft) -> bool:
    served = is_active(draft.durable.swap) or bool(draft.durable.openings)
    return not served and not engaged(draft)


# --- every door -----------------------------------------------------------------------------------


def open_all(draft: Draft, command_id: str, sight: Sight) -> str | None:
    """Begin to open every door; None, or why not."""
    if not _free(draft):
        return "busy"
    if sight.view.doors_locked:
        return "doors-locked"
    left = tuple(slot.slot for slot in sight.view.slots)
    draft.keep(opening_all=OpeningAll(command_id, left))
    draft.journal("open-all", id=command_id, slots=len(left))
    _next(draft, sight)
    return None


def track(draft: Draft, sight: Sight) -> None:
    """Go on with the next door once the one before is settled."""
    if draft.durable.opening_all is not None and not draft.durable.openings:
        _next(draft, sight)


def _next(draft: Draft, sight: Sight) -> None:
    while (every := draft.durable.opening_all) is not None and not draft.durable.openings:
        if not every.left:
            _end(draft, every)
            return
        slot = sight.view.slot(every.left[0])
        every = replace(every, left=every.left[1:])
        if slot.door is Door.OPEN:
            draft.keep(opening_all=replace(every, opened=(*every.opened, slot.slot)))
            continue
        why = _why_shut(slot) or engine_manual.order(
            draft, every.command_id, slot, sight, attempt=f"open:{every.command_id}:{slot.slot}"
        )
        if why is None:
            engine_claims.touched(draft, (slot.slot,))
            draft.keep(opening_all=every)
        else:
            draft.keep(opening_all=replace(every, shut={**every.shut, slot.slot: why}))


def _why_shut(slot: SlotView) -> str | None:
    if slot.quarantined or (slot.pack is not None and slot.pack.unwell is not None):
        return "quarantined"
    return "door-unknown" if slot.door is Door.UNKNOWN else None


def _end(draft: Draft, every: OpeningAll, why: str | None = None) -> None:
    failed = {slot: code for slot, code in every.shut.items() if code not in MEANT}
    reason = why or (next(iter(failed.values())) if failed else None)
    seen = f"open {_list(every.opened)}"
    shut = "".join(f", {slot} shut: {code}" for slot, code in sorted(every.shut.items()))
    draft.keep(opening_all=None)
    draft.journal("opened-all", id=every.command_id, opened=list(every.opened), reason=reason)
    draft.decide(
        Result(
            id=every.command_id,
            outcome="done" if reason is None else "failed",
            boot_id=draft.state.boot_id,
            reason=reason,
            evidence=(seen + shut)[:500],
        )
    )


def _list(slots: tuple[int, ...]) -> str:
    return " ".join(map(str, slots)) or "none"


# --- start anew -----------------------------------------------------------------------------------


def restart(draft: Draft, command_id: str) -> str | None:
    """Ask the shell to end this process, whose keeper starts it again; None, or why not."""
    if not _free(draft):
        return "busy"
    draft.keep(restart=Restart(command_id, draft.state.boot_id))
    draft.held_ms(_RESTART, 0, holds=True)
    draft.journal("restart", id=command_id)
    return None


def leave(draft: Draft) -> None:
    """Let the process end once the answer had time to go out; one that stays says so."""
    wanted = draft.durable.restart
    if wanted is None or wanted.boot_id != draft.state.boot_id:
        return
    waited_ms = draft.held_ms(_RESTART, 0, holds=True) or 0
    if waited_ms >= RESTART_WITHIN_MS:
        draft.put(leaving=False)
        _restarted(draft, wanted, "not-restarted", f"still boot {wanted.boot_id}")
    elif waited_ms >= RESTART_AFTER_MS and not draft.state.leaving:
        draft.put(leaving=True)


def recovered(draft: Draft) -> None:
    """A new boot: what the one before left unfinished ends here."""
    wanted = draft.durable.restart
    if wanted is not None and wanted.boot_id != draft.state.boot_id:
        _restarted(draft, wanted, None, f"boot {draft.state.boot_id} after {wanted.boot_id}")
    every = draft.durable.opening_all
    if every is not None:
        given_up = dict.fromkeys(every.left, "restarted")
        draft.keep(openings={})
        _end(draft, replace(every, left=(), shut={**every.shut, **given_up}), "restarted")


def _restarted(draft: Draft, wanted: Restart, reason: str | None, evidence: str) -> None:
    draft.keep(restart=None)
    draft.held_ms(_RESTART, 0, holds=False)
    draft.journal("restarted", id=wanted.command_id, reason=reason)
    draft.decide(
        Result(
            id=wanted.command_id,
            outcome="done" if reason is None else "failed",
            boot_id=draft.state.boot_id,
            reason=reason,
            evidence=evidence,
        )
    )
