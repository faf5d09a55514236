"""The half of the swap table that hands a full pack out."""

from __future__ import annotations

from typing import Final, assert_never

from msgspec.structs import replace

from cabinet.core.model import told_soc
from cabinet.core.swap_model import (
    Accepted,
    Action,
    AwaitClose,
    AwaitPickup,
    Cancel,
    Cancelling,
    Job,
    OpeningPickup,
    PickupHeld,
    Prompt,
    Resume,
    Sensed,
    SlotView,
    Trip,
    Trust,
    Try,
    Turn,
)
from cabinet.core.swap_tools import (
    Context,
    book_out,
    cancelled,
    complete,
    fault,
    first_try,
    give_up_slot,
    gone,
    left_open,
    may_undo_pickup,
    next_try,
    refuse,
    remind,
    report,
    stay,
    verdict_on,
)
from protocols.messages import Door, Kind, Presence, Step

_TOO_LATE: Final = "too-late"


def open_pickup(
    job: Job, ctx: Context, *before: Action, reason: str | None = None, detail: str = ""
) -> Turn:
    """Order the reserved pickup door open, or the next best when the reserved one went bad.

    The caller has seen the return door shut in this very view.
    """
    slot = _usable(job, ctx)
    if slot is None or ctx.view.doors_locked:
        why = "slot-locked" if ctx.view.doors_locked else "no-full-battery"
        return fault(job, why, *before, detail=detail)
    job = _noted(_reserve(job, slot, ctx), slot, ctx)
    job, door, pulse = first_try(job, slot, ctx)
    job, told = report(job, Step.OPENING_PICKUP, reason, detail)
    prompt = Prompt(slot, "open", "take-battery")
    return Turn(OpeningPickup(job=job, door=door), (*before, told, pulse, prompt))


def _usable(job: Job, ctx: Context) -> int | None:
    """The reserved slot while it still holds its pack behind a shut door, else another full one."""
    if job.slot_out is not None and job.slot_out not in job.tried:
        slot = ctx.view.slot(job.slot_out)
        sound = slot.in_service or job.kind is Kind.UNLOAD
        lost = gone(slot, job, ctx) or slot.door is not Door.CLOSED
        if sound and not slot.locked and not lost and _fit(slot, job):
            return job.slot_out
    if job.kind is Kind.UNLOAD:
        return None
    others = [n for n in ctx.view.offered(job.rider_id) if n not in job.tried and n != job.slot_in]
    return others[0] if others else None


def _fit(slot: SlotView, job: Job) -> bool:
    """Whether the reserved pack may still be handed out: it may have fallen ill, or silent."""
    if job.kind is Kind.UNLOAD:
        return True
    pack = slot.pack
    if pack is None or slot.quarantined or pack.unwell is not None:
        return False
    return pack.trust not in {Trust.FOREIGN, Trust.DENIED}


def _reserve(job: Job, slot: int, ctx: Context) -> Job:
    pack = ctx.view.slot(slot).pack
    if slot == job.slot_out and (job.serial_out is not None or pack is None):
        return job
    return replace(job, slot_out=slot, serial_out=pack.serial if pack else None)


def _noted(job: Job, slot: int, ctx: Context) -> Job:
    """With what the pack tells of itself: once its door is open it may be unplugged at any moment."""
    pack = ctx.view.slot(slot).pack
    if pack is None or pack.serial != job.serial_out:
        return replace(job, soc_out=None, health_out=None)
    return replace(job, soc_out=told_soc(pack.soc_pct), health_out=pack.health)


def _await_pickup(job: Job, ctx: Context) -> Turn:
    job, told = report(job, Step.AWAIT_PICKUP)
    return Turn(AwaitPickup(job=job, since_ms=ctx.now_ms), (told,))


def _taken(job: Job, ctx: Context) -> Turn:
    number = job.slot_out or 0
    if job.serial_out is None:  # nobody can tell the ledger what has left
        return fault(job, "no-bms", *left_open(number, ctx), detail="unloaded without a name")
    job, booked = book_out(job, number)
    if ctx.shut(number):
        return complete(job, *booked)
    job, told = report(job, Step.AWAIT_CLOSE)
    prompt = Prompt(number, "open", "close-door")
    return Turn(AwaitClose(job=job, since_ms=ctx.now_ms), (*booked, told, prompt))


# --- opening ------------------------------------------------------------------------------------


def opening_pickup(state: OpeningPickup, _event: Sensed, ctx: Context) -> Turn:
    """Wait for the door; pulse again, or hand out another pack."""
    job, door = state.job, state.door
    slot = ctx.view.slot(door.slot)
    if slot.door is Door.OPEN:
        return _await_pickup(job, ctx)
    if slot.door is Door.CLOSED and _may_have_fired(door, ctx) and gone(slot, job, ctx):
        return _taken(job, ctx)  # opened, emptied and shut while nobody could see it
    what = verdict_on(door, ctx)
    if what not in {"wait", "door-unknown"} and not ctx.shut(job.slot_in):
        return _blocked(state, ctx)
    match what:
        case "wait":
            return stay(state)
        case "again" if not _fit(slot, job):
            return _other_pickup(job, door.slot, "quarantined", ctx)
        case "again":
            job, door, pulse = next_try(job, door, ctx)
            return Turn(replace(state, job=job, door=door), (pulse,))
        case "door-unknown":
            job, flags = give_up_slot(job, door.slot, what)
            return fault(job, what, *flags)
        case "door-stuck" | "slot-locked":
            return _other_pickup(job, door.slot, what, ctx)
        case never:
            assert_never(never)


def _may_have_fired(door: Try, ctx: Context) -> bool:
    """Whether some pulse may have opened the door: this one, an earlier one, or one unheard of.

    What became of a pulse is not heard of when it could not be written down.
    """
    unheard = door.pulse == "pending" and ctx.now_ms >= door.due_ms
    return door.pulse == "maybe" or door.tries > 1 or unheard


def _blocked(state: OpeningPickup, ctx: Context) -> Turn:
    """The return door is not shut any more: never two rider doors open for one swap."""
    if ctx.now_ms - state.door.since_ms < ctx.limits.close_ms:
        return stay(state)
    number = state.job.slot_in or 0
    return fault(state.job, "door-left-open", *left_open(number, ctx))


def _other_pickup(job: Job, slot: int, why: str, ctx: Context) -> Turn:
    job, flags = give_up_slot(job, slot, why)
    if job.kind is Kind.UNLOAD:
        return fault(job, why, *flags)
    return open_pickup(job, ctx, *flags, reason=why)


# --- open ---------------------------------------------------------------------------------------


def await_pickup(state: AwaitPickup, _event: Sensed, ctx: Context) -> Turn:
    """Wait until the pack is out; a door shut on it is relocked and the pack kept."""
    job, number = state.job, state.job.slot_out or 0
    slot = ctx.view.slot(number)
    if gone(slot, job, ctx):
        return _taken(job, ctx)
    if slot.door is Door.CLOSED and slot.presence is Presence.PRESENT:
        job, told = report(job, Step.AWAIT_PICKUP, "not-taken")
        held = PickupHeld(job=job, since_ms=ctx.now_ms)
        return Turn(held, (told, Prompt(number, "ready", "not-taken")))
    if ctx.now_ms - state.since_ms >= ctx.limits.pickup_ms:
        if slot.door is Door.UNKNOWN:
            return fault(job, "door-unknown")
        return fault(job, "not-taken", *left_open(number, ctx))
    reminders, said = remind(state.reminders, state.since_ms, ctx, number, "take-battery")
    return Turn(replace(state, reminders=reminders), said)


def pickup_held(state: PickupHeld, _event: Sensed, ctx: Context) -> Turn:
    """Shut on the full pack: keep it for its rider for a while."""
    job, slot = state.job, ctx.view.slot(state.job.slot_out or 0)
    if slot.door is Door.OPEN:
        return _await_pickup(job, ctx)
    if slot.door is Door.CLOSED and gone(slot, job, ctx):
        return _taken(job, ctx)
    if ctx.now_ms - state.since_ms >= ctx.limits.held_ms:
        return fault(job, "not-taken")
    return stay(state)


def await_close(state: AwaitClose, _event: Sensed, ctx: Context) -> Turn:
    """All is booked; only the door is missing."""
    number = state.job.slot_out or 0
    if ctx.shut(number):
        return complete(state.job)
    if ctx.now_ms - state.since_ms >= ctx.limits.close_ms:
        return complete(state.job, *left_open(number, ctx), reason="door-left-open")
    reminders, said = remind(state.reminders, state.since_ms, ctx, number, "close-door")
    return Turn(replace(state, reminders=reminders), said)


# --- commands and trips -------------------------------------------------------------------------


def cancel_pickup(state: OpeningPickup | AwaitPickup, _event: Cancel, ctx: Context) -> Turn:
    """Only where the rider has given nothing in."""
    if not may_undo_pickup(state.job):
        return refuse(state, _TOO_LATE)
    settle_ms = ctx.now_ms + (ctx.limits.settle_ms if isinstance(state, OpeningPickup) else 0)
    slot = state.job.slot_out or 0
    after = Cancelling(job=state.job, slot=slot, since_ms=ctx.now_ms, settle_ms=settle_ms)
    return Turn(after, (Accepted(), Prompt(slot, "open", "close-door")))


def cancel_held(state: PickupHeld, _event: Cancel, _ctx: Context) -> Turn:
    """The door is shut on the pack."""
    if not may_undo_pickup(state.job):
        return refuse(state, _TOO_LATE)
    return cancelled(state.job, "rider", Accepted())


def resume_held(state: PickupHeld, _event: Resume, ctx: Context) -> Turn:
    """Open the pickup door again."""
    slot = ctx.view.slot(state.job.slot_out or 0)
    if ctx.barred(slot):
        return refuse(state, "slot-locked")
    if slot.door is not Door.CLOSED or not ctx.shut(state.job.slot_in):
        return refuse(state, "door-not-shut")
    turn = open_pickup(state.job, ctx, reason="resumed")
    return Turn(turn.state, (Accepted(), *turn.actions))


def settle_trip(job: Job, reason: str, ctx: Context) -> Turn:
    """No door may move any more: book what the slot shows."""
    number = job.slot_out or 0
    if gone(ctx.view.slot(number), job, ctx):
        job, booked = book_out(job, number)
        return complete(job, *booked, *left_open(number, ctx), reason=reason)
    return fault(job, reason, *left_open(number, ctx))


def trip_pickup(state: OpeningPickup | AwaitPickup | PickupHeld, event: Trip, ctx: Context) -> Turn:
    """A trip at the pickup door."""
    return settle_trip(state.job, event.reason, ctx)


def trip_close(state: AwaitClose, event: Trip, ctx: Context) -> Turn:
    """Both packs are booked: the swap is done."""
    return complete(state.job, *left_open(state.job.slot_out or 0, ctx), reason=event.reason)
